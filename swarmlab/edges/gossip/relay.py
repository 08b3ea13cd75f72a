"""Connections in, connections out, and bytes between them."""

import asyncio
import ipaddress
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Self

from swarmlab.api import Node, NodeState, StateError
from swarmlab.store import Snapshot

_log = logging.getLogger(__name__)

#: Where engines listen for each other, TCP and UDP. Source: moby `libnetwork/networkdb`.
GOSSIP_PORT = 7946
#: Connections at once; an exchange of member lists takes milliseconds, and each engine makes one a minute.
MAX_CONNECTIONS = 64
#: Of them from one address.
MAX_PER_ADDRESS = 8
#: How long a worker may take to be reached before another one is tried.
CONNECT_SECONDS = 3.0
#: A connection on which nothing came for so long is over.
IDLE_SECONDS = 30.0
#: No exchange takes longer, whoever drips bytes.
LONGEST_SECONDS = 120.0
#: Workers that are tried for one connection.
TRIES = 3
_PIECE = 1 << 16
_OVERLAY = ("Network", "overlay")


def gossip_address(node: Node | None) -> str:
    """Where the node gossips: the address of one that is not down and has overlay networks, else empty.

    Engines have them; swarmlab's own workers do not, and nobody listens on the gossip port of theirs. One of which a
    new leader has not heard yet is not down.
    """
    if node is None or node.status.state is NodeState.DOWN:
        return ""
    engine = node.description.engine if node.description is not None else None
    has_overlay = engine is not None and any((one.type, one.name) == _OVERLAY for one in engine.plugins)
    return node.status.addr if has_overlay else ""


def engine_addresses(view: Snapshot) -> tuple[str, ...]:
    """The addresses of the nodes that gossip, sorted and each once."""
    return tuple(sorted({address for node in view.nodes() if (address := gossip_address(node))}))


class GossipRelay:
    """Pipes each connection of a node to the gossip port of another one, never back to the caller.

    The joiner swaps member lists with that worker, and the lists carry true addresses: after that they speak directly.

    As a context: entered, it listens; left, every connection is closed.

    Args:
        host: Address to listen on.
        nodes: The addresses of the live nodes; asked for each connection. Only they are served.
        port: Port to listen on, 0 for any.
        worker_port: Port of the workers.
        rng: Chooses among the workers.

    Raises on entering:
        StateError: The port cannot be had, as where an engine in swarm mode has it already; then none is needed.
    """

    def __init__(
        self,
        host: str,
        nodes: Callable[[], Sequence[str]],
        *,
        port: int = GOSSIP_PORT,
        worker_port: int = GOSSIP_PORT,
        rng: random.Random | None = None,
    ) -> None:
        self._host = host
        self._nodes = nodes
        self._port = port
        self._worker_port = worker_port
        self._rng = rng or random.SystemRandom()
        #: {task that serves a connection: from where it came}
        self._open: dict[asyncio.Task[None], str] = {}
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port that it listens on."""
        assert self._server is not None, "the relay was not started"
        found: int = self._server.sockets[0].getsockname()[1]
        return found

    async def __aenter__(self) -> Self:
        try:
            self._server = await asyncio.start_server(self._serve, self._host, self._port)
        except OSError as error:
            raise StateError(f"gossip relay: {self._host} port {self._port}: {error.strerror}") from error
        return self

    async def __aexit__(self, *failure: object) -> None:
        assert self._server is not None, "the relay was not started"
        self._server.close()
        serving = tuple(self._open)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        caller = _plain(str(writer.get_extra_info("peername", ("",))[0]))
        nodes = tuple(map(_plain, self._nodes()))
        try:
            # A stranger learns nothing, and costs no more than its connection.
            if caller not in nodes:
                _log.warning("gossip_refused address=%s reason=unknown", caller)
                return
            if len(self._open) >= MAX_CONNECTIONS or list(self._open.values()).count(caller) >= MAX_PER_ADDRESS:
                _log.warning("gossip_refused address=%s reason=busy open=%d", caller, len(self._open))
                return
            self._open[task] = caller
            with suppress(TimeoutError, OSError):  # either side may go at any time, and the engine comes again
                async with asyncio.timeout(LONGEST_SECONDS):
                    await self._join(caller, nodes, reader, writer)
        except asyncio.CancelledError:
            # Only our own end cancels; the server's callback must not take it for a failure.
            if self._server is not None and self._server.is_serving():
                raise
        finally:
            self._open.pop(task, None)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _join(
        self, caller: str, nodes: Sequence[str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        others = sorted(set(nodes) - {caller})
        for address in self._rng.sample(others, min(TRIES, len(others))):
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    away_reader, away_writer = await asyncio.open_connection(address, self._worker_port)
            except (OSError, TimeoutError) as error:
                _log.info("gossip_unreachable address=%s error=%s", address, error or type(error).__name__)
                continue
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_pipe(reader, away_writer))
                    group.create_task(_pipe(away_reader, writer))
            except* (OSError, TimeoutError) as broken:
                _log.info("gossip_broken address=%s error=%s", address, broken.exceptions[0])
            finally:
                away_writer.close()
                with suppress(OSError):
                    await away_writer.wait_closed()
            return


async def _pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Carry bytes until `source` ends, then say so to `sink`."""
    while True:
        async with asyncio.timeout(IDLE_SECONDS):
            piece = await source.read(_PIECE)
            if not piece:
                break
            sink.write(piece)
            await sink.drain()
    if sink.can_write_eof():
        sink.write_eof()


def _plain(address: str) -> str:
    """An address as it is compared: IPv4 that came over an IPv6 socket is IPv4."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)
