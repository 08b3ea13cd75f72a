"""The cluster object: settings, secrets that stay inside, and their rotation."""

import pytest
from asked import Requests, cluster
from msgspec.structs import replace

from swarmlab.api import (
    HOUR,
    AcceptancePolicy,
    Annotations,
    BlacklistedCertificate,
    CAConfig,
    Changes,
    Cluster,
    ClusterSpec,
    DispatcherConfig,
    Duration,
    EncryptionConfig,
    EncryptionKey,
    ExternalCA,
    Filters,
    Instant,
    InvalidSpec,
    JoinTokens,
    KeyRotation,
    NotFound,
    OutOfSequence,
    Precondition,
    RoleAdmissionPolicy,
    RoleAdmissionSecret,
    RootCA,
    RootRotation,
    Unsupported,
    Update,
)
from swarmlab.edges.tls.x509 import cross_sign, make_root
from swarmlab.manager.controlapi import get_cluster, list_clusters, update_cluster

PLAIN = cluster().spec
NONE = KeyRotation()
ROOT = "3" * 50
TOKENS = JoinTokens(f"SWMTKN-1-{ROOT}-{'w' * 25}", f"SWMTKN-1-{ROOT}-{'m' * 25}")


def updated(at: Requests, wish: ClusterSpec, rotation: KeyRotation = NONE) -> Cluster:
    held = at.view.cluster()
    at.commit(update_cluster(at.view, held.id, held.meta.version.index, wish, rotation, at.ids, at.now))
    return at.view.cluster()


def keyed() -> Cluster:
    return replace(
        cluster(),
        root_ca=RootCA(
            ca_key=b"KEY",
            ca_cert=b"CERT",
            ca_cert_hash="sha256:0",
            join_tokens=TOKENS,
            root_rotation=RootRotation(ca_cert=b"NEW", ca_key=b"KEY2"),
        ),
        network_bootstrap_keys=(EncryptionKey(key=b"KEY3"),),
        unlock_keys=(EncryptionKey(subsystem="swarm-manager", key=b"KEY4"),),
    )


def test_no_key_is_shown(at: Requests) -> None:
    at.put(keyed())
    shown = get_cluster(at.view, cluster().id)
    assert "KEY" not in repr(shown)
    assert shown.root_ca.ca_cert == b"CERT"
    assert shown.root_ca.join_tokens == TOKENS
    assert (shown.defaultAddressPool, shown.subnetSize, shown.VXLANUDPPort) == (("10.0.0.0/8",), 24, 4789)
    assert list_clusters(at.view) == (shown,)
    assert list_clusters(at.view, Filters(names=("other",))) == ()
    held = at.view.cluster()
    _, answer = update_cluster(at.view, held.id, 1, held.spec, NONE, at.ids, at.now)
    assert "KEY" not in repr(answer)


def test_settings_change_at_the_right_version_alone(at: Requests) -> None:
    at.put(keyed())
    wish = replace(PLAIN, dispatcher=DispatcherConfig(heartbeat_period=Duration(2_000_000_000)))
    assert updated(at, wish).spec == wish
    assert at.view.cluster().root_ca == keyed().root_ca
    with pytest.raises(OutOfSequence):
        update_cluster(at.view, cluster().id, 1, wish, NONE, at.ids, at.now)
    with pytest.raises(NotFound, match="cluster x not found"):
        get_cluster(at.view, "x")


@pytest.mark.parametrize(
    ("wish", "about"),
    [
        (replace(PLAIN, annotations=Annotations("mine")), 'must be named "default"'),
        (replace(PLAIN, ca_config=CAConfig(node_cert_expiry=Duration(HOUR - 1))), "minimum certificate expiry"),
        (replace(PLAIN, ca_config=CAConfig(signing_ca_key=b"k")), "signing CA cert must also be provided"),
        (replace(PLAIN, dispatcher=DispatcherConfig(heartbeat_period=Duration(-1))), "negative"),
        (
            replace(
                PLAIN,
                acceptance_policy=AcceptancePolicy((RoleAdmissionPolicy(secret=RoleAdmissionSecret(b"", "md5")),)),
            ),
            "md5",
        ),
    ],
)
def test_bad_settings_are_refused(at: Requests, wish: ClusterSpec, about: str) -> None:
    at.put(cluster())
    with pytest.raises(InvalidSpec, match=about):
        updated(at, wish)


@pytest.mark.parametrize("trust", [CAConfig(force_rotate=1), CAConfig(signing_ca_cert=b"c", signing_ca_key=b"k")])
def test_a_cluster_without_an_authority_gets_none(at: Requests, trust: CAConfig) -> None:
    at.put(cluster())
    with pytest.raises(Unsupported, match="root of trust"):
        updated(at, replace(PLAIN, ca_config=trust))


ROOTS = [make_root(Instant(10**18)) for _ in range(2)]


