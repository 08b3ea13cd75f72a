"""Nodes: what users say about them, and their removal."""

from collections.abc import Mapping

from cryptography import x509
from msgspec.structs import replace

from swarmlab.api import (
    HOUR,
    RAFT_PLUGIN,
    BlacklistedCertificate,
    Changes,
    Cluster,
    Delete,
    Duration,
    Filters,
    Instant,
    InvalidSpec,
    ManagerStatus,
    Node,
    NodeId,
    NodeRole,
    NodeSpec,
    NodeState,
    NotFound,
    Precondition,
    Reachability,
    Task,
    TaskState,
    Update,
    after,
)
from swarmlab.api.defaults import NODE_CERT_EXPIRY
from swarmlab.api.naming import node_name
from swarmlab.manager.controlapi.filters import EVERYTHING, among, labelled, narrowed
from swarmlab.manager.controlapi.stored import stored, stored_at
from swarmlab.store import Snapshot

#: How long the certificate of a removed node stays on the black list after it ran out. SwarmKit `manager/controlapi`.
BLACKLIST_GRACE = Duration(7 * 24 * HOUR)

Managers = Mapping[NodeId, ManagerStatus]


def engine_labels(node: Node) -> Mapping[str, str]:
    """The labels that the node's engine reported."""
    return (
        node.description.engine.labels if node.description is not None and node.description.engine is not None else {}
    )


def get_node(view: Snapshot, node_id: NodeId, managers: Managers | None = None) -> Node:
    """The node of that id, with its place among the managers where it is one of `managers`.

    Raises:
        NotFound: There is none.
    """
    return _with_manager_status(stored(view, Node, node_id), managers or {})


def list_nodes(view: Snapshot, filters: Filters = EVERYTHING, managers: Managers | None = None) -> tuple[Node, ...]:
    """The nodes that match, sorted by id. Names are host names, `labels` the engine's, `node_labels` the users'."""
    return narrowed(
        (_with_manager_status(node, managers or {}) for node in view.nodes()),
        filters,
        name=node_name,
        labels=engine_labels,
        also=lambda node: (
            labelled(node.spec.annotations.labels, filters.node_labels)
            and among(node.role, filters.roles)
            and among(node.spec.membership, filters.memberships)
        ),
    )


def update_node(
    view: Snapshot, node_id: NodeId, version: int, spec: NodeSpec, managers: Managers | None = None
) -> tuple[Changes, Node]:
    """The node with another spec.

    Args:
        view: The cluster.
        node_id: The node.
        version: That of the node as it was read.
        spec: All of the new spec; nothing is taken over from the old one.
        managers: The consensus group; None where one manager decides alone, then the roles in the store count.

    Raises:
        NotFound: No such node; or a manager is to be demoted that is not in the group yet.
        OutOfSequence: It changed since.
        InvalidSpec: A word that is not known.
        Precondition: Demotion of the last manager, or of one without whom the others have no quorum; promotion of a
            stock engine.
    """
    node = stored_at(view, Node, node_id, version)
    for label, word in (
        ("role", spec.desired_role),
        ("availability", spec.availability),
        ("membership", spec.membership),
    ):
        if word.value not in type(word)._value2member_map_ or word.name.startswith("UNKNOWN_"):
            raise InvalidSpec(f"node {node_id}: invalid {label}: {int(word)}")
    if node.spec.desired_role == NodeRole.MANAGER and spec.desired_role == NodeRole.WORKER:
        _require_spare_manager(view, node, managers)
    if node.spec.desired_role == NodeRole.WORKER and spec.desired_role == NodeRole.MANAGER and managers is not None:
        _require_raft(node)
    updated = replace(node, spec=spec)
    return Changes.atomic(Update(updated)), updated


