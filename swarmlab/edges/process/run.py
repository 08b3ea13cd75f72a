"""One task as a process: its directory, what is known of it, and its life from start to end."""

import asyncio
import logging
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Self

import msgspec
from msgspec.structs import replace

from swarmlab.api import SECOND, Duration, ExecutorError, Instant, PortConfig, Value
from swarmlab.edges.process.child import Child, Launch
from swarmlab.edges.process.command import Places
from swarmlab.edges.process.health import HealthPlan, watch_health
from swarmlab.edges.process.output import Output
from swarmlab.edges.process.proctable import Session, Sweeper, boot_id

_log = logging.getLogger(__name__)

_RECORD = "record.json"
#: Between two looks at the children of a task that ended when it was asked to; grows with each.
LINGER_SECONDS = 0.01


class Record(Value, frozen=True, kw_only=True):
    """What outlives the worker: a task that is prepared has one."""

    #: Chosen when it was prepared.
    ports: tuple[PortConfig, ...] = ()
    #: The run of the machine that `pid` and `started` belong to.
    boot_id: str = ""
    #: 0 until it was started.
    pid: int = 0
    #: In clock ticks from boot.
    started: int = 0
    #: None until it ended under the eyes of the worker.
    exit_code: int | None = None
    #: Why it was stopped, when it was for its health.
    unhealthy: str = ""


class Stop(Value, frozen=True):
    """How a task is made to stop."""

    #: To the whole group of the process.
    signal: int = signal.SIGTERM
    #: Then all of its session is killed.
    grace: Duration = Duration(10 * SECOND)


class Run:
    """The process of one task and what it left, in this life of the worker or an earlier one."""

    def __init__(self, places: Places, clock: Callable[[], Instant], sweeper: Sweeper) -> None:
        self.places = places
        #: None: not prepared.
        self.record = self._read_record()
        self.output = Output(places.task, clock)
        self._sweeper = sweeper
        self._child: Child | None = None
        #: The exit code of the process that was started in this life.
        self._over: asyncio.Future[int] | None = None
        #: Done when it is healthy, or over.
        self._settled: asyncio.Future[None] | None = None
        self._was_healthy = False
        #: When all that hears its stop signal has to be gone, in the loop's time; None: nobody asked it to stop.
        self._deadline: float | None = None
        self._launch: Launch | None = None
        self._health: HealthPlan | None = None
        self._stop = Stop()

    @property
    def running(self) -> bool:
        """A process was started in this life and has not ended."""
        return self._over is not None and not self._over.done()

    @property
    def started(self) -> bool:
        """A process was started, in this life or an earlier one."""
        return self.record is not None and self.record.pid != 0

    def note(self, record: Record) -> Self:
        """Keep `record` for a later life, in one piece."""
        fresh = self.places.task / (_RECORD + ".new")
        fresh.write_bytes(msgspec.json.encode(record))
        fresh.replace(self.places.task / _RECORD)
        self.record = record
        return self

    def start(self, launch: Launch, health: HealthPlan | None, stop: Stop) -> None:
        """Start the process; `live` is to run until it is over. A final `ExecutorError` when it cannot be started."""
        self._launch, self._health, self._stop = launch, health, stop
        assert self.record is not None
        loop = asyncio.get_running_loop()
        self.output.open()
        try:
            self._child = child = Child.start(launch, self.output.write)
        except ExecutorError:
            self.output.close()
            raise
        self._over = loop.create_future()
        self._settled = loop.create_future()
        if health is None:
            self._note_healthy()
        self.note(replace(self.record, boot_id=boot_id(), pid=child.pid, started=child.started))

    async def live(self) -> None:
        """Watch the started process to its end, and clear away what it leaves running."""
        child = self._child
        assert child is not None
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(self._guard(self._health)) if self._health is not None else None
            await asyncio.shield(child.ended)
            if watch is not None:
                watch.cancel()
        await self._linger(child.pid)
        await self._sweeper.sweep(self.places.task, Session(child.pid, child.started))
        code = await child.reap()
        self.output.close()
        assert self.record is not None
        assert self._over is not None
        try:
            self.note(replace(self.record, exit_code=code))
        except (
            OSError
        ):  # a full disk, or the directory is gone; those who wait for the end must hear of it all the same
            _log.exception("record_lost directory=%s", self.places.task)
        self._over.set_result(code)
        self._settle()

    async def settled(self) -> None:
        """Wait until it is healthy. A final `ExecutorError` where it ended before that."""
        if self._settled is None:
            return
        await asyncio.shield(self._settled)
        if self._over is not None and self._over.done() and not self._was_healthy:
            code = self._over.result()
            why = self.record.unhealthy if self.record is not None else ""
            raise ExecutorError(f"unhealthy: {why}" if why else f"ended before it was healthy ({code})", exit_code=code)

    async def over(self) -> int | None:
        """Wait until it has ended; its exit code, or None where nobody saw the end."""
        if self._over is not None:
            return await asyncio.shield(self._over)
        return self.record.exit_code if self.record is not None else None

    async def stop(self, longest: Duration | None = None) -> None:
        """Ask it to stop, make it after its grace (`longest` at most), and wait for its end. Not running: nothing."""
        if self._child is None or self._over is None:
            return
        grace = self._stop.grace if longest is None else min(longest, self._stop.grace)
        self._deadline = asyncio.get_running_loop().time() + grace / SECOND
        self._child.signal_group(self._stop.signal)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._deadline):
                await asyncio.shield(self._over)
        await self.kill()

    async def kill(self) -> None:
        """Make all of it stop now, and wait for its end. Not running: nothing."""
        if self._child is None or self._over is None or self._over.done():
            return
        self._deadline = None
        self._child.kill()
        await asyncio.shield(self._over)

    async def _linger(self, leader: int) -> None:
        """Where it was asked to stop, its children have the rest of its grace too; a shell often ends before them."""
        loop = asyncio.get_running_loop()
        pause = LINGER_SECONDS
        while self._deadline is not None and loop.time() < self._deadline:
            if not await self._sweeper.lives(leader):
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, 16 * LINGER_SECONDS)

    async def _guard(self, plan: HealthPlan) -> None:
        """Stop it when its health check says so."""
        assert self._launch is not None
        why = await watch_health(plan, self._launch, self._note_healthy)
        assert self.record is not None
        self.note(replace(self.record, unhealthy=why))
        await self.stop()

    def _note_healthy(self) -> None:
        self._was_healthy = True
        self._settle()

    def _settle(self) -> None:
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)

    def _read_record(self) -> Record | None:
        try:
            return msgspec.json.decode((self.places.task / _RECORD).read_bytes(), type=Record)
        except (FileNotFoundError, msgspec.DecodeError):
            return None  # written in one piece, so a damaged one was never finished
