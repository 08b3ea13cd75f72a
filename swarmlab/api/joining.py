"""How a node gets its certificate, and a manager the unlock key."""

from typing import ClassVar

from swarmlab.api.annotations import Version
from swarmlab.api.certificates import Certificate, IssuanceStatus
from swarmlab.api.enums import Availability, Membership, NodeRole
from swarmlab.api.ids import NodeId
from swarmlab.api.value import Guarded, Value


class IssueNodeCertificateRequest(Guarded, frozen=True, kw_only=True):
    """Asks for a certificate: with a token to join, with the certificate that one has to renew it."""

    hidden: ClassVar[frozenset[str]] = frozenset({"token"})

    #: Not read: the token or the node's object decides.
    role: NodeRole = NodeRole.WORKER
    #: PEM PKCS#10; only its public key is taken.
    csr: bytes = b""
    #: Join token; empty to renew.
    token: str = ""
    #: Of the new node.
    availability: Availability = Availability.ACTIVE


class IssueNodeCertificateResponse(Value, frozen=True):
    """The request was taken: the new node's id, or the caller's."""

    node_id: NodeId = NodeId("")
    node_membership: Membership = Membership.PENDING


class NodeCertificateStatusRequest(Value, frozen=True):
    """Asks how far the certificate of a node came."""

    node_id: NodeId = NodeId("")


class NodeCertificateStatusResponse(Value, frozen=True):
    """The record of a node's certificate; comes when its state is final, or after a while."""

    status: IssuanceStatus | None = None
    certificate: Certificate | None = None


class GetRootCACertificateRequest(Value, frozen=True):
    """Asks for the root of trust."""


class GetRootCACertificateResponse(Value, frozen=True):
    """The root of trust."""

    #: PEM bundle: the very bytes whose digest is in the join token.
    certificate: bytes = b""


class GetUnlockKeyRequest(Value, frozen=True):
    """Asks for the key that unlocks the managers' keys."""


class GetUnlockKeyResponse(Guarded, frozen=True):
    """The unlock key."""

    hidden: ClassVar[frozenset[str]] = frozenset({"unlock_key"})

    #: Empty where managers do not lock.
    unlock_key: bytes = b""
    #: Of the cluster object.
    version: Version = Version()
