"""The snapshot that follows another, once it is known what happens to each object."""

from collections.abc import Sequence
from typing import Any

from immutables import Map

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
        if change.kind is ChangeKind.REMOVED:
            same_ids = False
            del work[change.object.id]
        else:
            if change.old is None:
                same_ids = False
            work[change.object.id] = change.object
    names = _renamed(table.names, changes) if unique else table.names
    return Table(work.finish(), names, table.known_ids() if same_ids else None)


def _renamed(names: Map[str, str], changes: Sequence[Change]) -> Map[str, str]:
    given_up, taken = [], []
    for change in changes:
        old, new = _sides(change)
        before = name_key(old) if old is not None else ""
        after = name_key(new) if new is not None else ""
        if before != after:
            given_up.append(before)
            taken.append((after, change.object.id))
    if not taken:
        return names
    work = names.mutate()
    for key in given_up:  # First all of these: two objects may have swapped their names.
        if key:
            del work[key]
    for key, holder in taken:
        if key:
            work[key] = holder
    return work.finish()


def _task_moves(changes: Sequence[Change]) -> tuple[Moves, Moves, Moves]:
    services, nodes, slots = Moves(), Moves(), Moves()
    for change in changes:
        old, new = _sides(change)
        was_on = old.node_id if old is not None else ""
        is_on = new.node_id if new is not None else ""
        if was_on != is_on:
            nodes.move(change.object.id, was_on, is_on)
        if old is not None and new is not None and old.slot == new.slot and old.service_id == new.service_id:
            continue
        was_of = old.service_id if old is not None else ""
        is_of = new.service_id if new is not None else ""
        if was_of != is_of:
            services.move(change.object.id, was_of, is_of)
        was_in = (was_of, old.slot) if was_of else None
        is_in = (is_of, new.slot) if is_of else None
        slots.move(change.object.id, was_in, is_in)
    return services, nodes, slots


def _hostname_moves(changes: Sequence[Change]) -> Moves:
    moves = Moves()
    for change in changes:
        old, new = _sides(change)
        before = node_name(old).lower() if old is not None else ""
        after = node_name(new).lower() if new is not None else ""
        if before != after:
            moves.move(change.object.id, before, after)
    return moves


def _sides(change: Change) -> tuple[Any, Any]:
    """The object before and after, None where it is not there."""
    return (change.object, None) if change.kind is ChangeKind.REMOVED else (change.old, change.object)
