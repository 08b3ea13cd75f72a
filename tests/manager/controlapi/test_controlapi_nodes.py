"""Nodes: listing, demotion, and what a removal leaves behind."""

import datetime

import pytest
from asked import Requests, cluster, node, task
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec.structs import replace

from swarmlab.api import (
    RAFT_PLUGIN,
    Annotations,
    Availability,
    BlacklistedCertificate,
    Certificate,
    Changes,
    EngineDescription,
    Filters,
    Instant,
    InvalidSpec,
    ManagerStatus,
    Membership,
    NodeDescription,
    NodeId,
    NodeRole,
    NodeSpec,
    NodeState,
    NotFound,
    OutOfSequence,
    PluginDescription,
    Precondition,
    Reachability,
    TaskState,
    Update,
)
from swarmlab.manager.controlapi import get_node, list_nodes, remove_node, update_node

DAY = 24 * 3600 * 1_000_000_000


def manager(name: str) -> object:
    return node(name, role=NodeRole.MANAGER, spec=NodeSpec(desired_role=NodeRole.MANAGER))


def group(*answering: str, silent: tuple[str, ...] = ()) -> dict[NodeId, ManagerStatus]:
    reach = dict.fromkeys(answering, Reachability.REACHABLE) | dict.fromkeys(silent, Reachability.UNREACHABLE)
    return {NodeId(name): ManagerStatus(raft_id=n, reachability=at) for n, (name, at) in enumerate(reach.items(), 1)}


def test_lists_are_narrowed_by_every_filter(at: Requests) -> None:
    at.put(
        node("n1", {"zone": "a"}, {"disk": "ssd"}, hostname="alpha"),
        node("n2", {"zone": "b"}, {"disk": "hdd"}, hostname="Alpine"),
        node("n3", hostname="beta", spec=NodeSpec(membership=Membership.PENDING), role=NodeRole.MANAGER),
    )

    def ids(**by: object) -> list[str]:
        return [found.id for found in list_nodes(at.view, Filters(**by))]

    assert ids() == ["n1", "n2", "n3"]
    assert ids(names=("ALPHA",)) == ["n1"]
    assert ids(name_prefixes=("al",)) == ["n1", "n2"]
    assert ids(id_prefixes=("n2", "n3")) == ["n2", "n3"]
    assert ids(labels={"disk": ""}) == ["n1", "n2"]
    assert ids(labels={"disk": "ssd"}) == ["n1"]
    assert ids(node_labels={"zone": "b"}) == ["n2"]
    assert ids(labels={"zone": "b"}) == []
    assert ids(roles=(NodeRole.MANAGER,)) == ["n3"]
    assert ids(memberships=(Membership.ACCEPTED,)) == ["n1", "n2"]


def test_managers_show_their_place_in_the_group(at: Requests) -> None:
    at.put(manager("m1"), node("w1"))
    managers = group("m1")
    assert get_node(at.view, NodeId("m1"), managers).manager_status == managers[NodeId("m1")]
    assert [found.manager_status for found in list_nodes(at.view, managers=managers)] == [managers[NodeId("m1")], None]
    assert at.view.node(NodeId("m1")).manager_status is None
    with pytest.raises(NotFound, match="node gone not found"):
        get_node(at.view, NodeId("gone"))


def test_an_update_replaces_the_whole_spec(at: Requests) -> None:
    at.put(node("n1", {"zone": "a"}))
    wish = NodeSpec(
        annotations=Annotations("", {"rack": "7"}), membership=Membership.ACCEPTED, availability=Availability.DRAIN
    )
    at.commit(update_node(at.view, NodeId("n1"), 1, wish))
    assert at.view.node(NodeId("n1")).spec == wish
    with pytest.raises(OutOfSequence):
        update_node(at.view, NodeId("n1"), 1, wish)


def test_unknown_words_are_refused(at: Requests) -> None:
    at.put(node("n1"))
    with pytest.raises(InvalidSpec, match="invalid availability: 9"):
        update_node(at.view, NodeId("n1"), 1, NodeSpec(availability=Availability(9)))


def test_the_last_manager_cannot_be_demoted(at: Requests) -> None:
    at.put(manager("m1"))
    demoted = NodeSpec(desired_role=NodeRole.WORKER)
    for managers in (None, group("m1")):
        with pytest.raises(Precondition, match="attempting to demote the last manager of the swarm"):
            update_node(at.view, NodeId("m1"), 1, demoted, managers)
    at.put(manager("m2"))
    assert update_node(at.view, NodeId("m1"), 1, demoted)[1].spec == demoted


def test_a_demotion_must_leave_a_quorum(at: Requests) -> None:
    at.put(manager("m1"), manager("m2"), manager("m3"))
    demoted = NodeSpec(desired_role=NodeRole.WORKER)
    with pytest.raises(Precondition, match="loss of quorum"):
        update_node(at.view, NodeId("m1"), 1, demoted, group("m1", "m2", silent=("m3",)))
    update_node(at.view, NodeId("m3"), 1, demoted, group("m1", "m2", silent=("m3",)))
    with pytest.raises(NotFound, match="can't find manager in raft memberlist"):
        update_node(at.view, NodeId("m3"), 1, demoted, group("m1", "m2"))


