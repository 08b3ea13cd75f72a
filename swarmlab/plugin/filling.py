"""The two ways to hand out equal tasks: level by level, or node by node."""

import numpy as np

from swarmlab.plugin.arrays import Ints


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


def levelled(height: Ints, capacity: Ints, count: int, order: Ints) -> Ints:
    """Tasks per node when each task goes to the node that is lowest at that moment.

    Equal to `count` single steps "lowest `height` first, then first in `order`, among those with room", at the cost of
    a few passes over the nodes.

    Args:
        height: What each node holds already; it grows by one with each task.
        capacity: What each node can take, >= 0.
        count: Tasks to hand out.
        order: All indices of nodes, the best first: who is served first among equals at the start.

    Returns:
        One entry per node; the sum is the lesser of `count` and the sum of `capacity`.
    """
    counts = np.zeros(len(capacity), np.int64)
    usable = order[capacity[order] > 0]
    count = min(count, int(capacity[usable].sum()))
    if count <= 0:
        return counts
    low, room = height[usable].astype(np.int64), capacity[usable]
    level = _level(low, room, count)
    poured = np.clip(level - low, 0, room)
    rest = count - int(poured.sum())
    # The last, partial level: its candidates have room left and stand exactly at the level, first come first served.
    open_ = np.flatnonzero((low + poured == level) & (poured < room))[:rest]
    poured[open_] += 1
    counts[usable] = poured
    return counts


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
