"""The control server: every service on one unix socket."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import grpc

from swarmlab.api import StateError
from swarmlab.edges.grpc import control, health, lab, logs, sockets, watch
from swarmlab.edges.grpc.gate import Gate
from swarmlab.edges.grpc.handlers import Streams, service_handler
from swarmlab.edges.grpc.ports import ControlPlane, Lab, LogSource

#: Bytes of a request; what a stock manager takes.
MAX_REQUEST_BYTES = 4 * 1024 * 1024
#: Seconds that requests in hand have at a stop; streams end at once.
STOP_SECONDS = 2.0

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_send_message_length", -1),
    # Two servers on one socket would share its calls by chance.
    ("grpc.so_reuseport", 0),
)


class ControlServer:
    """Control, Watch, Logs, Health and Lab on a socket that only this user can reach.

    As a context: entered, it serves; left, streams are ended, requests in hand are answered, and the socket is gone.

    It speaks plain HTTP/2. Stock `swarmctl` wants TLS even here, though it verifies nothing: a front that listens on a
    path of its own and hands its connections on to this socket gives it that.

    Args:
        path: Of the socket; its directory is made if it is missing.
        control_plane: What requests are answered from.
        log_source: Where the lines of tasks come from.
        laboratory: What surrounds the cluster.
        gate: Passes on to the leader what another manager has to answer; None: there is no other manager.
        more: Further services, of other rooms.

    Raises on entering:
        StateError: The path is too long, the directory can be written by others, or another server answers there.
    """

    def __init__(
        self,
        path: Path,
        control_plane: ControlPlane,
        log_source: LogSource,
        laboratory: Lab,
        *,
        gate: Gate | None = None,
        more: Sequence[grpc.GenericRpcHandler] = (),
    ) -> None:
        self.path = path.absolute()
        self._streams = Streams()
        handlers = (
            service_handler(control.SERVICE, control.methods(control_plane), {}, self._streams),
            service_handler(watch.SERVICE, {}, watch.streams(control_plane), self._streams),
            service_handler(logs.SERVICE, {}, logs.streams(log_source), self._streams),
            service_handler(health.SERVICE, health.methods(), {}, self._streams),
            service_handler(
                lab.SERVICE, lab.methods(control_plane, laboratory), lab.streams(laboratory), self._streams
            ),
        )
        gated = handlers if gate is None else tuple(gate.before(handler) for handler in handlers)
        self._handlers = (*gated, *more)
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
