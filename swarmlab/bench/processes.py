"""The processes of a bench, as the bench sees them: started, ordered about, killed."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from swarmlab.api import StateError
from swarmlab.bench.orders import ANSWER, ENCODER, Order, Ordered, Usage

#: How long a process may take until it is up; a busy machine takes seconds to import everything.
START_SECONDS = 60.0
#: Lines of a process's log that are shown when it ended.
_TAIL = 8


class BenchProcess:
    """One process, which runs a module of this room."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log
        self._asked: dict[int, asyncio.Future[Mapping[str, Any]]] = {}
        self._last = 0
        self.up = self._asked[0] = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read(), name=f"answers of {name}")

    async def ask(self, order: Order) -> Mapping[str, Any]:
        """The answer to an order.

        Raises:
            StateError: The process ended before, or cannot do it.
        """
        self._last += 1
        answer = self._asked[self._last] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        if self._reading.done():
            raise self._ended()
        self._process.stdin.write(ENCODER.encode(Ordered(self._last, order)) + b"\n")
        values: Mapping[str, Any] = await answer
        return values

    async def usage(self) -> Mapping[str, Any]:
        """Processor time and memory that it took so far."""
        return await self.ask(Usage())

    async def kill(self) -> None:
        """End it with SIGKILL, and wait for that; whoever waits for an answer is told."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            answer = ANSWER.decode(line)
            waiting = self._asked.pop(answer.number)
            if waiting.done():
                continue
            if answer.error:
                waiting.set_exception(StateError(f"process {self.name}: {answer.error}"))
            else:
                waiting.set_result(answer.values)
        for waiting in self._asked.values():
            if not waiting.done():
                waiting.set_exception(self._ended())
                # Nobody need have waited for it.
                waiting.exception()

    def _ended(self) -> StateError:
        lines = self._log.read_text(errors="replace").splitlines()[-_TAIL:]
        return StateError("\n".join((f"process {self.name} ended; the end of its log:", *lines)))


class Processes:
    """The processes of one bench, below one directory.

    As a context: left, however that comes, none of them is there any more. They end by themselves, too, when this
    process is killed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._all: list[BenchProcess] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        # A second signal does not leave half of them.
        await asyncio.shield(asyncio.gather(*(process.kill() for process in self._all)))

    async def start(self, name: str, module: str, words: Sequence[str]) -> BenchProcess:
        """Run a module of this room until it says that it is up.

        Raises:
            StateError: It ended, or is not up in time.
        """
        log, scratch = self.folder / f"{name}.log", self.folder / "tmp"
        scratch.mkdir(mode=0o700, exist_ok=True)
        with log.open("ab") as output:
            spawned = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", f"swarmlab.bench.{module}", *words),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=output,
                # What it leaves in the temporary directory when it is killed goes with ours.
                env=os.environ | {"TMPDIR": str(scratch)},
                # Ctrl-C is for the bench, which ends them.
                start_new_session=True,
            )
        process = BenchProcess(name, spawned, log)
        self._all.append(process)
        try:
            async with asyncio.timeout(START_SECONDS):
                await process.up
        except TimeoutError:
            raise StateError(f"process {name} is not up after {START_SECONDS:g} s; its log: {log}") from None
        return process

    async def peak_rss_bytes(self) -> int:
        """The most memory that a process which still runs had."""
        found = await asyncio.gather(*(process.usage() for process in self._all), return_exceptions=True)
        return max((one["peak_rss_bytes"] for one in found if not isinstance(one, BaseException)), default=0)
