"""A cluster of processes on this machine: managers that are node processes of their own, and workers in others."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from swarmlab.api import (
    Annotations,
    Availability,
    ContainerSpec,
    ReplicatedService,
    RestartCondition,
    RestartPolicy,
    ServiceSpec,
    StateError,
    SwarmInitRequest,
    SwarmJoinRequest,
    TaskSpec,
    seconds,
)
from swarmlab.bench.orders import AwaitNodes, AwaitVoters, Join
from swarmlab.bench.processes import BenchProcess, Processes
from swarmlab.edges.grpc import Client

#: How long the whole cluster may take to be ready.
READY_SECONDS = 120.0

Say = Callable[[str], None]


class BenchManager:
    """A manager by name: the process that runs it now, and its directory."""

    def __init__(self, name: str, folder: Path, process: BenchProcess) -> None:
        self.name = name
        self.folder = folder
        self.process = process

    @property
    def socket(self) -> Path:
        """Its control socket."""
        return self.folder / "swarmlab.sock"


class BenchCluster:
    """Managers `m1`, `m2`, ..., which run no tasks, and workers `w1`, `w2`, ...; `m1` leads to begin with.

    Args:
        processes: Where they run.
        tick_ms: Of raft.
        say: Hears how far it is.
    """

    def __init__(self, processes: Processes, tick_ms: int, say: Say) -> None:
        self._processes = processes
        self._tick_ms = tick_ms
        self._say = say
        self.managers: list[BenchManager] = []
        self.workers: list[BenchProcess] = []

    @property
    def first(self) -> BenchManager:
        """The manager that founded it."""
        return self.managers[0]

    async def start(self, managers: int, workers: int = 0, worker_processes: int = 1) -> None:
        """Start all of it, and wait until every node is ready.

        Raises:
            StateError: A process ended, or not all are ready in time.
        """
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._start_managers(managers)
                if workers:
                    await self._start_workers(workers, min(workers, worker_processes))
                await self.first.process.ask(AwaitNodes(managers + workers))
        except TimeoutError:
            raise StateError(
                f"{managers} managers and {workers} workers are not ready after {READY_SECONDS:g} s"
            ) from None

    async def start_manager(self, name: str) -> BenchProcess:
        """The node process of that manager, with what an earlier one left."""
        words = [str(self._processes.folder / name), str(self._tick_ms)]
        return await self._processes.start(name, "manager_process", words)

    async def addrs(self) -> Sequence[str]:
        """host:port of each manager."""
        return [await _addr(manager) for manager in self.managers]

    async def _start_managers(self, count: int) -> None:
        names = [f"m{number}" for number in range(1, count + 1)]
        self._say(f"starting {count} manager process{'es' if count > 1 else ''}")
        started = await asyncio.gather(*(self.start_manager(name) for name in names))
        self.managers = [
            BenchManager(name, self._processes.folder / name, process)
            for name, process in zip(names, started, strict=True)
        ]
        async with Client(self.first.socket) as client:
            # A manager that runs no task can be killed without killing one.
            await client.swarm_init(SwarmInitRequest(availability=Availability.DRAIN))
            (cluster,) = await client.list_clusters()
        addr = await _addr(self.first)
        for manager in self.managers[1:]:
            async with Client(manager.socket) as client:
                await client.swarm_join(
                    SwarmJoinRequest(
                        remote_addrs=(addr,),
                        token=cluster.root_ca.join_tokens.manager,
                        availability=Availability.DRAIN,
                    )
                )
        await self.first.process.ask(AwaitVoters(count))

    async def _start_workers(self, count: int, processes: int) -> None:
        self._say(f"joining {count} workers in {processes} process{'es' if processes > 1 else ''}")
        async with Client(self.first.socket) as client:
            (cluster,) = await client.list_clusters()
        join = Join(tuple(await self.addrs()), cluster.root_ca.join_tokens.worker)
        bounds = [1 + count * number // processes for number in range(processes + 1)]
        self.workers = await asyncio.gather(
            *(
                self._processes.start(
                    f"workers-{number}",
                    "worker_process",
                    [str(self._processes.folder / "workers"), str(first), str(following - first)],
                )
                for number, (first, following) in enumerate(pairwise(bounds), 1)
            )
        )
        await asyncio.gather(*(process.ask(join) for process in self.workers))


async def _addr(manager: BenchManager) -> str:
    async with Client(manager.socket) as client:
        return (await client.node_process()).advertise_addr


def model_service(name: str, replicas: int) -> ServiceSpec:
    """A replicated service of tasks that are models; one that ends is replaced at once."""
    return ServiceSpec(
        annotations=Annotations(name=name),
        task=TaskSpec(
            container=ContainerSpec(image="model"),
            restart=RestartPolicy(condition=RestartCondition.ANY, delay=seconds(0.1)),
        ),
        replicated=ReplicatedService(replicas=replicas),
    )
