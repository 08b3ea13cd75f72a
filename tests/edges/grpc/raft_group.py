"""Replicas on real disks and real gRPC, one server each, in one process."""

import asyncio
import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc

from swarmlab.api import Changes, Create, Instant, NodeId, Task, TaskId
from swarmlab.edges.disk import RaftLog
from swarmlab.edges.driver import Alarm
from swarmlab.edges.grpc.raft_transport import RaftTransport
from swarmlab.node import Joined, RaftMember, Recovered, Replica, ReplicaConfig, founding, joining
from swarmlab.raft import RaftId
from swarmlab.store import Outcome, Store

TICK_SECONDS = 0.03
LIMIT_SECONDS = 60


async def until(ready: Callable[[], object]) -> None:
    """Wait for what other tasks of this loop bring about."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while not ready():  # noqa: ASYNC110  # what is waited for is many things
            await asyncio.sleep(0.005)


class Live:
    """A manager's consensus: disk, transport, server and ticks."""

    def __init__(self, folder: Path, name: str, **config: Any) -> None:
        self.folder = folder / name
        self.name = name
        self.addr = f"unix:{folder}/{name}.sock"
        self.config = ReplicaConfig(**config)
        self.caller: Callable[[], NodeId | None] = lambda: None
        self.stack = AsyncExitStack()
        #: Addresses that cannot be reached from here.
        self.cut: set[str] = set()
        self.records: list[str] = []

    def channel(self, addr: str) -> grpc.aio.Channel:
        target = f"{addr}.nobody" if addr in self.cut else addr
        return grpc.aio.insecure_channel(target, options=(("grpc.use_local_subchannel_pool", 1),))

    async def start(self, recovered: Recovered | None = None) -> None:
        async with AsyncExitStack() as stack:
            loop, alarm = asyncio.get_running_loop(), Alarm()
            self.log = RaftLog(self.folder, lambda call: loop.call_soon_threadsafe(alarm.guard(call)))
            stack.callback(self.log.close)
            if recovered is not None:
                self.log.begin(recovered)
            self.transport = RaftTransport(self.channel, lambda: self.caller())
            assert self.log.recovered is not None
            self.replica = Replica(
                self.config,
                self.log.recovered,
                random.Random(self.name),
                self.log,
                self.transport,
                lambda event, _: self.records.append(event),
            )
            self.transport.attach(self.replica)
            stack.callback(self.replica.close)
            await stack.enter_async_context(self.transport)
            server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
            server.add_generic_rpc_handlers((self.transport.handler(),))
            server.add_insecure_port(self.addr)
            await server.start()
            stack.push_async_callback(server.stop, 0)
            self.store = Store(self.replica, lambda: Instant(1), self.replica.snapshot)
            group = await stack.enter_async_context(asyncio.TaskGroup())
            ticking = group.create_task(self._tick())
            stack.callback(ticking.cancel)
            self.replica.start(self.store, lambda: None, lambda: None)
            self.stack = stack.pop_all()

    async def stop(self) -> None:
        await self.stack.aclose()

    async def propose(self, *keys: str) -> list[Outcome]:
        """Create tasks, each in a proposal of its own; what became of them."""
        outcomes: list[Outcome] = []
        for key in keys:
            self.store.propose(Changes.atomic(Create(Task(id=TaskId(key)))), outcomes.append)
        await until(lambda: len(outcomes) == len(keys))
        return outcomes

    async def admit(self, name: str, addr: str) -> Joined:
        answers: list[tuple[Joined | None, Exception | None]] = []
        self.replica.join(NodeId(name), addr, lambda joined, error: answers.append((joined, error)))
        await until(lambda: answers)
        [(joined, error)] = answers
        assert joined is not None, error
        return joined

    def voters(self) -> tuple[RaftId, ...]:
        return self.replica.voters

    def tasks(self) -> list[str]:
        return [task.id for task in self.store.view.tasks()]

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.replica.tick()


class LiveGroup:
    """A founder and those who joined; left, all are stopped."""

    def __init__(self, folder: Path, size: int, **config: Any) -> None:
        self.folder = folder
        self.config = {"election_ticks": 20, **config}
        self.size = size
        self.all: list[Live] = []
        self.up: set[Live] = set()

    async def __aenter__(self) -> "LiveGroup":
        founder = Live(self.folder, "m1", **self.config)
        await founder.start(founding(RaftMember(RaftId(5), NodeId("m1"), founder.addr)))
        self.all.append(founder)
        self.up.add(founder)
        for number in range(2, self.size + 1):
            await self.join(f"m{number}")
        return self

    async def __aexit__(self, *_: object) -> None:
        for live in list(self.up):
            await self.stop(live)

    async def join(self, name: str) -> Live:
        live = Live(self.folder, name, **self.config)
        leader = await self.leader()
        joined = await leader.admit(name, live.addr)
        await live.start(joining(joined.member, joined.roster))
        self.all.append(live)
        self.up.add(live)
        voters = len(self.all)
        await until(lambda: any(len(each.replica.voters) >= voters for each in self.up if each.replica.leads))
        return live

    async def stop(self, live: Live) -> None:
        self.up.discard(live)
        await live.stop()

    async def start(self, live: Live) -> None:
        await live.start()
        self.up.add(live)

    async def leader(self) -> Live:
        await until(lambda: any(live.replica.leads for live in self.up))
        return max((live for live in self.up if live.replica.leads), key=lambda live: live.replica.status().term)

    async def commit(self, *keys: str) -> None:
        """Commit under whichever leader; a lost leadership in between is looked into and tried again."""
        for key in keys:
            while True:
                leader = await self.leader()
                [outcome] = await leader.propose(key)
                refused = any(outcome.refused)
                if outcome.error is None and not refused:
                    break
                if key in (await self.leader()).tasks():
                    break
