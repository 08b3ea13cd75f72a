"""The public port: who comes in, as whom, and what strangers cannot do to it."""

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import grpc
import pytest
from manager_port import Authority, ManagerPort, manager_port
from patience import PATIENCE_SECONDS

from swarmlab.api import Forbidden, NodeRole, StateError
from swarmlab.ca import Identity, Peer
from swarmlab.edges.tls import front as front_module
from swarmlab.edges.tls.connection import Inner
from swarmlab.edges.tls.credentials import Credentials
from swarmlab.edges.tls.front import FrontLimits, TlsFront
from swarmlab.edges.tls.security import Security, channel
from swarmlab.edges.tls.signer import authority_ports


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[ManagerPort]:
    async with manager_port(tmp_path) as opened:
        yield opened


async def who(port: ManagerPort, credentials: Credentials | None, name: str = "swarm-manager") -> str:
    async with channel(port.address, port.authority.founding.root.ca_cert, credentials, name) as opened:
        answer: bytes = await opened.unary_unary("/test/Who")(b"", timeout=PATIENCE_SECONDS)
    return answer.decode()


async def refused(port: ManagerPort, credentials: Credentials | None) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await who(port, credentials)
    assert failure.value.code() == grpc.StatusCode.UNAVAILABLE


def client(port: ManagerPort, credentials: Credentials | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=port.authority.founding.root.ca_cert.decode())
    return context


@asynccontextmanager
async def raw(
    port: ManagerPort, context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection without gRPC, closed at the end whatever the other side did to it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port.front.port, ssl=context)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other side closes."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


async def test_a_client_without_certificate_is_anonymous(port: ManagerPort) -> None:
    assert await who(port, None, "swarm-ca") == "nobody"
    assert port.seen == [Peer(None, "127.0.0.1")]


@pytest.mark.parametrize("role", list(NodeRole))
async def test_a_client_with_certificate_is_known(port: ManagerPort, role: NodeRole) -> None:
    assert await who(port, port.authority.issued(role)) == f"node-{role.name.lower()}"
    identity = Identity(f"node-{role.name.lower()}", port.authority.founding.cluster_id, role)
    assert port.seen == [Peer(identity, "127.0.0.1")]


async def test_a_foreign_certificate_fails_the_handshake(port: ManagerPort) -> None:
    foreign = Authority().issued(NodeRole.MANAGER)
    root = port.authority.founding.root.ca_cert
    await refused(port, Credentials(root, foreign.certificate, foreign.key))
    assert port.seen == []


@pytest.mark.parametrize(("starts", "ends"), [(-7200, -3600), (3600, 7200)])
async def test_a_certificate_out_of_its_time_fails_the_handshake(port: ManagerPort, starts: float, ends: float) -> None:
    await refused(port, port.authority.issued(NodeRole.WORKER, starts=starts, ends=ends))
    assert port.seen == []


async def test_the_certificate_of_another_cluster_under_the_same_root_is_told_apart(port: ManagerPort) -> None:
    """Whose cluster it is is for the rules of the calls to say; the connection only tells."""
    await who(port, port.authority.issued(NodeRole.WORKER, cluster="other"))
    assert [peer.identity.cluster_id for peer in port.seen if peer.identity is not None] == ["other"]


async def test_old_versions_of_tls_are_refused(port: ManagerPort) -> None:
    context = client(port)
    with warnings.catch_warnings(action="ignore"):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        async with raw(port, context):
            pass


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_h2_is_chosen(port: ManagerPort, version: ssl.TLSVersion) -> None:
    context = client(port)
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["http/1.1", "h2"])
    async with raw(port, context) as (_, writer):
        tls = writer.get_extra_info("ssl_object")
        assert tls.selected_alpn_protocol() == "h2"
        assert tls.cipher()[0].startswith(("ECDHE-", "TLS_"))
        assert tls.session_reused is False


