"""The kernel's list of processes: who is who, and the end of all that belong to a task.

A pid alone names nobody for long. A process is known by its pid and the time of its start, and ours by the directory
that stands in its environment; a signal goes through a descriptor of the process, taken before the last look.
"""

import asyncio
import os
import signal
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from swarmlab.api import Value

PROC = Path("/proc")
#: In the environment of every process of a task: the directory of that task, and after a colon those of the tasks in
#: which this worker itself runs. So the end of a task is also that of a cluster inside it.
MARK = "SWARMLAB_TASK_DIR"
#: A process that starts others faster than they are killed is given up after so many rounds.
ROUNDS = 200
ROUND_SECONDS = 0.01


class Stat(Value, frozen=True):
    """What /proc/PID/stat tells."""

    state: str
    session: int
    #: Clock ticks from boot.
    started: int


class Session(Value, frozen=True):
    """The session of a task's process, named for good by the start of its leader."""

    leader: int
    started: int


def mark(directory: Path) -> str:
    """The value of `MARK` for a task with that directory."""
    return ":".join([str(directory), *filter(None, [os.environ.get(MARK)])])


def stat_of(pid: int) -> Stat | None:
    """What the kernel tells of that process; None when there is none."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()  # the name before may hold blanks and parentheses
    return Stat(fields[0], int(fields[3]), int(fields[19]))


def start_time(pid: int) -> int | None:
    """Clock ticks from boot to the start of that process."""
    found = stat_of(pid)
    return found.started if found is not None else None


def boot_id() -> str:
    """Names this run of the machine; pids and start times are of it alone."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def kill_all_of(directories: Collection[Path], sessions: Collection[Session] = ()) -> int:
    """SIGKILL every process marked with one of `directories` or one below it, and all of `sessions`; how many.

    A session counts as long as its leader, alive or dead, still holds the number. Blocks until they are gone, or for
    two seconds; zombies are gone.
    """
    marks = tuple(os.fsencode(directory) for directory in directories)
    held = frozenset(session.leader for session in sessions if start_time(session.leader) == session.started)
    killed: set[int] = set()
    for _ in range(ROUNDS):
        found = [pid for pid in _pids() if _is_wanted(pid, marks, held)]
        if not found:
            break
        for pid in found:
            _kill(pid, marks, held)
            killed.add(pid)
        time.sleep(ROUND_SECONDS)
    return len(killed)


def living_sessions() -> frozenset[int]:
    """The numbers of all sessions in which a process runs; zombies do not."""
    found = (stat_of(pid) for pid in _pids())
    return frozenset(stat.session for stat in found if stat is not None and stat.state not in ("Z", "X"))


class Sweeper:
    """Looks at all processes for many tasks at once: those who ask while a look is under way share the next one."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._directories: set[Path] = set()
        self._sessions: set[Session] = set()
        self._census: asyncio.Task[frozenset[int]] | None = None

    async def sweep(self, directory: Path, session: Session | None) -> None:
        """Kill what is left of one task."""
        self._directories.add(directory)
        if session is not None:
            self._sessions.add(session)
        async with self._turn:
            if directory not in self._directories:
                return  # the sweep that just ended began after this request
            directories, sessions = self._directories, self._sessions
            self._directories, self._sessions = set(), set()
            await asyncio.to_thread(kill_all_of, directories, sessions)

    async def lives(self, leader: int) -> bool:
        """Whether anyone of that session runs. Its leader has to hold the number, alive or as a zombie."""
        if self._census is None:
            self._census = asyncio.create_task(self._count(), name="census")
        return leader in await asyncio.shield(self._census)

    async def _count(self) -> frozenset[int]:
        async with self._turn:
            self._census = None
            return await asyncio.to_thread(living_sessions)


def _pids() -> Iterator[int]:
    for name in os.listdir(PROC):  # noqa: PTH208 - only the names, and fast
        if name.isdecimal():
            yield int(name)


def _is_wanted(pid: int, marks: tuple[bytes, ...], sessions: frozenset[int]) -> bool:
    found = stat_of(pid)
    if found is None or found.state in ("Z", "X") or pid == os.getpid():
        return False
    if found.session in sessions:
        return True
    try:
        environment = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False  # gone, or another user's
    name = MARK.encode() + b"="
    held = [place for entry in environment if entry.startswith(name) for place in entry[len(name) :].split(b":")]
    return any(place == mark or place.startswith(mark + b"/") for place in held for mark in marks)


def _kill(pid: int, marks: tuple[bytes, ...], sessions: frozenset[int]) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if _is_wanted(pid, marks, sessions):  # the descriptor holds the process that was looked at, or its successor
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
    finally:
        os.close(descriptor)
