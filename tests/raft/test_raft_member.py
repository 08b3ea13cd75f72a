"""One member by itself: what it answers, what it wants done and in which order."""

import random

import pytest
from raft_cluster import Cluster

from swarmlab.api import InvalidSpec
from swarmlab.raft import (
    ChangeKind,
    ConfigChange,
    HardState,
    LogEntry,
    Membership,
    Message,
    MessageKind,
    Raft,
    RaftConfig,
    RaftId,
    Ready,
    Role,
    SnapshotMeta,
    Stored,
    founded,
)
from swarmlab.raft.quorum import Outcome, needed, outcome, reached

ONE, TWO, THREE = RaftId(1), RaftId(2), RaftId(3)
VOTERS = Membership(voters=(ONE, TWO, THREE))


def a_member(stored: Stored, raft_id: RaftId = ONE, **settings: int) -> Raft:
    return Raft(RaftConfig(raft_id=raft_id, **settings), stored, random.Random(1))


def a_log(*terms: int) -> Stored:
    entries = tuple(LogEntry(index, term) for index, term in enumerate(terms, 1))
    return Stored(hard_state=HardState(term=terms[-1]), snapshot=SnapshotMeta(members=VOTERS), entries=entries)


def done(raft: Raft) -> list[Ready]:
    """Let a member do all that it wants."""
    readies = []
    while (ready := raft.ready()) is not None:
        raft.advance(ready)
        readies.append(ready)
    return readies


def test_follower_commits_only_what_it_matched() -> None:
    """The leader committed 4; entry 3 here is not known to be its entry 3. Raft figure 2, AppendEntries 5."""
    raft = a_member(a_log(1, 1, 2))
    raft.step(Message(kind=MessageKind.APPEND, to=ONE, sender=TWO, term=3, index=2, log_term=1, commit=4))

    assert done(raft) == [
        Ready(
            hard_state=HardState(term=3, commit=2),
            committed=(LogEntry(1, 1), LogEntry(2, 1)),
            messages=(Message(kind=MessageKind.APPEND_ANSWER, to=TWO, sender=ONE, term=3, index=2),),
            leader=TWO,
            term=3,
        )
    ]


def test_write_that_only_moves_the_commit_index_is_saved() -> None:
    """The commit index goes to the disk with the next entries; after a restart the leader tells it again."""
    raft = a_member(a_log(1, 1))
    heartbeat = Message(kind=MessageKind.HEARTBEAT, to=ONE, sender=TWO, term=1, commit=2)
    raft.step(heartbeat)
    first = done(raft)
    entry = LogEntry(3, 1, data=b"a")
    raft.step(
        Message(kind=MessageKind.APPEND, to=ONE, sender=TWO, term=1, index=2, log_term=1, entries=(entry,), commit=2)
    )
    second = done(raft)

    assert [(ready.hard_state, ready.entries) for ready in first] == [(None, ())]
    assert [(ready.hard_state, ready.entries) for ready in second] == [(HardState(term=1, commit=2), (entry,))]


def test_message_for_another_is_not_heard() -> None:
    """Perhaps an address went from a member to its successor."""
    raft = a_member(a_log(1))
    raft.step(Message(kind=MessageKind.VOTE, to=TWO, sender=THREE, term=9, index=9, log_term=9))

    assert (raft.term, done(raft)) == (1, [])


def test_one_ready_at_a_time() -> None:
    """What a member wants is asked for again only after the last was done."""
    raft = a_member(founded([ConfigChange(ChangeKind.ADD_VOTER, ONE)]))
    ready = raft.ready()
    assert ready is not None
    with pytest.raises(AssertionError, match="before advance"):
        raft.ready()
    raft.advance(ready)
    with pytest.raises(AssertionError, match="another Ready"):
        raft.advance(ready)


def test_own_vote_counts_once_it_is_durable() -> None:
    """Else a restart could give it to another, or lead the same term twice. An older write does not make it durable."""
    raft = a_member(founded([ConfigChange(ChangeKind.ADD_VOTER, ONE)]))
    older = raft.ready()
    assert older is not None
    raft.tick()
    raft.advance(older)
    assert raft.role == Role.CANDIDATE
    vote = raft.ready()
    assert vote is not None
    assert (vote.hard_state, vote.role) == (HardState(term=2, vote=ONE, commit=1), Role.CANDIDATE)
    raft.advance(vote)
    assert raft.role == Role.LEADER


