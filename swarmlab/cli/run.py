"""`swarmlab` itself: a whole cluster in the foreground, shown live or as one line for each event."""

import argparse
import asyncio
import os
import signal
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swarmlab.api import LabEvent, StoreObject, TaskState, name_of
from swarmlab.cli.compose import Stack, read_stack, stack_name
from swarmlab.cli.compose_service import STACK_LABEL
from swarmlab.cli.exits import Exit
from swarmlab.cli.names import remove_names, write_names
from swarmlab.cli.output import on_terminal
from swarmlab.cli.pairs import labels
from swarmlab.cli.paths import runtime_directory, socket_path

if TYPE_CHECKING:
    from swarmlab.embedded import EmbeddedCluster, EmbeddedConfig, Fleet
    from swarmlab.store import Snapshot

#: Seconds between two frames of the live view, and between two writings of the names.
_FRAME, _NAMES = 0.125, 0.25
#: Events kept for the live view.
_EVENTS = 200


async def run(options: argparse.Namespace) -> int:
    """Start the cluster, show it until Ctrl-C or a signal, and stop it with all its tasks."""
    stack = _stack(options.stack)
    config = _config(options)
    from swarmlab.embedded import EmbeddedCluster, Fleet

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    cluster: EmbeddedCluster | Fleet = EmbeddedCluster(config) if config.managers == 1 else Fleet(config)
    plain = bool(options.plain) or not on_terminal()
    async with cluster:
        async with _names_kept(cluster, _socket_of(cluster)):
            if stack is not None:
                await _deploy(cluster, stack)
            await (_show_plain if plain else _show_live)(cluster, stop)
        tasks, services = _alive(cluster.view), len(cluster.view.services())
        print(f"stopping {tasks} tasks of {services} services ...", file=sys.stderr, flush=True)
    kept = f"the cluster is kept in {config.state_dir}" if config.state_dir else "nothing of it is left"
    print(f"stopped: {tasks} tasks, {_nodes(cluster)}; {kept}")
    return Exit.OK


def _config(options: argparse.Namespace) -> "EmbeddedConfig":
    socket = socket_path(options.socket)
    from swarmlab.embedded import EmbeddedConfig

    return EmbeddedConfig(
        strategy=options.strategy or "spread",
        parameters=labels("--set", options.set),
        plugins=tuple(options.plugin),
        managers=options.managers or 1,
        workers=4 if options.workers is None else options.workers,
        executor=options.executor or "auto",
        state_dir=Path(options.state_dir).absolute() if options.state_dir else None,
        socket=socket,
        seed=options.seed,
    )


def _stack(file: str | None) -> Stack | None:
    """The stack to deploy at the start, read before anything is started."""
    return read_stack(file, stack_name(file)) if file else None


def _socket_of(cluster: "EmbeddedCluster | Fleet") -> Path:
    socket = cluster.config.socket
    assert socket is not None, "a cluster in the foreground has a socket"
    return socket


async def _deploy(cluster: "EmbeddedCluster | Fleet", stack: Stack) -> None:
    """Deploy through the control socket, as a second terminal would."""
    from swarmlab.cli.stack import deploy_stack
    from swarmlab.edges.grpc.client import Client

    for text in stack.warnings:
        print(f"Warning: {text}", file=sys.stderr)
    async with Client(_socket_of(cluster)) as client:
        await deploy_stack(client, stack)


def hints(cluster: "EmbeddedCluster | Fleet") -> list[str]:
    """What to type in a second terminal."""
    socket = _socket_of(cluster)
    export = []
    if socket != runtime_directory() / socket.name or os.environ.get("SWARMLAB_SOCKET"):
        export = [f"  export SWARMLAB_SOCKET={socket}"]
    example = "busybox sleep 1000" if cluster.executor == "docker" else "any sleep 1000"
    return [
        "In a second terminal:",
        *export,
        f"  swarmlab service create --name web --replicas 4 {example}",
        "  swarmlab service ps web; swarmlab node stop w4; swarmlab node start w4; swarmlab explain web.1",
    ]


