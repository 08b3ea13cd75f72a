"""The embedded cluster: start, requests, workers by name, stop."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self, TypeVar

from msgspec import field

from swarmlab.agent.exec import LogMessage, LogOptions
from swarmlab.api import (
    MILLISECOND,
    ChangeKind,
    ClusterId,
    Duration,
    Explanation,
    LabEvent,
    LabStatus,
    Node,
    NodeId,
    NodeState,
    NotFound,
    Precondition,
    StrategyInfo,
    Task,
    TaskId,
    Value,
    Violation,
    WorkerInfo,
    seconds,
)
from swarmlab.daemon.executors import ExecutorKind, choose_executor
from swarmlab.daemon.plane import committed
from swarmlab.daemon.story import Story
from swarmlab.edges.disk import DiskProposer
from swarmlab.edges.driver import Alarm, LiveClock, LoopTimers, fresh_seed
from swarmlab.edges.grpc import ControlServer, TaskLogs
from swarmlab.embedded.alone import alone
from swarmlab.embedded.scratch import scratch_directory
from swarmlab.embedded.worker import EmbeddedWorker, Surroundings
from swarmlab.node import Manager, ManagerConfig, Ports, admit_worker, found_cluster
from swarmlab.node.manager import Request
from swarmlab.plugin import Host, with_usual
from swarmlab.store import CommitAtOnce, Committed, Snapshot, Watch

T = TypeVar("T")

#: How long workers may take to register before the cluster is used without them.
READY_SECONDS = 10.0


class EmbeddedConfig(Value, frozen=True, kw_only=True):
    """What `swarmlab --strategy=...` starts."""

    strategy: str = "spread"
    parameters: Mapping[str, str] = field(default_factory=dict)
    plugins: tuple[str, ...] = ()
    #: With one, it decides alone in this process; several are a `Fleet` of nodes over the loopback.
    managers: int = 1
    workers: int = 4
    #: "auto": docker where an Engine answers, else process.
    executor: str = "auto"
    #: Keeps the cluster over restarts; None: a temporary directory that goes with it.
    state_dir: Path | None = None
    #: The control socket; None: none is served.
    socket: Path | None = None
    seed: int | None = None
    heartbeat: Duration = seconds(1)
    history: int = 5
    debounce: Duration = Duration(20 * MILLISECOND)
    settle: Duration = seconds(1)


class EmbeddedCluster:
    """A manager and workers in this process.

    As a context: entered, it serves; left, its tasks are stopped and nothing of it is left but the state directory.

    A part that fails ends it: what is awaited inside the context is cancelled, and leaving it raises the failure.

    Raises on entering:
        UnknownPlugin, PluginError: No such strategy, or it does not load.
        StateError: The state directory is in use, not writable or damaged, or the socket cannot be made.
        ExecutorError: The chosen executor is not there.
    """

    def __init__(self, config: EmbeddedConfig) -> None:
        self.config = config
        self.clock = LiveClock()
        self.story = Story(self.clock)
        self.executor = ""
        self.state_dir = config.state_dir or Path()
        self.host = Host.load(config.strategy, plugins=with_usual(config.plugins), parameters=dict(config.parameters))
        self._seed = config.seed if config.seed is not None else fresh_seed()
        self._workers: dict[str, EmbeddedWorker] = {}
        self._by_id: dict[str, EmbeddedWorker] = {}
        self._stack = AsyncExitStack()
        self._manager: Manager | None = None
        self.cluster_id = ClusterId("")

    async def __aenter__(self) -> Self:
        async with alone(), AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *failure: object) -> None:
        async with alone():
            await self._stack.aclose()

    @property
    def manager(self) -> Manager:
        """The manager of a cluster that was started."""
        assert self._manager is not None, "the cluster was not started"
        return self._manager

    @property
    def view(self) -> Snapshot:
        """The committed state."""
        return self.manager.view

    @property
    def entropy(self) -> random.Random:
        """Chance for what is outside of the cluster's parts; from the operating system."""
        return random.SystemRandom()

    def managers(self) -> None:
        """One manager decides alone."""

    async def mutate(self, request: Request[T]) -> T:
        """Commit what `request` asks for, and its answer once it is final. Raises what the request and the store do."""
        return await committed(self.manager, request)

    def watch(self, since: int | None, deliver: Callable[[Committed], None]) -> Watch:
        """Hear every commit after `since`, or from now on."""
        return self.manager.store.watch(since, deliver)

    def events(self, since: int = 0) -> tuple[LabEvent, ...]:
        """What the parts recorded after that index, as far as it is kept."""
        return self.story.since(since)

    def follow_events(self, since: int = 0) -> AsyncIterator[LabEvent]:
        """The same, and then each as it happens."""
        return self.story.follow(since)

    def explain(self, task_id: TaskId) -> Explanation:
        """Why a task is where it is; `task_id` may be a prefix that only one task has.

        Raises:
            NotFound: No task, or more than one, has it.
        """
        return self.manager.explain(task_id)

    def violations(self) -> tuple[Violation, ...]:
        """The tasks that break a hard affinity term where they are now."""
        return self.manager.violations()

    def status(self) -> LabStatus:
        """The cluster at a glance."""
        return LabStatus(
            cluster_id=self.cluster_id,
            strategy=self.host.strategy.name,
            version=self.view.version,
            state_dir=str(self.config.state_dir or ""),
            workers=tuple(
                WorkerInfo(name=worker.name, node_id=worker.node_id, executor=self.executor, running=worker.running)
                for _, worker in sorted(self._workers.items())
            ),
        )

    def strategies(self) -> tuple[StrategyInfo, ...]:
        """The strategies that can be chosen."""
        return self.host.strategies()

    async def stop_worker(self, name: str) -> None:
        """Kill a worker with all its tasks, as if its machine lost power.

        Raises:
            NotFound: No worker has that name.
            Precondition: It does not run.
        """
        worker = self._worker(name)
        if not worker.running:
            raise Precondition(f"worker {name} does not run")
        await worker.kill()
        self.manager.disconnected(worker.node_id)

    async def start_worker(self, name: str) -> None:
        """Revive a worker that was stopped.

        One whose node was removed joins again, as a fresh member.

        Raises:
            NotFound: No worker has that name.
            Precondition: It runs.
        """
        worker = self._worker(name)
        if worker.running:
            raise Precondition(f"worker {name} runs already")
        await worker.left()
        await self.mutate(_admission(name, worker.node_id))
        await worker.start()

    def _task_lines(self, task: Task, options: LogOptions) -> AsyncIterator[LogMessage]:
        worker = self._by_id.get(task.node_id)
        if worker is None:
            raise Precondition(f"node {task.node_id} is not of this process")
        return worker.logs(task.id, options)

    def _worker(self, name: str) -> EmbeddedWorker:
        if name not in self._workers:
            raise NotFound(f"worker {name!r} not found here; there are {', '.join(sorted(self._workers))}")
        return self._workers[name]

    async def _start(self, stack: AsyncExitStack) -> None:
        config = self.config
        alarm = Alarm()
        if config.state_dir is None:
            self.state_dir = stack.enter_context(scratch_directory())
        kind = await choose_executor(config.executor, stack)
        self.executor = kind.name
        self._open_store(stack, alarm)
        self.cluster_id = await self.mutate(
            lambda view, ids, _: found_cluster(view, ids, heartbeat=config.heartbeat, history=config.history)
        )
        self.manager.lead()
        await self._start_workers(stack, kind, alarm)
        if config.socket is not None:
            logs = TaskLogs(self, self._task_lines)
            await stack.enter_async_context(ControlServer(config.socket, self, logs, self))

    def _open_store(self, stack: AsyncExitStack, alarm: Alarm) -> None:
        config = self.config
        loop = asyncio.get_running_loop()
        timers: list[LoopTimers] = []

        def make_timers(fire: Callable[[str, str], None]) -> LoopTimers:
            timers.append(LoopTimers(self.clock, alarm.guard(fire)))
            return timers[-1]

        ports = Ports(clock=self.clock, timers=make_timers, send=self._to_worker, record=self.story.record)
        manager_config = ManagerConfig(
            seed=self._seed, debounce=config.debounce, latency=seconds(1), settle=config.settle
        )
        if config.state_dir is None:
            self._manager = Manager(manager_config, self.host, ports, CommitAtOnce())
        else:
            disk = DiskProposer(
                config.state_dir / "manager",
                lambda answer: loop.call_soon_threadsafe(alarm.guard(answer)),
                failed=self._disk_failed,
            )
            stack.callback(disk.close)
            self._manager = Manager(manager_config, self.host, ports, disk, disk.snapshot)
        stack.callback(lambda: timers[0].close())

    def _disk_failed(self, error: Exception) -> None:
        """Tell who watches: tasks go on as they are, and nothing about them can change any more."""
        self.story.record("embedded", "state-lost", {"error": str(error), "state_dir": str(self.state_dir)})

    async def _start_workers(self, stack: AsyncExitStack, kind: ExecutorKind, alarm: Alarm) -> None:
        group = await stack.enter_async_context(asyncio.TaskGroup())
        watchman = group.create_task(alarm.raised(), name="alarm")
        stack.callback(watchman.cancel)
        receive = alarm.guard(self.manager.receive)

        def to_manager(node: str, message: Any, call: int) -> None:
            asyncio.get_running_loop().call_soon(receive, node, message, call)

        surroundings = Surroundings(
            self.cluster_id, self._seed, self.clock, to_manager, self.story.record, group, alarm
        )
        for number in range(1, self.config.workers + 1):
            name = f"w{number}"
            folder = self.state_dir / "workers" / name
            known = EmbeddedWorker.known_id(folder)
            node_id = await self.mutate(_admission(name, known))
            worker = EmbeddedWorker(name, node_id, folder, kind, surroundings)
            self._workers[name] = self._by_id[node_id] = worker
        removals = self.watch(None, self._let_removed_leave)
        stack.push_async_callback(self._stop_workers)
        stack.callback(removals.cancel)
        await asyncio.gather(*(worker.start() for worker in self._workers.values()))
        await self._all_ready()

    def _let_removed_leave(self, committed: Committed) -> None:
        """Stop the workers whose nodes were removed: what they run, others are about to run in their place."""
        for change in committed.changes:
            worker = self._by_id.get(change.object.id)
            if change.kind is ChangeKind.REMOVED and isinstance(change.object, Node) and worker is not None:
                worker.leave_soon()

    async def _all_ready(self) -> None:
        """Wait until every worker has registered, so that the first service finds them all."""
        ready = asyncio.Event()

        def look(_: Committed | None = None) -> None:
            nodes = (self.view.node(worker.node_id) for worker in self._workers.values())
            if all(node is not None and node.status.state == NodeState.READY for node in nodes):
                ready.set()

        watch = self.watch(None, look)
        look()
        try:
            async with asyncio.timeout(READY_SECONDS):
                await ready.wait()
        except TimeoutError:
            self.story.record("embedded", "workers-not-ready", {"seconds": READY_SECONDS})
        finally:
            watch.cancel()

    async def _stop_workers(self) -> None:
        # The manager must not take the end of the cluster for a loss of nodes, and mend it.
        self.manager.resign()
        ends = await asyncio.gather(*(worker.stop() for worker in self._workers.values()), return_exceptions=True)
        failures = [end for end in ends if isinstance(end, Exception)]
        if failures:
            raise ExceptionGroup("workers did not stop", failures)

    def _to_worker(self, node: str, message: Any, call: int) -> None:
        worker = self._by_id.get(node)
        if worker is not None:
            worker.receive_soon(message, call)


def _admission(name: str, known: NodeId | None) -> Request[NodeId]:
    return lambda view, ids, _: admit_worker(view, name, ids, known)
