"""The server of a manager for the rest of its cluster: every service, behind the gate, on a socket of its own.

It speaks plain HTTP/2 on a unix socket that is reached through a front alone. The front ends TLS and tells by the name
of a connection who is at its other end; a connection that it does not know has nobody there.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import grpc

from swarmlab.api import StateError
from swarmlab.edges.grpc import authority, control, health, lab, logs, membership, node_services, sockets, watch
from swarmlab.edges.grpc.attempts import Attempts
from swarmlab.edges.grpc.gate import Gate
from swarmlab.edges.grpc.handlers import Streams, service_handler
from swarmlab.edges.grpc.ports import ControlPlane, Lab, LogSource
from swarmlab.edges.grpc.server import MAX_REQUEST_BYTES, STOP_SECONDS
from swarmlab.edges.grpc.switchboard import Switchboard

#: Open calls on one connection. A manager that does not lead passes the calls of all its workers on over one.
MAX_CALLS = 20_000

_OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.max_concurrent_streams", MAX_CALLS),
    ("grpc.so_reuseport", 0),
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


class ClusterServer:
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
        self.path = path.absolute()
        self._streams = Streams()
        self._handlers = tuple(gate.before(handler) for handler in self._all(services))
        self._server: grpc.aio.Server | None = None
        self._inode = 0

    async def __aenter__(self) -> Self:
        sockets.prepare(self.path)
        server = grpc.aio.server(options=_OPTIONS)
        server.add_generic_rpc_handlers(self._handlers)
        try:
            server.add_insecure_port(sockets.address(self.path))
        except RuntimeError as error:
            raise StateError(f"socket {self.path}: it cannot be bound: {error}") from error
        await server.start()
        self.path.chmod(0o600)
        self._inode = self.path.lstat().st_ino
        self._server = server
        return self

    async def __aexit__(self, *failure: object) -> None:
        assert self._server is not None, "the server was not started"
        self._streams.stop()
        await self._server.stop(STOP_SECONDS)
        self._server = None
        sockets.remove(self.path, self._inode)

    def _all(self, services: Services) -> Sequence[grpc.GenericRpcHandler]:
        board, streams = services.board, self._streams
        return (
            service_handler(
                node_services.DISPATCHER,
                node_services.dispatcher_methods(board),
                node_services.dispatcher_streams(board),
                streams,
                mend=True,
            ),
            service_handler(
                node_services.LOG_BROKER,
                {},
                node_services.log_broker_streams(board),
                streams,
                node_services.log_broker_collecting(board),
                mend=True,
            ),
            service_handler(
                node_services.RESOURCE_ALLOCATOR,
                node_services.resource_allocator_methods(board),
                {},
                streams,
                mend=True,
            ),
            service_handler(authority.CA, authority.ca_methods(board), {}, streams),
            service_handler(authority.NODE_CA, authority.node_ca_methods(board, services.attempts), {}, streams),
            service_handler(membership.SERVICE, membership.methods(services.group), {}, streams),
            service_handler(membership.RESOLVER, membership.resolving(services.group), {}, streams),
            service_handler(health.SERVICE, health.methods(services.parts), {}, streams),
            service_handler(control.SERVICE, control.methods(services.control_plane), {}, streams),
            service_handler(watch.SERVICE, {}, watch.streams(services.control_plane), streams),
            service_handler(logs.SERVICE, {}, logs.streams(services.log_source), streams),
            service_handler(
                lab.SERVICE, lab.methods(services.control_plane, services.lab), lab.streams(services.lab), streams
            ),
            *services.more,
        )
