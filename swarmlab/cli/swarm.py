"""The swarm commands that speak to the node process: init, join, leave, unlock, status."""

import argparse
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from swarmlab.api import (
    Availability,
    ClusterSpec,
    DaemonState,
    NodeRole,
    StateError,
    SwarmInitRequest,
    SwarmJoinRequest,
)
from swarmlab.cli.background import ensure_daemon
from swarmlab.cli.exits import Unreachable, UsageError
from swarmlab.cli.output import format_instant, show_ids, show_value
from swarmlab.cli.paths import daemon_socket
from swarmlab.cli.swarm_settings import settings, show_join_command, show_unlock_key

if TYPE_CHECKING:
    from swarmlab.edges.grpc.client import Client

#: A join waits for a certificate and a first session; the process itself gives up earlier.
JOIN_SECONDS = 120.0


@asynccontextmanager
async def process_at(options: argparse.Namespace, *, start: bool = False) -> AsyncIterator["Client"]:
    """A client of the node process; with `start` one is started in the background where none answers."""
    socket = daemon_socket(options.socket, options.state_dir)
    if start:
        await ensure_daemon(options, socket)
    async with _client(socket) as client:
        yield client


@asynccontextmanager
async def _client(socket: Path) -> AsyncIterator["Client"]:
    from swarmlab.edges.grpc.client import Client

    try:
        async with Client(socket, JOIN_SECONDS) as client:
            yield client
    except StateError as error:
        raise Unreachable(f"{error}; 'swarmlab daemon' starts a node process") from error


async def init(options: argparse.Namespace) -> None:
    """Found a swarm, and say how others join it."""
    request = SwarmInitRequest(
        listen_addr=options.listen_addr or "",
        advertise_addr=options.advertise_addr or "",
        availability=_availability(options),
        force_new_cluster=bool(options.force_new_cluster),
        default_addr_pool=tuple(options.default_addr_pool),
        subnet_size=options.default_addr_pool_mask_length or 0,
        spec=settings(ClusterSpec(), options),
    )
    async with process_at(options, start=True) as client:
        answer = await client.swarm_init(request)
        print(f"Swarm initialized: current node ({answer.node_id}) is now a manager.\n")
        await show_join_command(client, NodeRole.WORKER)
        print("To add a manager to this swarm, run 'swarmlab swarm join-token manager' and follow the instructions.")
        if options.autolock:
            print()
            await show_unlock_key(client)


async def join(options: argparse.Namespace) -> None:
    """Join a swarm."""
    if not options.token:
        raise UsageError(
            "--token is wanted; 'swarmlab swarm join-token worker' shows it on a manager", "swarmlab swarm join"
        )
    request = SwarmJoinRequest(
        remote_addrs=tuple(options.remotes),
        token=options.token,
        listen_addr=options.listen_addr or "",
        advertise_addr=options.advertise_addr or "",
        availability=_availability(options),
    )
    async with process_at(options, start=True) as client:
        answer = await client.swarm_join(request)
    print(f"This node joined a swarm as a {answer.role.name.lower()}.")


async def leave(options: argparse.Namespace) -> None:
    """Leave the swarm."""
    async with process_at(options) as client:
        await client.swarm_leave(force=bool(options.force))
    print("Node left the swarm.")


async def unlock(options: argparse.Namespace) -> None:
    """Unlock a manager with a key that is typed or piped in."""
    if sys.stdin.isatty():
        from getpass import getpass

        key = getpass("Please enter unlock key: ")
    else:
        key = sys.stdin.readline()
    async with process_at(options) as client:
        await client.swarm_unlock(key.strip())


async def status(options: argparse.Namespace) -> None:
    """Show what the node process is at."""
    async with process_at(options) as client:
        found = await client.node_process()
    if options.output == "name":
        show_ids([found.node_id])
        return
    if options.output not in ("table", "wide"):
        show_value(found, options.output)
        return
    rows = {"swarm": found.state.name.lower()}
    if found.state is not DaemonState.INACTIVE:
        rows |= {
            "node": found.node_id,
            "cluster": found.cluster_id,
            "role": found.role.name.lower(),
            "managers": ", ".join(found.managers),
            "leader": found.leader_addr,
            "listens": found.listen_addr,
            "address": found.advertise_addr,
            "cert until": "" if found.certificate_expiry is None else format_instant(found.certificate_expiry),
        }
    rows |= {
        "hostname": found.hostname,
        "executor": found.executor,
        "state": found.state_dir,
        "pid": str(found.pid),
        "error": found.error,
    }
    for name, value in rows.items():
        if value:
            print(f"{name + ':':<12} {value}")


def _availability(options: argparse.Namespace) -> Availability:
    return Availability[(options.availability or "active").upper()]
