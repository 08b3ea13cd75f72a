"""Evenly: SwarmKit's order."""

from collections.abc import Sequence

import numpy as np

from swarmlab.plugin import (
    ClusterView,
    Counts,
    Floats,
    Group,
    Ints,
    Placement,
    Plan,
    Strategy,
    levelled,
    spread_over,
)

#: So many recent failures make a node a last choice. Source: SwarmKit `manager/scheduler/nodeinfo.go`, maxFailures.
FAILURES = 5


class Spread(Strategy):
    """Evenly: fewest recent failures, fewest tasks of the service, fewest tasks.

    The order of SwarmKit's scheduler: nodes where tasks of this kind failed five times or more in five minutes come
    last, the fewer failures the better; then nodes with fewer tasks of the service; then, where score plugins are in
    use, the better score; then fewer tasks in all; then the lower id. Spread-over preferences form a tree over all of
    it, whose branches are counted anew with each task.
    """

    name = "spread"

    def place(self, groups: Sequence[Group], view: ClusterView) -> Plan:
        """Group by group, as if task by task."""
        placements = []
        for group in groups:
            counts = spread(group, view)
            if counts.any():
                placement = Placement.of(group.id, counts)
                placements.append(placement)
                view = view.after(placement)
        return Plan(tuple(placements))

    def standing(self, group: Group, view: ClusterView) -> Ints | Floats:
        """The keys of the order, as one number."""
        tasks = view.nodes.tasks.astype(np.int64)
        own = view.nodes.tasks_of(group.service).astype(np.int64)
        row, table = int(tasks.max(initial=0)) + 1, int(own.max(initial=0)) + 1
        return (last_choice(group, view) * table + own) * row + tasks

    def formula(self) -> str:
        """The keys of the order."""
        return (
            f"least first: recent failures (from {FAILURES} on), tasks of the service, -(sum of weight x score of the "
            "score plugins), tasks, id"
        )


def spread(group: Group, view: ClusterView) -> Ints:
    """Tasks of `group` for each node; fewer than `group.count` where there is no room for all."""
    nodes = view.nodes
    capacity = view.capacity(group)
    own = nodes.tasks_of(group.service)
    faulty = last_choice(group, view)
    # With each task both its service's and all tasks of the node grow by one, so their difference keeps the order of
    # nodes that stand equally high.
    key: Ints | Counts | Floats = nodes.tasks - own
    if view.score_parts(group):
        key = np.argsort(np.lexsort((key, -view.scores(group))))

    well = not faulty.any()
    if well and not group.preferences:
        return levelled(own, capacity, group.count, key)

    def leaf(inside: Ints, count: int) -> Ints:
        if well:
            return levelled(own[inside], capacity[inside], count, key[inside])
        counts = np.zeros(len(inside), np.int64)
        for failures in np.unique(faulty[inside]):
            room = np.where(faulty[inside] == failures, capacity[inside], 0)
            counts += levelled(own[inside], room, count - int(counts.sum()), key[inside])
        return counts

    if not group.preferences:
        return leaf(np.arange(len(nodes), dtype=np.int64), group.count)
    return spread_over(group.preferences, nodes, own, capacity, group.count, leaf)


def last_choice(group: Group, view: ClusterView) -> Ints:
    """0 for the nodes where this kind of task does well, else how often it failed there of late."""
    failures = view.nodes.failures_of(group).astype(np.int64)
    failures[failures < FAILURES] = 0
    return failures
