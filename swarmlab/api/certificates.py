"""Certificates, tokens and keys."""

from collections.abc import Mapping
from typing import ClassVar

from msgspec import field

from swarmlab.api.enums import CAProtocol, EncryptionAlgorithm, IssuanceState, NodeRole
from swarmlab.api.moments import Duration, Instant
from swarmlab.api.value import Guarded, Value


class IssuanceStatus(Value, frozen=True):
    """How far the issue of a certificate came."""

    state: IssuanceState = IssuanceState.UNKNOWN
    #: Why it FAILED.
    err: str = ""


class Certificate(Value, frozen=True, kw_only=True):
    """The certificate of a node, from request to issue."""

    #: Role that it is issued for.
    role: NodeRole = NodeRole.WORKER
    #: PEM PKCS#10, echoed byte for byte.
    csr: bytes = b""
    status: IssuanceStatus = IssuanceStatus()
    #: PEM: leaf, then intermediates.
    certificate: bytes = b""
    #: Common name: the node id.
    cn: str = ""


class JoinTokens(Guarded, frozen=True):
    """The texts with which nodes join in either role."""

    hidden: ClassVar[frozenset[str]] = frozenset({"worker", "manager"})

    worker: str = ""
    manager: str = ""


class SigningRoot(Guarded, frozen=True):
    """A root with its key."""

    hidden: ClassVar[frozenset[str]] = frozenset({"ca_key"})

    #: PEM.
    ca_cert: bytes = b""
    #: PEM, PKCS#8.
    ca_key: bytes = b""


class RootRotation(Guarded, frozen=True):
    """The root that replaces the present one, while nodes change over."""

    hidden: ClassVar[frozenset[str]] = frozenset({"ca_key"})

    #: New root, PEM.
    ca_cert: bytes = b""
    #: Its key, PEM.
    ca_key: bytes = b""
    #: New root signed by the old one, PEM.
    cross_signed_ca_cert: bytes = b""


class RootCA(Guarded, frozen=True, kw_only=True):
    """The certificate authority of the cluster: its root, tokens and rotation."""

    hidden: ClassVar[frozenset[str]] = frozenset({"ca_key"})

    #: PEM; never shown to clients.
    ca_key: bytes = b""
    #: PEM bundle of the trusted roots.
    ca_cert: bytes = b""
    #: `sha256:HEX` of `ca_cert`.
    ca_cert_hash: str = ""
    join_tokens: JoinTokens = JoinTokens()
    #: Set while a rotation runs.
    root_rotation: RootRotation | None = None
    #: The last `force_rotate` that was obeyed.
    last_forced_rotation: int = 0


class BlacklistedCertificate(Value, frozen=True):
    """The mark of a removed node, kept until its certificate has expired."""

    #: The entry may be dropped after this.
    expiry: Instant | None = None


class ExternalCA(Value, frozen=True, kw_only=True):
    """A signing service outside the cluster."""

    protocol: CAProtocol = CAProtocol.CFSSL
    #: HTTPS address to which requests are posted.
    url: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    #: Root that this CA signs for, PEM.
    ca_cert: bytes = b""


class CAConfig(Guarded, frozen=True, kw_only=True):
    """How long certificates live, who signs them and whether the root is to change."""

    hidden: ClassVar[frozenset[str]] = frozenset({"signing_ca_key"})

    #: Life of a node certificate, at least 1 h; None: 2160 h.
    node_cert_expiry: Duration | None = None
    external_cas: tuple[ExternalCA, ...] = ()
    #: Wanted root, PEM.
    signing_ca_cert: bytes = b""
    #: Its key, PEM; never shown to clients.
    signing_ca_key: bytes = b""
    #: A raised number forces a root rotation.
    force_rotate: int = 0


class EncryptionKey(Guarded, frozen=True, kw_only=True):
    """A symmetric key that the managers hand out."""

    hidden: ClassVar[frozenset[str]] = frozenset({"key"})

    #: `networking:gossip`, `networking:ipsec`, or `swarm-manager` for the unlock key.
    subsystem: str = ""
    algorithm: EncryptionAlgorithm = EncryptionAlgorithm.AES_128_GCM
    #: 16 bytes.
    key: bytes = b""
    #: Orders the keys of a subsystem and tells them apart.
    lamport_time: int = 0

    def __repr__(self) -> str:
        """Without the key, which is for no log."""
        return f"EncryptionKey(subsystem={self.subsystem!r}, lamport_time={self.lamport_time})"


class RoleAdmissionSecret(Value, frozen=True):
    """A hashed secret of an admission policy; old clusters carry it, nothing reads it."""

    data: bytes = b""
    #: bcrypt.
    alg: str = ""


class RoleAdmissionPolicy(Value, frozen=True):
    """Whether nodes of a role are let in; old clusters carry it, join tokens took its place."""

    role: NodeRole = NodeRole.WORKER
    autoaccept: bool = False
    secret: RoleAdmissionSecret | None = None


class AcceptancePolicy(Value, frozen=True):
    """Admission policies by role; old clusters carry them, join tokens took their place."""

    policies: tuple[RoleAdmissionPolicy, ...] = ()
