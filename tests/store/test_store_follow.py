"""Entries that others proposed: a store that follows goes through the same versions."""

import pytest
from store_builders import EMPTY, HeldProposer, Witness, a_task, contents, create, delete, update

from swarmlab.api import ProposalUnknown, StateError
from swarmlab.store import CommitAtOnce, Entry


class Overheard:
    """A proposer that commits at once and keeps what went by."""

    max_entry_bytes = None

    def __init__(self):
        self.entries: list[Entry] = []

    def propose(self, entry, done):
        self.entries.append(entry)
        done(None)


@pytest.fixture
def leader():
    """A store that went through three versions, with the bytes of its entries."""
    overheard = Overheard()
    witness = Witness(overheard)
    witness.propose("a", create(a_task("t1")))
    witness.propose("b", create(a_task("t2")))
    witness.propose("c", delete(a_task("t1")))
    witness.entries = [entry.data() for entry in overheard.entries]
    return witness


def test_a_follower_tells_the_same_commits(leader):
    follower = Witness(HeldProposer())
    for data in leader.entries:
        follower.store.follow(data)
    told = [(commit.view.version, commit.changes) for commit in follower.commits]
    assert told == [(commit.view.version, commit.changes) for commit in leader.commits]
    assert contents(follower.store.view) == contents(leader.store.view)
    # It can lead from there.
    follower.propose("d", update(follower.store.view.task("t2")))
    assert follower.store._proposer.waiting[0][0].version == 4


def test_the_history_goes_on_over_followed_entries(leader):
    follower = Witness(CommitAtOnce())
    for data in leader.entries:
        follower.store.follow(data)
    heard = []
    follower.store.watch(1, heard.append)
    assert [committed.view.version for committed in heard] == [2, 3]


def test_proposals_on_their_way_end_as_unknown_before_the_commit_is_told(leader):
    proposer = HeldProposer()
    follower = Witness(proposer)
    follower.propose("mine", create(a_task("t9")))
    follower.store.follow(leader.entries[0])
    assert follower.story == [("mine", "ProposalUnknown"), ("commit", 1)]
    assert isinstance(follower.outcome("mine").error, ProposalUnknown)
    assert [task.id for task in follower.store.view.tasks()] == ["t1"]
    # A late answer of the proposer changes nothing.
    _, done = proposer.waiting.pop()
    done(ProposalUnknown("lost"))
    assert follower.store.view.version == 1


def test_what_does_not_follow_changes_nothing(leader):
    follower = Witness(CommitAtOnce())
    for data, words in ((leader.entries[1], "log entry 2 cannot follow version 0"), (b"\x93\x01", "damaged")):
        with pytest.raises(StateError, match=words):
            follower.store.follow(data)
    assert follower.store.view is EMPTY
    assert follower.commits == []


def test_a_snapshot_is_adopted_as_one_commit(leader):
    follower = Witness(CommitAtOnce())
    follower.store.follow(leader.entries[0])
    changes = follower.store.adopt(leader.store.view)
    assert [(change.kind.name, change.object.id) for change in changes] == [("REMOVED", "t1"), ("CREATED", "t2")]
    assert follower.store.view is leader.store.view
    assert follower.commits[-1].changes == changes
