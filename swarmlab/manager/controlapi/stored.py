"""What a request names: the stored object, at the version that the caller has in hand."""

from typing import TypeVar, cast

from swarmlab.api import KINDS, InvalidSpec, NameConflict, NotFound, OutOfSequence, StoreObject
from swarmlab.store import Snapshot

T = TypeVar("T", bound=StoreObject)


def stored(view: Snapshot, kind: type[T], object_id: str) -> T:
    """The object of that kind and id.

    Raises:
        InvalidSpec: No id was given.
        NotFound: There is none.
    """
    if not object_id:
        raise InvalidSpec(f"{_word(kind)} id must be provided")
    found = view.get(kind, object_id)
    if found is None:
        raise NotFound(f"{_word(kind)} {object_id} not found")
    return found


def stored_at(view: Snapshot, kind: type[T], object_id: str, version: int) -> T:
    """The object of that kind and id, provided that it is still the one of `version`.

    The version is looked at here as well as in the store, so that a caller who comes too late hears OutOfSequence
    whatever else may be wrong with the request.

    Raises:
        InvalidSpec: No id was given.
        NotFound: There is none.
        OutOfSequence: It changed since.
    """
    found = stored(view, kind, object_id)
    if found.meta.version.index != version:
        raise OutOfSequence(
            f"update out of sequence: {_word(kind)} {object_id} is at version {found.meta.version.index}, "
            f"the request holds {version}"
        )
    return found


def require_free_name(view: Snapshot, kind: type[StoreObject], name: str) -> None:
    """Nothing where no object of that kind has that name, in whatever case.

    Raises:
        NameConflict: One has; the message names it.
    """
    taken = view.by_name(kind, name)
    if taken is not None:
        raise NameConflict(f"name conflicts with an existing object: {_word(kind)} {name} already exists ({taken.id})")


def _word(kind: type[T]) -> str:
    return KINDS[cast(type[StoreObject], kind)]
