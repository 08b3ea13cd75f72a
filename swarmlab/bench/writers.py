"""Clients outside of the managers, through the Control API on their sockets."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from swarmlab.api import Annotations, ConfigSpec, NameConflict, SwarmlabError
from swarmlab.bench.latency import latencies
from swarmlab.bench.proposing import OBJECT_BYTES
from swarmlab.edges.grpc import Client

#: How long a writer waits for one answer.
CALL_SECONDS = 5.0
#: How long it waits before it goes to another manager: at first, and at most; each time twice as long. Clients that
#: dial without pause take the processor from the managers whose answer they wait for.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 0.4


async def control_calls(socket: Path, clients: int, seconds: float) -> Mapping[str, Any]:
    """Let every client change a label of a config of its own, again as soon as the last change is answered."""
    taken: list[float] = []
    end = time.monotonic() + seconds

    async def client(number: int) -> None:
        async with Client(socket) as client:
            config = await client.create_config(_spec(f"control-{number}"))
            count = 0
            while (begun := time.monotonic()) < end:
                count += 1
                spec = replace(config.spec, annotations=replace(config.spec.annotations, labels={"count": str(count)}))
                config = await client.update_config(config.id, config.meta.version.index, spec)
                if (done := time.monotonic()) <= end:
                    taken.append(done - begun)

    async with asyncio.TaskGroup() as group:
        for number in range(clients):
            group.create_task(client(number))
    return {"calls": len(taken), **latencies(taken)}


class Writers:
    """Clients that each create one config after the other, at whichever manager answers.

    A write that fails is tried again, elsewhere, until it is acknowledged. Where it may have been done the first time,
    its name is found taken: that acknowledges it as well.

    As a context: entered, they write; left, they have stopped.
    """

    def __init__(self, sockets: Sequence[Path], clients: int, prefix: str) -> None:
        self._sockets = sockets
        self._clients = clients
        self._prefix = prefix
        self._stopped = False
        self._news = asyncio.Event()
        self._group = asyncio.TaskGroup()
        #: Names, in the order in which they were acknowledged, with the time of the monotonic clock.
        self.acknowledged: dict[str, float] = {}
        #: Calls that failed.
        self.failures = 0

    async def __aenter__(self) -> "Writers":
        await self._group.__aenter__()
        for number in range(self._clients):
            self._group.create_task(self._write(number))
        return self

    async def __aexit__(self, *failure: Any) -> None:
        self._stopped = True
        await self._group.__aexit__(*failure)

    async def another(self) -> None:
        """Wait for the next acknowledgement."""
        self._news.clear()
        await self._news.wait()

    def longest_gap(self) -> float:
        """The most seconds between two acknowledgements."""
        times = list(self.acknowledged.values())
        return max((after - before for before, after in pairwise(times)), default=0.0)

    def lost(self, present: Iterable[str]) -> Sequence[str]:
        """What was acknowledged and is not among the configs of these names, sorted."""
        return sorted(self.acknowledged.keys() - set(present))

    async def _write(self, number: int) -> None:
        place = number
        count = 0
        pause = FIRST_PAUSE_SECONDS
        while not self._stopped:
            place += 1
            try:
                async with Client(self._sockets[place % len(self._sockets)], CALL_SECONDS) as client:
                    while not self._stopped:
                        name = f"{self._prefix}-{number}-{count}"
                        await _create(client, name)
                        self.acknowledged[name] = time.monotonic()
                        self._news.set()
                        count += 1
                        pause = FIRST_PAUSE_SECONDS
            except SwarmlabError:
                self.failures += 1
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


async def _create(client: Client, name: str) -> None:
    try:
        await client.create_config(_spec(name))
    except NameConflict:
        # The names of a writer are its own: it is there since an earlier try.
        return


def _spec(name: str) -> ConfigSpec:
    return ConfigSpec(annotations=Annotations(name=name), data=b"x" * OBJECT_BYTES)
