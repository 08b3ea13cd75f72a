"""The gossip relay: engines meet through it, strangers do not, and nobody can hold it up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from patience import PATIENCE_SECONDS

from swarmlab.api import (
    Create,
    EngineDescription,
    Instant,
    Node,
    NodeDescription,
    NodeId,
    NodeState,
    NodeStatus,
    PluginDescription,
    StateError,
)
from swarmlab.edges.gossip import GossipRelay, engine_addresses, relay
from swarmlab.store import EMPTY, apply

HERE, THERE, GONE = "127.0.0.1", "127.0.0.2", "127.0.0.3"


@asynccontextmanager
async def worker(host: str = THERE) -> AsyncIterator[int]:
    """An engine that says what it heard, once the other side has said all; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard = await reader.read()
        writer.write(b"heard " + heard)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, host, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def say(port: int, text: bytes, source: str = HERE) -> bytes:
    """What comes back; nothing where the connection is closed at once."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        reader, writer = await asyncio.open_connection(HERE, port, local_addr=(source, 0))
        try:
            writer.write(text)
            writer.write_eof()
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()
            await asyncio.wait([asyncio.ensure_future(writer.wait_closed())])


async def _rest(reader: asyncio.StreamReader) -> bytes:
    """What comes yet on a connection that the other side ends, in order or not."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


async def test_a_node_is_joined_to_another_one_in_both_directions() -> None:
    async with worker() as port, GossipRelay(HERE, lambda: (HERE, THERE), port=0, worker_port=port) as door:
        answers = await asyncio.gather(*(say(door.port, b"%d" % n * 70_000) for n in range(5)))
    assert answers == [b"heard " + b"%d" % n * 70_000 for n in range(5)]


async def test_a_stranger_is_not_served() -> None:
    async with worker() as port, GossipRelay(HERE, lambda: (THERE,), port=0, worker_port=port) as door:
        assert await say(door.port, b"hello") == b""


async def test_nobody_is_joined_to_himself() -> None:
    async with worker(HERE) as port, GossipRelay(HERE, lambda: (HERE,), port=0, worker_port=port) as door:
        assert await say(door.port, b"hello") == b""


async def test_a_worker_that_does_not_answer_is_passed_over() -> None:
    nodes = (HERE, GONE, THERE)
    async with worker() as port, GossipRelay(HERE, lambda: nodes, port=0, worker_port=port) as door:
        assert [await say(door.port, b"x") for _ in range(8)] == [b"heard x"] * 8


async def test_connections_are_counted_and_end_with_the_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "MAX_PER_ADDRESS", 2)
    async with worker() as port:
        async with GossipRelay(HERE, lambda: (HERE, THERE), port=0, worker_port=port) as door:
            held = [await asyncio.open_connection(HERE, door.port) for _ in range(2)]
            assert await say(door.port, b"third") == b""
        for reader, writer in held:
            assert await _rest(reader) == b""
            writer.close()


async def test_a_silent_connection_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "IDLE_SECONDS", 0.05)
    async with worker() as port, GossipRelay(HERE, lambda: (HERE, THERE), port=0, worker_port=port) as door:
        reader, writer = await asyncio.open_connection(HERE, door.port)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await reader.read() == b""
        writer.close()


async def test_a_port_that_is_taken_is_said() -> None:
    async with GossipRelay(HERE, lambda: (), port=0) as door:
        with pytest.raises(StateError, match=f"gossip relay: {HERE} port {door.port}: "):
            async with GossipRelay(HERE, lambda: (), port=door.port):
                pass


def a_node(name: str, state: NodeState, addr: str, *networks: str) -> Node:
    engine = EngineDescription(plugins=tuple(PluginDescription("Network", network) for network in networks))
    return Node(id=NodeId(name), status=NodeStatus(state, addr=addr), description=NodeDescription(engine=engine))


def test_the_addresses_are_those_of_live_engines_with_overlay_networks() -> None:
    nodes = [
        a_node("a", NodeState.READY, "10.0.0.2", "bridge", "overlay"),
        a_node("b", NodeState.DOWN, "10.0.0.3", "overlay"),
        a_node("c", NodeState.READY, "", "overlay"),
        a_node("d", NodeState.UNKNOWN, "10.0.0.1", "overlay"),
        a_node("e", NodeState.READY, "10.0.0.1", "overlay"),
        a_node("f", NodeState.READY, "10.0.0.4", "bridge"),
        Node(id=NodeId("g"), status=NodeStatus(NodeState.READY, addr="10.0.0.5")),
    ]
    view = apply(EMPTY, (tuple(map(Create, nodes)),), Instant(1), 1).snapshot
    assert engine_addresses(view) == ("10.0.0.1", "10.0.0.2")