def remove_node(
    view: Snapshot, node_id: NodeId, force: bool, now: Instant, managers: Managers | None = None
) -> tuple[Changes, None]:
    """Nothing of the node left but its tasks, ORPHANED, and its certificate on the black list; all or none of it.

    Only tasks that had not ended are touched, so that a node with a long history can still go in one commit.

    Raises:
        NotFound: No such node.
        Precondition: It is a manager, or it is not down and `force` was not given.
    """
    node = stored(view, Node, node_id)
    if node.id in (managers or {}) or (managers is None and node.role == NodeRole.MANAGER):
        raise Precondition(
            f"node {node_id} is a cluster manager and is a member of the raft cluster. "
            "It must be demoted to worker before removal"
        )
    if node.status.state == NodeState.READY and not force:
        raise Precondition(f"node {node_id} is not down and can't be removed")
    orphaned = [
        Update(_orphaned(task, node_name(node) or node.id, now))
        for task in view.tasks_on(node.id)
        if task.status.state < TaskState.COMPLETE
    ]
    cluster = view.cluster()
    listed = [] if cluster is None else [Update(_with_blacklisted(cluster, node, now))]
    return Changes.atomic(*listed, *orphaned, Delete(Node, node_id)), None


def current_blacklist(cluster: Cluster, now: Instant) -> dict[str, BlacklistedCertificate]:
    """The black list without the entries whose time is over."""
    return {
        name: entry
        for name, entry in cluster.blacklisted_certificates.items()
        if entry.expiry is None or entry.expiry > now
    }


def _with_manager_status(node: Node, managers: Managers) -> Node:
    status = managers.get(node.id)
    return node if status is None else replace(node, manager_status=status)


def _require_raft(node: Node) -> None:
    """The node can be a manager, as far as it is known: a stock engine would get the role and fail at once."""
    engine = node.description.engine if node.description is not None else None
    if engine is not None and RAFT_PLUGIN not in engine.plugins:
        raise Precondition(
            f"node {node_name(node) or node.id} runs a stock engine, whose Raft is another one: it can only be a worker"
        )


def _require_spare_manager(view: Snapshot, node: Node, managers: Managers | None) -> None:
    if managers is None:
        others = sum(1 for other in view.nodes() if other.id != node.id and other.role == NodeRole.MANAGER)
        if node.role == NodeRole.MANAGER and others == 0:
            raise Precondition("attempting to demote the last manager of the swarm")
        return
    if node.id not in managers:
        raise NotFound("can't find manager in raft memberlist")
    if len(managers) == 1:
        raise Precondition("attempting to demote the last manager of the swarm")
    reachable = sum(
        1 for member, status in managers.items() if member != node.id and status.reachability == Reachability.REACHABLE
    )
    quorum = (len(managers) - 1) // 2 + 1
    if reachable < quorum:
        raise Precondition(
            "can't remove member from the raft: this would result in a loss of quorum: "
            f"{reachable} of the other {len(managers) - 1} managers answer, {quorum} are needed"
        )


def _orphaned(task: Task, node: str, now: Instant) -> Task:
    status = replace(
        task.status,
        state=TaskState.ORPHANED,
        timestamp=now,
        message=f"task orphaned: node {node} was removed",
    )
    return replace(task, status=status)


def _with_blacklisted(cluster: Cluster, node: Node, now: Instant) -> Cluster:
    expiry = _certificate_end(node)
    if expiry is None:
        expiry = after(now, cluster.spec.ca_config.node_cert_expiry or NODE_CERT_EXPIRY)
    entry = BlacklistedCertificate(expiry=after(expiry, BLACKLIST_GRACE))
    return replace(cluster, blacklisted_certificates={**current_blacklist(cluster, now), node.id: entry})


def _certificate_end(node: Node) -> Instant | None:
    """When the node's certificate runs out; None where it has none that can be read."""
    if not node.certificate.certificate:
        return None
    try:
        leaf = x509.load_pem_x509_certificates(node.certificate.certificate)[0]
    except ValueError:
        return None
    return Instant(int(leaf.not_valid_after_utc.timestamp()) * 1_000_000_000)
