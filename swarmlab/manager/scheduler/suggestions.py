"""The nearest changes after which a pending task would fit."""

from collections.abc import Iterator, Sequence

import numpy as np

from swarmlab.api import Availability, InvalidSpec, Node, NodeState, format_cpus, node_name
from swarmlab.manager.constraint import NODE_LABELS, Constraint, Constraints, attribute, canonical
from swarmlab.manager.scheduler import filters
from swarmlab.manager.scheduler.attributes import PLATFORM, text_of
from swarmlab.manager.scheduler.view import View
from swarmlab.plugin import Flags, Group, Ints, Refusals

#: {unit: (what is reserved, how an amount is written)}; other units are kinds of generic resources.
_RESERVED = {"nano-CPUs": "CPU", "bytes": "memory"}
_BINARY = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1))


def suggestions(group: Group, view: View, refused: Sequence[Refusals]) -> tuple[str, ...]:
    """One line for each filter that alone keeps the group from some node: the least change to one such node."""
    masks: dict[str, Flags] = {}
    for refusal in refused:
        masks[refusal.plugin] = masks.get(refusal.plugin, False) | refusal.mask
    count = np.sum([mask.astype(np.int64) for mask in masks.values()], axis=0) if masks else np.zeros(0, np.int64)
    found = []
    for name, mask in masks.items():
        alone = np.flatnonzero(mask & (count == 1))
        if len(alone):
            found += list(_of_filter(name, group, view, refused, alone))
    return tuple(found)


def at_most(size: int) -> str:
    """`size` bytes in a form that reads back to no more, and to little less."""
    for unit, length in _BINARY:
        if size >= 100 * length or (size >= length and size % length == 0):
            return f"{size // length}{unit}"
    return f"{size}B"


def failing(constraints: Sequence[str], node: Node) -> list[Constraint]:
    """The expressions that do not hold on the node."""
    try:
        items = Constraints.parse(constraints).items
    except InvalidSpec:
        return []
    return [item for item in items if not Constraints((item,)).match(node)]


def _of_filter(name: str, group: Group, view: View, refused: Sequence[Refusals], alone: Ints) -> Iterator[str]:
    match name:
        case filters.RESOURCES:
            yield from _smaller([refusal for refusal in refused if refusal.plugin == name], view, alone)
        case filters.CONSTRAINTS:
            nodes = [_node(view, place) for place in alone.tolist()]
            node = min(nodes, key=lambda node: (len(failing(group.constraints, node)), node.id))
            yield f"fits if {' and '.join(_relaxed(item, node) for item in failing(group.constraints, node))}"
        case filters.READY:
            yield _available([_node(view, place) for place in alone.tolist()])
        case filters.MAX_REPLICAS:
            held = view.nodes.tasks_of(group.service)[alone]
            place = int(alone[int(np.argmin(held))])
            yield f"fits if max replicas per node is >= {int(held.min()) + 1} ({_called(view, place)})"
        case filters.HOST_PORTS:
            place = int(alone[0])
            taken = [port for port in group.host_ports if view.table.port_users(port)[place]]
            told = ", ".join(f"{port}/{protocol}" for protocol, port in taken)
            yield f"fits when the host port {told} is free ({_called(view, place)})"
        case filters.PLATFORMS:
            place = int(alone[0])
            platform = "/".join(text_of(_node(view, place), PLATFORM).split("\n"))
            if platform:
                yield f"fits if the platform {platform} will do ({_called(view, place)})"


def _smaller(short: Sequence[Refusals], view: View, alone: Ints) -> Iterator[str]:
    """For each resource that is the only short one somewhere: the most that is free of it there."""
    lacking = np.sum([refusal.mask[alone].astype(np.int64) for refusal in short], axis=0)
    for refusal in short:
        single = alone[refusal.mask[alone] & (lacking == 1)]
        if len(single):
            place = int(single[int(np.argmax(_have(refusal)[single]))])
            yield from _fitting([refusal], view, place)
    if (lacking == 1).any():
        return
    # Every node lacks several: the one that lacks least of them all, each measured by what one task needs.
    lack = np.zeros(len(alone))
    for refusal in short:
        have, need = _have(refusal)[alone], _need(refusal)[alone]
        lack += np.where(refusal.mask[alone], (need - have) / np.maximum(need, 1), 0.0)
    place = int(alone[int(np.argmin(lack))])
    yield from _fitting([refusal for refusal in short if refusal.mask[place]], view, place)


def _fitting(short: Sequence[Refusals], view: View, place: int) -> Iterator[str]:
    """What must shrink so that the node will do; nothing where it has none of it left."""
    parts = []
    for refusal in short:
        free = int(_have(refusal)[place])
        if free <= 0:
            return
        amount = {"bytes": at_most, "nano-CPUs": format_cpus}.get(refusal.unit, str)(free)
        parts.append(f"the {_RESERVED.get(refusal.unit, refusal.unit)} reservation is <= {amount}")
    yield f"fits if {' and '.join(parts)} ({_called(view, place)})"


def _have(refusal: Refusals) -> Ints:
    assert refusal.have is not None, "resources are refused with what there is"
    return refusal.have


def _need(refusal: Refusals) -> Ints:
    assert refusal.need is not None, "resources are refused with what is needed"
    return refusal.need


def _relaxed(item: Constraint, node: Node) -> str:
    name = node_name(node) or node.id
    if item.equal and item.key.lower().startswith(NODE_LABELS):
        return f"node {name} gets the label {item.key[len(NODE_LABELS) :]}={item.value}"
    key = canonical(item.key)
    if key is None:
        return f"the constraint {item} goes: there is no such key"
    return f"the constraint {item} goes (node {name} has {attribute(node, key)!r})"


def _available(nodes: Sequence[Node]) -> str:
    for node in nodes:
        if node.status.state == NodeState.READY:
            word = "paused" if node.spec.availability == Availability.PAUSE else "drained"
            return f"fits if node {node_name(node) or node.id} is made active; it is {word}"
    node = nodes[0]
    return f"fits when node {node_name(node) or node.id} is back; it is {node.status.state.name}"


def _node(view: View, place: int) -> Node:
    node = view.snapshot.node(view.nodes.ids[place])
    assert node is not None, "every place of the table is a node of the view"
    return node


def _called(view: View, place: int) -> str:
    node = _node(view, place)
    return f"node {node_name(node) or node.id}"