async def _show_plain(cluster: "EmbeddedCluster | Fleet", stop: asyncio.Event) -> None:
    """One line for each event, until stopped."""
    from swarmlab.cli.events import event_line

    status = cluster.status()
    print(
        f"swarmlab: strategy {status.strategy}, {_nodes(cluster)}, executor {cluster.executor}, "
        f"socket {_socket_of(cluster)}"
    )
    print("\n".join(hints(cluster)))
    print("Ctrl-C stops the cluster and all its tasks.", flush=True)

    async def follow() -> None:
        async for event in cluster.follow_events():
            print(event_line(event, colour=False), flush=True)

    await _until(stop, follow())


async def _show_live(cluster: "EmbeddedCluster | Fleet", stop: asyncio.Event) -> None:
    """The live view, drawn anew whenever something changed, and once a second for the clock."""
    from rich.console import Console
    from rich.live import Live

    from swarmlab.cli.live import Picture, frame

    console = Console()
    lines = hints(cluster)
    start = time.monotonic()
    events: deque[LabEvent] = deque(maxlen=_EVENTS)

    async def listen() -> None:
        async for event in cluster.follow_events():
            events.append(event)

    async def draw() -> None:
        drawn: object = None
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                uptime = time.monotonic() - start
                seen = (cluster.view.version, events[-1].index if events else 0, int(uptime), console.size)
                if seen != drawn:
                    strategy = cluster.status().strategy
                    picture = Picture(cluster.view, tuple(events), strategy, cluster.executor, lines, uptime)
                    live.update(frame(picture, console), refresh=True)
                    drawn = seen
                await asyncio.sleep(_FRAME)

    await _until(stop, listen(), draw())


async def _until(stop: asyncio.Event, *work: Coroutine[Any, Any, None]) -> None:
    """Do all of `work` until `stop` is set; what goes wrong in it ends the wait."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in work]
        waiting = group.create_task(stop.wait())
        waiting.add_done_callback(lambda _: [task.cancel() for task in tasks])


def _nodes(cluster: "EmbeddedCluster | Fleet") -> str:
    """How many there are, in words."""
    workers = f"{cluster.config.workers} workers"
    return workers if cluster.config.managers == 1 else f"{cluster.config.managers} managers, {workers}"


def _alive(view: "Snapshot") -> int:
    """How many tasks are on nodes and have not ended."""
    return sum(TaskState.ASSIGNED <= task.status.state <= TaskState.RUNNING for task in view.tasks())


@asynccontextmanager
async def _names_kept(cluster: "EmbeddedCluster | Fleet", socket: Path) -> AsyncIterator[None]:
    """Keep the file of names for completion beside the socket, and take it away at the end."""
    changed = asyncio.Event()
    changed.set()
    watch = cluster.watch(None, lambda _: changed.set())

    async def write() -> None:
        written: object = None
        while True:
            await changed.wait()
            changed.clear()
            names = names_of(cluster)
            if names != written:
                write_names(socket, names)
                written = names
            await asyncio.sleep(_NAMES)

    try:
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(write())
            yield
            writer.cancel()
    finally:
        watch.cancel()
        remove_names(socket)


def names_of(cluster: "EmbeddedCluster | Fleet") -> dict[str, list[str]]:
    """{kind: names} of what can be completed."""
    view = cluster.view
    kinds: dict[str, Sequence[StoreObject]] = {
        "node": view.nodes(),
        "service": view.services(),
        "secret": view.secrets(),
        "config": view.configs(),
        "network": view.networks(),
    }
    found = {kind: sorted({name_of(one) for one in objects} - {""}) for kind, objects in kinds.items()}
    stacks = {service.spec.annotations.labels.get(STACK_LABEL, "") for service in view.services()}
    found["stack"] = sorted(stacks - {""})
    found["strategy"] = sorted(strategy.name for strategy in cluster.strategies())
    return found
