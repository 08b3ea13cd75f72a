"""Writes in a loop through whichever manager answers; what was acknowledged is remembered."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from msgspec.structs import replace

from swarmlab.api import Annotations, Config, ConfigSpec, Filters, NameConflict, OutOfSequence, SwarmlabError
from swarmlab.edges.grpc.client import Client

#: Seconds until a write that is not answered is tried at another manager.
WRITE_SECONDS = 4.0
#: Between two writes of one writer: the point is that there are always some on their way, not how many.
PAUSE_SECONDS = 0.1


class Writers:
    """Some writers, each with one write on its way at a time, tried again until it is acknowledged.

    Each makes configs with names of its own, which begin with `mark` (names that differ in case alone are one), and
    after each counts the label `last` of its first one up. A write that was tried again and has been done meanwhile
    counts as acknowledged.

    As a context: entered, they write; left, they stop after the write in hand.
    """

    def __init__(self, sockets: Sequence[Path], mark: str, writers: int = 3, size: int = 1) -> None:
        self._sockets = sockets
        #: Bytes of a config.
        self._size = size
        self._mark = mark
        self._number = writers
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        #: Names that were acknowledged.
        self.created: set[str] = set()
        #: {name of the first config of a writer: the number that was acknowledged last}
        self.counted: dict[str, int] = {}
        #: When the last acknowledgement came, and how many there were.
        self.last_at = 0.0
        self.acknowledged = 0
        #: Tries that came to nothing, or to nobody knows what.
        self.failed = 0

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._write(number)) for number in range(self._number)]
        return self

    async def __aexit__(self, *failure: object) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def until_acknowledged(self, more: int = 1) -> float:
        """Wait for that many further acknowledgements; the time of the last one."""
        wanted = self.acknowledged + more
        while self.acknowledged < wanted:
            for task in self._tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.01)
        return self.last_at

    async def lost(self, client: Client) -> list[str]:
        """What was acknowledged and is not there."""
        there = {config.spec.annotations.name: config for config in await client.list_configs()}
        lost = sorted(self.created - there.keys())
        for name, number in sorted(self.counted.items()):
            found = _count(there[name]) if name in there else -1
            if found < number:
                lost.append(f"{name} counts {found}, acknowledged: {number}")
        return lost

    async def _write(self, writer: int) -> None:
        place = writer
        first = f"{self._mark}-{writer}-0"
        first_id = ""
        number = 0
        while not self._stopping:
            try:
                async with Client(self._sockets[place % len(self._sockets)], WRITE_SECONDS) as client:
                    while not self._stopping:
                        await self._create(client, f"{self._mark}-{writer}-{number}")
                        number += 1
                        if not first_id:
                            [config] = await client.list_configs(Filters(names=(first,)))
                            first_id = config.id
                        await self._count_up(client, first, first_id)
                        await asyncio.sleep(PAUSE_SECONDS)
            except SwarmlabError:
                self.failed += 1
                place += 1
                await asyncio.sleep(2 * PAUSE_SECONDS)

    async def _create(self, client: Client, name: str) -> None:
        try:
            await client.create_config(ConfigSpec(annotations=Annotations(name=name), data=bytes(self._size)))
        except NameConflict:
            # An earlier try of it was done after all.
            if name in self.created:
                raise AssertionError(f"{name} was made twice") from None
        self.created.add(name)
        self._heard()

    async def _count_up(self, client: Client, name: str, config_id: str) -> None:
        config = await client.get_config(config_id)
        number = _count(config) + 1
        labels = {"last": str(number)}
        spec = replace(config.spec, annotations=replace(config.spec.annotations, labels=labels))
        try:
            await client.update_config(config.id, config.meta.version.index, spec)
        except OutOfSequence:
            return  # an earlier try of it was done after all
        self.counted[name] = number
        self._heard()

    def _heard(self) -> None:
        self.acknowledged += 1
        self.last_at = time.monotonic()


def _count(config: Config) -> int:
    return int(config.spec.annotations.labels.get("last", "0"))
