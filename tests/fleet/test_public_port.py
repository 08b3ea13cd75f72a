"""Strangers, foreigners and the removed at the public port of a real manager: what each of them is refused."""

import asyncio
import contextlib
import ssl
import warnings
from collections.abc import Iterator

import grpc
import pytest
from fleet.fleet_ground import Fleet
from fleet.port_ground import SOON, Port, ended, modes, now, verdict
from msgspec.structs import replace

from swarmlab.api import (
    InvalidSpec,
    IssueNodeCertificateRequest,
    IssueNodeCertificateResponse,
    JoinToken,
    NodeRole,
)
from swarmlab.api.wire import codec, decode, to_bytes
from swarmlab.ca import Peer
from swarmlab.edges.grpc.authorisation import RAFT, RULES, forwarding_metadata
from swarmlab.edges.tls.joining import join
from swarmlab.edges.tls.x509 import make_request

REFUSED = grpc.StatusCode.PERMISSION_DENIED
ISSUE = "/docker.swarmkit.v1.NodeCA/IssueNodeCertificate"
LIST = "/docker.swarmkit.v1.Control/ListNodes"
BEAT = "/docker.swarmkit.v1.Dispatcher/Heartbeat"
RAFT_METHODS = (f"/{RAFT}.Raft/Carry", f"/{RAFT}.Raft/Install")
#: The two that only managers of another kind have.
NOT_SERVED = {"/docker.swarmkit.v1.Raft/ProcessRaftMessage", "/docker.swarmkit.v1.Raft/StreamRaftMessage"}
#: Streams that work on while nobody listens any more, or that end the process's own part in something.
ROLES = {"worker": NodeRole.WORKER, "manager": NodeRole.MANAGER}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    """One manager and one worker on the loopback."""
    logs = tmp_path_factory.mktemp("logs")
    with Fleet(("m1",), ("w1",), apart=False, logs=logs) as fleet:

        async def begin() -> Port:
            await fleet.found()
            return await Port.opened(fleet)

        yield asyncio.run(begin())


def may_call(method: str, caller: str) -> bool:
    """Worked out from the table of the protocol."""
    roles = frozenset({NodeRole.MANAGER}) if method in RAFT_METHODS else RULES[method].roles
    return roles is None or (caller in ROLES and ROLES[caller] in roles)


@pytest.mark.parametrize(
    "caller",
    [
        "no certificate",
        "worker",
        "manager",
        "worker of another cluster",
        "manager of another cluster",
        "blocked worker",
        "blocked manager",
    ],
)
async def test_every_method_for_every_caller(port: Port, caller: str) -> None:
    """Who may not call is denied by name, with the method; who may gets past the gate, whatever the answer is then."""
    methods = sorted({*RULES, *RAFT_METHODS} - NOT_SERVED)
    async with port.channel(caller) as opened:
        found = dict(zip(methods, await asyncio.gather(*(verdict(opened, each) for each in methods)), strict=True))
        unserved = [await verdict(opened, each) for each in sorted(NOT_SERVED)]
    denied = {each for each, (code, words) in found.items() if code is REFUSED and words.startswith(f"{each}: ")}
    assert denied == {each for each in methods if not may_call(each, caller)}
    assert all(code is not grpc.StatusCode.UNAVAILABLE for code, _ in found.values()), found
    assert {code for code, _ in unserved} == {grpc.StatusCode.UNIMPLEMENTED}
    assert await port.serves()


@pytest.mark.parametrize("caller", ["foreign root", "expired manager"])
async def test_certificates_that_do_not_hold_end_the_handshake(port: Port, caller: str) -> None:
    """Not even the open methods are served to them."""
    async with port.channel(caller) as opened:
        for method in (LIST, ISSUE, "/docker.swarmkit.v1.CA/GetRootCACertificate"):
            assert (await verdict(opened, method))[0] is grpc.StatusCode.UNAVAILABLE
    assert await port.serves()


