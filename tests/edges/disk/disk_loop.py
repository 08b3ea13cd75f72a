"""A thread's queue of calls, in place of an event loop."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from swarmlab.api import Changes, Create, Instant, Task, TaskId
from swarmlab.edges.disk import DiskProposer
from swarmlab.store import Outcome, Store


class Calls:
    """What other threads want called on this one."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def call_soon(self, call: Callable[[], None]) -> None:
        self._queue.put(call)

    def run_until(self, ready: Callable[[], bool]) -> None:
        while not ready():
            self._queue.get(timeout=120)()

    def run_all(self) -> None:
        """What waits now."""
        while not self._queue.empty():
            self._queue.get()()


class Kept:
    """A store in a directory, for as long as the process of a manager would have it."""

    def __init__(self, directory: Path, **options: Any) -> None:
        self.calls = Calls()
        self.failures: list[Exception] = []
        self.proposer = DiskProposer(directory, self.calls.call_soon, failed=self.failures.append, **options)
        self.store = Store(self.proposer, lambda: Instant(5), self.proposer.snapshot)
        self.outcomes: list[Outcome] = []

    def begin(self, changes: Changes) -> None:
        """Propose, and do not wait."""
        self.store.propose(changes, self.outcomes.append)

    def propose(self, changes: Changes) -> Outcome:
        """Propose, and wait for the end of all that was proposed."""
        before = len(self.outcomes)
        self.begin(changes)
        self.calls.run_until(lambda: len(self.outcomes) > before)
        return self.outcomes[-1]

    def create(self, *keys: str) -> Outcome:
        """Create tasks of these ids in one group."""
        return self.propose(Changes.atomic(*(Create(Task(id=TaskId(key))) for key in keys)))

    def close(self) -> None:
        self.store.close()
        self.proposer.close()


def ids(kept: Kept) -> list[str]:
    return [task.id for task in kept.store.view.tasks()]


def edit(path: Path, *statements: str) -> None:
    """Do something to a database behind the back of its owner."""
    connection = sqlite3.connect(path)
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()
