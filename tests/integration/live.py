"""A cluster in a process of its own, and the command line against it, as a user has them."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from patience import PATIENCE_SECONDS, patient, wait_until

SWARMLAB = (sys.executable, "-m", "swarmlab")


class LiveCluster:
    """`swarmlab --plain` in the background; `run` is the second terminal."""

    def __init__(self, folder: Path, *flags: str, environment: dict[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.socket = folder / "run" / "s.sock"
        self.log = folder / "log"
        self._flags = flags
        self._environment = {**os.environ, **(environment or {}), "SWARMLAB_SOCKET": str(self.socket)}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*SWARMLAB, "--plain", *self._flags, "--socket", str(self.socket)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
            )
        wait_until(self._answers, lambda: self.log.read_text()[-4000:], pause=0.1)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-4000:]
        return self.run("status").returncode == 0

    def run(self, *words: str, timeout: float = 1.5 * PATIENCE_SECONDS) -> subprocess.CompletedProcess[str]:
        """The command line, in the second terminal."""
        return subprocess.run(
            [*SWARMLAB, *patient(words)],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def ok(self, *words: str) -> str:
        """The same; what it prints, once it succeeds."""
        result = self.run(*words)
        assert result.returncode == 0, f"{words}: {result.returncode}\n{result.stdout}{result.stderr}"
        return result.stdout

    def stop(self) -> int:
        """Ctrl-C; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE_SECONDS)


@contextlib.contextmanager
def live_cluster(folder: Path, *flags: str, environment: dict[str, str] | None = None) -> Iterator[LiveCluster]:
    """A cluster that is up, and down again at the end, whatever happens."""
    cluster = LiveCluster(folder, *flags, environment=environment)
    cluster.start()
    try:
        yield cluster
    finally:
        assert cluster.process is not None
        if cluster.process.poll() is None:
            cluster.stop()
