"""TLS on a local socket, for clients that speak nothing else even there: stock `swarmctl`."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

from swarmlab.api import StateError
from swarmlab.edges.grpc import sockets
from swarmlab.edges.tls.front import BACKLOG, FrontLimits, TlsFront

#: Those who can reach the socket are this user's own programs, which may watch for days and say nothing.
LOCAL_LIMITS = FrontLimits(anonymous_idle_seconds=30 * 86_400.0, idle_seconds=30 * 86_400.0)


class LocalTlsFront(TlsFront):
    """Takes connections on a socket at `path` that only this user can reach, and hands each to the one at `inside`.

    Nobody verifies anything: clients accept every certificate, and show none. Who may do what is decided by whoever
    serves `inside`, which is the plain control socket.

    Args:
        path: Of the socket; its directory is made if it is missing.
        inside: The socket of the control server.
        context: Gives the context for a connection that begins now.

    Raises on entering:
        StateError: The path is too long, the directory can be written by others, or another server answers there.
    """

    def __init__(self, path: Path, inside: Path, context: Callable[[], ssl.SSLContext]) -> None:
        super().__init__("", 0, inside, context, LOCAL_LIMITS)
        self.path = path.absolute()
        self._inode = 0

    async def __aexit__(self, *failure: object) -> None:
        await super().__aexit__(*failure)
        sockets.remove(self.path, self._inode)

    async def _listen(self) -> asyncio.Server:
        sockets.prepare(self.path)
        try:
            server = await asyncio.get_running_loop().create_unix_server(
                self._connection, str(self.path), backlog=BACKLOG
            )
        except OSError as error:
            raise StateError(f"socket {self.path}: it cannot be bound: {error.strerror or error}") from error
        self.path.chmod(0o600)
        self._inode = self.path.lstat().st_ino
        return server
