"""Several managers and their workers in this process: a node process each, over the loopback."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self, TypeVar

from swarmlab.api import (
    ClusterSpec,
    DaemonState,
    DispatcherConfig,
    Explanation,
    LabEvent,
    LabStatus,
    ManagerStatus,
    NodeId,
    NodeRole,
    NodeState,
    NotFound,
    NotLeader,
    OrchestrationConfig,
    Precondition,
    StrategyInfo,
    SwarmInitRequest,
    SwarmJoinRequest,
    TaskId,
    Violation,
    WorkerInfo,
)
from swarmlab.component import derived_rng
from swarmlab.daemon import Daemon, DaemonConfig
from swarmlab.daemon.manager_part import ManagerPart
from swarmlab.daemon.story import Story
from swarmlab.edges.driver import LiveClock, fresh_seed
from swarmlab.edges.grpc import lab, sockets
from swarmlab.edges.grpc.handlers import service_handler
from swarmlab.edges.grpc.listener import Listener
from swarmlab.edges.grpc.ports import Request
from swarmlab.embedded.alone import alone
from swarmlab.embedded.cluster import EmbeddedConfig
from swarmlab.embedded.relay import Relay
from swarmlab.embedded.scratch import scratch_directory
from swarmlab.plugin import Host, with_usual
from swarmlab.store import EMPTY, Committed, Snapshot, Watch

T = TypeVar("T")

#: Of raft: on one machine an answer comes in milliseconds.
TICK_MS = 100
#: How long the nodes may take to be ready before the cluster is used without them.
READY_SECONDS = 20.0
#: States of a process that is done with its start.
_SETTLED = (DaemonState.ACTIVE, DaemonState.FAILED, DaemonState.INACTIVE)


class _Node:
    """A node by name: its process while it runs, in a task that begins and ends it."""

    def __init__(self, name: str, role: NodeRole) -> None:
        self.name = name
        self.role = role
        self.process: Daemon | None = None
        self.over = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    @property
    def runs(self) -> bool:
        """It is up and belongs to the cluster, as far as this process knows."""
        return self.process is not None and self.process.status().state is DaemonState.ACTIVE

    @property
    def manager(self) -> ManagerPart | None:
        """Its manager, while it runs one."""
        member = self.process.member if self.process is not None else None
        return member.manager if member is not None else None


class Fleet:
    """Managers `m1`, `m2`, ... and workers `w1`, `w2`, ...: each a whole node with a directory, port and certificate.

    As a context: entered, it serves; left, its tasks are stopped and nothing of it is left but the state directory. A
    part that fails ends it: what is awaited inside the context is cancelled, and leaving it raises the failure.

    Raises on entering: as `EmbeddedCluster`.
    """

    def __init__(self, config: EmbeddedConfig) -> None:
        self.config = config
        self.clock = LiveClock()
        self.story = Story(self.clock)
        self.host = Host.load(config.strategy, plugins=with_usual(config.plugins), parameters=dict(config.parameters))
        self.executor = ""
        self.state_dir = config.state_dir or Path()
        self._seed = config.seed if config.seed is not None else fresh_seed()
        managers = [_Node(f"m{number}", NodeRole.MANAGER) for number in range(1, config.managers + 1)]
        workers = [_Node(f"w{number}", NodeRole.WORKER) for number in range(1, config.workers + 1)]
        self._nodes = {node.name: node for node in (*managers, *workers)}
        self._group = asyncio.TaskGroup()
        self._last_view: Snapshot = EMPTY
        self._watches: list[_Watch] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with alone(), AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *failure: object) -> None:
        async with alone():
            await self._stack.aclose()

    @property
    def view(self) -> Snapshot:
        """The state as the leader knows it, or while there is none, whoever knows most."""
        managers = [node.manager for node in self._nodes.values() if node.manager is not None]
        leading = [manager for manager in managers if manager.replica.leads]
        views = (manager.manager.view for manager in leading or managers)
        self._last_view = max(views, key=lambda view: view.version, default=self._last_view)
        return self._last_view

    def watch(self, since: int | None, deliver: Callable[[Committed], None]) -> "_Watch":
        """Hear commits, as some manager learns of them; around the loss of that manager some may be missed."""
        assert since is None, "a fleet tells of commits from now on"
        watch = _Watch(self._watches, deliver)
        self._watches.append(watch)
        self._follow()
        return watch

    def events(self, since: int = 0) -> tuple[LabEvent, ...]:
        """What all parts recorded after that index, as far as it is kept."""
        return self.story.since(since)

    def follow_events(self, since: int = 0) -> AsyncIterator[LabEvent]:
        """The same, and then each as it happens."""
        return self.story.follow(since)

    def status(self) -> LabStatus:
        """The cluster at a glance."""
        cluster = self.view.cluster()
        return LabStatus(
            cluster_id=cluster.id if cluster is not None else "",
            strategy=self.host.strategy.name,
            version=self.view.version,
            state_dir=str(self.config.state_dir or ""),
            workers=self.nodes(),
        )

    def strategies(self) -> tuple[StrategyInfo, ...]:
        """The strategies that can be chosen."""
        return self.host.strategies()

    def explain(self, task_id: TaskId) -> Explanation:
        """Why the task is where it is. Raises `NotFound`, or `NotLeader` while nobody leads."""
        return self._leading().manager.explain(task_id)

    def violations(self) -> tuple[Violation, ...]:
        """The tasks that break a hard affinity term. Raises `NotLeader` while nobody leads."""
        return self._leading().manager.violations()

    def managers(self) -> Mapping[NodeId, ManagerStatus]:
        """{node: its place in the group}. Raises `NotLeader` while nobody leads."""
        return self._leading().plane.managers()

    async def mutate(self, request: Request[T]) -> T:
        """Commit what `request` asks for, and its answer once it is final. Raises what the request and the store do."""
        return await self._leading().plane.mutate(request)

    @property
    def leads(self) -> bool:
        """Some manager leads."""
        return any(node.manager is not None and node.manager.replica.leads for node in self._nodes.values())

    def _leading(self) -> ManagerPart:
        for node in self._nodes.values():
            if node.manager is not None and node.manager.replica.leads:
                return node.manager
        raise NotLeader

    async def stop_worker(self, name: str) -> None:
        """Kill a node, whatever its role."""
        await self.stop_node(name)

    async def start_worker(self, name: str) -> None:
        """Revive a node, whatever its role."""
        await self.start_node(name)

    # The keeper of the nodes

    def nodes(self) -> tuple[WorkerInfo, ...]:
        """The nodes by name."""
        return tuple(
            WorkerInfo(
                name=node.name,
                node_id=node.process.status().node_id if node.process is not None else NodeId(""),
                executor=self.executor,
                running=node.runs,
            )
            for node in self._nodes.values()
        )

    async def stop_node(self, name: str) -> None:
        """Kill a node with all its tasks, as if its machine lost power. Raises `NotFound`, `Precondition`."""
        node = self._node(name)
        if not node.runs:
            raise Precondition(f"node {name} does not run")
        assert node.process is not None, "it runs"
        await node.process.kill()
        await self._ended(node)
        self._follow()

    async def start_node(self, name: str) -> None:
        """Revive a node that was stopped; one that was removed joins again, as a fresh member.

        Raises:
            NotFound, Precondition: There is none of that name, or it runs.
        """
        node = self._node(name)
        if node.runs:
            raise Precondition(f"node {name} runs already")
        await self._ended(node)
        await self._begun(node)
        assert node.process is not None, "it was started"
        await node.process.until(*_SETTLED)
        if node.process.status().state is not DaemonState.ACTIVE:
            await self._join(node)
        self._follow()

    def _node(self, name: str) -> _Node:
        if name not in self._nodes:
            raise NotFound(f"node {name!r} not found here; there are {', '.join(self._nodes)}")
        return self._nodes[name]

    # The start

    async def _start(self, stack: AsyncExitStack) -> None:
        if self.config.socket is not None:
            sockets.prepare(self.config.socket)
        if self.config.state_dir is None:
            self.state_dir = stack.enter_context(scratch_directory())
        self._group = await stack.enter_async_context(asyncio.TaskGroup())
        stack.push_async_callback(self._stop)
        await asyncio.gather(*(self._begun(node) for node in self._nodes.values()))
        first, *others = self._nodes.values()
        await self._found(first)
        await asyncio.gather(*(self._join(node) for node in others))
        await self._all_ready()
        self._follow()
        if self.config.socket is not None:
            # Of this process, and not of one of its nodes, which may be the one to be killed.
            laboratory = service_handler(lab.SERVICE, lab.methods(self, self), lab.streams(self))
            relay = Relay(laboratory, self._target)
            await stack.enter_async_context(Listener(self.config.socket, (relay,)))

    async def _begun(self, node: _Node) -> None:
        """Start the node's process; what it belongs to, it goes on with."""
        config = DaemonConfig(
            state_dir=self.state_dir / "nodes" / node.name,
            listen_addr="127.0.0.1:0",
            hostname=node.name,
            executor=self.config.executor,
            strategy=self.config.strategy,
            parameters=self.config.parameters,
            plugins=self.config.plugins,
            tick_ms=TICK_MS,
            seed=derived_rng(self._seed, node.name).getrandbits(63),
        )
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        node.over.clear()
        node.task = self._group.create_task(self._live(node, config, begun), name=f"node {node.name}")
        await asyncio.wait([begun, node.task], return_when=asyncio.FIRST_COMPLETED)
        if not begun.done():
            await asyncio.shield(node.task)

    async def _live(self, node: _Node, config: DaemonConfig, begun: "asyncio.Future[None]") -> None:
        async with Daemon(config, story=self.story, keeper=self) as node.process:
            self.executor = node.process.node.kind.name
            begun.set_result(None)
            await node.over.wait()
        node.process = None

    async def _found(self, node: _Node) -> None:
        assert node.process is not None, "it was started"
        if node.process.directory.record() is not None:
            await node.process.until(*_SETTLED)
            return
        spec = ClusterSpec(
            orchestration=OrchestrationConfig(self.config.history),
            dispatcher=DispatcherConfig(self.config.heartbeat),
        )
        await node.process.init(SwarmInitRequest(spec=spec))

    async def _join(self, node: _Node) -> None:
        """Let the node be of the cluster, if it is not: with the token for its role, through a manager that runs."""
        process = node.process
        assert process is not None, "it was started"
        if process.directory.record() is not None:
            await process.until(*_SETTLED)
            if process.status().state is not DaemonState.FAILED:
                return
            await process.leave(force=True)
        cluster = self.view.cluster()
        assert cluster is not None, "the cluster was founded"
        tokens = cluster.root_ca.join_tokens
        addrs = [
            other.process.status().advertise_addr
            for other in self._nodes.values()
            if other.process is not None and other.manager is not None
        ]
        token = tokens.manager if node.role is NodeRole.MANAGER else tokens.worker
        await process.join(SwarmJoinRequest(remote_addrs=tuple(addrs), token=token))

    async def _all_ready(self) -> None:
        """Wait until every node is ready, so that the first service finds them all."""
        ready = asyncio.Event()

        def look(_: Committed | None = None) -> None:
            nodes = self.view.nodes()
            up = [node for node in nodes if node.status.state is NodeState.READY]
            if len(up) >= len(self._nodes) and up == list(nodes):
                ready.set()

        watch = self.watch(None, look)
        look()
        try:
            async with asyncio.timeout(READY_SECONDS):
                await ready.wait()
        except TimeoutError:
            self.story.record("embedded", "nodes-not-ready", {"seconds": READY_SECONDS})
        finally:
            watch.cancel()

    # The end

    async def _stop(self) -> None:
        """Stop all tasks, then all nodes; no manager may take the one for a loss, and mend it."""
        processes = [node.process for node in self._nodes.values() if node.process is not None]
        for node in self._nodes.values():
            if node.manager is not None:
                node.manager.manager.resign()
        members = [process.member for process in processes if process.member is not None]
        ends = await asyncio.gather(*(member.clear() for member in members), return_exceptions=True)
        await asyncio.gather(*(self._ended(node) for node in self._nodes.values()))
        failures = [end for end in ends if isinstance(end, Exception)]
        if failures:
            raise ExceptionGroup("nodes did not stop", failures)

    async def _ended(self, node: _Node) -> None:
        node.over.set()
        if node.task is not None:
            await asyncio.wait([node.task])

    # Followers

    def _target(self) -> Path | None:
        """The socket of the leader, or while there is none, of another manager."""
        running = [node for node in self._nodes.values() if node.runs and node.manager is not None]
        leading = [node for node in running if node.manager is not None and node.manager.replica.leads]
        chosen = (leading or running)[:1]
        return chosen[0].process.socket if chosen and chosen[0].process is not None else None

    def _follow(self) -> None:
        """Let every watch hear of the commits of a manager that runs."""
        managers = [node.manager for node in self._nodes.values() if node.manager is not None]
        for watch in self._watches:
            watch.follow(managers)


class _Watch:
    """A follower of the fleet's commits: of one manager at a time, as long as that runs."""

    def __init__(self, watches: "list[_Watch]", deliver: Callable[[Committed], None]) -> None:
        self._watches = watches
        self._deliver = deliver
        self._manager: ManagerPart | None = None
        self._inner: Watch | None = None

    def follow(self, managers: list[ManagerPart]) -> None:
        """Follow one of these, the same as before if it is among them."""
        if self._manager in managers or not managers:
            return
        self._unfollow()
        self._manager = managers[0]
        self._inner = managers[0].manager.store.watch(None, self._deliver)

    def cancel(self) -> None:
        """Deliver no more."""
        self._unfollow()
        if self in self._watches:
            self._watches.remove(self)

    def _unfollow(self) -> None:
        if self._inner is not None:
            self._inner.cancel()
            self._inner = self._manager = None
