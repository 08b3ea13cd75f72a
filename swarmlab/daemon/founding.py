"""A new swarm: its first objects, its first manager, and the log that begins with them."""

import random

from msgspec.structs import replace

from swarmlab.api import Changes, ClusterSpec, Instant, Peer, SwarmInitRequest, Update, defaults
from swarmlab.api.defaults import CLUSTER
from swarmlab.daemon.member import Beginning
from swarmlab.daemon.state import NodeRecord
from swarmlab.edges.tls.founding import found
from swarmlab.node import Founding, RaftMember, found_cluster, founding
from swarmlab.raft import RaftId
from swarmlab.store import CommitAtOnce, Outcome, Snapshot, Store


def founded(request: SwarmInitRequest, now: Instant, hostname: str, listen: str, advertise: str) -> Beginning:
    """What the first manager of a new swarm begins with.

    The first objects are in the log from its start, so that a crash never leaves a swarm without the key of its root.

    Raises:
        InvalidSpec: A setting is not acceptable.
    """
    entropy = random.SystemRandom()
    spec = request.spec
    wish, credentials = found(now, entropy, hostname=hostname, node_cert_expiry=spec.ca_config.node_cert_expiry)
    wish = replace(
        wish,
        availability=request.availability,
        auto_lock=spec.encryption_config.auto_lock_managers,
        default_address_pool=request.default_addr_pool,
        subnet_size=request.subnet_size,
    )
    view = _first_view(wish, spec, now, entropy)
    member = RaftMember(RaftId(entropy.getrandbits(62) + 1), wish.node_id, advertise)
    record = NodeRecord(node_id=wish.node_id, cluster_id=wish.cluster_id, listen_addr=listen, advertise_addr=advertise)
    cluster = view.cluster()
    assert cluster is not None, "a cluster was founded"
    unlock_key = next((key.key for key in cluster.unlock_keys), None)
    return Beginning(record, credentials, (Peer(wish.node_id, advertise),), founding(member, view), unlock_key)


def _first_view(wish: Founding, spec: ClusterSpec, now: Instant, entropy: random.Random) -> Snapshot:
    store = Store(CommitAtOnce(), lambda: now)
    changes, _ = found_cluster(
        store.view,
        entropy,
        heartbeat=spec.dispatcher.heartbeat_period or defaults.HEARTBEAT_PERIOD,
        history=spec.orchestration.task_history_retention_limit or defaults.TASK_HISTORY_RETENTION_LIMIT,
        founding=wish,
    )
    store.propose(changes, _require)
    cluster = store.view.cluster()
    assert cluster is not None, "a cluster was founded"
    raft = replace(
        cluster.spec.raft,
        snapshot_interval=spec.raft.snapshot_interval or CLUSTER.raft.snapshot_interval,
        keep_old_snapshots=spec.raft.keep_old_snapshots,
    )
    store.propose(Changes.atomic(Update(replace(cluster, spec=replace(cluster.spec, raft=raft)))), _require)
    return store.view


def _require(outcome: Outcome) -> None:
    for error in (outcome.error, *(refused.error for refused in outcome.refused)):
        if error is not None:
            raise error