@pytest.mark.parametrize("liar", ["no certificate", "worker", "manager of another cluster", "blocked manager"])
async def test_forged_forwarding_is_not_believed(port: Port, liar: str) -> None:
    """Nobody but a manager speaks for others; an open method takes a liar for a stranger."""
    manager = port.callers["manager"]
    assert manager is not None
    forged = forwarding_metadata(Peer(manager.identity(), "127.0.0.1"), "127.0.0.1:2377")
    csr, _ = make_request()
    async with port.channel(liar) as opened:
        for method in (LIST, BEAT, f"/{RAFT}.Raft/Carry"):
            code, words = await verdict(opened, method, metadata=forged)
            assert (code, words.startswith(f"{method}: ")) == (REFUSED, True)
        renewal = to_bytes(IssueNodeCertificateRequest(csr=csr))
        code, words = await verdict(opened, ISSUE, renewal, forged)
        assert (code, "token" in words) == (grpc.StatusCode.INVALID_ARGUMENT, True)


async def test_a_manager_lends_its_rights_to_nobody(port: Port) -> None:
    """What it passes on for a worker is refused as the worker would be."""
    worker = port.callers["worker"]
    assert worker is not None
    passed_on = forwarding_metadata(Peer(worker.identity(), "127.0.0.1"), "127.0.0.1:2377")
    async with port.channel("manager") as opened:
        assert (await verdict(opened, LIST))[0] is grpc.StatusCode.OK
        assert (await verdict(opened, LIST, metadata=passed_on))[0] is REFUSED


async def test_tokens(port: Port) -> None:
    """A wrong one, one of another cluster and one that was rotated are refused; one of a role gives that role alone."""
    for role, wanted in ROLES.items():
        right = JoinToken.parse(port.token(role))
        with pytest.raises(InvalidSpec, match="the join token is not valid"):
            await join([port.address], replace(right, secret="0" * 25).text, now=now)
        with pytest.raises(InvalidSpec, match="the token of another cluster"):
            await join([port.address], replace(right, digest="1" * 50).text, now=now)
        csr, _ = make_request()
        other = NodeRole.MANAGER if wanted is NodeRole.WORKER else NodeRole.WORKER
        request = IssueNodeCertificateRequest(csr=csr, token=right.text, role=other)
        async with port.channel() as opened:
            answer = await opened.unary_unary(ISSUE)(to_bytes(request), timeout=SOON)
        response = decode(IssueNodeCertificateResponse, codec(IssueNodeCertificateResponse).message.FromString(answer))
        async with port.fleet.client() as client:
            assert (await client.get_node(response.node_id)).certificate.role is wanted
        fresh = port.manager.cli("swarm", "join-token", "--rotate", "-q", role)
        assert fresh != right.text
        with pytest.raises(InvalidSpec, match="the join token is not valid"):
            await join([port.address], right.text, now=now)
        assert (await join([port.address], fresh, now=now)).identity().role is wanted


async def test_old_versions_of_tls_are_refused(port: Port) -> None:
    context = port.context()
    with warnings.catch_warnings(action="ignore"):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        async with port.raw(context):
            pass
    assert await port.serves()


GARBAGE = {
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "zeros": bytes(1 << 16),
    "a record of nothing": b"\x16\x03\x01" + b"\xff" * 600,
    "ssh": b"SSH-2.0-OpenSSH_9.6\r\n" * 50,
}
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


def headers(path: str, stream: int = 1) -> bytes:
    """The frame that opens a call, its header fields as literals."""
    fields = ((":method", "POST"), (":scheme", "https"), (":path", path), (":authority", "swarm-ca"))
    more = (("content-type", "application/grpc"), ("te", "trailers"))
    block = b"".join(
        b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in (*fields, *more)
    )
    return len(block).to_bytes(3) + b"\x01\x04" + stream.to_bytes(4) + block


def data(payload: bytes, declared: int | None = None, stream: int = 1, *, end: bool = True) -> bytes:
    """A frame of data, which says that it is `declared` bytes long."""
    size = len(payload) if declared is None else declared
    return size.to_bytes(3) + b"\x00" + bytes([end]) + stream.to_bytes(4) + payload


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_in_place_of_tls(port: Port, garbage: bytes) -> None:
    """The connection ends, nobody else notices."""
    async with port.raw() as (reader, writer):
        writer.write(garbage)
        assert len(await ended(reader)) < 100
    assert await port.serves()


