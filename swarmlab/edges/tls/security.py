"""The credentials of a node in use: contexts for servers, channels for clients, changed while they run."""

import os
import ssl
from collections.abc import Sequence

import grpc

from swarmlab.api import ClusterId, Instant, InvalidSpec, NodeId
from swarmlab.api.trust import certificates_in
from swarmlab.ca import Identity
from swarmlab.edges.tls.bridge import Bridge
from swarmlab.edges.tls.credentials import Credentials
from swarmlab.edges.tls.stock import look

#: The names in certificates of managers, which clients verify in place of the host's.
MANAGER_NAME, CA_NAME = "swarm-manager", "swarm-ca"
#: Of TLS 1.2; those of 1.3 are all good.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
#: Bytes of one message; stock workers take as much on their session.
MAX_MESSAGE_BYTES = (1 << 31) - 1

_CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", -1),
    # Channels with other credentials are other connections, and no proxy may be in between.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 8000),
)


class Security:
    """The node's credentials as they are now.

    Args:
        credentials: To begin with.
        trusted: Further roots by whose certificates clients may be known, PEM: while the root rotates, the next one.
    """

    def __init__(self, credentials: Credentials, trusted: bytes = b"") -> None:
        self._credentials = credentials
        self._trusted = trusted
        self._context = server_context(credentials, trusted)
        #: What stock managers showed of the next root, and the present one signed.
        self._crossed = b""
        #: {host:port: the way to a manager that gRPC's own TLS does not take}
        self._bridges: dict[str, Bridge] = {}
        #: Counts the changes, for those who keep what they made from the credentials.
        self.generation = 0

    @property
    def credentials(self) -> Credentials:
        """As they are now."""
        return self._credentials

    @property
    def identity(self) -> Identity:
        """Who the node is."""
        return self._credentials.identity()

    @property
    def cluster_id(self) -> ClusterId:
        """The cluster that the node is in."""
        return self.identity.cluster_id

    @property
    def node_id(self) -> NodeId:
        """The node's id."""
        return self.identity.node_id

    def update(self, credentials: Credentials | None = None, trusted: bytes | None = None) -> None:
        """Use other credentials or trust other roots for connections that begin from now on; None: as they are.

        Raises:
            InvalidSpec: They do not belong together; the old ones stay in use.
        """
        fresh = self._credentials if credentials is None else credentials
        also = self._trusted if trusted is None else trusted
        if (fresh, also) == (self._credentials, self._trusted):
            return
        context = server_context(fresh, also)
        if fresh.root != self._credentials.root:
            self._crossed = b""
        self._credentials, self._trusted, self._context = fresh, also, context
        self.generation += 1

    async def look(self, address: str, now: Instant) -> bool:
        """See why no connection to the manager at host:port came about.

        True: it is one that gRPC's own TLS does not take, and channels that are made after that go over a bridge, which
        is there until `close`.
        """
        seen = await look(address, self._credentials.root, now)
        if seen is None or seen.is_plain:
            return False
        self._crossed = seen.crossed
        if address not in self._bridges:
            bridge = Bridge(address, self._client_context, MANAGER_NAME)
            self._bridges[address] = await bridge.__aenter__()
        return True

    async def close(self) -> None:
        """Close the bridges; no channel is made after that."""
        while self._bridges:
            _, bridge = self._bridges.popitem()
            await bridge.__aexit__()

    def _client_context(self) -> ssl.SSLContext:
        return client_context(self._credentials.root + self._crossed, self._credentials)

    def server_context(self) -> ssl.SSLContext:
        """For one connection that begins now; never keep it."""
        return self._context

    def channel(
        self, address: str, server_name: str = MANAGER_NAME, options: Sequence[tuple[str, int | str]] = ()
    ) -> grpc.aio.Channel:
        """A channel to the manager at host:port, which shows this node's certificate; it outlives no change of it."""
        bridge = self._bridges.get(address) if server_name == MANAGER_NAME else None
        if bridge is not None:
            return bridge.channel(MANAGER_NAME, (*_CHANNEL_OPTIONS, *options))
        return channel(address, self._credentials.root, self._credentials, server_name, options)


def channel(
    address: str,
    root: bytes,
    credentials: Credentials | None = None,
    server_name: str = MANAGER_NAME,
    options: Sequence[tuple[str, int | str]] = (),
) -> grpc.aio.Channel:
    """A channel to the manager at host:port, known by `root`; without `credentials` no certificate is shown."""
    made = grpc.ssl_channel_credentials(
        root_certificates=root,
        private_key=None if credentials is None else credentials.key,
        certificate_chain=None if credentials is None else credentials.certificate,
    )
    named = (("grpc.ssl_target_name_override", server_name), ("grpc.default_authority", server_name))
    return grpc.aio.secure_channel(address, made, options=(*_CHANNEL_OPTIONS, *named, *options))


def server_context(credentials: Credentials, trusted: bytes = b"") -> ssl.SSLContext:
    """A server's context: a client may show a certificate, and one that does not hold ends the handshake.

    Raises:
        InvalidSpec: The texts are damaged, or key and certificate are not of one pair.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(["h2"])
    context.verify_mode = ssl.CERT_OPTIONAL
    # A session that is taken up again is not verified again: neither the end of a certificate nor that of a root would
    # be noticed.
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    trust(context, credentials.root + trusted)
    _load_chain(context, credentials)
    return context


def client_context(roots: bytes, credentials: Credentials | None = None) -> ssl.SSLContext:
    """A client's context, which knows the server by `roots` and its name; without `credentials` it shows none.

    Raises:
        InvalidSpec: The texts are damaged, or key and certificate are not of one pair.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(["h2"])
    trust(context, roots)
    if credentials is not None:
        _load_chain(context, credentials)
    return context


def trust(context: ssl.SSLContext, roots: bytes) -> None:
    """Let `context` trust the roots of a bundle as well.

    Raises:
        InvalidSpec: It cannot be read.
    """
    certificates_in(roots)
    try:
        context.load_verify_locations(cadata=roots.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise InvalidSpec(f"trusted roots: {error}") from error


def _load_chain(context: ssl.SSLContext, credentials: Credentials) -> None:
    """The library reads files alone; this one has no name and is never on a disk."""
    file = os.memfd_create("credentials", os.MFD_CLOEXEC)
    try:
        with os.fdopen(file, "wb", closefd=False) as stream:
            stream.write(credentials.key + credentials.certificate)
        context.load_cert_chain(f"/proc/self/fd/{file}")
    except ssl.SSLError as error:
        raise InvalidSpec(f"certificate and key of the node: {error}") from error
    finally:
        os.close(file)
