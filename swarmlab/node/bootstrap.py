"""The first objects of a cluster, and a worker's admission to it."""

import random

from msgspec.structs import replace

from swarmlab.api import (
    Annotations,
    Availability,
    CAConfig,
    Certificate,
    Changes,
    Cluster,
    ClusterId,
    ClusterSpec,
    Create,
    DispatcherConfig,
    Duration,
    EncryptionConfig,
    IssuanceState,
    IssuanceStatus,
    Membership,
    Node,
    NodeDescription,
    NodeId,
    NodeRole,
    NodeSpec,
    OrchestrationConfig,
    RootCA,
    SigningRoot,
    Value,
    fingerprint,
    new_id,
    new_tokens,
    new_unlock_key,
)
from swarmlab.api.defaults import CLUSTER, NODE_CERT_EXPIRY
from swarmlab.store import Snapshot

#: Name of the one cluster object.
CLUSTER_NAME = "default"


class Founding(Value, frozen=True, kw_only=True):
    """What a cluster that other machines can join begins with; an edge makes it, since it takes keys."""

    cluster_id: ClusterId
    #: The first manager ...
    node_id: NodeId
    hostname: str = ""
    #: ... its certificate by `root`, and the request for it; PEM.
    certificate: bytes
    csr: bytes = b""
    availability: Availability = Availability.ACTIVE
    root: SigningRoot
    #: Life of node certificates; None: the default.
    node_cert_expiry: Duration | None = None
    auto_lock: bool = False
    default_address_pool: tuple[str, ...] = ()
    #: Prefix length of a new network; 0: the default.
    subnet_size: int = 0
    #: 0: the default.
    data_path_port: int = 0


def found_cluster(
    view: Snapshot, ids: random.Random, *, heartbeat: Duration, history: int = 5, founding: Founding | None = None
) -> tuple[Changes, ClusterId]:
    """The changes that make `view` a cluster, none where it is one already, and the cluster's id.

    With `founding` it has a certificate authority, join tokens and the node of its first manager. Tokens and the unlock
    key are drawn from `ids`, which then has to be a generator that nobody can foretell.
    """
    present = view.cluster()
    if present is not None:
        return Changes(), present.id
    spec = ClusterSpec(
        annotations=Annotations(name=CLUSTER_NAME),
        orchestration=OrchestrationConfig(task_history_retention_limit=history),
        dispatcher=DispatcherConfig(heartbeat_period=heartbeat),
    )
    if founding is None:
        cluster = Cluster(id=ClusterId(new_id(ids)), spec=spec)
        return Changes.atomic(Create(cluster)), cluster.id
    root = founding.root
    cluster = Cluster(
        id=founding.cluster_id,
        spec=replace(
            spec,
            raft=CLUSTER.raft,
            ca_config=CAConfig(node_cert_expiry=founding.node_cert_expiry or NODE_CERT_EXPIRY),
            encryption_config=EncryptionConfig(founding.auto_lock),
        ),
        root_ca=RootCA(
            ca_key=root.ca_key,
            ca_cert=root.ca_cert,
            ca_cert_hash=fingerprint(root.ca_cert),
            join_tokens=new_tokens(root.ca_cert, ids),
        ),
        unlock_keys=(new_unlock_key(ids),) if founding.auto_lock else (),
        defaultAddressPool=founding.default_address_pool,
        subnetSize=founding.subnet_size,
        VXLANUDPPort=founding.data_path_port,
    )
    return Changes.atomic(Create(cluster), Create(_first_manager(founding))), cluster.id


def _first_manager(founding: Founding) -> Node:
    return Node(
        id=founding.node_id,
        spec=NodeSpec(
            desired_role=NodeRole.MANAGER, membership=Membership.ACCEPTED, availability=founding.availability
        ),
        role=NodeRole.MANAGER,
        description=NodeDescription(hostname=founding.hostname),
        certificate=Certificate(
            role=NodeRole.MANAGER,
            csr=founding.csr,
            status=IssuanceStatus(IssuanceState.ISSUED),
            certificate=founding.certificate,
            cn=founding.node_id,
        ),
    )


def admit_worker(
    view: Snapshot, hostname: str, ids: random.Random, node_id: NodeId | None = None
) -> tuple[Changes, NodeId]:
    """The changes that let a worker of that hostname register, none where `node_id` is known, and its node id."""
    if node_id is not None and view.node(node_id) is not None:
        return Changes(), node_id
    node = Node(
        id=node_id or NodeId(new_id(ids)),
        spec=NodeSpec(desired_role=NodeRole.WORKER, membership=Membership.ACCEPTED, availability=Availability.ACTIVE),
        role=NodeRole.WORKER,
        description=NodeDescription(hostname=hostname),
    )
    return Changes.atomic(Create(node)), node.id
