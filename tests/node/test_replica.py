"""Replicated managers: elections, proposals, followers, crashes, members."""

import random
from collections.abc import Callable

import pytest
from replica_group import Group, Seat

from swarmlab.api import (
    Changes,
    Create,
    Instant,
    ManagerStatus,
    NodeId,
    NotFound,
    NotLeader,
    Precondition,
    ProposalDropped,
    ProposalUnknown,
    Reachability,
    Task,
    TaskId,
    TooLarge,
)
from swarmlab.node import RaftMember, Replica, ReplicaConfig, Roster, Write, founding
from swarmlab.raft import RaftId, Role
from swarmlab.store import Store


def kinds(seat: Seat) -> dict[str, str]:
    """{proposal: "ok", or the kind of its error}"""
    return {key: type(outcome.error).__name__ if outcome.error else "ok" for key, outcome in seat.outcomes.items()}


def test_one_manager_leads_at_once_and_commits_what_its_disk_has() -> None:
    """A group of one waits for nobody but its disk."""
    group = Group(1)
    seat = group.leader
    assert seat.turns == ["lead"]
    seat.propose("a", "b")
    assert seat.tasks() == []
    group.run(0.1)
    assert (seat.tasks(), seat.versions, kinds(seat)) == (["a", "b"], [1, 2], {"a": "ok", "b": "ok"})


def test_what_is_proposed_in_one_moment_is_written_together() -> None:
    """Where the world says when the moment is over; nothing is written before."""
    written: list[int] = []
    moments: list[Callable[[], None]] = []

    class Disk:
        def write(self, write: Write, done: Callable[[Exception | None], None]) -> None:
            written.append(len(write.entries))
            done(None)

    class Wire:
        def know(self, roster: Roster) -> None: ...

    replica = Replica(
        ReplicaConfig(),
        founding(RaftMember(RaftId(1), NodeId("m1"), "m1:2377")),
        random.Random(1),
        Disk(),  # type: ignore[arg-type]  # no snapshot is taken
        Wire(),  # type: ignore[arg-type]  # nobody else is there
        soon=moments.append,
    )
    store = Store(replica, lambda: Instant(0), replica.snapshot)
    replica.start(store, lambda: None, lambda: None)
    before = len(written)
    for key in ("a", "b", "c"):
        store.propose(Changes.atomic(Create(Task(id=TaskId(key)))), lambda _: None)
    assert (len(written), len(moments), store.view.tasks()) == (before, 1, ())
    moments.pop()()
    assert (written[before:], [task.id for task in store.view.tasks()]) == ([3], ["a", "b", "c"])
    store.propose(Changes.atomic(Create(Task(id=TaskId("d")))), lambda _: None)
    moments.pop()()
    assert written[before:] == [3, 1]


@pytest.mark.parametrize("size", [3, 5])
def test_everybody_goes_through_the_same_versions(size: int) -> None:
    """What the leader commits is in every store, version by version."""
    group = Group(size)
    group.leader.propose(*(f"t{number:02}" for number in range(20)))
    group.run(1)
    group.agree()
    assert [len(view.tasks()) for view in group.views()] == [20] * size
    for seat in group.followers:
        # It began with the snapshot of an empty cluster.
        assert seat.versions == list(range(21))
        assert seat.turns == []


def test_a_follower_says_who_leads() -> None:
    """A proposal at a follower ends with NotLeader and the leader's address."""
    group = Group(3)
    follower = group.followers[0]
    follower.propose("a")
    error = follower.outcomes["a"].error
    assert isinstance(error, NotLeader)
    assert error.hint == f"{group.leader.replica.member.node_id}:2377"
    assert follower.replica.status().leader == group.leader.replica.member


@pytest.mark.parametrize("size", [3, 5])
def test_a_dead_leader_is_replaced_and_comes_back_as_a_follower(size: int) -> None:
    """What was acknowledged outlives the leader; it catches up when it comes back."""
    group = Group(size)
    old = group.leader
    old.propose("a", "b")
    group.run(1)
    old.crash()
    new = group.leader
    assert new is not old
    new.propose("c")
    group.run(1)
    old.start()
    group.run(3)
    group.agree()
    assert old.tasks() == ["a", "b", "c"]
    assert not old.replica.leads
    assert old.replica.status().role is Role.FOLLOWER


def test_a_leader_that_is_cut_off_resigns_and_does_not_know_what_became_of_its_proposals() -> None:
    """All of the chain ends as unknown, in order, and nothing of it is there when the others went on without it."""
    group = Group(3)
    old = group.leader
    old.propose("a")
    group.run(1)
    group.cut_off(old)
    old.propose("lost1", "lost2")
    group.run(5)
    assert old.turns == ["lead", "resign"]
    assert kinds(old) == {"a": "ok", "lost1": "ProposalUnknown", "lost2": "ProposalUnknown"}
    old.propose("late")
    assert isinstance(old.outcomes["late"].error, NotLeader)
    new = group.leader
    assert new is not old
    new.propose("b")
    group.run(1)
    group.mesh.heal()
    group.run(3)
    group.agree()
    assert old.tasks() == ["a", "b"]


