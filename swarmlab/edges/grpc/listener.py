"""A gRPC server on a unix socket that only this user can reach."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import grpc

from swarmlab.api import StateError
from swarmlab.edges.grpc import sockets
from swarmlab.edges.grpc.handlers import Streams

#: Bytes of a request; what a stock manager takes.
MAX_REQUEST_BYTES = 4 * 1024 * 1024
#: Seconds that requests in hand have at a stop; streams end at once.
STOP_SECONDS = 2.0

Options = Sequence[tuple[str, int]]

_OPTIONS: Options = (
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_send_message_length", -1),
    # Two servers on one socket would share its calls by chance.
    ("grpc.so_reuseport", 0),
)


class Listener:
    """Serves handlers on the socket at `path`.

    As a context: entered, it serves; left, streams are ended, requests in hand are answered, and the socket is gone.

    Args:
        path: Of the socket; its directory is made if it is missing.
        handlers: What is served.
        options: Of gRPC, beyond those that all have.

    Raises on entering:
        StateError: The path is too long, the directory can be written by others, or another server answers there.
    """

    def __init__(self, path: Path, handlers: Sequence[grpc.GenericRpcHandler], options: Options = ()) -> None:
        self.path = path.absolute()
        self._streams = Streams()
        self._handlers = tuple(self._streams.over(handler) for handler in handlers)
        self._options = (*_OPTIONS, *options)
        self._server: grpc.aio.Server | None = None
        self._inode = 0

    async def __aenter__(self) -> Self:
        sockets.prepare(self.path)
        server = grpc.aio.server(options=self._options)
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
