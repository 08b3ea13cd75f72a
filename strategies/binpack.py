"""Tightly: the fullest node that fits."""

from collections.abc import Sequence

import numpy as np

from swarmlab.plugin import (
    ClusterView,
    Floats,
    Group,
    Ints,
    NodeTable,
    Placement,
    Plan,
    Scores,
    Strategy,
    filled,
    sealed,
    spread_over,
)

#: So many recent failures make a node a last choice, as for `spread`.
FAILURES = 5


class BinPack(Strategy):
    """Tightly: the fullest node that fits, so that whole nodes stay free.

    Full is the largest reserved share of CPU, memory and the generic kinds that the group asks for, with the task in
    place (dominant share: Ghodsi et al., NSDI 2011). Of equally full nodes the one with more tasks comes first, then
    the lower id. Tasks that reserve nothing go where the most is. Score plugins add to the share; spread-over
    preferences are kept, and each of their branches is packed.
    """

    name = "binpack"

    def score(self, group: Group, nodes: NodeTable, view: ClusterView) -> Scores:  # noqa: ARG002
        """The dominant share with one task of the group in place."""
        share = np.zeros(len(nodes))
        wanted = group.reservation
        columns = [
            (nodes.cpu_total, nodes.cpu_free, wanted.nano_cpus),
            (nodes.memory_total, nodes.memory_free, wanted.memory_bytes),
        ]
        columns += [
            (nodes.generic_total(kind), nodes.generic_free(kind), need) for kind, need in wanted.generic.items()
        ]
        for total, free, need in columns:
            share = np.maximum(share, np.where(total > 0, (total - free + need) / np.maximum(total, 1), 0.0))
        return Scores(sealed(np.clip(share, 0.0, 1.0)))

    def place(self, groups: Sequence[Group], view: ClusterView) -> Plan:
        """Group by group: the best node is filled, then the next."""
        placements = []
        for group in groups:
            counts = _packed(group, view)
            if counts.any():
                placement = Placement.of(group.id, counts)
                placements.append(placement)
                view = view.after(placement)
        return Plan(tuple(placements))

    def standing(self, group: Group, view: ClusterView) -> Ints | Floats:
        """Last choices behind all others, then the best score first."""
        return _faulty(group, view) * 1e6 - view.scores(group)

    def formula(self) -> str:
        """The dominant share."""
        return "max over cpu, memory and each generic kind asked for of (used + need) / total"


def _packed(group: Group, view: ClusterView) -> Ints:
    nodes = view.nodes
    capacity = view.capacity(group)
    rank = np.lexsort((-nodes.tasks, -view.scores(group), _faulty(group, view)))

    def leaf(inside: Ints, count: int) -> Ints:
        among = np.zeros(len(nodes), np.bool_)
        among[inside] = True
        return filled(rank[among[rank]], capacity, count)[inside]

    if not group.preferences:
        return filled(rank, capacity, group.count)
    return spread_over(group.preferences, nodes, nodes.tasks_of(group.service), capacity, group.count, leaf)


def _faulty(group: Group, view: ClusterView) -> Ints:
    failures = view.nodes.failures_of(group).astype(np.int64)
    return np.where(failures >= FAILURES, failures, 0)
