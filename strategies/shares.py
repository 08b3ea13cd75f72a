"""Shares of the nodes' resources, as the scores of several strategies see them."""

from collections.abc import Iterator

import numpy as np

from swarmlab.plugin import ClusterView, Floats, Group, Ints, NodeTable, Scores, sealed

#: So many recent failures make a node a last choice, as for `spread`.
FAILURES = 5
#: What a node's number of tasks weighs beside its resources: it decides between equals alone.
TIE = 1e-6


def columns(group: Group, nodes: NodeTable) -> Iterator[tuple[str, Ints, Ints, int]]:
    """(kind, total, free, what one task wants) of "cpu", "memory" and the generic kinds that the group asks for."""
    wanted = group.reservation
    yield "cpu", nodes.cpu_total, nodes.cpu_free, wanted.nano_cpus
    yield "memory", nodes.memory_total, nodes.memory_free, wanted.memory_bytes
    for kind, need in sorted(wanted.generic.items()):
        yield kind, nodes.generic_total(kind), nodes.generic_free(kind), need


def share(amount: Ints | int, total: Ints) -> Floats:
    """`amount` / `total` of each node, held within [0, 1]; 0 where there is none in all."""
    found: Floats = np.where(total > 0, np.clip(amount / np.maximum(total, 1), 0.0, 1.0), 0.0)
    return found


def scored(values: Floats, group: Group, view: ClusterView) -> Scores:
    """Scores from values in [0, 1]; of equal nodes the one with fewer tasks, and faulty ones behind all others."""
    eased = (values + TIE / (1.0 + view.nodes.tasks)) / (1.0 + TIE)
    return Scores(sealed(np.where(view.nodes.failures_of(group) >= FAILURES, 0.0, eased)))