def trusting(at: Requests) -> None:
    """A cluster with the first of ROOTS."""
    at.now = Instant(10**18)
    at.put(replace(cluster(), root_ca=RootCA(ca_key=ROOTS[0].ca_key, ca_cert=ROOTS[0].ca_cert, join_tokens=TOKENS)))


def test_a_wish_for_another_root_is_written_down(at: Requests) -> None:
    """The authority hears of it; here nothing of the root itself changes."""
    trusting(at)
    before = at.view.cluster().root_ca
    fresh = replace(PLAIN, ca_config=CAConfig(force_rotate=1))
    assert updated(at, fresh).spec.ca_config.force_rotate == 1
    wish = replace(
        PLAIN, ca_config=CAConfig(signing_ca_cert=ROOTS[1].ca_cert, signing_ca_key=ROOTS[1].ca_key, force_rotate=2)
    )
    assert updated(at, wish).spec == wish
    assert at.view.cluster().root_ca == before
    # Clients do not see the key, and send back what they see.
    shown = get_cluster(at.view, cluster().id).spec
    assert shown.ca_config.signing_ca_key == b""
    assert updated(at, shown).spec == wish
    # The root that is there may be asked for without its key: that calls a change off.
    back = replace(PLAIN, ca_config=CAConfig(signing_ca_cert=ROOTS[0].ca_cert, force_rotate=3))
    assert updated(at, back).spec == back


@pytest.mark.parametrize(
    ("trust", "error", "about"),
    [
        (CAConfig(signing_ca_cert=ROOTS[1].ca_cert), Unsupported, "signing_ca_key: none"),
        (CAConfig(signing_ca_cert=b"c", signing_ca_key=b"k"), InvalidSpec, "not PEM certificates"),
        (
            CAConfig(signing_ca_cert=ROOTS[1].ca_cert, signing_ca_key=ROOTS[0].ca_key),
            InvalidSpec,
            "not the key of the desired CA certificate",
        ),
        (
            CAConfig(signing_ca_cert=ROOTS[0].ca_cert, signing_ca_key=ROOTS[1].ca_key),
            InvalidSpec,
            "not the key of the desired CA certificate",
        ),
        (
            CAConfig(signing_ca_cert=ROOTS[0].ca_cert + ROOTS[1].ca_cert, signing_ca_key=ROOTS[0].ca_key),
            InvalidSpec,
            "2 certificates, wanted: one",
        ),
        (
            CAConfig(signing_ca_cert=cross_sign(ROOTS[0].ca_cert, ROOTS[0]), signing_ca_key=ROOTS[0].ca_key),
            InvalidSpec,
            "wanted: one with a new key",
        ),
        (CAConfig(external_cas=(ExternalCA(url="https://ca.example"),)), Unsupported, "https://ca.example"),
    ],
)
def test_unfit_roots_are_refused(at: Requests, trust: CAConfig, error: type[Exception], about: str) -> None:
    trusting(at)
    with pytest.raises(error, match=about):
        updated(at, replace(PLAIN, ca_config=trust))


def test_a_new_token_keeps_what_names_the_root(at: Requests) -> None:
    at.put(keyed())
    tokens = updated(at, PLAIN, KeyRotation(worker_join_token=True)).root_ca.join_tokens
    assert tokens.manager == TOKENS.manager
    assert tokens.worker.startswith(f"SWMTKN-1-{ROOT}-")
    assert len(tokens.worker.rpartition("-")[2]) == 25
    again = updated(at, PLAIN, KeyRotation(worker_join_token=True, manager_join_token=True)).root_ca.join_tokens
    assert len({tokens.worker, again.worker, again.manager, tokens.manager}) == 4


def test_tokens_need_an_authority(at: Requests) -> None:
    at.put(cluster())
    with pytest.raises(Precondition, match="no certificate authority"):
        updated(at, PLAIN, KeyRotation(manager_join_token=True))


def test_locking_makes_a_key_and_unlocking_drops_it(at: Requests) -> None:
    other = EncryptionKey(subsystem="other")
    at.put(replace(cluster(), unlock_keys=(other,)))
    locked = replace(PLAIN, encryption_config=EncryptionConfig(auto_lock_managers=True))
    first = updated(at, locked).unlock_keys
    assert [key.subsystem for key in first] == ["other", "swarm-manager"]
    assert len(first[1].key) == 32
    assert updated(at, locked).unlock_keys == first
    second = updated(at, locked, KeyRotation(manager_unlock_key=True)).unlock_keys
    assert second[1].key != first[1].key
    assert updated(at, PLAIN).unlock_keys == (other,)


def test_an_update_drops_black_list_entries_whose_time_is_over(at: Requests) -> None:
    at.put(
        replace(
            cluster(),
            blacklisted_certificates={
                "old": BlacklistedCertificate(Instant(1)),
                "new": BlacklistedCertificate(Instant(10**18)),
                "for good": BlacklistedCertificate(),
            },
        )
    )
    at.commit((Changes.atomic(Update(at.view.cluster())), None))
    assert sorted(updated(at, PLAIN).blacklisted_certificates) == ["for good", "new"]
