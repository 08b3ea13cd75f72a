"""The cluster object: its settings, shown without its keys."""

import random

from msgspec.structs import replace

from swarmlab.api import (
    HOUR,
    UNLOCK_SUBSYSTEM,
    CAConfig,
    Changes,
    Cluster,
    ClusterId,
    ClusterSpec,
    Duration,
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
    new_unlock_key,
    with_new_secret,
)
from swarmlab.api.defaults import ADDRESS_POOL, CLUSTER_NAME, SUBNET_SIZE, VXLAN_UDP_PORT
from swarmlab.api.trust import check_signing_root, key_subject, same_certificates, subject_of, subjects_of
from swarmlab.manager.controlapi.filters import EVERYTHING, narrowed
from swarmlab.manager.controlapi.nodes import current_blacklist
from swarmlab.manager.controlapi.stored import stored, stored_at
from swarmlab.store import Snapshot

#: Shortest life of a node certificate. SwarmKit `ca.MinNodeCertExpiration`.
MIN_NODE_CERT_EXPIRY = Duration(HOUR)

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
        Unsupported: Another root of trust for a cluster without one, or one that signs elsewhere.
    """
    cluster = stored_at(view, Cluster, cluster_id, version)
    _check_spec(spec)
    spec = replace(spec, ca_config=_with_known_key(spec.ca_config, cluster.spec.ca_config))
    _check_trust(cluster, spec.ca_config, now)
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


def _check_trust(cluster: Cluster, wished: CAConfig, now: Instant) -> None:
    """Another root is one that the authority can change over to: it signs with a key of its own.

    The change itself is the authority's: it hears of the commit.
    """
    if wished.signing_ca_key and not wished.signing_ca_cert:
        raise InvalidSpec("if a signing CA key is provided, the signing CA cert must also be provided")
    present, root = cluster.spec.ca_config, cluster.root_ca
    for name in ("signing_ca_cert", "signing_ca_key", "external_cas", "force_rotate"):
        if getattr(wished, name) != getattr(present, name) and not root.ca_key:
            raise Unsupported(
                f"ca_config.{name}: this cluster has no certificate authority, so its root of trust cannot be changed"
            )
    if wished.external_cas:
        urls = ", ".join(ca.url for ca in wished.external_cas)
        raise Unsupported(f"ca_config.external_cas: {urls}: the managers sign certificates themselves, nobody else can")
    if not wished.signing_ca_cert or wished == present:
        return
    if same_certificates(wished.signing_ca_cert, root.ca_cert):
        # Whoever asks for the root that is there already, as to end a rotation, need not have its key at hand.
        if wished.signing_ca_key and key_subject(wished.signing_ca_key) != key_subject(root.ca_key):
            raise InvalidSpec("the desired CA key is not the key of the desired CA certificate")
        return
    if not wished.signing_ca_key:
        raise Unsupported(
            "ca_config.signing_ca_key: none, wanted: the key of signing_ca_cert, since certificates are signed here"
        )
    check_signing_root(wished.signing_ca_cert, wished.signing_ca_key, now)
    if subject_of(wished.signing_ca_cert).public_key in {subject.public_key for subject in subjects_of(root.ca_cert)}:
        raise InvalidSpec("the desired CA certificate has the key of the present one, wanted: one with a new key")


def _with_known_key(wished: CAConfig, present: CAConfig) -> CAConfig:
    """Clients send back the settings as they were shown, which is without the key."""
    if wished.signing_ca_key or not wished.signing_ca_cert or wished.signing_ca_cert != present.signing_ca_cert:
        return wished
    return replace(wished, signing_ca_key=present.signing_ca_key)


def _with_tokens(root: RootCA, rotation: KeyRotation, ids: random.Random) -> RootCA:
    if not (rotation.worker_join_token or rotation.manager_join_token):
        return root
    tokens = root.join_tokens
    if not tokens.worker or not tokens.manager:
        raise Precondition("join tokens cannot be rotated: this cluster has no certificate authority")
    return replace(
        root,
        join_tokens=JoinTokens(
            worker=with_new_secret(tokens.worker, ids) if rotation.worker_join_token else tokens.worker,
            manager=with_new_secret(tokens.manager, ids) if rotation.manager_join_token else tokens.manager,
        ),
    )


def _unlock_keys(
    cluster: Cluster, spec: ClusterSpec, rotation: KeyRotation, ids: random.Random
) -> tuple[EncryptionKey, ...]:
    """Locking makes a key, unlocking drops it, and a rotation while locked makes another."""
    others = tuple(key for key in cluster.unlock_keys if key.subsystem != UNLOCK_SUBSYSTEM)
    if not spec.encryption_config.auto_lock_managers:
        return others
    if len(others) < len(cluster.unlock_keys) and not rotation.manager_unlock_key:
        return cluster.unlock_keys
    return (*others, new_unlock_key(ids))
