"""A node process in the background: started where none answers, so that `swarm init` alone works as with docker."""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

from swarmlab.cli.exits import Refused, StateUnusable
from swarmlab.cli.paths import DAEMON_SOCKET, state_directory

#: The process's log, in its state directory.
LOG = "daemon.log"
#: How long it may take until it answers at its socket.
START_SECONDS = 30.0
_LOOK_SECONDS = 0.05
#: Lines of the log that are shown when it did not start.
_TAIL = 8
#: Flags that go on to the process, by the names of their options.
_PASSED = (
    "listen_addr",
    "advertise_addr",
    "executor",
    "hostname",
    "strategy",
    "tick",
    "heartbeat_tick",
    "election_tick",
)


async def ensure_daemon(options: argparse.Namespace, socket: Path) -> None:
    """Start the node process of --state-dir in the background, unless one answers at `socket` already.

    Says on standard error what it did and how to stop it.

    Raises:
        Refused: A socket elsewhere was named, and nobody answers there.
        StateUnusable: The process ended at once, or did not answer in time.
    """
    from swarmlab.edges.grpc.sockets import is_alive

    if is_alive(socket):
        return
    directory = state_directory(options.state_dir)
    if socket != directory / DAEMON_SOCKET:
        raise Refused(
            f"no node process answers at {socket}; start one with 'swarmlab daemon', or name its --state-dir, where "
            "one is started in the background"
        )
    process, log = _start(options, directory)
    deadline = time.monotonic() + START_SECONDS
    while not is_alive(socket):
        if process.poll() is not None:
            raise StateUnusable(f"the node process ended at once (exit code {process.returncode}):\n{_tail(log)}")
        if time.monotonic() > deadline:
            raise StateUnusable(f"the node process {process.pid} does not answer at {socket}:\n{_tail(log)}")
        await asyncio.sleep(_LOOK_SECONDS)
    print(
        f"Started a node process in the background: pid {process.pid}, socket {socket}, log {log}.\n"
        f"'kill {process.pid}' stops it, 'swarmlab daemon --state-dir {directory}' runs it in the foreground.",
        file=sys.stderr,
    )
    if options.state_dir:
        print(f"For commands on this node: export SWARMLAB_SOCKET={socket}", file=sys.stderr)


def _start(options: argparse.Namespace, directory: Path) -> tuple[subprocess.Popen[bytes], Path]:
    from swarmlab.api import StateError
    from swarmlab.edges.disk import make_directory

    words = [sys.executable, "-m", "swarmlab", "daemon", "--state-dir", str(directory)]
    for name in _PASSED:
        value = getattr(options, name)
        if value is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    for name in ("set", "plugin"):
        for value in getattr(options, name):
            words += [f"--{name}", value]
    log = directory / LOG
    try:
        make_directory(directory)
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab") as output:
            return (
                subprocess.Popen(  # noqa: S603  # ourselves, and the flags that we were given
                    words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", start_new_session=True
                ),
                log,
            )
    except (OSError, StateError) as error:
        raise StateUnusable(f"{directory}: {error}") from error


def _tail(log: Path) -> str:
    return "\n".join(f"  {line}" for line in log.read_text(errors="replace").splitlines()[-_TAIL:])
