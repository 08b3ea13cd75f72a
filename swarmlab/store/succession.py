"""The snapshot that follows another, once it is known what happens to each object."""

from collections.abc import Sequence
from typing import Any

from swarmlab.api import KINDS, Change, ChangeKind, Node, Resource, StoreObject, Task, name_of, node_name
from swarmlab.store.snapshot import Snapshot
from swarmlab.store.table import Moves, Table


def has_unique_names(kind: type[StoreObject]) -> bool:
    """Whether a name holds for one object of the kind; nodes and tasks may share theirs."""
    return kind is not Node and kind is not Task


def name_key(obj: StoreObject) -> str:
    """Under what an object's name is unique in its table; empty for what has no name, which never clashes.

    Names of resources are unique among those of one extension.
    """
    name = name_of(obj).lower()
    return f"{obj.kind.lower()}\0{name}" if name and isinstance(obj, Resource) else name


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
        tables[kind] = _advanced_table(tables[kind], of_kind, unique=has_unique_names(kind))
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
