"""Roles: promoted at once, demoted only after the raft group was left."""

from msgspec.structs import replace

from swarmlab.api import (
    Annotations,
    Change,
    ChangeKind,
    Changes,
    Cluster,
    ClusterSpec,
    Create,
    Delete,
    Instant,
    ManagerStatus,
    Node,
    NodeId,
    NodeRole,
    NodeSpec,
    NotFound,
    NotLeader,
    OutOfSequence,
    Precondition,
    Refused,
    Update,
    seconds,
)
from swarmlab.component import Propose, Proposed, Record, SetTimer, TimerFired
from swarmlab.manager.orchestrator.desk import RETRY
from swarmlab.manager.rolemanager import LeaveRaft, RaftLeft, RoleManager
from swarmlab.store import CommitAtOnce, Committed, Led, Store

MANAGER, WORKER = NodeRole.MANAGER, NodeRole.WORKER
NOW = Instant(1_000)


def a_node(name: str, role: NodeRole, desired: NodeRole) -> Node:
    return Node(id=NodeId(name), role=role, spec=NodeSpec(desired_role=desired))


class Desk:
    """A role manager over a store and a group that a test sets."""

    def __init__(self, *nodes: Node, members: tuple[str, ...] = (), founded: bool = True) -> None:
        self.members = {NodeId(name): ManagerStatus(raft_id=number) for number, name in enumerate(members, 1)}
        self.store = Store(CommitAtOnce(), lambda: NOW)
        self.part = RoleManager(lambda: self.members)
        if founded:
            self.put(Cluster(id="c", spec=ClusterSpec(annotations=Annotations(name="default"))))
        self.put(*nodes)

    def put(self, *objects: object) -> None:
        self.store.propose(Changes.atomic(*map(Create, objects)), lambda _: None)  # type: ignore[arg-type]

    def lead(self) -> list[object]:
        return list(self.part.step(Led(self.store.view), NOW))

    def wish(self, name: str, role: NodeRole) -> list[object]:
        """A user changes the desired role."""
        node = self.node(name)
        return self.commit(Update(replace(node, spec=replace(node.spec, desired_role=role))))

    def commit(self, action: Update | Delete) -> list[object]:
        heard: list[Committed] = []
        watch = self.store.watch(None, heard.append)
        self.store.propose(Changes.atomic(action), lambda _: None)
        watch.cancel()
        [committed] = heard
        return list(self.part.step(committed, NOW))

    def node(self, name: str) -> Node:
        node = self.store.view.node(NodeId(name))
        assert node is not None
        return node

    def take(self, effect: object) -> list[object]:
        """Commit what the part proposes, and let it hear of that."""
        assert isinstance(effect, Propose), effect
        [[action]] = effect.changes.groups
        assert isinstance(action, Update)
        effects = self.commit(action)
        return [*effects, *self.part.step(Proposed(effect.tag, self.store.view.version), NOW)]

    def left(self, name: str, error: Exception | None = None) -> list[object]:
        if error is None:
            self.members.pop(NodeId(name), None)
        return list(self.part.step(RaftLeft(NodeId(name), error), NOW))


def role_changed(name: str, role: str) -> Record:
    return Record("role-changed", {"node": name, "role": role})


def test_a_promotion_gives_the_role_at_once() -> None:
    """The node joins the group by itself when it has its certificate."""
    desk = Desk(a_node("m", MANAGER, MANAGER), a_node("w", WORKER, WORKER), members=("m",))
    assert desk.lead() == []
    [effect] = desk.wish("w", MANAGER)
    assert effect == Propose(Changes.atomic(Update(replace(desk.node("w"), role=MANAGER))), "1")
    assert desk.take(effect) == [role_changed("w", "manager")]
    assert desk.node("w").role is MANAGER


def test_a_demotion_waits_for_the_group() -> None:
    """The role follows the membership, never the other way round."""
    desk = Desk(a_node("m1", MANAGER, MANAGER), a_node("m2", MANAGER, MANAGER), members=("m1", "m2"))
    desk.lead()
    assert desk.wish("m2", WORKER) == [LeaveRaft(NodeId("m2"), 2)]
    # Looked at again meanwhile, it is not asked for a second time.
    assert desk.commit(Update(replace(desk.node("m2"), status=replace(desk.node("m2").status, addr="x")))) == []
    record, effect = desk.left("m2")
    assert record == Record("raft-left", {"node": "m2"})
    assert desk.take(effect) == [role_changed("m2", "worker")]
    assert desk.node("m2").role is WORKER