def test_entry_that_was_replaced_while_it_was_written_is_written_anew() -> None:
    """What the disk got meanwhile is not taken for what the log has now; what is common is not written again."""
    raft = a_member(a_log(1))

    def append(term: int, sender: RaftId, *terms: int) -> Message:
        entries = tuple(LogEntry(index, entry) for index, entry in enumerate(terms, 2))
        return Message(kind=MessageKind.APPEND, to=ONE, sender=sender, term=term, index=1, log_term=1, entries=entries)

    raft.step(append(2, TWO, 2, 2))
    ready = raft.ready()
    assert ready is not None
    raft.step(append(3, THREE, 2, 3))
    raft.advance(ready)

    assert ready.entries == (LogEntry(2, 2), LogEntry(3, 2))
    assert [(each.hard_state, each.entries) for each in done(raft)] == [(HardState(term=3), (LogEntry(3, 3),))]


def test_batch_is_one_message_to_each_follower() -> None:
    """Proposals between two `ready` go together, and so do their answers and the word that they are committed."""
    cluster = Cluster()
    cluster.found(3)
    leader = cluster.members[ONE]
    raft = leader.raft
    assert raft is not None
    raft.campaign()
    cluster.settle(leader)
    while cluster.wire:
        cluster.deliver(0)
    for number in range(64):
        raft.propose(b"%d" % number)
    cluster.settle(leader)
    sent = 0
    while cluster.wire:
        cluster.deliver(0)
        sent += 1

    assert raft.role == Role.LEADER
    assert [member.applied for member in cluster.members.values()] == [68, 68, 68]
    # To each of two: entries, answer, commit, answer.
    assert sent == 8


def test_compaction_keeps_entries_for_slow_followers() -> None:
    """They stay in memory behind the snapshot, but the log is counted from the snapshot."""
    raft = a_member(founded([ConfigChange(ChangeKind.ADD_VOTER, ONE)]), slow_entries=3)
    raft.tick()
    done(raft)
    for number in range(10):
        raft.propose(b"%d" % number)
    done(raft)
    meta = raft.snapshot_at(raft.applied - 2)
    raft.compact(meta)

    assert meta == SnapshotMeta(index=10, term=2, members=Membership(voters=(ONE,)))
    assert (raft.snapshot, raft.last_index, raft.log_size) == (meta, 12, 2)
    older = SnapshotMeta(index=9, term=2, members=meta.members)
    raft.compact(older)
    assert raft.snapshot == meta


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"raft_id": 0}, "raft_id is 0, want 1 or more"),
        ({"raft_id": 1, "heartbeat_ticks": 10}, "heartbeat_ticks is 10 and election_ticks 10, want"),
        ({"raft_id": 1, "heartbeat_ticks": 0}, "heartbeat_ticks is 0 and election_ticks 10, want"),
        ({"raft_id": 1, "max_inflight": 0}, "max_inflight is 0, want 1 or more"),
        ({"raft_id": 1, "slow_entries": -1}, "slow_entries is -1, want 0 or more"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, int], message: str) -> None:
    """The error names the setting, its value and the range."""
    with pytest.raises(InvalidSpec, match=message):
        RaftConfig(**settings)  # type: ignore[arg-type]


def test_majorities() -> None:
    """More than half of the voters; others do not count, and nobody is no majority."""
    voters = (ONE, TWO, THREE, RaftId(4))
    have = {ONE: 5, TWO: 3, THREE: 9, RaftId(4): 1}

    assert [needed(voters[:count]) for count in range(5)] == [1, 1, 2, 2, 3]
    assert [reached(voters[:count], have.__getitem__) for count in range(5)] == [0, 5, 3, 5, 3]
    assert outcome(voters, {ONE: True, TWO: True, RaftId(9): True}) == Outcome.OPEN
    assert outcome(voters, {ONE: True, TWO: True, THREE: True}) == Outcome.WON
    assert outcome(voters, {ONE: True, TWO: False, THREE: False}) == Outcome.LOST
    assert outcome((), {ONE: True}) == Outcome.LOST
