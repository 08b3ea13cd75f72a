"""Whole managers over replicas: roles follow the raft group, and the group follows the roles."""

import random
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace
from replica_group import Group, Seat

from swarmlab.api import (
    Changes,
    Create,
    Delete,
    Instant,
    Node,
    NodeId,
    NodeRole,
    NodeSpec,
    NotLeader,
    OutOfSequence,
    ProposalDropped,
    ProposalUnknown,
    Update,
    seconds,
)
from swarmlab.manager.controlapi import update_node
from swarmlab.node import Manager, ManagerConfig, MembershipPorts, Ports, Replica, found_cluster
from swarmlab.plugin import Host
from swarmlab.sim import HeapTimers
from swarmlab.store import Snapshot

HOST = Host.load("spread", strict=True)


class Managers(Group):
    """Managers in place of bare stores."""

    def __init__(self, size: int, seed: int = 1) -> None:
        self.managers: dict[str, Manager] = {}
        super().__init__(size, seed)

    def made(self, seat: Seat, replica: Replica) -> tuple[Any, Callable[[], None], Callable[[], None]]:
        node = replica.member.node_id
        manager = Manager(
            ManagerConfig(manager_id=node, seed=seat.lives),
            HOST,
            Ports(
                clock=self.heap.clock,
                timers=lambda fire: HeapTimers(self.heap, fire),
                send=lambda *_: None,
                record=lambda part, event, fields: seat.records.append((f"{part}/{event}", dict(fields))),
            ),
            replica,
            replica.snapshot,
            membership=MembershipPorts(replica.managers, replica.leave),
        )
        self.managers[node] = manager
        return manager.store, manager.lead, manager.resign

    def ask(self, request: Callable[[Snapshot, random.Random, Instant], tuple[Changes, Any]]) -> None:
        """What a patient client does, who looks for the leader."""
        for _ in range(20):
            answers: list[Exception | None] = []
            manager = self.managers[self.leader.replica.member.node_id]
            manager.mutate(request, lambda _, error, answers=answers: answers.append(error))  # type: ignore[misc]
            self.until(lambda answers=answers: bool(answers))  # type: ignore[misc]
            if answers == [None]:
                return
            assert isinstance(answers[0], OutOfSequence | NotLeader | ProposalDropped | ProposalUnknown), answers
        raise AssertionError("nobody took the request")

    def found(self) -> None:
        nodes = [
            Node(id=seat.replica.member.node_id, role=NodeRole.MANAGER, spec=NodeSpec(desired_role=NodeRole.MANAGER))
            for seat in self.seats
        ]

        def founded(view: Snapshot, ids: random.Random, _: Instant) -> tuple[Changes, None]:
            changes, _id = found_cluster(view, ids, heartbeat=seconds(5))
            return Changes.atomic(*changes.groups[0], *map(Create, nodes)), None

        self.ask(founded)
        self.run(1)

    def wish(self, node_id: str, role: NodeRole) -> None:
        def change(view: Snapshot, _: random.Random, __: Instant) -> tuple[Changes, Node]:
            node = view.node(NodeId(node_id))
            assert node is not None
            managers = self.leader.replica.managers()
            spec = replace(node.spec, desired_role=role)
            return update_node(view, node.id, node.meta.version.index, spec, managers)

        self.ask(change)

    def role(self, node_id: str) -> NodeRole:
        node = self.leader.store.view.node(NodeId(node_id))
        assert node is not None
        return node.role


def test_a_follower_is_demoted_after_it_left_the_group() -> None:
    """Out of the group first, then the role."""
    group = Managers(3)
    group.found()
    leaver = group.followers[0]
    name = leaver.replica.member.node_id
    group.wish(name, NodeRole.WORKER)
    group.until(lambda: group.role(name) is NodeRole.WORKER)
    assert leaver.raft_id in group.leader.replica.roster.removed
    group.run(5)
    assert leaver.replica.status().removed


def test_a_leader_that_is_demoted_hands_over_first() -> None:
    """The next leader lets it go, and the cluster goes on."""
    group = Managers(3)
    group.found()
    old = group.leader
    name = old.replica.member.node_id
    group.wish(name, NodeRole.WORKER)
    group.until(lambda: group.leader is not old and group.role(name) is NodeRole.WORKER)
    assert old.raft_id in group.leader.replica.roster.removed
    group.run(8)
    assert old.replica.status().removed
    assert len(group.leader.replica.voters) == 2


def test_a_demotion_that_would_cost_the_quorum_waits_for_it() -> None:
    """The wish was taken before the death of another was known; the departure is tried until that one is back."""
    group = Managers(3)
    group.found()
    dead, alive = group.followers
    name = alive.replica.member.node_id
    dead.crash()
    group.run(0.5)
    group.wish(name, NodeRole.WORKER)
    group.run(12)
    assert [fields["node"] for fields in group.leader.events("roles/raft-not-left")] == [name] * 3
    assert group.role(name) is NodeRole.MANAGER
    dead.start()
    group.until(lambda: group.role(name) is NodeRole.WORKER)


def test_a_promoted_node_joins_and_is_in_every_list() -> None:
    """The role comes first; the node joins by itself."""
    group = Managers(1)
    group.found()
    node = Node(id=NodeId("m2"), role=NodeRole.WORKER, spec=NodeSpec(desired_role=NodeRole.WORKER))
    group.ask(lambda *_: (Changes.atomic(Create(node)), None))
    group.wish("m2", NodeRole.MANAGER)
    group.until(lambda: group.role("m2") is NodeRole.MANAGER)
    group.join("m2")
    group.run(3)
    assert sorted(group.leader.replica.managers()) == ["m1", "m2"]
    assert len(group.leader.replica.voters) == 2


def test_a_member_whose_node_is_gone_is_evicted() -> None:
    """By whoever leads."""
    group = Managers(3)
    group.found()
    gone = group.followers[0]
    group.ask(lambda *_: (Changes.atomic(Delete(Node, gone.replica.member.node_id)), None))
    group.until(lambda: gone.raft_id in group.leader.replica.roster.removed)
    stored = group.leader.store.view.node(group.leader.replica.member.node_id)
    assert stored is not None
    group.ask(lambda view, *_: (Changes.atomic(Update(view.node(stored.id))), None))  # type: ignore[arg-type]
