"""A scheduler alone with a store, in time that stands still until it is told to go on."""

import random
from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from swarmlab.api import (
    Action,
    Change,
    Changes,
    Create,
    Delete,
    Duration,
    Instant,
    StoreObject,
    Task,
    TaskId,
    TaskState,
    Update,
)
from swarmlab.component import Assembly, CancelTimer, Effect, Propose, Proposed, Record, SetTimer, TimerFired
from swarmlab.manager.scheduler import ClusterColumns, Scheduler
from swarmlab.manager.scheduler.view import View
from swarmlab.plugin import Host
from swarmlab.store import CommitAtOnce, Committed, Entry, Led, Outcome, Proposer, Snapshot, Store
from swarmlab.testing.clock import START


class Later:
    """A proposer that decides when it is told to."""

    max_entry_bytes: int | None = None

    def __init__(self) -> None:
        self.waiting: list[Callable[[Exception | None], None]] = []
        self.at_once = True

    def propose(self, _: Entry, done: Callable[[Exception | None], None]) -> None:
        if self.at_once:
            done(None)
        else:
            self.waiting.append(done)

    def answer(self, error: Exception | None = None) -> None:
        self.waiting.pop(0)(error)


class Desk:
    """A scheduler with its store, and time that stands still until it is told to go on.

    By default nothing waits: every commit is looked at at once, and every proposal is committed at once.
    """

    def __init__(
        self,
        *objects: StoreObject | Sequence[StoreObject],
        host: Host | None = None,
        debounce: int = 0,
        proposer: Proposer | None = None,
        seed: int = 1,
        lead: bool = True,
    ) -> None:
        self.now = START
        self.records: list[Record] = []
        self.timers: dict[str, Instant] = {}
        self.effects: list[Effect] = []
        self.commits: list[tuple[Change, ...]] = []
        self.host = host or Host.load("spread", strict=True)
        self.scheduler = Scheduler(self.host, random.Random(seed), debounce=Duration(debounce))
        self.columns = ClusterColumns()
        self.store = Store(proposer or CommitAtOnce(), lambda: self.now, on_commit=self._committed)
        ports: dict[type[Effect], Any] = {
            Propose: self._propose,
            Record: lambda _, effect: self.records.append(effect),
            SetTimer: lambda _, effect: self.timers.__setitem__(effect.name, effect.at),
            CancelTimer: lambda _, effect: self.timers.pop(effect.name, None),
        }
        self.assembly = Assembly([self.scheduler], ports, lambda: self.now)
        self._leads = False
        for made in objects:
            self.create(*([made] if not isinstance(made, Sequence) else made))
        if lead:
            self.lead()

    def lead(self) -> "Desk":
        self._leads = True
        self.columns.led(self.store.view)
        self.assembly.broadcast(Led(self.store.view))
        return self

    def _committed(self, event: Committed) -> None:
        self.commits.append(event.changes)
        if self._leads:
            self.columns.committed(event.view, event.changes)
            self.assembly.broadcast(event)

    def _propose(self, source: str, effect: Propose) -> None:
        def done(outcome: Outcome) -> None:
            self.assembly.post(source, Proposed(effect.tag, outcome.version, outcome.refused, outcome.error))

        self.effects.append(effect)
        self.store.propose(effect.changes, done)

    def propose(self, *actions: Action) -> Outcome:
        outcomes: list[Outcome] = []
        self.store.propose(Changes.atomic(*actions), outcomes.append)
        assert not outcomes or (outcomes[0].error is None and not outcomes[0].refused), outcomes
        return outcomes[0] if outcomes else Outcome()

    def create(self, *objects: StoreObject) -> None:
        self.propose(*map(Create, objects))

    def change(self, kind: type[Any], key: str, **fields: Any) -> None:
        """Write these fields of the object of that id."""
        found = self.store.view.get(kind, key)
        assert found is not None
        self.propose(Update(replace(found, **fields)))

    def remove(self, kind: type[Any], key: str) -> None:
        self.propose(Delete(kind, key))

    def report(self, task: str, state: TaskState, **fields: Any) -> None:
        """What the agent says of a task."""
        found = self.task(task)
        self.change(Task, task, status=replace(found.status, state=state, **fields))

    def pass_time(self, span: int) -> None:
        """Let time go on, and timers fire."""
        end = self.now + span
        while due := sorted((at, name) for name, at in self.timers.items() if at <= end):
            at, name = due[0]
            del self.timers[name]
            self.now = Instant(max(self.now, at))
            self.assembly.post("scheduler", TimerFired(name))
        self.now = Instant(end)

    @property
    def view(self) -> Snapshot:
        return self.store.view

    def task(self, name: str) -> Task:
        found = self.view.task(TaskId(name))
        assert found is not None
        return found

    def on(self, *names: str) -> dict[str, int]:
        """{node: active tasks} of all nodes; of these services alone, where any are named."""
        found: dict[str, int] = {node.id: 0 for node in self.view.nodes()}
        for task in self.view.tasks():
            held = task.node_id and TaskState.ASSIGNED <= task.status.state <= TaskState.RUNNING
            if held and task.desired_state <= TaskState.COMPLETE and (not names or task.service_id in names):
                found[task.node_id] += 1
        return found

    def pending(self) -> dict[str, str]:
        """{task: why} of those that wait."""
        return {task.id: task.status.err for task in self.view.tasks() if task.status.state == TaskState.PENDING}

    def seen(self, host: Host | None = None, seed: int = 1) -> View:
        """The cluster as strategies see it now."""
        return self.columns.cluster_view(self.view, self.now, random.Random(seed), host or self.host)
