"""From asked changes to the next snapshot: what the store takes, and what it refuses."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from swarmlab.api import (
    KINDS,
    Action,
    AlreadyExists,
    Change,
    ChangeKind,
    Create,
    Delete,
    Extension,
    Instant,
    InvalidSpec,
    Meta,
    NameConflict,
    NotFound,
    OutOfSequence,
    Precondition,
    Refused,
    Resource,
    StoreObject,
    SwarmlabError,
    Unsupported,
    Update,
    Value,
    Version,
)
from swarmlab.store.snapshot import Snapshot
from swarmlab.store.succession import advanced, has_unique_names, name_key
from swarmlab.store.table import Table

_replace = msgspec.structs.replace
_CREATED, _UPDATED, _REMOVED = ChangeKind.CREATED, ChangeKind.UPDATED, ChangeKind.REMOVED
_ABSENT = object()


class Applied(NamedTuple):
    """What became of asked changes."""

    #: The snapshot after them; the one before, where nothing was taken.
    snapshot: Snapshot
    #: What happened to each object, once for each, in the order of KINDS, of one kind as they were first touched.
    changes: tuple[Change, ...]
    refused: tuple[Refused, ...]


def apply(snapshot: Snapshot, groups: Sequence[Sequence[Action]], now: Instant, version: int) -> Applied:
    """Take each group of `groups` whole or not at all, in order; a group sees what earlier ones and itself have done.

    Objects written get `version` and the times. An update must carry the version of the object in `snapshot`; a second
    update of the same object among these groups carries the same one, and wins. An object created here is updated with
    the version that its create carried.

    A group is refused with
        AlreadyExists, NameConflict: The id, or the name among its kind whatever the case, is taken.
        NotFound: An object to update or delete is not there.
        OutOfSequence: The update carries another version than the stored one.
        InvalidSpec: An object has no id; a resource is of no known extension.
        Unsupported: An extension was to be changed.
        Precondition: An extension was to be deleted that has resources.
    """
    work = _Transaction(snapshot, now, version)
    refused = []
    for number, group in enumerate(groups):
        error = work.take(group)
        if error is not None:
            refused.append(Refused(number, error))
    changes = work.changes()
    after = advanced(snapshot, changes, version) if changes else snapshot
    return Applied(after, changes, tuple(refused))


class _Touched(Value, frozen=True):
    """An object that the transaction wrote."""

    #: As it was in the snapshot.
    old: Any
    #: As it is now.
    new: Any
    #: The version that an update must carry.
    read: int


class _Draft:
    """One table in the making: the snapshot's, and what lies over it."""

    __slots__ = ("claims", "kind", "names", "objects", "table", "touched", "unique")

    def __init__(self, kind: type[StoreObject], table: Table[Any]) -> None:
        self.kind = kind
        self.table = table
        self.objects = table.objects
        self.names = table.names
        self.unique = has_unique_names(kind)
        self.touched: dict[str, _Touched] = {}
        #: {name key: its holder now, None for nobody}
        self.claims: dict[str, str | None] = {}

    def current(self, key: str) -> Any:
        touched = self.touched.get(key)
        return self.objects.get(key) if touched is None else touched.new

    def holder(self, key: str) -> str | None:
        return self.claims[key] if key in self.claims else self.names.get(key)