def test_what_a_lost_leader_had_spread_may_still_be_committed() -> None:
    """ProposalUnknown is honest: the entry had reached the others, and the next leader commits it."""
    group = Group(3)
    old = group.leader
    old.propose("spread")
    # The entry is on its way to the others, no answer has come.
    group.until(lambda: all(seat.disk.under_way for seat in group.followers))
    group.cut_off(old)
    group.until(lambda: old.turns[-1] == "resign")
    assert isinstance(old.outcomes["spread"].error, ProposalUnknown)
    group.until(lambda: any(seat is not old for seat in group.leading))
    group.mesh.heal()
    group.run(3)
    group.agree()
    assert old.tasks() == ["spread"]


def test_a_leader_leads_only_when_all_that_came_before_is_applied() -> None:
    """Its first entry builds on everything that earlier leaders left in its log."""
    group = Group(3)
    old = group.leader
    first = old.replica._raft.last_index
    old.propose(*(f"t{number}" for number in range(9)))
    group.until(lambda: min(seat.replica._raft.last_index for seat in group.followers) >= first + 9)
    old.crash()
    new = group.leader
    left = len(new.tasks())
    assert 1 <= left <= 9
    new.propose("mine")
    group.run(1)
    assert new.outcomes["mine"].version == left + 1


@pytest.mark.parametrize("kept", [0, 1, 99])
def test_a_whole_group_loses_power_and_keeps_what_was_acknowledged(kept: int) -> None:
    """With or without the writes under way: an acknowledged proposal was on a majority of disks."""
    for seed in range(10):
        group = Group(3, seed)
        leader = group.leader
        leader.propose(*(f"t{number:03}" for number in range(40)))
        group.until(lambda leader=leader, count=5 + seed: len(leader.outcomes) >= count)
        acknowledged = {key for key, outcome in leader.outcomes.items() if outcome.error is None}
        for seat in group.seats:
            seat.crash(kept)
        for seat in group.seats:
            seat.start()
        group.run(1)
        group.leader.propose("after")
        group.run(2)
        group.agree()
        for seat in group.seats:
            assert {*acknowledged, "after"} <= set(seat.tasks()), f"seed {seed}"


def test_a_slow_member_gets_a_snapshot() -> None:
    """Who lacks entries that are gone is sent the whole state, and goes on from there."""
    group = Group(3, snapshot_every=20, slow_entries=5)
    slow = group.followers[0]
    slow.crash()
    for number in range(100):
        group.leader.propose(f"t{number:03}")
        group.run(0.05)
    assert len(group.leader.events("snapshot-saved")) >= 4
    slow.start()
    group.run(5)
    group.agree()
    assert len(slow.tasks()) == 100
    assert slow.events("snapshot-installed")[-1]["version"] >= 80
    # What it was sent is on its disk as well.
    slow.crash()
    slow.start()
    group.run(3)
    assert len(slow.tasks()) == 100
    assert slow.replica.status().log_size < 40


def test_a_restart_begins_with_the_snapshot_and_the_entries_after_it() -> None:
    """The log stays short, and nothing is lost by it."""
    group = Group(1, snapshot_every=10)
    for number in range(25):
        group.leader.propose(f"t{number:02}")
        group.run(0.1)
    seat = group.seats[0]
    assert seat.disk.recovered.image.view.version >= 9
    assert len(seat.disk.recovered.entries) < 20
    seat.crash()
    seat.start()
    group.leader.propose("again")
    group.run(1)
    assert len(seat.tasks()) == 26


def test_a_full_disk_falls_silent_and_nothing_acknowledged_is_lost() -> None:
    """A leader that cannot write resigns; the others elect another."""
    group = Group(3)
    old = group.leader
    old.propose("a")
    group.run(1)
    old.disk.full = "disk is full"
    old.propose("b")
    group.run(1)
    assert old.turns == ["lead", "resign"]
    assert kinds(old) == {"a": "ok", "b": "ProposalUnknown"}
    assert (old.replica.status().failure, old.replica.leader) == ("disk is full", None)
    old.propose("c")
    assert isinstance(old.outcomes["c"].error, ProposalDropped)
    new = group.leader
    assert new is not old
    assert "a" in new.tasks()
    new.propose("d")
    group.run(1)
    assert new.outcomes["d"].error is None
    old.disk.full = ""
    old.crash()
    old.start()
    group.run(3)
    group.agree()


