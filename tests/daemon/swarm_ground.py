"""Node processes on the loopback: real TLS, real sockets, tasks that are models or plain processes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self

from patience import PATIENCE_SECONDS

from swarmlab.api import (
    Annotations,
    ContainerSpec,
    DaemonState,
    Node,
    NodeRole,
    Reachability,
    ReplicatedService,
    RestartCondition,
    RestartPolicy,
    ServiceSpec,
    SwarmInitRequest,
    SwarmJoinRequest,
    TaskSpec,
    TaskState,
    seconds,
)
from swarmlab.daemon import Daemon, DaemonConfig
from swarmlab.daemon.manager_part import ManagerPart
from swarmlab.edges.grpc import Client
from swarmlab.store import Snapshot

#: Short, so that elections take half a second; nothing here depends on how long they take.
TICK_MS = 50


def a_service(replicas: int = 3, name: str = "web") -> ServiceSpec:
    return ServiceSpec(
        annotations=Annotations(name=name),
        task=TaskSpec(
            container=ContainerSpec(image="any", command=("sleep", "1000"), stop_grace_period=seconds(1)),
            restart=RestartPolicy(condition=RestartCondition.ANY, delay=seconds(0.1)),
        ),
        replicated=ReplicatedService(replicas=replicas),
    )


class Swarm:
    """Processes by name, below one directory."""

    def __init__(self, folder: Path, executor: str = "sim") -> None:
        self.folder = folder
        self.executor = executor
        self.processes: dict[str, Daemon] = {}
        self._stacks: dict[str, AsyncExitStack] = {}

    async def start(self, name: str, **config: Any) -> Daemon:
        """The process of that name, with what an earlier one left."""
        process = Daemon(
            DaemonConfig(
                state_dir=self.folder / name,
                listen_addr="127.0.0.1:0",
                hostname=name,
                executor=self.executor,
                tick_ms=TICK_MS,
                **config,
            )
        )
        stack = AsyncExitStack()
        await stack.enter_async_context(process)
        self.processes[name], self._stacks[name] = process, stack
        return process

    async def stop(self, name: str) -> None:
        """End the process in order."""
        del self.processes[name]
        await self._stacks.pop(name).aclose()

    async def kill(self, name: str) -> None:
        """End the process as a loss of power does."""
        await self.processes[name].kill()
        await self.stop(name)

    async def init(self, name: str = "m1", request: SwarmInitRequest | None = None) -> Daemon:
        """A new swarm of that node."""
        process = await self.start(name)
        await process.init(request or SwarmInitRequest())
        return process

    async def join(self, name: str, role: NodeRole = NodeRole.WORKER, *, at: str = "m1") -> Daemon:
        """That node, joined through the manager `at`."""
        process = await self.start(name)
        await process.join(SwarmJoinRequest(remote_addrs=(self.addr(at),), token=self.token(role, at=at)))
        return process

    def addr(self, name: str) -> str:
        """host:port of that node."""
        return self.processes[name].status().advertise_addr

    def token(self, role: NodeRole, *, at: str = "m1") -> str:
        """The join token for that role, as the manager `at` knows it."""
        cluster = self.view(at).cluster()
        assert cluster is not None
        return cluster.root_ca.join_tokens.manager if role is NodeRole.MANAGER else cluster.root_ca.join_tokens.worker

    def view(self, name: str = "m1") -> Snapshot:
        """The state as that manager knows it."""
        return self.manager(name).manager.view

    def node(self, name: str, *, at: str = "m1") -> Node:
        """That node's object, as the manager `at` knows it."""
        node_id = self.processes[name].status().node_id
        node = self.view(at).node(node_id)
        assert node is not None
        return node

    def manager(self, name: str) -> ManagerPart:
        """The manager of that node."""
        member = self.processes[name].member
        assert member is not None
        assert member.manager is not None
        return member.manager

    def is_manager(self, name: str) -> bool:
        """Whether that process runs a manager."""
        member = self.processes[name].member
        return member is not None and member.manager is not None

    def voters(self, at: str) -> int:
        """How many members of the group the manager `at` knows to answer."""
        return sum(
            status.reachability is Reachability.REACHABLE for status in self.manager(at).replica.managers().values()
        )

    def events(self, name: str) -> list[str]:
        """The names of what that process recorded."""
        return [event.name for event in self.processes[name].story.since()]

    def running(self, at: str) -> dict[str, str]:
        """{task that runs: id of its node}, as the manager `at` knows it."""
        return {task.id: task.node_id for task in self.view(at).tasks() if task.status.state is TaskState.RUNNING}

    async def three(self) -> None:
        """Managers m1, m2, m3, of which m1 leads, and a worker w1."""
        await self.init("m1")
        for name in ("m2", "m3"):
            await self.join(name, NodeRole.MANAGER)
        await self.join("w1")
        await self.until(lambda: self.voters("m1") == 3, "three managers answer")

    @property
    def leader(self) -> str:
        """The name of the process that leads; empty while none does."""
        for name, process in self.processes.items():
            manager = process.member.manager if process.member is not None else None
            if manager is not None and manager.replica.leads:
                return name
        return ""

    @asynccontextmanager
    async def client(self, name: str = "m1") -> AsyncIterator[Client]:
        """A client of that node's socket."""
        async with Client(self.processes[name].socket) as client:
            yield client

    async def until(self, holds: Callable[[], object], what: str) -> None:
        """Wait for a record, a commit or a change of the group at one of the processes after which it holds."""
        news = asyncio.Event()
        watches = []
        for process in self.processes.values():
            manager = process.member.manager if process.member is not None else None
            if manager is not None:
                watches.append(manager.manager.store.watch(None, lambda _: news.set()))
                manager.replica.follow(lambda _: news.set())

        async def listen(process: Daemon) -> None:
            async for _ in process.story.follow(process.story.last):
                news.set()

        listeners = [asyncio.create_task(listen(process)) for process in self.processes.values()]
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not holds():
                    news.clear()
                    await news.wait()
        except TimeoutError:
            raise AssertionError(f"{what}: it did not come\n{self.told()}") from None
        finally:
            for listener in listeners:
                listener.cancel()
            for watch in watches:
                watch.cancel()
            await asyncio.gather(*listeners, return_exceptions=True)

    def told(self) -> str:
        """The last events of every process, for a test that failed."""
        lines = []
        for name, process in self.processes.items():
            lines.append(f"{name}: {process.status()}")
            lines += [f"  {event.component} {event.name} {event.fields}" for event in process.story.since()[-12:]]
        return "\n".join(lines)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        # Workers first: managers that end would be mourned.
        for name in sorted(self.processes, reverse=True):
            await self.stop(name)


def is_active(process: Daemon) -> bool:
    return process.status().state is DaemonState.ACTIVE
