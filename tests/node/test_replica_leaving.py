"""Members that go while something else is under way with them."""

from replica_group import Group

from swarmlab.api import NodeId


def test_a_learner_that_leaves_is_given_no_vote() -> None:
    """Its promotion waits behind its removal; a vote for it then would be one that nobody ever casts."""
    group = Group(3)
    leader = group.leader
    voters = leader.replica.voters
    learner = group.join("m4")
    for follower in group.followers:
        follower.disk.stalled = follower is not learner
    ends: list[Exception | None] = []
    # The removal waits for this, and the promotion for both.
    leader.replica.join(NodeId("m5"), "m5:2377", lambda _, error: ends.append(error))
    leader.replica.leave(learner.raft_id, ends.append)
    group.run(0.5)
    assert ends == []
    for seat in group.seats:
        seat.disk.resume()
    group.until(lambda: len(ends) == 2)
    group.run(3)
    assert ends == [None, None]
    assert leader.replica.voters == voters
    [refused] = leader.events("not-promoted")
    assert refused == {"raft_id": learner.raft_id, "error": f"member {learner.raft_id} is no learner any more"}


def test_a_learner_that_was_removed_behind_its_back_finds_out() -> None:
    """It has no vote to ask for, and nobody sends it a word; so it says one itself, now and then."""
    group = Group(3)
    learner = group.join("m4")
    group.cut_off(learner)
    ends: list[Exception | None] = []
    group.leader.replica.leave(learner.raft_id, ends.append)
    group.until(lambda: bool(ends))
    assert ends == [None]
    group.run(3)
    group.mesh.heal()
    group.run(5)
    assert learner.replica.status().removed
