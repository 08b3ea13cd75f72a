"""When many tasks came to their states."""

import asyncio
import time

from swarmlab.api import Task, TaskState
from swarmlab.store import Committed

STATES = (TaskState.ASSIGNED, TaskState.READY, TaskState.RUNNING)


class Arrivals:
    """When the last of so many tasks came to each state, by the commits of a store."""

    def __init__(self, tasks: int) -> None:
        self._tasks = tasks
        self._seen: dict[TaskState, set[str]] = {state: set() for state in STATES}
        #: {state: time of the monotonic clock at which as many tasks as wanted had reached it}
        self.at: dict[TaskState, float] = {}
        #: Set when all have come to run.
        self.complete = asyncio.Event()

    def note(self, commit: Committed) -> None:
        """Take in one commit."""
        for change in commit.changes:
            task = change.object
            if not isinstance(task, Task) or task.status.state > TaskState.RUNNING:
                continue
            for state, seen in self._seen.items():
                if task.status.state >= state:
                    seen.add(task.id)
                    if len(seen) == self._tasks:
                        self.at.setdefault(state, time.monotonic())
        if TaskState.RUNNING in self.at:
            self.complete.set()