def test_a_leader_whose_disk_does_not_answer_gives_up() -> None:
    """A disk that hangs costs the leadership, not the cluster, and is used again when it answers."""
    group = Group(3, wedge_ticks=30)
    old = group.leader
    old.disk.stalled = True
    old.propose("a")
    group.run(4)
    assert old.turns == ["lead", "resign"]
    assert isinstance(old.outcomes["a"].error, ProposalUnknown)
    new = group.leader
    assert new is not old
    old.disk.resume()
    new.propose("b")
    group.run(3)
    group.agree()
    assert "b" in old.tasks()


def test_a_lone_leader_leads_again_when_its_disk_answers_again() -> None:
    """Once everything that it had proposed is decided, and in the same term: there is nobody else."""
    group = Group(1, wedge_ticks=30)
    seat = group.leader
    seat.disk.stalled = True
    seat.propose("a", "b")
    group.run(5)
    assert seat.events("wedged") == [{"term": seat.replica.status().term, "ticks": 30}]
    assert kinds(seat) == {"a": "ProposalUnknown", "b": "ProposalUnknown"}
    seat.disk.resume()
    group.run(1)
    assert seat.turns == ["lead", "resign", "lead"]
    assert seat.tasks() == ["a", "b"]
    seat.propose("c")
    group.run(1)
    assert seat.outcomes["c"].version == 3


def test_members_join_once_and_leave_for_good() -> None:
    """A node is admitted once whoever asks again; one that left is told so, and joins anew under another id."""
    group = Group(3)
    leader = group.leader
    answers: list[object] = []
    leader.replica.join(NodeId("m2"), "m2:2377", lambda joined, error: answers.append((joined.member.raft_id, error)))
    assert answers == [(group.seats[1].raft_id, None)]
    leaver = group.followers[0]
    ends: list[Exception | None] = []
    leader.replica.leave(leaver.raft_id, ends.append)
    group.run(5)
    assert ends == [None]
    assert leaver.replica.status().removed
    assert leaver.raft_id in leader.replica.roster.removed
    assert [member.node_id for member in leader.replica.members()] == sorted(
        (seat.replica.member.node_id for seat in group.seats if seat is not leaver),
        key=lambda node: leader.replica.roster.of_node(node).raft_id,  # type: ignore[union-attr]
    )
    leader.replica.leave(leaver.raft_id, ends.append)
    assert isinstance(ends[1], NotFound)
    again = group.join(leaver.replica.member.node_id)
    group.run(3)
    assert again.raft_id != leaver.raft_id
    leader.propose("a")
    group.run(1)
    assert again.tasks() == ["a"]


def test_a_member_moves_to_another_address() -> None:
    """Joining again with another address changes it everywhere."""
    group = Group(3)
    answers: list[object] = []
    group.leader.replica.join(
        NodeId("m2"), "10.0.0.9:2377", lambda joined, error: answers.append((joined.member.addr, error))
    )
    group.run(1)
    assert answers == [("10.0.0.9:2377", None)]
    for seat in group.seats:
        assert seat.replica.roster.of_node(NodeId("m2")).addr == "10.0.0.9:2377"  # type: ignore[union-attr]
        assert len(seat.wire.roster.members) == 3


def test_nobody_leaves_whom_the_others_need() -> None:
    """A removal that would cost the quorum is refused; so is that of the last member."""
    group = Group(3)
    leader = group.leader
    dead, alive = group.followers
    dead.crash()
    group.run(1.5)
    ends: list[Exception | None] = []
    leader.replica.leave(alive.raft_id, ends.append)
    [error] = ends
    assert isinstance(error, Precondition)
    assert str(error) == (
        f"member {alive.raft_id} cannot be removed from the raft group, this would result in a loss of quorum: "
        "1 of the other 2 managers answer, 2 are needed"
    )
    leader.replica.leave(dead.raft_id, ends.append)
    group.run(1)
    assert ends[1:] == [None]
    alone = Group(1)
    alone.leader.replica.leave(alone.seats[0].raft_id, ends.append)
    assert str(ends[2]) == "member 11 is the last manager of the swarm"


def test_the_lead_is_not_handed_to_one_that_has_just_died() -> None:
    """It counts as reachable for an election timeout still; one that has answered the last heartbeats leads next."""
    group = Group()
    leader = group.leader
    living, dead = sorted(group.followers, key=lambda seat: seat.raft_id)
    dead.crash()
    # Four ticks without a word: more than a few heartbeats, less than an election timeout.
    group.run(0.4)
    assert leader.replica.managers()[dead.replica.member.node_id].reachability is Reachability.REACHABLE
    leader.replica.transfer()
    assert [event["to"] for event in leader.events("transfer")] == [living.raft_id]
    group.until(lambda: group.leading == [living])


