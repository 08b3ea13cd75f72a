"""What was decided and on what grounds, kept for those who ask later. In memory, and bounded."""

from collections.abc import Iterable
from itertools import islice

import numpy as np

from swarmlab.api import Instant, NodeId, Shortage, Task, TaskId, Value
from swarmlab.manager.scheduler.view import View
from swarmlab.plugin import Floats, Group, Ints, Placement, Proof

#: Of one decision: most chosen nodes, and most of those that came next, that are remembered with their grounds.
CHOSEN = 16
NEXT = 3
#: Most decisions that are remembered, and about how many tasks of which it is known which one placed them.
JUDGEMENTS = 4_096
TASKS = 200_000


class Ground(Value, frozen=True):
    """What one node was to a decision, as it stood just before."""

    node: NodeId
    #: Tasks that it got by the decision.
    placed: int
    #: Active tasks of the service, and in all.
    own: int
    tasks: int
    #: Recent failures of this kind of task.
    failures: int
    #: (scorer, weight x value)
    scores: tuple[tuple[str, float], ...] = ()


class Judgement(Value, frozen=True, kw_only=True):
    """One decision about one group."""

    version: int
    at: Instant
    #: Empty where the nodes were given, not chosen.
    strategy: str
    group: str
    #: Tasks placed by it, and the nodes that took them.
    placed: int = 0
    nodes: int = 0
    #: Nodes that could have taken a task.
    suitable: int = 0
    chosen: tuple[Ground, ...] = ()
    #: The best of those that got nothing, best first.
    next_best: tuple[Ground, ...] = ()
    shortages: tuple[Shortage, ...] = ()
    #: How good the plan was that it was part of, where the strategy knows.
    proof: Proof | None = None


def judged(
    view: View,
    group: Group,
    placement: Placement,
    strategy: str,
    standing: Ints | Floats | None,
    proof: Proof | None = None,
) -> Judgement:
    """The grounds of a placement, read from the view that it was made on.

    `standing`: where the strategy saw each node, the lowest first; None where it was not asked.
    """
    capacity = view.capacity(group)
    most = np.argsort(-placement.counts, kind="stable")[:CHOSEN]
    places, counts = placement.nodes[most].tolist(), placement.counts[most].tolist()
    left = capacity > 0
    suitable = int(np.count_nonzero(left))
    left[placement.nodes] = False
    others: list[int] = []
    if standing is not None:
        open_ = np.flatnonzero(left)
        stands = standing[open_].astype(np.float64)
        for _ in range(min(NEXT, len(open_))):
            best = int(np.argmin(stands))
            stands[best] = np.inf
            others.append(int(open_[best]))
    return Judgement(
        version=view.version,
        at=view.now,
        strategy=strategy,
        group=group.id,
        placed=placement.total,
        nodes=len(placement.nodes),
        suitable=suitable,
        chosen=_grounds(view, group, places, counts),
        next_best=_grounds(view, group, others, [0] * len(others)),
        proof=proof,
    )


def _grounds(view: View, group: Group, places: list[int], counts: list[int]) -> tuple[Ground, ...]:
    nodes = view.nodes
    own, tasks, failures = nodes.tasks_of(group.service), nodes.tasks, nodes.failures_of(group)
    parts = view.score_parts(group)
    return tuple(
        Ground(
            nodes.ids[place],
            count,
            int(own[place]),
            int(tasks[place]),
            int(failures[place]),
            tuple((part.plugin, round(float(part.weight * part.values[place]), 6)) for part in parts),
        )
        for place, count in zip(places, counts, strict=True)
    )


class Journal:
    """Which decision was the last about each task."""

    def __init__(self) -> None:
        self._count = 0
        #: {number: decision}, the oldest first.
        self._judgements: dict[int, Judgement] = {}
        #: {task: number of its decision}, the oldest first.
        self._tasks: dict[TaskId, int] = {}

    def note(self, judgement: Judgement, tasks: Iterable[Task]) -> None:
        """Remember that the decision was about these tasks."""
        self._count += 1
        self._judgements[self._count] = judgement
        if len(self._judgements) > JUDGEMENTS:
            del self._judgements[next(iter(self._judgements))]
        known = self._tasks
        for task in tasks:
            if task.id in known:
                del known[task.id]  # So that it moves to the end.
            known[task.id] = self._count
        if len(self._tasks) > TASKS + TASKS // 4:
            # In one go: taking single entries from the front of a dictionary costs what was taken before.
            self._tasks = dict(islice(self._tasks.items(), len(self._tasks) - TASKS, None))

    def forget(self, task: TaskId) -> None:
        """The task is gone."""
        self._tasks.pop(task, None)

    def of(self, task: TaskId) -> Judgement | None:
        """The last decision about the task, where it is still remembered."""
        return self._judgements.get(self._tasks.get(task, 0))
