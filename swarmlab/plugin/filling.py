"""Ways to hand out equal tasks: node by node, level by level, branch by branch."""

from collections.abc import Callable

import numpy as np

from swarmlab.plugin.arrays import Counts, Floats, Ints
from swarmlab.plugin.nodes import NodeTable


def filled(order: Ints, capacity: Ints, count: int) -> Ints:
    """Tasks per node when the nodes of `order` are filled one after the other.

    Args:
        order: Indices of nodes, the first to be filled first; those left out get nothing.
        capacity: What each node can take, one entry per node, >= 0.
        count: Tasks to hand out.

    Returns:
        One entry per node; the sum is the lesser of `count` and the capacity of `order`.
    """
    counts = np.zeros(len(capacity), np.int64)
    room = capacity[order]
    before = np.cumsum(room) - room
    counts[order] = np.clip(count - before, 0, room)
    return counts


def levelled(height: Ints | Counts, capacity: Ints, count: int, key: Ints | Counts | Floats) -> Ints:
    """Tasks per node when each task goes to the node that is lowest at that moment.

    Equal to `count` single steps "lowest `height`, then lowest `key`, then lowest index, of those with room", where
    each step raises the height by one and leaves the key; at the cost of a few passes over the nodes.

    Args:
        height: What each node holds already.
        capacity: What each node can take, >= 0.
        count: Tasks to hand out.
        key: Who comes first among those of equal height.

    Returns:
        One entry per node; the sum is the lesser of `count` and the sum of `capacity`.
    """
    counts = np.zeros(len(capacity), np.int64)
    usable = np.flatnonzero(capacity > 0)
    if not len(usable) or count <= 0:
        return counts
    low, room = height[usable].astype(np.int64), capacity[usable]
    bottom = int(low.min())
    lowest = np.flatnonzero(low == bottom)
    if len(lowest) >= count:
        # The commonest case: more nodes stand lowest than there are tasks.
        counts[usable[lowest[_first(key[usable[lowest]], count)]]] = 1
        return counts
    count = min(count, int(room.sum()))
    level = _level(low, room, count)
    poured = np.clip(level - low, 0, room)
    rest = count - int(poured.sum())
    if rest:
        # The last level is not reached by all: those that stand exactly at it and have room left share the rest.
        partial = np.flatnonzero((low + poured == level) & (poured < room))
        poured[partial[_first(key[usable[partial]], rest)]] += 1
    counts[usable] = poured
    return counts


def spread_over(
    keys: tuple[str, ...],
    nodes: NodeTable,
    tasks: Counts,
    capacity: Ints,
    count: int,
    leaf: Callable[[Ints, int], Ints],
) -> Ints:
    """Tasks per node when they are first spread over the values of `keys`, outermost first.

    At each level a task goes to the branch with room that holds the fewest `tasks`; of equals to the one with the
    fewest other tasks, then the one whose value comes first. A missing label is a value like any other.

    Args:
        keys: Spread descriptors; those that name no label are left out. Without any the nodes are one leaf.
        nodes: The node table.
        tasks: What is to be spread, as it lies now, one entry per node; nodes without room count too.
        capacity: What each node can take.
        count: Tasks to hand out.
        leaf: `leaf(indices of nodes, count)` hands out within one leaf: tasks for each of these nodes.

    Returns:
        One entry per node.
    """
    levels = [nodes.domain(key)[0] for key in keys if _is_label(key)]
    counts = np.zeros(len(capacity), np.int64)

    def descend(inside: Ints, count: int, level: int) -> None:
        if count <= 0:
            return
        if level == len(levels):
            counts[inside] = leaf(inside, count)
            return
        values, branch = np.unique(levels[level][inside], return_inverse=True)
        held = np.bincount(branch, tasks[inside], len(values)).astype(np.int64)
        others = np.bincount(branch, nodes.tasks[inside], len(values)).astype(np.int64) - held
        room = np.bincount(branch, capacity[inside], len(values)).astype(np.int64)
        shares = levelled(held, room, count, others)
        for number in np.flatnonzero(shares).tolist():
            descend(inside[branch == number], int(shares[number]), level + 1)

    descend(np.arange(len(capacity), dtype=np.int64), count, 0)
    return counts


def lowest(key: Ints | Counts | Floats, count: int) -> int | float:
    """The greatest of the `count` lowest keys; `count` is 1 to their number."""
    if key.dtype.kind in "iu":
        bottom, top = int(key.min()), int(key.max())
        if top - bottom <= 4 * len(key):
            # Numbers of tasks lie close together; counting them is ten times as fast as a partition.
            return bottom + int(np.searchsorted(np.cumsum(np.bincount(key - bottom)), count))
    border: int | float = np.partition(key, count - 1)[count - 1].item()
    return border


def _is_label(key: str) -> bool:
    return key.lower().startswith(("node.labels.", "engine.labels."))


def _first(key: Ints | Counts | Floats, count: int) -> Ints:
    """The indices of the `count` lowest keys, ties by index; ascending. `count` is at most their number."""
    if count >= len(key):
        return np.arange(len(key), dtype=np.int64)
    if count == 1:
        return np.array([np.argmin(key)], np.int64)
    border = lowest(key, count)
    below = np.flatnonzero(key < border)
    at = np.flatnonzero(key == border)[: count - len(below)]
    return np.sort(np.concatenate((below, at)))


def _level(low: Ints, room: Ints, count: int) -> int:
    """The highest level to which all can be raised, as far as their room goes, with no more than `count` in all."""
    bottom, top = int(low.min()), int((low + room).max())
    while bottom < top:
        middle = (bottom + top + 1) // 2
        if int(np.clip(middle - low, 0, room).sum()) <= count:
            bottom = middle
        else:
            top = middle - 1
    return bottom
