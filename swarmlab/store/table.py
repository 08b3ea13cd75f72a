"""One kind of object, and the ids that share a key: the persistent structures under a snapshot."""

from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

from immutables import Map

from swarmlab.api import StoreObject

T = TypeVar("T", bound=StoreObject)

_NO_OBJECTS: Map[str, StoreObject] = Map()
_NO_NAMES: Map[str, str] = Map()


class Table(Generic[T]):
    """All objects of one kind at one version. Nothing of it changes; their order is worked out when asked for."""

    __slots__ = ("_ids", "_rows", "names", "objects")

    def __init__(
        self,
        objects: Map[str, T] = _NO_OBJECTS,  # type: ignore[assignment]
        names: Map[str, str] = _NO_NAMES,
        ids: tuple[str, ...] | None = None,
    ) -> None:
        #: {id: object}, in no order.
        self.objects = objects
        #: {name key: id}, for kinds whose names are unique.
        self.names = names
        self._ids = ids
        self._rows: tuple[T, ...] | None = None

    def known_ids(self) -> tuple[str, ...] | None:
        """The ids in order, if they were asked for already."""
        return self._ids

    def ids(self) -> tuple[str, ...]:
        """All ids, sorted."""
        ids = self._ids
        if ids is None:
            ids = self._ids = tuple(sorted(self.objects))
        return ids

    def forget(self) -> None:
        """Let go of what was worked out; asked again, it is worked out anew."""
        self._ids = self._rows = None

    def rows(self) -> tuple[T, ...]:
        """All objects, sorted by id."""
        rows = self._rows  # Read once: another thread may let go of it.
        if rows is None:
            rows = self._rows = tuple(map(self.objects.__getitem__, self.ids()))
        return rows


class Crowd:
    """A set of ids too large to be copied for each change."""

    __slots__ = ("_ordered", "members")

    def __init__(self, members: Map[str, None]) -> None:
        self.members = members
        self._ordered: tuple[str, ...] | None = None

    def ordered(self) -> tuple[str, ...]:
        """The ids, sorted."""
        if self._ordered is None:
            self._ordered = tuple(sorted(self.members))
        return self._ordered


#: The ids that share a key: sorted and flat while they are few.
Bucket = tuple[str, ...] | Crowd

#: Most ids of a flat bucket. Copying that many costs no more than one change of a Map.
FLAT = 48

#: {key: its ids}; a key without ids is not there.
Index = Map[object, Bucket]

EMPTY_INDEX: Index = Map()


def ordered(bucket: Bucket | None) -> tuple[str, ...]:
    """The ids of a bucket, sorted; none for no bucket."""
    if bucket is None:
        return ()
    return bucket.ordered() if isinstance(bucket, Crowd) else bucket


class Moves:
    """What comes into and leaves the buckets of one index; an id moves at most once."""

    __slots__ = ("_gained", "_lost")

    def __init__(self) -> None:
        self._gained: dict[object, list[str]] = {}
        self._lost: dict[object, list[str]] = {}

    def move(self, member: str, before: object, after: object) -> None:
        """`member` leaves the bucket of `before` and comes into that of `after`; a false key has no bucket."""
        if before:
            found = self._lost.get(before)
            if found is None:
                self._lost[before] = [member]
            else:
                found.append(member)
        if after:
            found = self._gained.get(after)
            if found is None:
                self._gained[after] = [member]
            else:
                found.append(member)

    def applied(self, index: Index) -> Index:
        """The index after the moves, at the cost of the moves."""
        if not self._gained and not self._lost:
            return index
        work = index.mutate()
        for key, members in self._lost.items():
            left = _without(index[key], members)
            if left:
                work[key] = left
            else:
                del work[key]
        for key, members in self._gained.items():
            work[key] = _with(work.get(key, ()), members)
        return work.finish()


def _with(bucket: Bucket, members: list[str]) -> Bucket:
    if not isinstance(bucket, Crowd):
        if len(bucket) + len(members) <= FLAT:
            return (*bucket, *members) if not bucket and len(members) == 1 else tuple(sorted((*bucket, *members)))
        return Crowd(Map((member, None) for member in (*bucket, *members)))
    work = bucket.members.mutate()
    for member in members:
        work[member] = None
    return Crowd(work.finish())


def _without(bucket: Bucket, members: list[str]) -> Bucket | None:
    if not isinstance(bucket, Crowd):
        gone = set(members)
        return tuple(member for member in bucket if member not in gone) or None
    work = bucket.members.mutate()
    for member in members:
        del work[member]
    left = work.finish()
    # Half the limit, so that a bucket at the border does not change its form with each step.
    return Crowd(left) if len(left) > FLAT // 2 else tuple(sorted(left)) or None


def rows_of(objects: Mapping[str, T], ids: Iterable[str]) -> tuple[T, ...]:
    """The objects of these ids, in their order."""
    return tuple(map(objects.__getitem__, ids))
