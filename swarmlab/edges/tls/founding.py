"""What a new cluster begins with: a root, and the certificate of its first manager."""

import random

from swarmlab.api import ClusterId, Duration, Instant, NodeId, NodeRole, SigningRoot, after, new_id
from swarmlab.api.defaults import NODE_CERT_EXPIRY
from swarmlab.api.trust import check_signing_root
from swarmlab.ca import BACKDATE, Identity
from swarmlab.edges.tls.credentials import Credentials
from swarmlab.edges.tls.x509 import issue, make_request, make_root, normalized
from swarmlab.node import Founding


def found(
    now: Instant,
    entropy: random.Random,
    *,
    hostname: str = "",
    root: SigningRoot | None = None,
    node_cert_expiry: Duration | None = None,
) -> tuple[Founding, Credentials]:
    """The founding of a cluster under `root`, or under a fresh one, and the credentials of its first manager.

    `entropy` gives the ids. What else a user may choose is set with `msgspec.structs.replace`.

    Raises:
        InvalidSpec: `root` cannot be the root of a cluster.
    """
    if root is None:
        root = make_root(now)
    else:
        check_signing_root(root.ca_cert, root.ca_key, now)
        root = normalized(root)
    csr, key = make_request()
    identity = Identity(NodeId(new_id(entropy)), ClusterId(new_id(entropy)), NodeRole.MANAGER)
    certificate = issue(
        csr,
        identity,
        root,
        not_before=Instant(now - BACKDATE),
        not_after=after(now, node_cert_expiry or NODE_CERT_EXPIRY),
    )
    founding = Founding(
        cluster_id=identity.cluster_id,
        node_id=identity.node_id,
        hostname=hostname,
        certificate=certificate,
        csr=csr,
        root=root,
        node_cert_expiry=node_cert_expiry,
    )
    return founding, Credentials(root.ca_cert, certificate, key)