class _Transaction:
    """Groups taken one after the other over one snapshot."""

    def __init__(self, snapshot: Snapshot, now: Instant, version: int) -> None:
        self._snapshot = snapshot
        self._now = now
        self._version = version
        self._stamp = Version(version)
        self._metas: dict[Instant | None, Meta] = {}
        self._drafts: dict[type[StoreObject], _Draft] = {}
        #: What the present group overwrote: (dictionary, key, value before); None where it consists of one action.
        self._undo: list[tuple[dict[str, Any], str, Any]] | None = None

    def take(self, group: Sequence[Action]) -> SwarmlabError | None:
        """Do all actions of the group, or none of them and say why."""
        # A single action is checked before anything is written, so there is nothing to take back.
        self._undo = [] if len(group) > 1 else None
        try:
            for action in group:
                if type(action) is Update:
                    self._update(action.object)
                elif type(action) is Create:
                    self._create(action.object)
                else:
                    assert type(action) is Delete, f"{action} is no action"
                    self._delete(action.kind, action.id)
        except SwarmlabError as error:
            for target, key, before in reversed(self._undo or ()):
                if before is _ABSENT:
                    del target[key]
                else:
                    target[key] = before
            return error
        return None

    def _create(self, obj: StoreObject) -> None:
        draft = self._draft(type(obj))
        key = obj.id
        if not key:
            raise InvalidSpec(f"a {KINDS[type(obj)]} needs an id")
        touched = draft.touched.get(key)
        old = draft.objects.get(key) if touched is None else touched.new
        if old is not None:
            raise AlreadyExists(f"{KINDS[type(obj)]} {key} exists")
        if draft.unique:
            self._check_kind(obj)
            self._rename(draft, key, "", name_key(obj))
        stamped = _replace(obj, meta=Meta(self._stamp, self._now, self._now))
        self._write(draft, key, _Touched(None if touched is None else touched.old, stamped, obj.meta.version.index))

    def _update(self, obj: StoreObject) -> None:
        draft = self._draft(type(obj))
        key = obj.id
        touched = draft.touched.get(key)
        if touched is None:
            old = current = draft.objects.get(key)
            read = -1 if current is None else current.meta.version.index
        else:
            old, current, read = touched.old, touched.new, touched.read
        if current is None:
            raise NotFound(f"{KINDS[type(obj)]} {key} not found")
        if obj.meta.version.index != read:
            raise OutOfSequence(
                f"{KINDS[type(obj)]} {key} is at version {read}, the update was made from {obj.meta.version.index}"
            )
        if draft.unique:
            if type(obj) is Extension:
                raise Unsupported(f"extension {key} cannot be changed; extensions are immutable")
            self._check_kind(obj)
            self._rename(draft, key, name_key(current), name_key(obj))
        stamped = _replace(obj, meta=self._meta(current.meta.created_at))
        self._write(draft, key, _Touched(old, stamped, read))

    def _delete(self, kind: type[StoreObject], key: str) -> None:
        draft = self._draft(kind)
        touched = draft.touched.get(key)
        current = draft.objects.get(key) if touched is None else touched.new
        if current is None:
            raise NotFound(f"{KINDS[kind]} {key} not found")
        if kind is Extension:
            self._check_unused(current)
        if draft.unique:
            self._rename(draft, key, name_key(current), "")
        self._write(draft, key, _Touched(current if touched is None else touched.old, None, 0))

    def _draft(self, kind: type[StoreObject]) -> _Draft:
        draft = self._drafts.get(kind)
        if draft is None:
            draft = self._drafts[kind] = _Draft(kind, self._snapshot.table(kind))
        return draft

    def _meta(self, created_at: Instant | None) -> Meta:
        """The stamp of an update; objects created together share theirs."""
        meta = self._metas.get(created_at)
        if meta is None:
            meta = self._metas[created_at] = Meta(self._stamp, created_at, self._now)
        return meta

    def _write(self, draft: _Draft, key: str, touched: _Touched) -> None:
        if self._undo is not None:
            self._undo.append((draft.touched, key, draft.touched.get(key, _ABSENT)))
        draft.touched[key] = touched

    def _rename(self, draft: _Draft, key: str, before: str, after: str) -> None:
        """Give up the name `before` and take the name `after`; either may be empty."""
        if before == after:
            return
        if after:
            holder = draft.holder(after)
            if holder is not None:
                raise NameConflict(f"{KINDS[draft.kind]} name {after.rpartition(chr(0))[2]!r} is taken by {holder}")
            self._claim(draft, after, key)
        if before:
            self._claim(draft, before, None)

    def _claim(self, draft: _Draft, key: str, holder: str | None) -> None:
        if self._undo is not None:
            self._undo.append((draft.claims, key, draft.claims.get(key, _ABSENT)))
        draft.claims[key] = holder

    def _check_kind(self, obj: StoreObject) -> None:
        """Refuse a resource of an unknown extension, and an extension named like a kind of ours."""
        if isinstance(obj, Resource) and self._draft(Extension).holder(obj.kind.lower()) is None:
            raise InvalidSpec(f"resource {obj.id} is of the kind {obj.kind!r}; no extension has that name")
        if isinstance(obj, Extension) and obj.annotations.name.lower() in KINDS.values():
            raise NameConflict(f"an extension cannot be named {obj.annotations.name!r}, which is a kind of the store")

    def _check_unused(self, extension: Extension) -> None:
        """Refuse to delete an extension that has resources."""
        draft = self._draft(Resource)
        kind = extension.annotations.name.lower()
        for key in sorted({*draft.table.ids(), *draft.touched}):
            resource = draft.current(key)
            if resource is not None and resource.kind.lower() == kind:
                raise Precondition(f"extension {extension.annotations.name} is in use by resource {key}")

    def changes(self) -> tuple[Change, ...]:
        """What happened to each object; nothing for those that came and went."""
        changes: list[Change] = []
        for kind in KINDS:
            draft = self._drafts.get(kind)
            for touched in draft.touched.values() if draft is not None else ():
                old, new = touched.old, touched.new
                if old is not None:
                    changes.append(Change(_REMOVED, old) if new is None else Change(_UPDATED, new, old))
                elif new is not None:
                    changes.append(Change(_CREATED, new))
        return tuple(changes)
