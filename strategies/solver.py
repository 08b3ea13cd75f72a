"""The process in which CP-SAT runs, from the side of those who ask it.

It is apart because a solver must not hold the interpreter of a control loop, nor take it along when it crashes or needs
too much memory. It starts with the first strategy that needs it and imports OR-Tools while the cluster starts; it ends
with this process. It has no memory of what it was asked, so it does not matter who asks it: a strategy that is done
leaves it to the next one, which saves a start of a second.
"""

import importlib.util
import json
import os
import select
import subprocess
import sys
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swarmlab.plugin import PluginError

PROGRAM = Path(__file__).with_name("cpsat.py")
#: Real seconds without an answer after which the solver counts as hung; its work is limited in deterministic time.
PATIENCE = 120.0


class Solver:
    """Problems to answers. One at a time."""

    def __init__(self, name: str) -> None:
        """`name`: of the strategy, for errors. Raises PluginError where OR-Tools is not installed."""
        if importlib.util.find_spec("ortools") is None:
            raise PluginError(name, "", "needs OR-Tools, which is not installed: pip install 'ortools>=9.12'")
        self._name = name
        _IDLE.append(_taken())

    def ask(self, problem: Mapping[str, Any]) -> Any:
        """The answer to a problem, as `cpsat.solved` gives it.

        Raises:
            PluginError: The process ended, was silent for `PATIENCE` seconds, or failed; then the next has a new one.
        """
        line = json.dumps(problem, separators=(",", ":")).encode() + b"\n"
        process = _taken()
        try:
            answer = json.loads(process.exchange(line))
        except (OSError, EOFError, ValueError) as error:
            code = process.end()
            raise PluginError(self._name, "place", f"its solver gave no answer: {error} (exit code {code})") from error
        _IDLE.append(process)
        if "error" in answer:
            raise PluginError(self._name, "place", f"its solver failed: {answer['error']}")
        return answer


class _Process:
    """One run of the program."""

    def __init__(self) -> None:
        self._program = PROGRAM
        # A fork has our pipes too, and two who talk into one would get each other's answers.
        self._owner = os.getpid()
        # A session of its own: Ctrl-C is for the cluster, which then closes the solver's input.
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
            [sys.executable, "-P", str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self._ended = weakref.finalize(self, _ended, self._process, self._owner)

    @property
    def ready(self) -> bool:
        """It is ours, runs, and runs what is wanted now."""
        return self._owner == os.getpid() and self._program == PROGRAM and self._process.poll() is None

    def end(self) -> int | None:
        """Its exit code, once it has ended."""
        self._ended()
        return self._process.returncode

    def exchange(self, line: bytes) -> bytes:
        """The line that answers `line`."""
        assert self._process.stdin is not None, "it is a pipe"
        assert self._process.stdout is not None, "it is a pipe"
        rest = memoryview(line)
        while rest:
            rest = rest[self._process.stdin.write(rest) or 0 :]
        pipe = self._process.stdout.fileno()
        parts: list[bytes] = []
        while not parts or not parts[-1].endswith(b"\n"):
            if not select.select([pipe], [], [], PATIENCE)[0]:
                raise TimeoutError(f"nothing came for {PATIENCE:g} s")
            part = os.read(pipe, 1 << 20)
            if not part:
                raise EOFError("it ended")
            parts.append(part)
        return b"".join(parts)


#: Those that wait for a problem: seldom more than one.
_IDLE: list[_Process] = []


def _taken() -> _Process:
    """A process that is ready, an idle one or a new one; it is the caller's until it is given back."""
    while _IDLE:
        process = _IDLE.pop()
        if process.ready:
            return process
        process.end()
    return _Process()


def close() -> None:
    """End the processes that wait for a problem; the next problem starts one again."""
    while _IDLE:
        _IDLE.pop().end()


def _ended(process: "subprocess.Popen[bytes]", owner: int) -> None:
    if os.getpid() == owner:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
