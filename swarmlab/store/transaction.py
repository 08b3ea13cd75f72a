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
    Node,
    NotFound,
    OutOfSequence,
    Precondition,
    Refused,
    Resource,
    StoreObject,
    SwarmlabError,
    Task,
    Unsupported,
    Update,
    Version,
    name_of,
    node_name,
)
from swarmlab.store.snapshot import Snapshot
from swarmlab.store.table import Moves, Table

_replace = msgspec.structs.replace
#: Kinds of which several objects may have one name.
_NAMELESS = (Node, Task)


class Applied(NamedTuple):
    """What became of asked changes."""

    #: The snapshot after them; the one before, where nothing was taken.
    snapshot: Snapshot
    #: What happened to each object, once for each, in the order in which they were first touched.
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
    after, changes = work.finish()
    return Applied(after, changes, tuple(refused))


def name_key(obj: StoreObject) -> str:
    """Under what an object's name is unique in its table; empty for what has no name, which never clashes.

    Names of resources are unique among those of one extension.
    """
    name = name_of(obj).lower()
    return f"{obj.kind.lower()}\0{name}" if name and isinstance(obj, Resource) else name


class _Touched(NamedTuple):
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
        self.unique = kind not in _NAMELESS
        self.touched: dict[str, _Touched] = {}
        #: {name key: its holder now, None for nobody}
        self.claims: dict[str, str | None] = {}

    def current(self, id: str) -> Any:
        touched = self.touched.get(id)
        return self.objects.get(id) if touched is None else touched.new

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
        #: Objects written, in the order of their first writing.
        self._order: list[tuple[_Draft, str]] = []
        #: What the present group overwrote: (dictionary, key, value before); None where it consists of one action.
        self._undo: list[tuple[dict[str, Any], str, Any]] | None = None

    def take(self, group: Sequence[Action]) -> SwarmlabError | None:
        """Do all actions of the group, or none of them and say why."""
        mark = len(self._order)
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
            del self._order[mark:]
            return error
        return None

    def _create(self, obj: StoreObject) -> None:
        draft = self._draft(type(obj))
        id = obj.id
        if not id:
            raise InvalidSpec(f"a {KINDS[type(obj)]} needs an id")
        touched = draft.touched.get(id)
        old = draft.objects.get(id) if touched is None else touched.new
        if old is not None:
            raise AlreadyExists(f"{KINDS[type(obj)]} {id} exists")
        if draft.unique:
            self._check_kind(obj)
            self._rename(draft, id, "", name_key(obj))
        stamped = _replace(obj, meta=Meta(self._stamp, self._now, self._now))
        self._write(draft, id, _Touched(None if touched is None else touched.old, stamped, obj.meta.version.index))

    def _update(self, obj: StoreObject) -> None:
        draft = self._draft(type(obj))
        id = obj.id
        touched = draft.touched.get(id)
        if touched is None:
            old = current = draft.objects.get(id)
            read = -1 if current is None else current.meta.version.index
        else:
            old, current, read = touched
        if current is None:
            raise NotFound(f"{KINDS[type(obj)]} {id} not found")
        if obj.meta.version.index != read:
            raise OutOfSequence(
                f"{KINDS[type(obj)]} {id} is at version {read}, the update was made from {obj.meta.version.index}"
            )
        if draft.unique:
            if type(obj) is Extension:
                raise Unsupported(f"extension {id} cannot be changed; extensions are immutable")
            self._check_kind(obj)
            self._rename(draft, id, name_key(current), name_key(obj))
        stamped = _replace(obj, meta=self._meta(current.meta.created_at))
        self._write(draft, id, _Touched(old, stamped, read))

    def _delete(self, kind: type[StoreObject], id: str) -> None:
        draft = self._draft(kind)
        touched = draft.touched.get(id)
        current = draft.objects.get(id) if touched is None else touched.new
        if current is None:
            raise NotFound(f"{KINDS[kind]} {id} not found")
        if kind is Extension:
            self._check_unused(current)
        if draft.unique:
            self._rename(draft, id, name_key(current), "")
        self._write(draft, id, _Touched(current if touched is None else touched.old, None, 0))

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

    def _write(self, draft: _Draft, id: str, touched: _Touched) -> None:
        if id not in draft.touched:
            self._order.append((draft, id))
        if self._undo is not None:
            self._undo.append((draft.touched, id, draft.touched.get(id, _ABSENT)))
        draft.touched[id] = touched

    def _rename(self, draft: _Draft, id: str, before: str, after: str) -> None:
        """Give up the name `before` and take the name `after`; either may be empty."""
        if before == after:
            return
        if after:
            holder = draft.holder(after)
            if holder is not None:
                raise NameConflict(f"{KINDS[draft.kind]} name {after.rpartition(chr(0))[2]!r} is taken by {holder}")
            self._claim(draft, after, id)
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
        for id in sorted({*draft.table.ids(), *draft.touched}):
            resource = draft.current(id)
            if resource is not None and resource.kind.lower() == kind:
                raise Precondition(f"extension {extension.annotations.name} is in use by resource {id}")

    def finish(self) -> tuple[Snapshot, tuple[Change, ...]]:
        """The snapshot after all groups taken, and what happened to each object."""
        changes = []
        for draft, id in self._order:
            old, new, _ = draft.touched[id]
            if old is None:
                if new is not None:
                    changes.append(Change(ChangeKind.CREATED, new))
            elif new is None:
                changes.append(Change(ChangeKind.REMOVED, old))
            else:
                changes.append(Change(ChangeKind.UPDATED, new, old))
        if not changes:
            return self._snapshot, ()
        return advanced(self._snapshot, changes, self._version), tuple(changes)