TRUNCATED = {
    "half a preface": PREFACE[:10],
    "no call": PREFACE + SETTINGS,
    "a call without data": PREFACE + SETTINGS + headers(ISSUE),
    "half a frame": PREFACE + SETTINGS + headers(ISSUE) + data(b"\x00\x00\x00\x00\x64" + b"x" * 10, 105, end=False),
    "half a message": PREFACE + SETTINGS + headers(ISSUE) + data(b"\x00\x00\x00\x00\x64" + b"x" * 10),
    "a message of 4 GiB": PREFACE + SETTINGS + headers(ISSUE) + data(b"\x00\xff\xff\xff\xff" + b"x" * 10, end=False),
    "a compressed message": PREFACE + SETTINGS + headers(ISSUE) + data(b"\x01\x00\x00\x00\x01x"),
    "frames of nothing": PREFACE + b"\xff" * 4096,
    "a header of nothing": PREFACE + SETTINGS + b"\x00\x00\x04\x01\x04\x00\x00\x00\x01\xff\xff\xff\xff",
}


async def test_truncated_streams_and_frames_of_nothing(port: Port) -> None:
    """Whatever is broken off in the middle, 20 times each, leaves no connection behind and harms nobody."""
    assert await port.serves()
    before = port.descriptors()
    for name, sent in TRUNCATED.items():
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(20):
                reader, writer = await stack.enter_async_context(port.raw(port.context()))
                writer.write(sent)
                await writer.drain()
            # The server's settings: it has begun to read.
            assert len(await reader.read(9)) == 9, name
        assert await port.serves(), name
    # Two for a look at it meanwhile.
    await port.until_descriptors(before + 2)


async def test_slow_clients_are_ended_and_hold_up_nobody(port: Port) -> None:
    """Those that do not finish the handshake in time are closed, while others are served."""
    before = port.descriptors()
    async with contextlib.AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(port.raw()) for _ in range(40)]
        for number, (_, writer) in enumerate(slow):
            writer.write(b"\x16\x03\x01\x02\x00"[: number % 6])
        assert await port.serves()
        assert set(await asyncio.gather(*(ended(reader) for reader, _ in slow))) == {b""}
    await port.until_descriptors(before + 2)


async def test_oversize_messages_and_metadata(port: Port) -> None:
    """Refused with a reason; the connection and the manager go on."""
    async with port.channel() as opened:
        code, words = await verdict(opened, ISSUE, bytes(5 << 20))
        assert (code, "larger than max" in words) == (grpc.StatusCode.RESOURCE_EXHAUSTED, True)
        code, _ = await verdict(opened, ISSUE, metadata=[(f"x-{number}", "y" * 8000) for number in range(8)])
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await verdict(opened, ISSUE, b"\xff" * 100))[0] is grpc.StatusCode.INVALID_ARGUMENT
        assert (await verdict(opened, "/docker.swarmkit.v1.CA/GetRootCACertificate"))[0] is grpc.StatusCode.OK
    assert await port.serves()


async def test_strangers_have_a_limit_of_calls(port: Port) -> None:
    """A connection without a certificate has few calls open at once; one that was let in has as many as it likes."""
    csr, _ = make_request()
    request = to_bytes(IssueNodeCertificateRequest(csr=csr, token=port.token("worker")))
    async with port.channel() as opened:
        found = await asyncio.gather(*(verdict(opened, ISSUE, request) for _ in range(64)))
    assert {code for code, _ in found} <= {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert grpc.StatusCode.OK in {code for code, _ in found}
    assert await port.serves()


def test_what_is_on_the_disk_is_private(port: Port) -> None:
    """Keys and databases can be read by their owner alone, directories and sockets reached by nobody else."""
    for member in (port.manager, port.fleet["w1"]):
        found = {"": oct(member.state_dir.stat().st_mode & 0o7777), **modes(member.state_dir)}
        folders = {name for name, _ in found.items() if (member.state_dir / name).is_dir()}
        # Tasks of other users pass through theirs, to which only the owner of the state directory comes.
        passed = {name for name in folders if name.startswith("worker/process")}
        assert {found[name] for name in folders - passed} == {"0o700"}, found
        assert {found[name] for name in passed} <= {"0o700", "0o711"}, found
        public = {"certificates/swarm-root-ca.crt", "certificates/swarm-node.crt"}
        assert {found[name] for name in public} == {"0o644"}
        assert {mode for name, mode in found.items() if name not in folders | public} == {"0o600"}, found
