"""A process of many workers: `python -m swarmlab.bench.worker_process DIR FIRST COUNT`.

Each is a whole worker with a certificate, a connection, a session, a disk and an executor of its own, whose tasks are
models. They share this process alone.
"""

import asyncio
import logging
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from swarmlab.api import Peer, Precondition
from swarmlab.bench.orders import Join, Order
from swarmlab.bench.serving import foreign, serve
from swarmlab.daemon.executors import ExecutorKind, choose_executor
from swarmlab.daemon.surroundings import Surroundings
from swarmlab.daemon.worker_part import WorkerPart
from swarmlab.edges.driver import Alarm, LiveClock, fresh_seed
from swarmlab.edges.nodefacts import NodeFacts
from swarmlab.edges.tls.joining import join
from swarmlab.edges.tls.security import Security

_log = logging.getLogger(__name__)

#: Joins under way at once.
_AT_ONCE = 8


class Workers:
    """The workers of this process.

    As a context: left, all are stopped.
    """

    def __init__(self, folder: Path, first: int, count: int) -> None:
        self._folder = folder
        self._names = [f"w{number}" for number in range(first, first + count)]
        self._clock = LiveClock()
        self._stack = AsyncExitStack()
        self._kind: ExecutorKind | None = None
        self._around: Surroundings | None = None

    async def __aenter__(self) -> "Workers":
        async with AsyncExitStack() as stack:
            self._kind = await choose_executor("sim", stack)
            group = await stack.enter_async_context(asyncio.TaskGroup())
            alarm = Alarm()
            watchman = group.create_task(alarm.raised(), name="alarm")
            stack.callback(watchman.cancel)
            self._around = Surroundings(fresh_seed(), self._clock, _record, group, alarm)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._stack.aclose()

    async def obey(self, order: Order) -> Mapping[str, Any]:
        """Join, when that is the order."""
        if not isinstance(order, Join):
            raise foreign(order)
        room = asyncio.Semaphore(_AT_ONCE)

        async def one(name: str) -> None:
            async with room:
                await self._join(name, order)

        async with asyncio.TaskGroup() as group:
            for name in self._names:
                group.create_task(one(name))
        return {}

    async def _join(self, name: str, order: Join) -> None:
        assert self._kind is not None, "the workers were not started"
        assert self._around is not None, "the workers were not started"
        credentials = await join(order.addrs, order.token, now=self._clock)
        identity = credentials.identity()
        await self._stack.enter_async_context(
            WorkerPart(
                NodeFacts(node_id=identity.node_id, cluster=identity.cluster_id, hostname=name),
                self._folder / name,
                self._kind,
                self._around,
                security=Security(credentials),
                remotes=[Peer(identity.node_id, addr) for addr in order.addrs],
                keep=lambda _: None,
                told=lambda _: None,
                removed=lambda: _refuse(name),
            )
        )


def _refuse(name: str) -> None:
    raise Precondition(f"worker {name} was removed from the swarm, wanted: all of them to the end")


def _record(component: str, name: str, fields: Mapping[str, Any]) -> None:
    _log.info("%s %s%s", component, name, "".join(f" {key}={value}" for key, value in fields.items()))


async def run(folder: Path, first: int, count: int) -> None:
    """Be workers until standard input ends."""
    async with Workers(folder, first, count) as workers:
        await serve(workers.obey)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    asyncio.run(run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