@pytest.mark.parametrize("force", [False, True])
def test_a_manager_cannot_be_removed(at: Requests, force: bool) -> None:
    at.put(manager("m1"))
    for managers in (None, group("m1")):
        with pytest.raises(Precondition, match="must be demoted to worker before removal"):
            remove_node(at.view, NodeId("m1"), force, at.now, managers)


def test_a_node_that_is_up_is_removed_with_force_alone(at: Requests) -> None:
    at.put(node("n1"))
    with pytest.raises(Precondition, match="node n1 is not down and can't be removed"):
        remove_node(at.view, NodeId("n1"), False, at.now)
    at.commit(remove_node(at.view, NodeId("n1"), True, at.now))
    assert at.view.nodes() == ()


def test_a_removal_orphans_what_had_not_ended(at: Requests) -> None:
    at.put(
        cluster(),
        node("n1", state=NodeState.DOWN, hostname="alpha"),
        node("n2"),
        task("t1", "s", node="n1"),
        task("t2", "s", TaskState.FAILED, TaskState.SHUTDOWN, node="n1"),
        task("t3", "s", TaskState.ASSIGNED, node="n1"),
        task("t4", "s", node="n2"),
    )
    at.commit(remove_node(at.view, NodeId("n1"), False, at.now))
    assert [task.status.state for task in at.view.tasks()] == [
        TaskState.ORPHANED,
        TaskState.FAILED,
        TaskState.ORPHANED,
        TaskState.RUNNING,
    ]
    assert at.view.tasks()[0].status.message == "task orphaned: node alpha was removed"


def test_a_removal_is_whole_or_not_at_all(at: Requests) -> None:
    at.put(cluster(), node("n1", state=NodeState.DOWN), task("t1", "s", node="n1"))
    changes, _ = remove_node(at.view, NodeId("n1"), False, at.now)
    assert len(changes.groups) == 1


def certified(name: str, end: datetime.datetime) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    leaf = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(end - datetime.timedelta(days=90))
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    return Certificate(cn=name, certificate=leaf.public_bytes(serialization.Encoding.PEM))


def test_the_certificate_is_black_listed_for_a_week_beyond_its_end(at: Requests) -> None:
    end = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
    at.put(cluster(), node("n1", state=NodeState.DOWN, certificate=certified("n1", end)))
    at.commit(remove_node(at.view, NodeId("n1"), False, at.now))
    listed = at.view.cluster().blacklisted_certificates
    assert listed == {"n1": BlacklistedCertificate(Instant(int(end.timestamp()) * 1_000_000_000 + 7 * DAY))}


@pytest.mark.parametrize("pem", [b"", b"nonsense"])
def test_without_a_readable_certificate_the_longest_life_is_assumed(at: Requests, pem: bytes) -> None:
    at.put(cluster(), node("n1", state=NodeState.DOWN, certificate=Certificate(cn="n1", certificate=pem)))
    now = at.now
    at.commit(remove_node(at.view, NodeId("n1"), False, now))
    assert at.view.cluster().blacklisted_certificates["n1"].expiry == now + 97 * DAY


def test_black_list_entries_end(at: Requests) -> None:
    old = replace(cluster(), blacklisted_certificates={"old": BlacklistedCertificate(Instant(1))})
    at.put(old, node("n1", state=NodeState.DOWN))
    at.commit(remove_node(at.view, NodeId("n1"), False, at.now))
    assert list(at.view.cluster().blacklisted_certificates) == ["n1"]


def test_a_removal_gives_way_to_a_change_of_its_tasks(at: Requests) -> None:
    """The node stays when a task changed meanwhile, rather than leaving a task behind that says it runs."""
    at.put(cluster(), node("n1", state=NodeState.DOWN), task("t1", "s", node="n1"))
    changes, _ = remove_node(at.view, NodeId("n1"), False, at.now)
    at.commit((Changes.atomic(Update(replace(at.view.tasks()[0], slot=2))), None))
    with pytest.raises(AssertionError, match="OutOfSequence"):
        at.commit((changes, None))


@pytest.mark.parametrize(
    ("plugins", "may"), [((), False), ((PluginDescription("Network", "overlay"),), False), ((RAFT_PLUGIN,), True)]
)
def test_a_stock_engine_is_not_promoted(at: Requests, plugins: tuple[PluginDescription, ...], may: bool) -> None:
    """It would take the role and fail. Who reports the Raft of this kind of managers may."""
    description = NodeDescription(hostname="n1", engine=EngineDescription(plugins=plugins))
    at.put(manager("m1"), replace(node("n1"), description=description))
    wished = NodeSpec(desired_role=NodeRole.MANAGER)
    version = at.view.node(NodeId("n1")).meta.version.index
    if may:
        _, updated = update_node(at.view, NodeId("n1"), version, wished, group("m1"))
        assert updated.spec == wished
        return
    with pytest.raises(Precondition, match="node n1 runs a stock engine, whose Raft is another one"):
        update_node(at.view, NodeId("n1"), version, wished, group("m1"))