@pytest.mark.parametrize(
    "garbage",
    [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00" * 4096, b"\x16\x03\x01" + b"\xff" * 600],
    ids=["http", "zeros", "record"],
)
async def test_garbage_ends_quickly_and_harms_nobody(port: ManagerPort, garbage: bytes) -> None:
    async with raw(port) as (reader, writer):
        writer.write(garbage)
        assert len(await ended(reader)) < 100
    assert await who(port, None) == "nobody"


async def test_a_client_that_says_nothing_is_closed(tmp_path: Path) -> None:
    async with manager_port(tmp_path, FrontLimits(handshake_seconds=0.2)) as port, raw(port) as (reader, writer):
        writer.write(b"\x16")
        assert await ended(reader) == b""


async def test_there_is_a_limit_per_address(tmp_path: Path) -> None:
    async with manager_port(tmp_path, FrontLimits(per_address=2)) as port:
        async with raw(port), raw(port), raw(port) as (reader, _):
            assert await ended(reader) == b""
        await port.connections(0)
        assert await who(port, None) == "nobody"


async def test_strangers_cannot_crowd_out_members(tmp_path: Path) -> None:
    async with (
        manager_port(tmp_path, FrontLimits(anonymous=1)) as port,
        raw(port, client(port)),
        raw(port, client(port)) as (reader, _),
    ):
        assert await ended(reader) == b""
        assert await who(port, port.authority.issued(NodeRole.WORKER)) == "node-worker"


async def test_one_silent_address_locks_out_nobody_else(tmp_path: Path) -> None:
    limits = FrontLimits(handshakes_per_address=2)
    async with manager_port(tmp_path, limits) as port:
        async with raw(port), raw(port), raw(port) as (reader, _):
            assert await ended(reader) == b""
            await port.connections(2)
        await port.connections(0)
        assert await who(port, None) == "nobody"


async def test_idle_strangers_are_closed_and_members_stay(tmp_path: Path) -> None:
    limits = FrontLimits(anonymous_idle_seconds=0.04, sweep_seconds=0.02)
    async with manager_port(tmp_path, limits) as port:
        root = port.authority.founding.root.ca_cert
        async with channel(port.address, root, port.authority.issued(NodeRole.WORKER)) as member:
            await member.unary_unary("/test/Who")(b"", timeout=PATIENCE_SECONDS)
            async with raw(port, client(port)) as (reader, _):
                await ended(reader)
            await port.connections(1)
            await member.unary_unary("/test/Who")(b"", timeout=PATIENCE_SECONDS)
    assert len(port.seen) == 2


async def test_a_client_that_does_not_read_holds_up_the_server_inside(tmp_path: Path) -> None:
    """What is not taken is not piled up: 64 MB fit into no buffer of ours."""
    size = 64 * 1024 * 1024
    written = asyncio.Event()

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(size // 65_536):
            writer.write(bytes(65_536))
            await writer.drain()
        written.set()
        writer.close()

    authority = Authority()
    security = Security(authority.credentials)
    inside = await asyncio.start_unix_server(pour, tmp_path / "inside.sock")
    async with TlsFront("127.0.0.1", 0, tmp_path / "inside.sock", security.server_context) as front:
        port = ManagerPort(authority, front, security)
        async with raw(port, client(port)) as (reader, _):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await written.wait()
            assert len(await ended(reader)) == size
    inside.close()
    authority.timers.close()


async def test_a_stop_leaves_nothing_open_though_the_server_inside_is_deaf(tmp_path: Path, monkeypatch) -> None:
    """Bytes that it has not taken would keep the inner side open, after the client and the front are gone."""
    opened, ended_ones, stopped = [], [], asyncio.Event()

    class Noted(Inner):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            opened.append(transport)
            super().connection_made(transport)

        def connection_lost(self, error: Exception | None) -> None:
            ended_ones.append(self._transport)
            super().connection_lost(error)

    async def deaf(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stopped.wait()
        writer.close()

    monkeypatch.setattr(front_module, "Inner", Noted)
    authority = Authority()
    security = Security(authority.credentials)
    inside = await asyncio.start_unix_server(deaf, tmp_path / "inside.sock")
    async with AsyncExitStack() as stack:
        front = TlsFront("127.0.0.1", 0, tmp_path / "inside.sock", security.server_context)
        async with front:
            port = ManagerPort(authority, front, security)
            _, writer = await stack.enter_async_context(raw(port, client(port)))
            writer.write(bytes(1 << 22))
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not opened or not opened[0].get_write_buffer_size():  # noqa: ASYNC110  # nothing tells of it
                    await asyncio.sleep(0.01)
        assert len(opened) == 1
        assert ended_ones == opened
    stopped.set()
    inside.close()
    authority.timers.close()


async def test_two_hundred_nodes_at_once(port: ManagerPort) -> None:
    nodes = [port.authority.issued(NodeRole.WORKER, f"n{number}") for number in range(200)]
    async with asyncio.timeout(PATIENCE_SECONDS):
        names = await asyncio.gather(*(who(port, node) for node in nodes))
    assert names == [f"n{number}" for number in range(200)]


async def test_large_messages_pass_both_ways(port: ManagerPort) -> None:
    data = bytes(range(256)) * 40_000
    async with channel(port.address, port.authority.founding.root.ca_cert) as opened:
        assert await opened.unary_unary("/test/Echo")(data, timeout=PATIENCE_SECONDS) == data


async def test_a_removed_node_is_disconnected(port: ManagerPort) -> None:
    node, other = port.authority.issued(NodeRole.WORKER, "n1"), port.authority.issued(NodeRole.WORKER, "n2")
    root = port.authority.founding.root.ca_cert
    async with channel(port.address, root, node) as first, channel(port.address, root, other) as second:
        for opened in (first, second):
            await opened.unary_unary("/test/Who")(b"", timeout=PATIENCE_SECONDS)
        assert port.front.disconnect("n1") == 1
        await port.connections(1)
        assert port.front.disconnect("n1") == 0
        assert await second.unary_unary("/test/Who")(b"", timeout=PATIENCE_SECONDS) == b"n2"


async def test_an_unknown_connection_is_nobody_at_all(port: ManagerPort) -> None:
    with pytest.raises(Forbidden, match="did not come through the port"):
        port.front.peer("unix:/tmp/elsewhere")
    with pytest.raises(Forbidden):
        port.front.peer("unix:")


async def test_who_goes_straight_to_the_server_inside_is_denied(port: ManagerPort, tmp_path: Path) -> None:
    async with grpc.aio.insecure_channel(f"unix:{tmp_path / 'inside.sock'}") as opened:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await opened.unary_unary("/test/Who")(b"", timeout=PATIENCE_SECONDS)
    assert failure.value.code() == grpc.StatusCode.PERMISSION_DENIED


async def test_new_credentials_are_used_by_later_connections(port: ManagerPort) -> None:
    """A renewal, and a rotation of the root: members of both roots come in, whichever they trust."""
    fresh = Authority()
    root, old, new = port.authority.founding.root, port.authority.issued(NodeRole.WORKER), fresh.issued(NodeRole.WORKER)
    port.security.update(trusted=fresh.founding.root.ca_cert)
    assert await who(port, Credentials(root.ca_cert, new.certificate, new.key)) == "node-worker"
    assert await who(port, old) == "node-worker"
    port.security.update(fresh.credentials, trusted=b"")
    async with channel(port.address, fresh.founding.root.ca_cert, new) as opened:
        assert await opened.unary_unary("/test/Who")(b"", timeout=PATIENCE_SECONDS) == b"node-worker"
    with pytest.raises(grpc.aio.AioRpcError):
        await who(port, old)


async def test_leaving_closes_every_connection_and_leaves_no_file(tmp_path: Path) -> None:
    async with AsyncExitStack() as clients:
        async with manager_port(tmp_path) as port:
            reader, _ = await clients.enter_async_context(raw(port, client(port)))
            silent, _ = await clients.enter_async_context(raw(port))
            folder = port.front.folder
            assert folder.stat().st_mode & 0o777 == 0o700
        await ended(reader)
        assert await ended(silent) == b""
        assert not folder.exists()


async def test_a_port_that_is_taken_is_named(port: ManagerPort, tmp_path: Path) -> None:
    second = TlsFront("127.0.0.1", port.front.port, tmp_path / "x.sock", port.security.server_context)
    with pytest.raises(StateError, match=f"127.0.0.1:{port.front.port} cannot be listened on"):
        await second.__aenter__()


def test_live_chance_is_the_operating_systems() -> None:
    assert type(authority_ports().entropy).__name__ == "SystemRandom"
