"""The first objects of a cluster, and a worker's admission to it."""

import random

from swarmlab.api import (
    Annotations,
    Availability,
    Changes,
    Cluster,
    ClusterId,
    ClusterSpec,
    Create,
    DispatcherConfig,
    Duration,
    Membership,
    Node,
    NodeDescription,
    NodeId,
    NodeRole,
    NodeSpec,
    OrchestrationConfig,
    new_id,
)
from swarmlab.store import Snapshot

#: Name of the one cluster object.
CLUSTER_NAME = "default"


def found_cluster(
    view: Snapshot, ids: random.Random, *, heartbeat: Duration, history: int = 5
) -> tuple[Changes, ClusterId]:
    """The changes that make `view` a cluster, none where it is one already, and the cluster's id."""
    present = view.cluster()
    if present is not None:
        return Changes(), present.id
    cluster = Cluster(
        id=ClusterId(new_id(ids)),
        spec=ClusterSpec(
            annotations=Annotations(name=CLUSTER_NAME),
            orchestration=OrchestrationConfig(task_history_retention_limit=history),
            dispatcher=DispatcherConfig(heartbeat_period=heartbeat),
        ),
    )
    return Changes.atomic(Create(cluster)), cluster.id


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
