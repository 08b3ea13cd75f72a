"""Equal shares of CPU and memory."""

import numpy as np

from swarmlab.plugin import ClusterView, Group, NodeTable, PluginError, Scores, Strategy

from .shares import columns, scored, share


class Balanced(Strategy):
    """Where the used shares of CPU and memory are nearest to each other with the task in place.

    score = 1 - |used(cpu) - used(memory)|, so that no node runs out of one while much of the other lies idle. With
    `free_weight` above 0 the mean of the free shares is added, and the sum divided by 1 + `free_weight`: Kubernetes
    uses the two together, as an empty node is no better balanced than a full one. Of equal nodes the one with fewer
    tasks comes first, then the lower id; a node where this kind of task failed five times in five minutes comes last.
    Spread-over preferences come before the score.

    Source: Kubernetes `pkg/scheduler/framework/plugins/noderesources/balanced_allocation.go` (its deviation of two
    shares is half their difference); the idea is that of Huang et al., "An Energy Efficient Virtual Machine Placement
    Algorithm with Balanced Resource Utilization", IMIS 2013.

    Args:
        free_weight: Of the mean free share beside the balance, >= 0.
    """

    name = "balanced"

    def __init__(self, free_weight: float = 0.0) -> None:
        if free_weight < 0:
            raise PluginError(self.name, "", f"free_weight is {free_weight:g}, wanted 0 or more")
        self._free = free_weight

    def score(self, group: Group, nodes: NodeTable, view: ClusterView) -> Scores:
        """How near the two shares are with one task of the group in place."""
        used = [share(total - free + need, total) for _, total, free, need in columns(group, nodes)][:2]
        near = 1.0 - np.abs(used[0] - used[1])
        left = 1.0 - (used[0] + used[1]) / 2.0
        return scored((near + self._free * left) / (1.0 + self._free), group, view)

    def formula(self) -> str:
        """The nearness, and the free shares where they weigh anything."""
        near = "1 - |used(cpu) - used(memory)|"
        where = "where used(r) = (used + need) / total"
        if not self._free:
            return f"{near}, {where}"
        left = f"{self._free:g} x (1 - (used(cpu) + used(memory)) / 2)"
        return f"(({near}) + {left}) / {1 + self._free:g}, {where}"
