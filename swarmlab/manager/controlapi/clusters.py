"""The cluster object: its settings, shown without its keys."""

import random

from msgspec.structs import replace

from swarmlab.api import (
    HOUR,
    CAConfig,
    Changes,
    Cluster,
    ClusterId,
    ClusterSpec,
    Duration,
    EncryptionAlgorithm,
    EncryptionKey,
    Filters,
    Instant,
    InvalidSpec,
    JoinTokens,
    KeyRotation,
    Precondition,
    RootCA,
    Unsupported,
    Update,
    base36,
)
from swarmlab.api.defaults import ADDRESS_POOL, CLUSTER_NAME, SUBNET_SIZE, VXLAN_UDP_PORT
from swarmlab.manager.controlapi.filters import EVERYTHING, narrowed
from swarmlab.manager.controlapi.nodes import current_blacklist
from swarmlab.manager.controlapi.stored import stored, stored_at
from swarmlab.store import Snapshot

#: Shortest life of a node certificate. SwarmKit `ca.MinNodeCertExpiration`.
MIN_NODE_CERT_EXPIRY = Duration(HOUR)
#: Which of the cluster's keys locks the managers' own keys. SwarmKit `ca.ManagerRole`.
UNLOCK_SUBSYSTEM = "swarm-manager"
UNLOCK_KEY_BYTES = 32
#: Characters of the secret at the end of a join token, and the bits that it holds.
TOKEN_SECRET_LENGTH, TOKEN_SECRET_BITS = 25, 128


NO_ROTATION = KeyRotation()


def get_cluster(view: Snapshot, cluster_id: ClusterId) -> Cluster:
    """The cluster of that id as it may be shown.

    Raises:
        NotFound: There is none.
    """
    return redacted(stored(view, Cluster, cluster_id))


def list_clusters(view: Snapshot, filters: Filters = EVERYTHING) -> tuple[Cluster, ...]:
    """The clusters that match, of which there is one, as they may be shown."""
    return narrowed(
        (redacted(cluster) for cluster in view.all(Cluster)),
        filters,
        name=lambda cluster: cluster.spec.annotations.name,
        labels=lambda cluster: cluster.spec.annotations.labels,
    )


def update_cluster(
    view: Snapshot,
    cluster_id: ClusterId,
    version: int,
    spec: ClusterSpec,
    rotation: KeyRotation,
    ids: random.Random,
    now: Instant,
) -> tuple[Changes, Cluster]:
    """The cluster with other settings and, where asked, new secrets; as it may be shown.

    Raises:
        NotFound: No such cluster.
        OutOfSequence: It changed since `version`.
        InvalidSpec: A setting is not acceptable.
        Precondition: New join tokens for a cluster without a certificate authority.
        Unsupported: Another root of trust.
    """
    cluster = stored_at(view, Cluster, cluster_id, version)
    _check_spec(spec)
    _check_trust(cluster.spec.ca_config, spec.ca_config)
    updated = replace(
        cluster,
        spec=spec,
        root_ca=_with_tokens(cluster.root_ca, rotation, ids),
        unlock_keys=_unlock_keys(cluster, spec, rotation, ids),
        blacklisted_certificates=current_blacklist(cluster, now),
    )
    return Changes.atomic(Update(updated)), redacted(updated)


def redacted(cluster: Cluster) -> Cluster:
    """The cluster with what users may know, field by field: a field added later stays hidden until named here."""
    spec = cluster.spec
    return Cluster(
        id=cluster.id,
        meta=cluster.meta,
        spec=replace(spec, ca_config=replace(spec.ca_config, signing_ca_key=b"")),
        root_ca=RootCA(
            ca_cert=cluster.root_ca.ca_cert,
            ca_cert_hash=cluster.root_ca.ca_cert_hash,
            join_tokens=cluster.root_ca.join_tokens,
            last_forced_rotation=cluster.root_ca.last_forced_rotation,
            root_rotation=None
            if cluster.root_ca.root_rotation is None
            else replace(cluster.root_ca.root_rotation, ca_key=b""),
        ),
        blacklisted_certificates=cluster.blacklisted_certificates,
        fips=cluster.fips,
        defaultAddressPool=cluster.defaultAddressPool or ADDRESS_POOL,
        subnetSize=cluster.subnetSize or SUBNET_SIZE,
        VXLANUDPPort=cluster.VXLANUDPPort or VXLAN_UDP_PORT,
    )


def _check_spec(spec: ClusterSpec) -> None:
    if spec.annotations.name != CLUSTER_NAME:
        raise InvalidSpec(f'modification of cluster name is not allowed: swarm spec must be named "{CLUSTER_NAME}"')
    expiry = spec.ca_config.node_cert_expiry
    if expiry is not None and expiry < MIN_NODE_CERT_EXPIRY:
        raise InvalidSpec("minimum certificate expiry time is: 1h0m0s")
    period = spec.dispatcher.heartbeat_period
    if period is not None and period < 0:
        raise InvalidSpec("heartbeat time period cannot be a negative duration")
    for policy in spec.acceptance_policy.policies:
        if policy.secret is not None and policy.secret.alg.lower() != "bcrypt":
            raise InvalidSpec(f"hashing algorithm is not supported: {policy.secret.alg}; bcrypt is")


def _check_trust(present: CAConfig, wished: CAConfig) -> None:
    """Node certificates may get another life, the root of trust stays."""
    if wished.signing_ca_key and not wished.signing_ca_cert:
        raise InvalidSpec("if a signing CA key is provided, the signing CA cert must also be provided")
    for name in ("signing_ca_cert", "signing_ca_key", "external_cas", "force_rotate"):
        if getattr(wished, name) != getattr(present, name):
            raise Unsupported(f"ca_config.{name}: the root of trust of a cluster cannot be changed")


def _with_tokens(root: RootCA, rotation: KeyRotation, ids: random.Random) -> RootCA:
    if not (rotation.worker_join_token or rotation.manager_join_token):
        return root
    tokens = root.join_tokens
    return replace(
        root,
        join_tokens=JoinTokens(
            worker=_new_token(tokens.worker, ids) if rotation.worker_join_token else tokens.worker,
            manager=_new_token(tokens.manager, ids) if rotation.manager_join_token else tokens.manager,
        ),
    )


def _new_token(old: str, ids: random.Random) -> str:
    """The token with another secret; what comes before names the root certificate, which stays."""
    root, dash, _ = old.rpartition("-")
    if not dash:
        raise Precondition("join tokens cannot be rotated: this cluster has no certificate authority")
    return f"{root}-{base36(ids.getrandbits(TOKEN_SECRET_BITS)).rjust(TOKEN_SECRET_LENGTH, '0')}"


def _unlock_keys(
    cluster: Cluster, spec: ClusterSpec, rotation: KeyRotation, ids: random.Random
) -> tuple[EncryptionKey, ...]:
    """Locking makes a key, unlocking drops it, and a rotation while locked makes another."""
    others = tuple(key for key in cluster.unlock_keys if key.subsystem != UNLOCK_SUBSYSTEM)
    if not spec.encryption_config.auto_lock_managers:
        return others
    if len(others) < len(cluster.unlock_keys) and not rotation.manager_unlock_key:
        return cluster.unlock_keys
    key = EncryptionKey(
        subsystem=UNLOCK_SUBSYSTEM,
        algorithm=EncryptionAlgorithm.AES_128_GCM,
        key=ids.getrandbits(8 * UNLOCK_KEY_BYTES).to_bytes(UNLOCK_KEY_BYTES, "big"),
    )
    return (*others, key)
