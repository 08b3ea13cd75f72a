"""A process of a task: started in a session of its own, watched without a thread."""

import asyncio
import os
import resource
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from swarmlab.api import ExecutorError, LogStream, Value
from swarmlab.edges.process.proctable import start_time

#: Bytes of output that one turn of the loop takes from a pipe.
CHUNK_BYTES = 65536
#: A pipe rests so many times as long as its last chunk took: output never has more than a fifth of the loop.
REST_FACTOR = 4
#: The pipes of an ended process are given up after this; someone outside its session may hold them open for ever.
DRAIN_SECONDS = 2.0

Sink = Callable[[LogStream, bytes], None]


class Launch(Value, frozen=True, kw_only=True):
    """All that is needed to start a process."""

    argv: tuple[str, ...]
    #: Path of the program; `argv[0]` is what it sees as its name.
    program: str
    env: Mapping[str, str]
    directory: Path
    #: User and group to change to, and further groups; None: stay who we are.
    identity: tuple[int, int, tuple[int, ...]] | None = None
    #: {RLIMIT number: (soft, hard)}
    limits: Mapping[int, tuple[int, int]] = {}


class Child:
    """One running process, and whatever it starts in its session."""

    def __init__(self, process: "subprocess.Popen[bytes]", pidfd: int, pipes: "list[_Pipe]") -> None:
        self.pid = process.pid
        #: Clock ticks from boot to its start; with the pid it names the process for good.
        self.started = start_time(process.pid) or 0
        self._process = process
        self._pidfd = pidfd
        self._pipes = pipes
        self._loop = asyncio.get_running_loop()
        #: Done when the process has ended; it is a zombie still, so its pid and session id belong to nobody else.
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(pidfd, self._notice_end)

    @classmethod
    def start(cls, launch: Launch, sink: Sink) -> "Child":
        """Start it; `sink` gets what it prints, chunk by chunk. A final `ExecutorError` when it cannot be started."""
        user, group, groups = launch.identity or (None, None, None)
        try:
            process = subprocess.Popen(  # noqa: S603 - running what the user asks for is the purpose
                launch.argv,
                executable=launch.program,
                cwd=launch.directory,
                env=dict(launch.env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                user=user,
                group=group,
                extra_groups=groups,
                bufsize=0,
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise ExecutorError(f"cannot start {launch.argv[0]!r} in {launch.directory}: {error}") from error
        for number, limit in launch.limits.items():
            with suppress(ProcessLookupError):  # it may have ended already
                resource.prlimit(process.pid, number, limit)
        assert process.stdout is not None
        assert process.stderr is not None
        pipes = [
            _Pipe(process.stdout, lambda data: sink(LogStream.LOG_STREAM_STDOUT, data)),
            _Pipe(process.stderr, lambda data: sink(LogStream.LOG_STREAM_STDERR, data)),
        ]
        return cls(process, os.pidfd_open(process.pid), pipes)

    def signal_group(self, number: int) -> None:
        """Send a signal to the process and those of its group; ended: nothing."""
        if not self.ended.done():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def kill(self) -> None:
        """SIGKILL the process and its group, also those that outlived it."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    async def reap(self) -> int:
        """After `ended`: kill the rest of its group, take the exit code and the last output, let go.

        128 + n for an end by signal n.
        """
        self.kill()
        code = self._process.wait()
        async with asyncio.TaskGroup() as group:
            for pipe in self._pipes:
                group.create_task(pipe.drained(DRAIN_SECONDS))
        self.close()
        return code if code >= 0 else 128 - code

    def close(self) -> None:
        """Let go of pipes and descriptors; again: nothing."""
        for pipe in self._pipes:
            pipe.close()
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def _notice_end(self) -> None:
        self._loop.remove_reader(self._pidfd)
        if not self.ended.done():
            self.ended.set_result(None)


class _Pipe:
    """One end of a child's output, read as the loop finds time for it."""

    def __init__(self, file: IO[bytes], sink: Callable[[bytes], None]) -> None:
        self._file = file
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self._at_end = asyncio.Event()
        self._rest: asyncio.TimerHandle | None = None
        os.set_blocking(file.fileno(), False)
        self._listen()

    async def drained(self, seconds: float) -> None:
        """Wait until all that was written is read, but not for ever."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._at_end.wait()
        self.close()

    def close(self) -> None:
        """Stop listening; what comes later is lost."""
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        if not self._file.closed:
            self._loop.remove_reader(self._file.fileno())
            self._file.close()
        self._at_end.set()

    def _listen(self) -> None:
        self._rest = None
        self._loop.add_reader(self._file.fileno(), self._read)

    def _read(self) -> None:
        begin = self._loop.time()
        try:
            data = os.read(self._file.fileno(), CHUNK_BYTES)
        except BlockingIOError:
            return
        if not data:
            self.close()
            return
        self._sink(data)
        if len(data) >= CHUNK_BYTES // 2:
            self._loop.remove_reader(self._file.fileno())
            self._rest = self._loop.call_later((self._loop.time() - begin) * REST_FACTOR, self._listen)


def signal_number(name: str) -> int:
    """The number of `SIGTERM`, `TERM` or `15`. A final `ExecutorError` when there is none of that name."""
    text = name.upper()
    if text.isdecimal() and 0 < int(text) < signal.NSIG:
        return int(text)
    known = {member.name: member.value for member in signal.Signals}
    number = known.get(text) or known.get(f"SIG{text}")
    if number is None and text.removeprefix("SIG").startswith("RTMIN+"):
        offset = text.rpartition("+")[2]
        if offset.isdecimal() and signal.SIGRTMIN + int(offset) <= signal.SIGRTMAX:
            return signal.SIGRTMIN + int(offset)
    if number is None:
        raise ExecutorError(f"stop signal {name!r}, wanted: a name such as SIGTERM or a number below {signal.NSIG}")
    return number
