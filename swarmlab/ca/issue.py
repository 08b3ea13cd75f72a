"""Certificates of nodes, from record to signature."""

from msgspec.structs import replace

from swarmlab.api import (
    HOUR,
    Certificate,
    Cluster,
    Duration,
    Instant,
    IssuanceState,
    IssuanceStatus,
    IssueNodeCertificateRequest,
    Membership,
    Node,
    NodeId,
    NodeRole,
    NodeSpec,
    RootCA,
    SigningRoot,
    after,
)
from swarmlab.api.defaults import NODE_CERT_EXPIRY
from swarmlab.ca.messages import Sign, Signed

#: How far certificates begin before they are made: clocks differ. SwarmKit `ca.CertBackdate`.
BACKDATE = Duration(1 * HOUR)
#: A shorter life is not obeyed. SwarmKit `ca.MinNodeCertExpiration`.
MIN_EXPIRY = Duration(1 * HOUR)
#: A certificate in such a state is what a node may take; FAILED ends the wait too.
FINAL = frozenset({IssuanceState.ISSUED, IssuanceState.FAILED, IssuanceState.ROTATE})
#: A certificate in such a state is to be signed.
OPEN = frozenset({IssuanceState.RENEW, IssuanceState.PENDING})


def signer_of(root: RootCA) -> tuple[SigningRoot, bytes]:
    """Who signs now, and what leads from there to the root that nodes trust: while the root rotates, the next one."""
    if root.root_rotation is None:
        return SigningRoot(root.ca_cert, root.ca_key), b""
    rotation = root.root_rotation
    return SigningRoot(rotation.ca_cert, rotation.ca_key), rotation.cross_signed_ca_cert


def trusted_roots(root: RootCA) -> bytes:
    """The roots by which clients may be known, PEM: during a rotation, the present and the next one."""
    return root.ca_cert + (root.root_rotation.ca_cert if root.root_rotation is not None else b"")


def newcomer(node_id: NodeId, role: NodeRole, request: IssueNodeCertificateRequest) -> Node:
    """A node that has just been let in and waits for its first certificate."""
    return Node(
        id=node_id,
        spec=NodeSpec(desired_role=role, membership=Membership.ACCEPTED, availability=request.availability),
        role=role,
        certificate=Certificate(
            role=role, csr=request.csr, status=IssuanceStatus(IssuanceState.PENDING), cn=str(node_id)
        ),
    )


def renewal(node: Node, csr: bytes) -> Node:
    """The node, waiting for a certificate in the role that it has now."""
    status = IssuanceStatus(IssuanceState.RENEW)
    return replace(node, certificate=replace(node.certificate, role=node.role, csr=csr, status=status, cn=str(node.id)))


def sign_effect(cluster: Cluster, node: Node, now: Instant) -> Sign:
    """Have the certificate that the node waits for signed."""
    signer, intermediates = signer_of(cluster.root_ca)
    wished = cluster.spec.ca_config.node_cert_expiry
    expiry = wished if wished is not None and wished >= MIN_EXPIRY else NODE_CERT_EXPIRY
    return Sign(
        node_id=node.id,
        cluster_id=cluster.id,
        role=node.certificate.role,
        csr=node.certificate.csr,
        signer=signer,
        intermediates=intermediates,
        not_before=Instant(now - BACKDATE),
        not_after=after(now, expiry),
    )


def issued(node: Node, signed: Signed) -> Node:
    """The node with what came of its request."""
    certificate: Certificate = node.certificate
    if signed.error:
        failed = IssuanceStatus(IssuanceState.FAILED, signed.error)
        return replace(node, certificate=replace(certificate, status=failed))
    return replace(
        node,
        certificate=replace(certificate, status=IssuanceStatus(IssuanceState.ISSUED), certificate=signed.certificate),
    )


def awaits(node: Node | None, csr: bytes) -> bool:
    """Whether the node is there and waits for the answer to that very request."""
    return node is not None and node.certificate.status.state in OPEN and node.certificate.csr == csr
