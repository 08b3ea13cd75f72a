"""What is chosen by name: the part that says which node gets how many tasks."""

import heapq
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from swarmlab.plugin.arrays import Floats, Ints
from swarmlab.plugin.decisions import Moves, Placement, Plan, Proof, Scores, Trigger
from swarmlab.plugin.filling import spread_over
from swarmlab.plugin.groups import Group
from swarmlab.plugin.nodes import NodeTable
from swarmlab.plugin.views import ClusterView

#: (major, minor) of this API. Minor: something new that old authors need not know. Major: removed or re-meant.
API: tuple[int, int] = (1, 0)


class Strategy:
    """Base of all strategies. Give `name`, and `score` or `place`; `rebalance` if moves are its business.

    Parameters are the keyword arguments of the constructor; each has a default, whose type is that of the parameter.
    One instance serves one cluster or arm. It must decide from what it is given alone: the same view, the same plan.
    """

    #: What users choose it by: lower case letters, digits, "-", "_" and ".".
    name: ClassVar[str] = ""
    #: The API that it is written against.
    api: ClassVar[tuple[int, int]] = API

    def score(self, group: Group, nodes: NodeTable, view: ClusterView) -> Scores | None:  # noqa: ARG002
        """How well each node suits the next task of `group`, as `nodes` stands; None: no opinion.

        Merged with the scores of the plugins. The inherited `place` asks again for each level of fill, with every node
        holding one task more; so a score may depend on what lies on its own node, not on what lies on other ones.
        """
        return None

    def place(self, groups: Sequence[Group], view: ClusterView) -> Plan:
        """Which node gets how many tasks of each group.

        Inherited: group by group in the given order, each task to the node that scores best at that moment and has
        room; ties go to the lower id. Where the group is to be spread over labels, the branch is chosen first. Groups
        that find no room are left out, wholly or in part.

        Args:
            groups: In the order in which they should be served; oldest first.
            view: Of the whole batch.

        Returns:
            Placements that fit when taken in order. The host checks.
        """
        placements = []
        for group in groups:
            placement = self._best_first(group, view)
            if placement is not None:
                placements.append(placement)
                view = view.after(placement)
        return Plan(tuple(placements))

    def rebalance(self, view: ClusterView, trigger: Trigger) -> Moves:  # noqa: ARG002
        """Which running tasks should go elsewhere. Inherited: none."""
        return Moves()

    def standing(self, group: Group, view: ClusterView) -> Ints | Floats:
        """Where each node stands for the next task of `group`: the lowest number is served first, then the lower id.

        Explanations name the next best node by it; nothing is decided with it. Inherited: the scores, negated.
        """
        return -view.scores(group)

    def judge(self, plan: Plan, groups: Sequence[Group], view: ClusterView, by: str) -> Proof | None:  # noqa: ARG002
        """How far `plan`, made for `groups` on `view` by the strategy named `by`, is from the best one; see `Proof`.

        A yardstick: asked on request, never to decide. Inherited: None, it is not known.
        """
        return None

    def formula(self) -> str:
        """What a node's score is, or what its order is, in one line with the weights in use; shown to users.

        Inherited: none is told.
        """
        return ""

    def _best_first(self, group: Group, view: ClusterView) -> Placement | None:
        capacity = view.capacity(group)
        if not capacity.any():
            return None
        nodes = view.nodes
        levels = [view.scores(group)]

        def leaf(inside: Ints, count: int) -> Ints:
            return _best_of(inside, count, group, view, capacity, levels)

        if not group.preferences:
            return Placement.of(group.id, leaf(np.arange(len(nodes), dtype=np.int64), group.count))
        own = nodes.tasks_of(group.service)
        return Placement.of(group.id, spread_over(group.preferences, nodes, own, capacity, group.count, leaf))


def _best_of(inside: Ints, count: int, group: Group, view: ClusterView, capacity: Ints, levels: list[Floats]) -> Ints:
    """Tasks for each of the nodes `inside`; `levels` has the scores for each level of fill that was looked at."""
    held = np.zeros(len(capacity), np.int64)
    usable = inside[capacity[inside] > 0]
    heap = [(-score, node) for node, score in zip(usable.tolist(), levels[0][usable].tolist(), strict=True)]
    heapq.heapify(heap)
    while heap and count:
        _, node = heap[0]
        held[node] += 1
        count -= 1
        level = int(held[node])
        if level >= capacity[node]:
            heapq.heappop(heap)
            continue
        if level == len(levels):
            levels.append(_scores_at(group, view, capacity, level))
        heapq.heapreplace(heap, (-float(levels[level][node]), node))
    return held[inside]


def _scores_at(group: Group, view: ClusterView, capacity: Ints, level: int) -> Floats:
    """The scores with `level` tasks more on every node that has room for them."""
    return view.after(Placement.of(group.id, np.minimum(capacity, level))).scores(group)