_ABSENT = object()


def advanced(snapshot: Snapshot, changes: Sequence[Change], version: int) -> Snapshot:
    """The snapshot after changes that are known to fit it, at their cost; nothing is checked."""
    by_kind: dict[type[StoreObject], list[Change]] = {}
    for change in changes:
        kind = type(change.object)
        found = by_kind.get(kind)
        if found is None:
            by_kind[kind] = [change]
        else:
            found.append(change)
    tables = {kind: snapshot.table(kind) for kind in KINDS}
    for kind, of_kind in by_kind.items():
        tables[kind] = _advanced_table(tables[kind], of_kind, unique=kind not in _NAMELESS)
    by_service, by_node, by_slot, hostnames = snapshot.indexes()
    if Task in by_kind:
        services, nodes, slots = _task_moves(by_kind[Task])
        by_service, by_node, by_slot = services.applied(by_service), nodes.applied(by_node), slots.applied(by_slot)
    if Node in by_kind:
        hostnames = _hostname_moves(by_kind[Node]).applied(hostnames)
    return Snapshot(version, tables, by_service, by_node, by_slot, hostnames)


def _advanced_table(table: Table[Any], changes: Sequence[Change], *, unique: bool) -> Table[Any]:
    work = table.objects.mutate()
    same_ids = True
    for change in changes:
        if change.kind == ChangeKind.REMOVED:
            same_ids = False
            del work[change.object.id]
        else:
            same_ids = same_ids and change.old is not None
            work[change.object.id] = change.object
    names = table.names
    if unique:
        spelled = names.mutate()
        for change in changes:  # Names are given up before they are taken: two objects may have swapped theirs.
            gone = change.object if change.kind == ChangeKind.REMOVED else change.old
            if gone is not None and name_key(gone):
                del spelled[name_key(gone)]
        for change in changes:
            if change.kind != ChangeKind.REMOVED and name_key(change.object):
                spelled[name_key(change.object)] = change.object.id
        names = spelled.finish()
    return Table(work.finish(), names, table.known_ids() if same_ids else None)


def _task_moves(changes: Sequence[Change]) -> tuple[Moves, Moves, Moves]:
    services, nodes, slots = Moves(), Moves(), Moves()
    for change in changes:
        old: Any = change.object if change.kind == ChangeKind.REMOVED else change.old
        new: Any = None if change.kind == ChangeKind.REMOVED else change.object
        was_on = old.node_id if old is not None else ""
        is_on = new.node_id if new is not None else ""
        if was_on != is_on:
            if was_on:
                nodes.lose(was_on, old.id)
            if is_on:
                nodes.gain(is_on, new.id)
        was_in = (old.service_id, old.slot) if old is not None else _NOWHERE
        is_in = (new.service_id, new.slot) if new is not None else _NOWHERE
        if was_in != is_in:
            if was_in[0]:
                services.lose(was_in[0], old.id)
                slots.lose(was_in, old.id)
            if is_in[0]:
                services.gain(is_in[0], new.id)
                slots.gain(is_in, new.id)
    return services, nodes, slots


_NOWHERE = ("", 0)


def _hostname_moves(changes: Sequence[Change]) -> Moves:
    moves = Moves()
    for change in changes:
        old: Any = change.object if change.kind == ChangeKind.REMOVED else change.old
        new: Any = None if change.kind == ChangeKind.REMOVED else change.object
        before = node_name(old).lower() if old is not None else ""
        after = node_name(new).lower() if new is not None else ""
        if before != after:
            if before:
                moves.lose(before, old.id)
            if after:
                moves.gain(after, new.id)
    return moves
