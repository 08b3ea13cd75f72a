"""A process that runs one node, which is to be a manager: `python -m swarmlab.bench.manager_process DIR TICK_MS`."""

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from swarmlab.api import NodeState, NotLeader, Reachability
from swarmlab.bench.arrivals import Arrivals
from swarmlab.bench.orders import AwaitLead, AwaitNodes, AwaitVoters, FollowTasks, Order, Propose
from swarmlab.bench.proposing import propose
from swarmlab.bench.serving import foreign, serve
from swarmlab.daemon import Daemon, DaemonConfig
from swarmlab.daemon.manager_part import ManagerPart
from swarmlab.edges.driver import settle_memory
from swarmlab.store import Snapshot

#: Between two looks at what nobody tells of.
LOOK_SECONDS = 0.02


async def run(config: DaemonConfig) -> None:
    """Be a node until standard input ends."""
    async with Daemon(config) as daemon:
        settle_memory()  # as the command does
        await serve(lambda order: _obey(daemon, order))


async def _obey(daemon: Daemon, order: Order) -> Mapping[str, Any]:
    manager = daemon.member.manager if daemon.member is not None else None
    if manager is None:
        raise NotLeader
    match order:
        case Propose(clients=clients, seconds=seconds):
            return await propose(manager.plane, clients, seconds)
        case AwaitLead():
            await manager.until(lambda status: status.leads)
            return {"at": time.monotonic()}
        case AwaitNodes(nodes):
            await _until(manager, lambda view: _are_ready(view, nodes))
            return {}
        case AwaitVoters(voters):
            while not _is_whole(manager, voters):  # noqa: ASYNC110  # nobody tells of it
                await asyncio.sleep(LOOK_SECONDS)
            return {}
        case FollowTasks(tasks):
            arrivals = Arrivals(tasks)
            watch = manager.manager.store.watch(None, arrivals.note)
            try:
                await arrivals.complete.wait()
            finally:
                watch.cancel()
            return {state.name: at for state, at in arrivals.at.items()}
    raise foreign(order)


def _is_whole(manager: ManagerPart, voters: int) -> bool:
    """So many managers vote, and all of them answer."""
    replica = manager.replica
    answering = [one for one in replica.managers().values() if one.reachability is Reachability.REACHABLE]
    return len(replica.voters) == len(answering) == voters


async def _until(manager: ManagerPart, holds: Callable[[Snapshot], bool]) -> None:
    """Wait for a state of the store after which it holds."""
    news = asyncio.Event()
    watch = manager.manager.store.watch(None, lambda _: news.set())
    try:
        while not holds(manager.manager.view):
            news.clear()
            await news.wait()
    finally:
        watch.cancel()


def _are_ready(view: Snapshot, nodes: int) -> bool:
    known = view.nodes()
    return len(known) == nodes and all(node.status.state is NodeState.READY for node in known)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    asyncio.run(
        run(
            DaemonConfig(
                state_dir=Path(sys.argv[1]),
                listen_addr="127.0.0.1:0",
                hostname=Path(sys.argv[1]).name,
                executor="sim",
                tick_ms=int(sys.argv[2]),
            )
        )
    )
