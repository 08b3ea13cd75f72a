"""Where the most is left."""

import numpy as np

from swarmlab.plugin import ClusterView, Group, NodeTable, PluginError, Scores, Strategy

from .shares import columns, scored, share


class LeastAllocated(Strategy):
    """Where the largest share of CPU and memory stays free with the task in place.

    score = sum over resources r of weight(r) x (free(r) - need(r)) / total(r), over the sum of the weights. The
    resources are CPU, memory, and the generic kinds that the group asks for; a resource that a node has none of counts
    as used up. Of equal nodes the one with fewer tasks comes first, then the lower id; a node where this kind of task
    failed five times in five minutes comes last. Spread-over preferences come before the score.

    Source: Kubernetes `pkg/scheduler/framework/plugins/noderesources/least_allocated.go`, with shares in place of its
    integers from 0 to 100, and without its made-up requests for tasks that reserve nothing.

    Args:
        cpu_weight: Of CPU, >= 0.
        memory_weight: Of memory, >= 0.
        generic_weight: Of each generic kind that the group asks for, >= 0.
    """

    name = "least-allocated"

    def __init__(self, cpu_weight: float = 1.0, memory_weight: float = 1.0, generic_weight: float = 1.0) -> None:
        weights = {"cpu_weight": cpu_weight, "memory_weight": memory_weight, "generic_weight": generic_weight}
        for parameter, weight in weights.items():
            if weight < 0:
                raise PluginError(self.name, "", f"{parameter} is {weight:g}, wanted 0 or more")
        if cpu_weight + memory_weight <= 0:
            raise PluginError(self.name, "", "cpu_weight and memory_weight are both 0, wanted one above 0")
        self._weights = {"cpu": cpu_weight, "memory": memory_weight}
        self._generic = generic_weight

    def score(self, group: Group, nodes: NodeTable, view: ClusterView) -> Scores:
        """The weighted mean of the free shares with one task of the group in place."""
        values, weights = np.zeros(len(nodes)), 0.0
        for kind, total, free, need in columns(group, nodes):
            weight = self._weights.get(kind, self._generic)
            values += weight * share(free - need, total)
            weights += weight
        return scored(values / weights, group, view)

    def formula(self) -> str:
        """The weighted mean."""
        parts = [f"{weight:g} x free({kind})" for kind, weight in self._weights.items()]
        parts.append(f"{self._generic:g} x free(each generic kind asked for)")
        return f"({' + '.join(parts)}) / (sum of these weights), where free(r) = (free - need) / total"
