"""A control plane without orchestrators: a store that commits at once, the real control API, and the real wire."""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from patience import PATIENCE_SECONDS

from swarmlab.agent.exec import LogMessage as Line
from swarmlab.agent.exec import LogOptions
from swarmlab.api import (
    Changes,
    Cluster,
    ClusterId,
    Create,
    Explanation,
    Instant,
    LabEvent,
    LabStatus,
    LogStream,
    NodeId,
    NotFound,
    Precondition,
    StrategyInfo,
    Task,
    TaskId,
    Violation,
    WorkerInfo,
    defaults,
)
from swarmlab.edges.grpc import Client, ControlServer, TaskLogs
from swarmlab.store import CommitAtOnce, Committed, Outcome, Snapshot, Store, Watch

T = TypeVar("T")


class Following:
    """A watch whose end can be waited for."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.cancelled = asyncio.Event()

    def cancel(self) -> None:
        self._watch.cancel()
        self.cancelled.set()


class Plane:
    """A control plane over a store in memory; its clock stands still unless a test moves it."""

    def __init__(self) -> None:
        self.now = Instant(1_700_000_000_000_000_000)
        self.store = Store(CommitAtOnce(), lambda: self.now)
        self.followers: list[Following] = []
        self._ids = random.Random(7)

    @property
    def view(self) -> Snapshot:
        return self.store.view

    def managers(self) -> None:
        """One manager decides alone."""

    async def mutate(self, request: Callable[[Snapshot, random.Random, Instant], tuple[Changes, T]]) -> T:
        changes, answer = request(self.view, self._ids, self.now)
        self.commit(changes)
        return answer

    def watch(self, since: int | None, deliver: Callable[[Committed], None]) -> Following:
        self.followers.append(Following(self.store.watch(since, deliver)))
        return self.followers[-1]

    def commit(self, changes: Changes) -> int:
        """The version after the changes, none of which may be refused."""
        outcomes: list[Outcome] = []
        if changes:
            self.store.propose(changes, outcomes.append)
            (outcome,) = outcomes
            if outcome.error is not None:
                raise outcome.error
            for refused in outcome.refused:
                raise refused.error
        return self.view.version

    def put(self, *objects: Any) -> None:
        self.commit(Changes.atomic(*(Create(obj) for obj in objects)))


class Output:
    """What tasks wrote; a task that is followed goes on until `end`."""

    def __init__(self) -> None:
        self.lines: dict[TaskId, list[Line]] = {}
        self.asked: list[tuple[TaskId, LogOptions]] = []
        self.unreachable: dict[TaskId, str] = {}
        #: {task: that a reader of it began, that one ended}
        self.begun: dict[TaskId, asyncio.Event] = defaultdict(asyncio.Event)
        self.over: dict[TaskId, asyncio.Event] = defaultdict(asyncio.Event)
        self._changed = asyncio.Event()
        self._ended: set[TaskId] = set()

    def write(self, task: str, at: int, text: str, stream: LogStream = LogStream.LOG_STREAM_STDOUT) -> None:
        line = Line(timestamp=Instant(at), stream=stream, data=text.encode(), attrs=(("k", "v"),))
        self.lines.setdefault(TaskId(task), []).append(line)
        self._wake()

    def end(self, task: str) -> None:
        self._ended.add(TaskId(task))
        self._wake()

    async def read(self, task: Task, options: LogOptions) -> AsyncIterator[Line]:
        self.asked.append((task.id, options))
        if task.id in self.unreachable:
            raise Precondition(self.unreachable[task.id])
        self.begun[task.id].set()
        try:
            lines = self.lines.setdefault(task.id, [])
            place = 0 if options.tail is None else max(0, len(lines) - options.tail)
            while True:
                changed = self._changed
                while place < len(lines):
                    line = lines[place]
                    place += 1
                    if options.since is None or line.timestamp > options.since:
                        yield line
                if not options.follow or task.id in self._ended:
                    return
                await changed.wait()
        finally:
            self.over[task.id].set()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Laboratory:
    """Two workers by name, some events, one strategy."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self.running = {"w1": True, "w2": True}
        self.story = [self._event(index) for index in range(1, 4)]
        self.violated: tuple[Violation, ...] = ()
        self._told = asyncio.Event()

    @staticmethod
    def _event(index: int) -> LabEvent:
        return LabEvent(index=index, at=Instant(index), component="scheduler", name="placed", fields=f'{{"n":{index}}}')

    def tell(self) -> None:
        self.story.append(self._event(len(self.story) + 1))
        self._told.set()
        self._told = asyncio.Event()

    def explain(self, task_id: TaskId) -> Explanation:
        task = self._plane.view.task(task_id)
        if task is None:
            raise NotFound(f"task {task_id} not found")
        return Explanation(
            task_id=task.id,
            service_id=task.service_id,
            service_name="web",
            state=task.status.state,
            desired_state=task.desired_state,
            verdict="pending",
            summary="no node fits",
            decided_at=Instant(5),
        )

    def status(self) -> LabStatus:
        workers = tuple(
            WorkerInfo(name=name, node_id=NodeId(f"id-{name}"), executor="sim", running=running)
            for name, running in sorted(self.running.items())
        )
        return LabStatus(cluster_id="c1", strategy="spread", version=self._plane.view.version, workers=workers)

    def violations(self) -> tuple[Violation, ...]:
        return self.violated

    def strategies(self) -> tuple[StrategyInfo, ...]:
        return (StrategyInfo(name="spread", origin="swarmlab", summary="evenly", active=True),)

    async def stop_worker(self, name: str) -> None:
        self._turn(name, False)

    async def start_worker(self, name: str) -> None:
        self._turn(name, True)

    def _turn(self, name: str, running: bool) -> None:
        if name not in self.running:
            raise NotFound(f"worker {name!r} not found")
        if self.running[name] == running:
            raise Precondition(f"worker {name} {'runs already' if running else 'does not run'}")
        self.running[name] = running

    def events(self, since: int = 0) -> tuple[LabEvent, ...]:
        return tuple(event for event in self.story if event.index > since)

    async def follow_events(self, since: int = 0) -> AsyncIterator[LabEvent]:
        while True:
            told = self._told
            for event in self.events(since):
                since = event.index
                yield event
            await told.wait()


class Served:
    """All of it, and a client that is connected."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plane = Plane()
        self.plane.put(Cluster(id=ClusterId("c1"), spec=defaults.CLUSTER))
        self.output = Output()
        self.lab = Laboratory(self.plane)
        self.server_logs = TaskLogs(self.plane, self.output.read)
        self.server = ControlServer(path, self.plane, self.server_logs, self.lab)
        self.client = Client(path, timeout=PATIENCE_SECONDS)


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[Served]:
    served = Served(path)
    async with served.server, served.client:
        yield served
