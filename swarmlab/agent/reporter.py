"""Task statuses on their way to the manager."""

from collections.abc import Iterable

from swarmlab.api import TaskId, TaskStatus, TaskStatusUpdate

#: Statuses in one call at most.
BATCH = 1_000


class Reporter:
    """The newest status of each task that the manager has not confirmed yet.

    One call is under way at a time. States only rise, so a lower one never takes the place of a higher one that waits.
    """

    def __init__(self) -> None:
        self._waiting: dict[TaskId, TaskStatus] = {}
        self._under_way = False

    def report(self, task_id: TaskId, status: TaskStatus) -> None:
        """Have `status` sent, unless a higher state of that task waits already."""
        waiting = self._waiting.get(task_id)
        if waiting is None or waiting.state <= status.state:
            self._waiting[task_id] = status

    def forget(self, task_id: TaskId) -> None:
        """The task is no longer ours to speak of."""
        self._waiting.pop(task_id, None)

    def start_again(self, statuses: Iterable[tuple[TaskId, TaskStatus]]) -> None:
        """A new session: every known status is sent again; the call that was under way may never have arrived."""
        self._under_way = False
        for task_id, status in statuses:
            self.report(task_id, status)

    def next_call(self) -> tuple[TaskStatusUpdate, ...]:
        """What goes into the next call, sorted by task; empty while one is under way and when nothing waits."""
        if self._under_way or not self._waiting:
            return ()
        self._under_way = True
        task_ids = sorted(self._waiting)[:BATCH]
        return tuple(TaskStatusUpdate(task_id, self._waiting.pop(task_id)) for task_id in task_ids)

    def confirmed(self) -> None:
        """The manager has the call that was under way."""
        self._under_way = False
