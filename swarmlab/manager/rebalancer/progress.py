"""The moves under way, read from the labels that the orchestrator gives to their new tasks."""

from collections.abc import Iterable
from typing import NamedTuple

from swarmlab.api import Change, ChangeKind, NodeState, Task, TaskId, TaskState
from swarmlab.manager.orchestrator.moves import MOVE_FROM, is_move
from swarmlab.manager.orchestrator.slots import is_live, is_over
from swarmlab.plugin import Move
from swarmlab.store import Snapshot


class Tally(NamedTuple):
    """How a plan ended."""

    moved: int
    failed: int


class Progress:
    """Follows the moves of one plan. Lives for one leader term; a plan of an earlier term is found in the view.

    A move is under way from the wish until its old task has stopped, and with that given up what it held; or until
    either of its tasks is given up. The old task of a node that does not answer is not waited for.
    """

    def __init__(self, view: Snapshot) -> None:
        #: Wishes that the orchestrator has not answered yet, by the task to be moved.
        self._wished: dict[TaskId, Move] = {}
        #: {new task: the old one}
        self._moving: dict[TaskId, TaskId] = {}
        #: {old task: the new one}
        self._leaving: dict[TaskId, TaskId] = {}
        self._moved = 0
        self._failed = 0
        for task in view.tasks():
            # One that came to nothing may stay in the history beside the next one of the same old task.
            if is_move(task) and _under_way(view, task.id, _old(task)):
                self._follow(task)

    @property
    def busy(self) -> bool:
        """Whether any move is wished or under way."""
        return bool(self._wished or self._moving)

    def begin(self, moves: Iterable[Move]) -> None:
        """Expect these moves."""
        self._moved = self._failed = 0
        for move in moves:
            self._wished[move.task] = move

    def note(self, change: Change) -> bool:
        """Follow one change of a task; whether it concerns any move."""
        task = change.object
        assert isinstance(task, Task)
        if change.kind == ChangeKind.CREATED and is_move(task):
            self._follow(task)
        return task.id in self._moving or task.id in self._leaving

    def _follow(self, task: Task) -> None:
        old = _old(task)
        self._wished.pop(old, None)
        self._moving[task.id] = old
        self._leaving[old] = task.id

    def review(self, view: Snapshot) -> None:
        """Find the moves that have ended by now."""
        for new, old in list(self._moving.items()):
            if _under_way(view, new, old):
                continue
            del self._moving[new]
            if self._leaving.get(old) == new:
                del self._leaving[old]
            task = view.task(new)
            if task is not None and task.status.state == TaskState.RUNNING and is_live(task):
                self._moved += 1
            else:
                self._failed += 1

    def give_up_unanswered(self) -> None:
        """Expect no answer any more to wishes that have none."""
        self._failed += len(self._wished)
        self._wished.clear()

    def tally(self) -> Tally:
        """What became of the moves since the plan began."""
        return Tally(self._moved, self._failed)


def _old(new: Task) -> TaskId:
    return TaskId(new.annotations.labels[MOVE_FROM])


def _under_way(view: Snapshot, new_id: TaskId, old_id: TaskId) -> bool:
    new, old = view.task(new_id), view.task(old_id)
    if new is None or is_over(new) or not is_live(new) or old is None or is_over(old):
        return False
    node = view.node(old.node_id)
    return node is not None and node.status.state == NodeState.READY
