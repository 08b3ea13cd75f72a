"""Managers that gRPC's own TLS does not take: without an agreed protocol, or with a new root that seems self-signed."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from manager_port import Authority, ManagerPort, manager_port, now

from swarmlab.api import Instant, NodeRole, SigningRoot, seconds
from swarmlab.ca import Identity
from swarmlab.edges.tls.credentials import Credentials
from swarmlab.edges.tls.joining import join, renew
from swarmlab.edges.tls.security import Security, server_context
from swarmlab.edges.tls.stock import Seen, look
from swarmlab.edges.tls.x509 import issue, make_request

WORKER, MANAGER = NodeRole.WORKER, NodeRole.MANAGER


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[ManagerPort]:
    async with manager_port(tmp_path) as opened:
        yield opened


def crossed_as_go_does(new: SigningRoot, old: SigningRoot) -> bytes:
    """The new root signed by the old one. Go leaves out whose key it was where issuer and subject have one name."""
    subject = x509.load_pem_x509_certificate(new.ca_cert)
    issuer = x509.load_pem_x509_certificate(old.ca_cert)
    key = load_pem_private_key(old.ca_key, None)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject.subject)
        .issuer_name(issuer.subject)
        .public_key(subject.public_key())
        .serial_number(7)
        .not_valid_before(subject.not_valid_before_utc)
        .not_valid_after(subject.not_valid_after_utc)
    )
    for extension in subject.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def without_protocol(credentials: Credentials, root: bytes) -> ssl.SSLContext:
    """The context of a server as Docker 20.10 has it after a renewal: no protocol is agreed on."""
    made = server_context(Credentials(root, credentials.certificate, credentials.key))
    made.set_alpn_protocols([])
    return made


def changing_root(port: ManagerPort) -> tuple[Credentials, bytes]:
    """Credentials of the manager under a new root that the present one has signed, and that signature."""
    old = port.authority.founding.root
    new = Authority().founding.root
    crossed = crossed_as_go_does(new, old)
    csr, key = make_request()
    identity = Identity("m1", port.authority.founding.cluster_id, MANAGER)
    start, end = Instant(now() - seconds(3600)), Instant(now() + seconds(3600))
    leaf = issue(csr, identity, new, not_before=start, not_after=end, intermediates=crossed)
    return Credentials(new.ca_cert, leaf, key), crossed


async def who(security: Security, address: str) -> str:
    """Whom the manager takes us for."""
    async with security.channel(address) as channel:
        answer: bytes = await channel.unary_unary("/test/Who")(b"", timeout=5)
        return answer.decode()


async def test_a_manager_of_our_own_is_plain(port: ManagerPort) -> None:
    assert await look(port.address, port.authority.credentials.root, now()) == Seen(b"", True)


async def test_a_plain_manager_is_reached_as_before(port: ManagerPort) -> None:
    security = Security(port.authority.issued(WORKER, "w1"))
    assert not await security.look(port.address, now())
    assert await who(security, port.address) == "w1"


async def test_nobody_is_seen_where_nobody_listens() -> None:
    assert await look("127.0.0.1:1", Authority().credentials.root, now()) is None


async def test_a_new_root_is_believed_for_the_signature_of_a_trusted_one(port: ManagerPort) -> None:
    """Whoever trusts another root, or looks at a time for which it does not hold, sees nothing in it."""
    credentials, crossed = changing_root(port)
    port.front._context = lambda: server_context(credentials)
    root = port.authority.founding.root.ca_cert
    assert await look(port.address, root, now()) == Seen(crossed, True)
    assert await look(port.address, Authority().credentials.root, now()) == Seen(b"", True)
    assert await look(port.address, root, Instant(now() - seconds(10 * 86_400))) == Seen(b"", True)


async def test_a_worker_reaches_a_manager_that_agrees_on_no_protocol(port: ManagerPort) -> None:
    """By a bridge, after the first connection did not come about; the certificate is shown, and verified, as before."""
    own = port.authority.credentials
    port.front._context = lambda: without_protocol(own, own.root)
    security = Security(port.authority.issued(WORKER, "w1"))
    try:
        with pytest.raises(grpc.aio.AioRpcError, match="ALPN"):
            await who(security, port.address)
        assert await security.look(port.address, now())
        assert await who(security, port.address) == "w1"
    finally:
        await security.close()


async def test_a_worker_reaches_a_manager_in_the_middle_of_a_new_root(port: ManagerPort) -> None:
    credentials, _ = changing_root(port)
    port.front._context = lambda: without_protocol(credentials, port.authority.founding.root.ca_cert)
    security = Security(port.authority.issued(WORKER, "w1"))
    try:
        assert await security.look(port.address, now())
        assert await who(security, port.address) == "w1"
    finally:
        await security.close()


async def test_a_bridge_leads_to_no_manager_of_another_cluster(port: ManagerPort) -> None:
    """What the look has shown is no reason to trust anybody."""
    foreign = Authority()
    port.front._context = lambda: without_protocol(foreign.credentials, foreign.credentials.root)
    security = Security(port.authority.issued(WORKER, "w1"))
    try:
        await security.look(port.address, now())
        with pytest.raises(grpc.aio.AioRpcError):
            await who(security, port.address)
    finally:
        await security.close()


async def test_join_and_renewal_find_the_same_way(port: ManagerPort) -> None:
    own = port.authority.credentials
    port.front._context = lambda: without_protocol(own, own.root)
    cluster = port.authority.view.cluster()
    assert cluster is not None
    first = await join([port.address], cluster.root_ca.join_tokens.worker, now=now)
    second = await renew([port.address], first, now=now)
    assert second.identity() == first.identity()
    assert second.certificate != first.certificate
