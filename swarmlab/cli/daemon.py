"""`daemon`: the node process in the foreground."""

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from swarmlab.cli.exits import Exit
from swarmlab.cli.pairs import labels
from swarmlab.cli.paths import state_directory

if TYPE_CHECKING:
    from swarmlab.daemon import DaemonConfig


async def daemon(options: argparse.Namespace) -> int:
    """Run until a signal comes; tasks of the docker executor outlive it."""
    config = daemon_config(options)
    from swarmlab.daemon import Daemon
    from swarmlab.edges.driver import settle_memory

    # One line for each event, for whoever keeps standard error: a terminal, a journal, DIR/daemon.log.
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    async with Daemon(config) as process:
        settle_memory()
        print(f"swarmlab: node process of {config.state_dir}, socket {process.socket}", flush=True)
        await stop.wait()
    print("swarmlab: stopped", flush=True)
    return Exit.OK


def daemon_config(options: argparse.Namespace) -> "DaemonConfig":
    """What the flags say."""
    from swarmlab.daemon import DaemonConfig

    given = {
        "listen_addr": options.listen_addr,
        "advertise_addr": options.advertise_addr,
        "executor": options.executor,
        "hostname": options.hostname,
        "strategy": options.strategy,
        "tick_ms": options.tick,
        "heartbeat_ticks": options.heartbeat_tick,
        "election_ticks": options.election_tick,
    }
    return DaemonConfig(
        state_dir=Path(state_directory(options.state_dir)),
        parameters=labels("--set", options.set),
        plugins=tuple(options.plugin),
        **{name: value for name, value in given.items() if value is not None},
    )