def test_a_departure_that_is_refused_is_tried_again() -> None:
    """Because of the quorum, or because the leader itself has to hand over first."""
    desk = Desk(a_node("m1", MANAGER, MANAGER), a_node("m2", MANAGER, WORKER), members=("m1", "m2"))
    assert desk.lead() == [LeaveRaft(NodeId("m2"), 2)]
    for error in (Precondition("no quorum"), NotLeader()):
        assert desk.left("m2", error) == [
            Record("raft-not-left", {"node": "m2", "error": str(error)}),
            SetTimer("again", Instant(NOW + seconds(5))),
        ]
        assert list(desk.part.step(TimerFired("again"), NOW)) == [LeaveRaft(NodeId("m2"), 2)]
    assert desk.node("m2").role is MANAGER
    # A wish that is taken back in time ends it.
    desk.left("m2", Precondition("no quorum"))
    assert desk.wish("m2", MANAGER) == []
    assert list(desk.part.step(TimerFired("again"), NOW)) == []


def test_a_member_that_is_gone_already_is_demoted() -> None:
    """Whoever removed it."""
    desk = Desk(a_node("m1", MANAGER, MANAGER), a_node("m2", MANAGER, WORKER), members=("m1", "m2"))
    desk.lead()
    del desk.members[NodeId("m2")]
    record, effect = desk.left("m2", NotFound("gone"))
    assert record == Record("raft-left", {"node": "m2"})
    assert desk.take(effect) == [role_changed("m2", "worker")]
    # One that had not joined yet needs no departure.
    desk.put(a_node("m3", MANAGER, MANAGER))
    [effect] = desk.wish("m3", WORKER)
    assert desk.take(effect) == [role_changed("m3", "worker")]


def test_members_without_a_node_are_evicted() -> None:
    """At the start of a term, and when a node is removed; but not before there is a cluster."""
    desk = Desk(a_node("m1", MANAGER, MANAGER), members=("m1", "ghost"))
    assert desk.lead() == [LeaveRaft(NodeId("ghost"), 2)]
    assert desk.left("ghost") == [Record("raft-left", {"node": "ghost"})]
    desk = Desk(a_node("m1", MANAGER, MANAGER), a_node("m2", MANAGER, MANAGER), members=("m1", "m2"))
    desk.lead()
    assert desk.commit(Delete(Node, "m2")) == [LeaveRaft(NodeId("m2"), 2)]
    assert Desk(members=("m1",), founded=False).lead() == []


def test_one_proposal_at_a_time() -> None:
    """Wishes that come meanwhile are taken up after it; refused ones again."""
    desk = Desk(a_node("a", WORKER, WORKER), a_node("b", WORKER, WORKER))
    desk.lead()
    [first] = desk.wish("a", MANAGER)
    assert desk.wish("b", MANAGER) == []
    assert isinstance(first, Propose)
    [second] = desk.part.step(Proposed(first.tag, 9, (Refused(0, OutOfSequence("late")),)), NOW)
    assert second == Propose(
        Changes(tuple((Update(replace(desk.node(name), role=MANAGER)),) for name in ("a", "b"))), "2"
    )
    failed = desk.part.step(Proposed("2", 0, (), Precondition("full")), NOW)
    assert [type(effect) for effect in failed] == [Record, SetTimer]
    [third] = desk.part.step(TimerFired(RETRY), NOW)
    assert isinstance(third, Propose)


def test_a_new_term_forgets_the_old_one() -> None:
    """An answer to what was asked in an earlier term means nothing."""
    desk = Desk(a_node("m1", MANAGER, MANAGER), a_node("m2", MANAGER, WORKER), members=("m1", "m2"))
    assert desk.lead() == desk.lead() == [LeaveRaft(NodeId("m2"), 2)]
    assert desk.wish("m2", MANAGER) == []
    assert list(desk.part.step(Committed(desk.store.view, (Change(ChangeKind.CREATED, Cluster(id="x")),)), NOW)) == []
