"""The public port of a real manager, and everybody who may knock there."""

import asyncio
import contextlib
import random
import ssl
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import grpc
from fleet.fleet_ground import Fleet, Member

from swarmlab.api import ClusterId, Instant, NodeId, NodeRole, SigningRoot, seconds
from swarmlab.ca import Identity
from swarmlab.edges.tls.credentials import CertificateDirectory, Credentials
from swarmlab.edges.tls.founding import found
from swarmlab.edges.tls.joining import join
from swarmlab.edges.tls.security import CA_NAME, MANAGER_NAME, channel
from swarmlab.edges.tls.x509 import issue, make_request

#: Seconds after which a stream that was let in and has nothing to say is given up.
QUIET_SECONDS = 2.0
#: For what has to come soon.
SOON = 30.0
DAY = seconds(86400)


def now() -> Instant:
    return Instant(time.time_ns())


class Port:
    """A manager's port, known by its root; and the root's key, for certificates that no manager would issue."""

    def __init__(self, fleet: Fleet, root: SigningRoot) -> None:
        self.fleet = fleet
        self.manager: Member = fleet.managers[0]
        self.root = root
        self.address = self.manager.addr
        #: {who: its credentials; None: shows no certificate}
        self.callers: dict[str, Credentials | None] = {}

    @classmethod
    async def opened(cls, fleet: Fleet) -> "Port":
        """That of the first manager, which is stopped for a moment: its log holds the key."""
        manager = fleet.managers[0]
        manager.stop()
        cluster = (await manager.left_behind()).cluster()
        assert cluster is not None
        manager.start()
        await fleet.until(fleet.is_whole, "the manager is back")
        port = cls(fleet, SigningRoot(cluster.root_ca.ca_cert, cluster.root_ca.ca_key))
        await port._gather()
        return port

    async def _gather(self) -> None:
        worker, manager = await self.joined("worker"), await self.joined("manager")
        gone = await self.joined("worker")
        self.manager.cli("node", "rm", "--force", gone.identity().node_id)
        gone_id = gone.identity().node_id
        stranger_root = found(now(), random.SystemRandom())[1]
        self.callers = {
            "no certificate": None,
            "worker": worker,
            "manager": manager,
            "foreign root": stranger_root,
            "worker of another cluster": self.issued(NodeRole.WORKER, cluster="elsewhere"),
            "manager of another cluster": self.issued(NodeRole.MANAGER, cluster="elsewhere"),
            "blocked worker": gone,
            "blocked manager": self.issued(NodeRole.MANAGER, gone_id),
            "expired manager": self.issued(NodeRole.MANAGER, ends=-DAY),
        }

    async def joined(self, role: str) -> Credentials:
        """Credentials of a new node, by way of the token of that role."""
        return await join([self.address], self.token(role), now=now)

    def token(self, role: str) -> str:
        """The join token of that role."""
        return self.manager.cli("swarm", "join-token", "-q", role)

    def issued(self, role: NodeRole, node_id: str = "forged", cluster: str = "", ends: int = DAY) -> Credentials:
        """Credentials that the root signed, whatever they say."""
        csr, key = make_request()
        cluster_id = cluster or self.cluster_id
        identity = Identity(NodeId(node_id), ClusterId(cluster_id), role)
        at = now()
        certificate = issue(csr, identity, self.root, not_before=Instant(at - 3 * DAY), not_after=Instant(at + ends))
        return Credentials(self.root.ca_cert, certificate, key)

    @property
    def cluster_id(self) -> str:
        """The cluster's id."""
        credentials = CertificateDirectory(self.manager.state_dir / "certificates").load()
        assert credentials is not None
        return str(credentials.identity().cluster_id)

    @contextlib.asynccontextmanager
    async def channel(self, caller: str | Credentials | None = None) -> AsyncIterator[grpc.aio.Channel]:
        """A connection as that caller."""
        credentials = self.callers[caller] if isinstance(caller, str) else caller
        name = CA_NAME if credentials is None else MANAGER_NAME
        async with channel(self.address, self.root.ca_cert, credentials, name) as opened:
            yield opened

    async def serves(self) -> bool:
        """Whether a stranger still gets the root, over a new connection."""
        async with self.channel() as opened:
            answer = await opened.unary_unary("/docker.swarmkit.v1.CA/GetRootCACertificate")(b"", timeout=SOON)
        return self.root.ca_cert in answer

    def context(self) -> ssl.SSLContext:
        """Of a client without a certificate, which speaks HTTP/2."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(cadata=self.root.ca_cert.decode())
        context.set_alpn_protocols(["h2"])
        return context

    @contextlib.asynccontextmanager
    async def raw(
        self, context: ssl.SSLContext | None = None
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection without gRPC, over TLS where there is a context."""
        host, _, port = self.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def descriptors(self) -> int:
        """File descriptors that the manager's process has open."""
        assert self.manager.process is not None
        return sum(1 for _ in Path(f"/proc/{self.manager.process.pid}/fd").iterdir())

    async def until_descriptors(self, most: int) -> None:
        """Wait until the process has let go of what connections took."""

        async def few() -> bool:
            return self.descriptors() <= most

        await self.fleet.until(few, f"the manager has at most {most} descriptors open")


async def verdict(
    opened: grpc.aio.Channel, method: str, request: bytes = b"", metadata: Iterable[tuple[str, str]] = ()
) -> tuple[grpc.StatusCode, str]:
    """What becomes of a call: OK with the first answer or with a quiet stream, else code and words.

    On the wire a method with one request or answer looks like one with many, so that one way of asking does for all.
    """
    call = opened.unary_stream(method)(request, metadata=tuple(metadata), timeout=SOON)
    try:
        async with asyncio.timeout(QUIET_SECONDS):
            async for _ in call:
                break
    except TimeoutError:
        return grpc.StatusCode.OK, ""
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""
    finally:
        call.cancel()
    return grpc.StatusCode.OK, ""


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What still comes until the other side ends the connection, however it does."""
    got = b""
    async with asyncio.timeout(SOON):
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while piece := await reader.read(65536):
                got += piece
    return got


def modes(folder: Path) -> dict[str, str]:
    """{path below it: its mode} of everything in it."""
    return {
        path.relative_to(folder).as_posix(): oct(path.lstat().st_mode & 0o7777) for path in sorted(folder.rglob("*"))
    }
