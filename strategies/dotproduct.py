"""By the angle between what a task wants and what a node has left."""

import numpy as np

from swarmlab.plugin import ClusterView, Group, NodeTable, Scores, Strategy

from .shares import columns, scored, share


class DotProduct(Strategy):
    """Where what is free lies most in the direction of what the task wants.

    score = (1 / n) x sum over the n resources of (need / total) x (free / total): the dot product of the two vectors,
    both as shares of the node. A task that wants much CPU goes where much CPU is free, so that what remains on each
    node stays in proportion. The resources are CPU, memory, and the generic kinds that the group asks for. Of equal
    nodes the one with fewer tasks comes first, then the lower id; a node where this kind of task failed five times in
    five minutes comes last. Spread-over preferences come before the score.

    Source: Grandl et al., "Multi-Resource Packing for Cluster Schedulers" (Tetris), SIGCOMM 2014, section 3.2. The
    "DotProd" of Weng et al. (FGD), USENIX ATC 2023, takes the smallest product instead: `largest=no`.

    Args:
        largest: The largest product first; else the smallest.
    """

    name = "dotproduct"

    def __init__(self, largest: bool = True) -> None:
        self._largest = largest

    def score(self, group: Group, nodes: NodeTable, view: ClusterView) -> Scores:
        """The dot product before the task is in place."""
        parts = [share(need, total) * share(free, total) for _, total, free, need in columns(group, nodes)]
        product = np.sum(parts, axis=0) / len(parts)
        return scored(product if self._largest else 1.0 - product, group, view)

    def formula(self) -> str:
        """The product, or what is left of 1 without it."""
        product = "(1 / n) x sum over n resources of (need / total) x (free / total)"
        return product if self._largest else f"1 - {product}"
