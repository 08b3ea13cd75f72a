"""The process in which CP-SAT runs, from the side of those who ask it.

It is apart because a solver must not hold the interpreter of a control loop, nor take it along when it crashes or needs
too much memory. It starts with the strategy and imports OR-Tools while the cluster starts; it ends when its input does.
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
        self._start()

    def ask(self, problem: Mapping[str, Any]) -> Any:
        """The answer to a problem, as `cpsat.solved` gives it.

        Raises:
            PluginError: The process ended, was silent for `PATIENCE` seconds, or failed; then the next has a new one.
        """
        if self._process.poll() is not None:
            self._end()
            self._start()
        try:
            answer = json.loads(self._exchange(json.dumps(problem, separators=(",", ":")).encode() + b"\n"))
        except (OSError, EOFError, ValueError) as error:
            self._end()
            code = self._process.returncode
            raise PluginError(self._name, "place", f"its solver gave no answer: {error} (exit code {code})") from error
        if "error" in answer:
            raise PluginError(self._name, "place", f"its solver failed: {answer['error']}")
        return answer

    def _start(self) -> None:
        # A session of its own: Ctrl-C is for the cluster, which then closes the solver's input.
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
            [sys.executable, "-P", str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self._end = weakref.finalize(self, _ended, self._process)

    def _exchange(self, line: bytes) -> bytes:
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


def _ended(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
