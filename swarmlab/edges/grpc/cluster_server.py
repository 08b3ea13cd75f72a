"""The server of a manager for the rest of its cluster: every service, behind the gate, on a socket of its own.

It speaks plain HTTP/2 on a unix socket that is reached through a front alone. The front ends TLS and tells by the name
of a connection who is at its other end; a connection that it does not know has nobody there.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import grpc

from swarmlab.edges.grpc import authority, control, health, lab, logs, membership, node_services, watch
from swarmlab.edges.grpc.attempts import Attempts
from swarmlab.edges.grpc.authorisation import RAFT
from swarmlab.edges.grpc.gate import Gate
from swarmlab.edges.grpc.handlers import service_handler
from swarmlab.edges.grpc.listener import Listener, Options
from swarmlab.edges.grpc.ports import ControlPlane, Lab, LogSource
from swarmlab.edges.grpc.switchboard import Switchboard

#: Open calls on one connection. A manager that does not lead passes the calls of all its workers on over one.
MAX_CALLS = 20_000

_OPTIONS: Options = (
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.max_concurrent_streams", MAX_CALLS),
    # A peer that is gone without a word is noticed, and one that has nothing to say may ping, but not flood.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 2),
    # Nodes always have a call open; who has none for so long may dial again.
    ("grpc.max_connection_idle_ms", 300_000),
)


class Services(NamedTuple):
    """What a manager's answers come from."""

    #: Sessions, assignments, reports, certificates, attachments, log subscriptions.
    board: Switchboard
    control_plane: ControlPlane
    log_source: LogSource
    lab: Lab
    group: membership.Group
    #: What `Health` is asked for: `Raft`, and the empty name.
    parts: health.Parts
    #: What strangers may try.
    attempts: Attempts
    #: Of other rooms: the Raft between managers of this kind.
    more: Sequence[grpc.GenericRpcHandler] = ()


class ClusterServer(Listener):
    """Serves the cluster.

    As a context: entered, it serves; left, streams are ended, requests in hand are answered, and the socket is gone.

    Args:
        path: Of the socket that the front hands its connections to; its directory is made if it is missing.
        services: What answers come from.
        gate: Who may call what, and what is passed on to the leader.

    Raises on entering:
        StateError: The path is too long, the directory can be written by others, or another server answers there.
    """

    def __init__(self, path: Path, services: Services, gate: Gate) -> None:
        super().__init__(path, [gate.before(each) for each in _handlers(services)], _OPTIONS)


def _handlers(services: Services) -> Sequence[grpc.GenericRpcHandler]:
    board = services.board
    return (
        service_handler(
            node_services.DISPATCHER,
            node_services.dispatcher_methods(board),
            node_services.dispatcher_streams(board),
            mend=True,
        ),
        service_handler(
            node_services.LOG_BROKER,
            {},
            node_services.log_broker_streams(board),
            node_services.log_broker_collecting(board),
            mend=True,
        ),
        service_handler(
            node_services.RESOURCE_ALLOCATOR,
            node_services.resource_allocator_methods(board),
            mend=True,
        ),
        service_handler(authority.CA, authority.ca_methods(board)),
        service_handler(authority.NODE_CA, authority.node_ca_methods(board, services.attempts)),
        service_handler(membership.SERVICE, membership.methods(services.group)),
        service_handler(membership.RESOLVER, membership.resolving(services.group)),
        # Who would join the group asks for that part first: a stock manager does not have it.
        service_handler(health.SERVICE, health.methods({RAFT: _speaks, **services.parts})),
        service_handler(control.SERVICE, control.methods(services.control_plane)),
        service_handler(watch.SERVICE, {}, watch.streams(services.control_plane)),
        service_handler(logs.SERVICE, {}, logs.streams(services.log_source)),
        service_handler(lab.SERVICE, lab.methods(services.control_plane, services.lab), lab.streams(services.lab)),
        *services.more,
    )


def _speaks() -> bool:
    return True
