"""The one public port of a manager: TLS outside, a unix socket for each connection inside."""

import asyncio
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, Self
from urllib.parse import unquote

from swarmlab.api import Forbidden, NodeId, StateError
from swarmlab.ca import Peer
from swarmlab.edges.tls.connection import Connection, Inner

#: Connections that the kernel holds while they wait to be taken.
BACKLOG = 512
#: Until the server inside is asked again, whose queue of connections was full.
RETRY_SECONDS = 0.01


class FrontLimits(NamedTuple):
    """What strangers, and clients that have lost their way, may take."""

    #: At once, in all; each takes three file descriptors.
    connections: int = 10_000
    #: At once, from one address; many nodes may share one.
    per_address: int = 2_000
    #: At once, in the handshake; and of those, from one address, so that one that says nothing locks out nobody else.
    handshakes: int = 512
    handshakes_per_address: int = 256
    #: At once, without a certificate: those who join, and who knows who.
    anonymous: int = 1_000
    handshake_seconds: float = 10.0
    #: Without a byte in either direction. The server inside ends idle connections earlier, and without losing a call.
    idle_seconds: float = 3_600.0
    anonymous_idle_seconds: float = 120.0
    #: Between two looks for idle connections.
    sweep_seconds: float = 10.0


class TlsFront:
    """Takes connections on host:port and hands each to the server at `inside`, a unix socket, once TLS is up.

    A client may show a certificate; one that is foreign or has ended fails the handshake. The server inside, whose
    socket lies in a directory that only this user can enter, sees every connection come from a path of its own, and
    `peer` tells whose it is.

    As a context: entered, it listens; left, every connection is closed. To end in good order: `stop_listening`, stop
    the server inside, leave.

    Args:
        host: Name or address to listen on; empty: all.
        port: 0: any that is free.
        inside: The socket of the server, which listens there before the first client comes.
        context: Gives the context for a connection that begins now, so that a new one needs no new front.
        limits: What is allowed.
        now: Seconds since 1970.

    Raises on entering:
        StateError: The address cannot be had.
    """

    def __init__(
        self,
        host: str,
        port: int,
        inside: Path,
        context: Callable[[], ssl.SSLContext],
        limits: FrontLimits = FrontLimits(),  # noqa: B008 - a constant
        now: Callable[[], float] = time.time,
    ) -> None:
        self._host, self._port = host, port
        self._inside = inside
        self._context = context
        self._limits = limits
        self._now = now
        self._server: asyncio.Server | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._stack = ExitStack()
        self._folder = Path()
        #: {path of the inner side: its connection}
        self._by_path: dict[str, Connection] = {}
        #: {connection: path of its inner side, empty before it has one}
        self._connections: dict[Connection, str] = {}
        self._by_address: Counter[str] = Counter()
        self._by_node: dict[NodeId, set[Connection]] = {}
        #: The inner sides, of connections that are over as well.
        self._inners: set[asyncio.WriteTransport] = set()
        #: {address: its connections in the handshake}
        self._handshakes: Counter[str] = Counter()
        self._anonymous = 0
        self._paths = 0
        #: Set when the last connection goes, or the last inner side.
        self._empty = asyncio.Event()
        self._connecting: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._folder = Path(self._stack.enter_context(TemporaryDirectory(prefix="swarmlab-front-")))
        try:
            self._server = await self._listen()
        except BaseException:
            self._stack.close()
            raise
        self._sweep = loop.call_later(self._limits.sweep_seconds, self._look_for_idle)
        return self

    async def __aexit__(self, *failure: object) -> None:
        self.stop_listening()
        if self._sweep is not None:
            self._sweep.cancel()
        for task in tuple(self._connecting):
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        for connection in tuple(self._connections):
            connection.abort()
        for inner in tuple(self._inners):
            # The server inside may not take any more what was meant for it.
            inner.abort()
        while self._connections or self._inners:
            self._empty.clear()
            await self._empty.wait()
        self._stack.close()

    @property
    def folder(self) -> Path:
        """Where the inner sides have their names; only this user can enter it."""
        return self._folder

    @property
    def port(self) -> int:
        """The port that is listened on."""
        assert self._server is not None, "the front was not started"
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def __len__(self) -> int:
        """Connections at present."""
        return len(self._connections)

    def stop_listening(self) -> None:
        """Take no more connections; those that are there go on."""
        if self._server is not None:
            self._server.close()

    def peer(self, name: str) -> Peer:
        """Who is at the other end of a connection, by the name that the server inside has for it (`unix:PATH`).

        Raises:
            Forbidden: It did not come through this front, or is over.
        """
        connection = self._by_path.get(unquote(name.removeprefix("unix:")))
        if connection is None or connection.peer is None:
            raise Forbidden(f"connection {name!r} did not come through the port of this manager, or is over")
        return connection.peer

    def disconnect(self, node_id: NodeId) -> int:
        """Close the connections of a node, as when it was removed; how many there were."""
        connections = tuple(self._by_node.get(node_id, ()))
        for connection in connections:
            connection.close(f"node {node_id} is not served any more")
        return len(connections)

    # What connections ask

    def admit(self, connection: Connection) -> str:
        """Take in a connection that begins; why not, if it is turned away."""
        limits = self._limits
        if len(self._connections) >= limits.connections:
            return f"there are {limits.connections} connections, as many as are allowed"
        if self._by_address[connection.address] >= limits.per_address:
            return f"this address has {limits.per_address} connections, as many as are allowed"
        if self._handshakes.total() >= limits.handshakes:
            return f"{limits.handshakes} connections are in the handshake, as many as are allowed"
        if self._handshakes[connection.address] >= limits.handshakes_per_address:
            return f"{limits.handshakes_per_address} connections of this address are in the handshake, too many"
        self._connections[connection] = ""
        self._by_address[connection.address] += 1
        self._handshakes[connection.address] += 1
        return ""

    def verified(self, connection: Connection) -> None:
        """Connect it through, unless too many strangers are here."""
        peer = connection.peer
        assert peer is not None
        _less(self._handshakes, connection.address)
        if peer.identity is not None:
            self._by_node.setdefault(peer.identity.node_id, set()).add(connection)
        else:
            self._anonymous += 1
            if self._anonymous > self._limits.anonymous:
                connection.close(f"{self._limits.anonymous} connections without a certificate, as many as are allowed")
                return
        task = asyncio.get_running_loop().create_task(self._connect(connection))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def gone(self, connection: Connection) -> None:
        """Forget it."""
        path = self._connections.pop(connection)
        self._look_for_end()
        self._by_path.pop(path, None)
        _less(self._by_address, connection.address)
        if connection.peer is None:
            _less(self._handshakes, connection.address)
        elif connection.peer.identity is None:
            self._anonymous -= 1
        else:
            node_id = connection.peer.identity.node_id
            mine = self._by_node[node_id]
            mine.discard(connection)
            if not mine:
                del self._by_node[node_id]

    def _look_for_end(self) -> None:
        if not self._connections and not self._inners:
            self._empty.set()

    async def _listen(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        try:
            return await loop.create_server(self._connection, self._host or None, self._port, backlog=BACKLOG)
        except OSError as error:
            where = f"{self._host or '*'}:{self._port}"
            raise StateError(f"{where} cannot be listened on: {error.strerror or error}") from error

    def _connection(self) -> Connection:
        return Connection(self, self._context(), self._now, self._limits.handshake_seconds)

    async def _connect(self, connection: Connection) -> None:
        """Give the connection its inner side."""
        loop = asyncio.get_running_loop()
        self._paths += 1
        path = self._folder / str(self._paths)
        inner = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            inner.setblocking(False)
            inner.bind(str(path))
            async with asyncio.timeout(self._limits.handshake_seconds):
                await self._reach(inner)
            # The name stays with the socket; the file need not.
            path.unlink()
            if connection.closing:
                inner.close()
                return
            self._connections[connection] = str(path)
            self._by_path[str(path)] = connection
            transport, _ = await loop.create_unix_connection(
                lambda: Inner(connection, self._inners, self._look_for_end), sock=inner
            )
        except (OSError, TimeoutError) as error:
            inner.close()
            path.unlink(missing_ok=True)
            connection.close(f"the server at {self._inside} does not take it: {error or 'no answer'}")
        except asyncio.CancelledError:
            inner.close()
            raise
        else:
            connection.connect(transport)

    async def _reach(self, inner: socket.socket) -> None:
        # The loop's own `sock_connect` takes a full queue, for which the kernel says EAGAIN, for a connection.
        while True:
            try:
                inner.connect(str(self._inside))
            except BlockingIOError:
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    def _look_for_idle(self) -> None:
        self._sweep = asyncio.get_running_loop().call_later(self._limits.sweep_seconds, self._look_for_idle)
        for connection in tuple(self._connections):
            if connection.peer is None:
                continue
            connection.quiet += 1
            known = connection.peer.identity is not None
            limit = self._limits.idle_seconds if known else self._limits.anonymous_idle_seconds
            if connection.quiet * self._limits.sweep_seconds > limit:
                connection.close(f"idle for {limit:g} s")


def _less(counts: Counter[str], address: str) -> None:
    counts[address] -= 1
    if not counts[address]:
        del counts[address]