def test_a_leader_that_is_to_leave_hands_over_first() -> None:
    """It is asked to go, another takes over without waiting for a time-out, and that one removes it."""
    group = Group(3)
    old = group.leader
    ends: list[Exception | None] = []
    old.replica.leave(old.raft_id, ends.append)
    group.run(0.5)
    assert isinstance(ends[0], NotLeader)
    new = group.leader
    assert new is not old
    new.replica.leave(old.raft_id, ends.append)
    group.run(5)
    assert ends[1] is None
    assert old.replica.status().removed


def test_managers_as_the_leader_sees_them() -> None:
    """The leader knows who answers; a follower knows only of the leader."""
    group = Group(3)
    leader = group.leader
    dead, other = group.followers
    dead.crash()
    group.run(1.5)

    def seen(by: Seat, of: Seat) -> ManagerStatus:
        return by.replica.managers()[of.replica.member.node_id]

    assert seen(leader, leader) == ManagerStatus(
        raft_id=leader.raft_id,
        addr=f"{leader.replica.member.node_id}:2377",
        leader=True,
        reachability=Reachability.REACHABLE,
    )
    assert seen(leader, dead).reachability is Reachability.UNREACHABLE
    assert seen(leader, other).reachability is Reachability.REACHABLE
    assert seen(other, leader).reachability is Reachability.REACHABLE
    assert seen(other, dead).reachability is Reachability.UNKNOWN


def test_a_read_at_any_member_sees_what_was_committed_before_it() -> None:
    """Also at a follower that lags behind; without a leader it ends."""
    group = Group(3)
    leader, follower = group.leader, group.followers[0]
    leader.propose("a")
    group.until(lambda: "a" in leader.outcomes)
    assert follower.tasks() == []
    seen: list[object] = []

    def note(view, error) -> None:  # type: ignore[no-untyped-def]
        seen.append([task.id for task in view.tasks()] if view is not None else type(error).__name__)

    follower.replica.read(note)
    leader.replica.read(note)
    group.run(1)
    assert seen == [["a"], ["a"]]
    group.cut_off(follower)
    follower.replica.read(note)
    group.run(5)
    assert seen[2:] == ["ProposalDropped"]


def test_limits_of_an_entry_are_the_stores() -> None:
    """A group of changes beyond SwarmKit's limit is refused and not proposed."""
    group = Group(1)
    group.leader.propose("x" * 1_600_000)
    (outcome,) = group.leader.outcomes.values()
    assert isinstance(outcome.refused[0].error, TooLarge)


def test_followers_of_the_status_hear_of_turns() -> None:
    """Leader, role and members; not every entry."""
    group = Group(1)
    heard = []
    group.leader.replica.follow(heard.append)
    group.leader.propose(*(f"t{number}" for number in range(9)))
    group.run(1)
    assert heard == []
    group.join("m2")
    group.run(2)
    assert len(heard) == 1
    group.seats[1].crash()
    group.run(3)
    assert [status.leads for status in heard[1:]] == [False] or heard[-1].leads is False


@pytest.mark.parametrize("seed", range(30))
def test_acknowledged_proposals_survive_whatever_happens(seed: int) -> None:
    """Crashes with and without the last writes, partitions, losses and duplicates; then peace, and all agree."""
    group = Group(3 if seed % 2 else 5, seed, snapshot_every=25, slow_entries=5)
    rng = random.Random(seed)
    group.mesh_model = type(group.mesh_model)(loses=rng.choice((0, 0.05)), duplicates=rng.choice((0, 0.1)))
    number, acknowledged = 0, set()
    for _ in range(60):
        match rng.randrange(8):
            case 0:
                seat = rng.choice(group.seats)
                if seat.up:
                    seat.crash(rng.randrange(3))
            case 1 | 2:
                for seat in group.seats:
                    if not seat.up:
                        seat.start()
            case 3:
                group.cut_off(rng.choice(group.seats))
            case 4:
                group.mesh.heal()
            case _:
                for seat in group.leading:
                    for _ in range(rng.randrange(1, 8)):
                        number += 1
                        seat.propose(f"t{number:04}")
        group.run(rng.choice((0.01, 0.1, 1, 3)))
    group.mesh_model = type(group.mesh_model)()
    group.mesh.heal()
    for seat in group.seats:
        if not seat.up:
            seat.start()
    group.run(10)
    group.leader.propose("peace")
    group.run(3)
    group.agree()
    for seat in group.seats:
        acknowledged |= {key for key, outcome in seat.outcomes.items() if outcome.error is None}
    there = set(group.leader.tasks())
    assert acknowledged <= there, f"seed {seed}: lost {sorted(acknowledged - there)}"
    dropped = {
        key
        for seat in group.seats
        for key, outcome in seat.outcomes.items()
        if isinstance(outcome.error, NotLeader | ProposalDropped)
    }
    assert not dropped & there, f"seed {seed}: said to be dropped, but committed"
