"""Proposals on their way: order, failure, limits, the end."""

import pytest
from store_builders import (
    EMPTY,
    HeldProposer,
    Witness,
    a_service,
    a_task,
    a_view,
    contents,
    create,
    delete,
    named,
    replace,
    update,
)

from swarmlab.api import (
    Changes,
    Config,
    ConfigSpec,
    Create,
    NotLeader,
    OutOfSequence,
    ProposalDropped,
    ProposalUnknown,
    Service,
    Task,
    TooLarge,
    Update,
    Version,
)
from swarmlab.store import CommitAtOnce, Outcome, Snapshot, Store


def test_at_once_the_commit_is_told_before_its_outcome():
    witness = Witness(CommitAtOnce())
    witness.propose("a", create(a_task("t1")))
    witness.propose("b", create(a_task("t2")))
    assert witness.story == [("commit", 1), ("a", 1), ("commit", 2), ("b", 2)]
    assert [task.id for task in witness.store.view.tasks()] == ["t1", "t2"]
    assert [(change.object.id, change.old) for change in witness.commits[1].changes] == [("t2", None)]
    assert witness.commits[1].view is witness.store.view


def test_refused_groups_come_with_the_outcome():
    witness = Witness(CommitAtOnce(), a_view(a_task("t1")))
    witness.propose("a", [*create(a_task("t1")), *create(a_task("t2"))])
    outcome = witness.outcome("a")
    assert (outcome.version, outcome.error, [refused.group for refused in outcome.refused]) == (2, None, [0])


@pytest.mark.parametrize("groups", [[], [[]], create(a_task("t1"))], ids=["nothing", "an empty group", "all refused"])
def test_nothing_to_commit_ends_at_the_version_it_was_held_against(groups):
    witness = Witness(CommitAtOnce(), a_view(a_task("t1")))
    witness.propose("a", groups)
    assert witness.story == [("a", 1)]
    assert witness.commits == []


def test_several_proposals_are_on_their_way_at_once():
    proposer = HeldProposer()
    witness = Witness(proposer)
    witness.propose("a", create(a_task("t1")))
    witness.propose("b", update(a_task("t1", slot=2)))  # refused: it carries version 0
    witness.propose("c", create(a_task("t2")))
    assert witness.store.view.version == 0
    assert [entry.version for entry, _ in proposer.waiting] == [1, 2]
    # "b" was judged by what is not committed yet, so it waits for that.
    assert witness.story == []
    proposer.commit()
    assert witness.story == [("commit", 1), ("a", 1), ("b", 1)]
    assert isinstance(witness.outcome("b").refused[0].error, OutOfSequence)
    proposer.commit()
    assert witness.story[3:] == [("commit", 2), ("c", 2)]


def test_a_proposal_is_held_against_those_on_their_way():
    proposer = HeldProposer()
    witness = Witness(proposer)
    witness.propose("a", create(a_service("s1", "web")))
    witness.propose("b", create(a_service("s2", "web")))
    witness.propose(
        "c", [[Update(replace(named(Service, "s1", "shop"), meta=proposer.waiting[0][0].changes[0].object.meta))]]
    )
    proposer.commit(2)
    assert len(witness.outcome("b").refused) == 1
    assert witness.outcome("c") == Outcome(version=2)
    assert witness.store.view.by_name(Service, "shop").meta.version == Version(2)


@pytest.mark.parametrize(
    "error", [ProposalDropped("no"), NotLeader("m2"), TooLarge("no")], ids=lambda error: type(error).__name__
)
def test_a_definite_failure_drops_all_that_came_after_it(error):
    proposer = HeldProposer()
    witness = Witness(proposer)
    for name in "abcd":
        witness.propose(name, create(a_task(name)))
    witness.propose("e", create(a_task("a")))
    proposer.commit()
    proposer.fail(error)
    assert witness.story[2:] == [
        ("b", type(error).__name__),
        ("c", "ProposalDropped"),
        ("d", "ProposalDropped"),
        ("e", "ProposalDropped"),
    ]
    assert witness.outcome("b").error is error
    assert [task.id for task in witness.store.view.tasks()] == ["a"]
    # The head is the committed view again: what was dropped can be proposed anew.
    witness.propose("b again", create(a_task("b")))
    assert proposer.waiting[0][0].version == 2
    proposer.commit()
    assert witness.outcome("b again") == Outcome(version=2)


def test_a_failure_leaves_what_came_before_it():
    proposer = HeldProposer()
    witness = Witness(proposer)
    for name in "abc":
        witness.propose(name, create(a_task(name)))
    proposer.fail(TooLarge("no"), place=1)
    assert witness.story == [("b", "TooLarge"), ("c", "ProposalDropped")]
    witness.propose("d", create(a_task("b")))
    proposer.commit(2)
    assert [task.id for task in witness.store.view.tasks()] == ["a", "b"]
    assert proposer.final == [1, 2]


@pytest.mark.parametrize("error", [ProposalUnknown("lost"), OSError("disk")], ids=lambda error: type(error).__name__)
def test_an_indefinite_failure_is_told_as_such(error):
    proposer = HeldProposer()
    witness = Witness(proposer)
    witness.propose("a", create(a_task("a")))
    witness.propose("b", create(a_task("b")))
    proposer.fail(error)
    assert witness.story == [("a", "ProposalUnknown"), ("b", "ProposalUnknown")]
    told = witness.outcome("a").error
    assert told is error or told.__cause__ is error
    assert witness.store.view is EMPTY


def test_a_proposer_that_commits_what_it_had_to_drop_is_found_out():
    proposer = HeldProposer()
    witness = Witness(proposer)
    witness.propose("a", create(a_task("a")))
    witness.propose("b", create(a_task("b")))
    (_, first), (_, second) = proposer.waiting
    first(ProposalDropped("no"))
    with pytest.raises(AssertionError, match="after one before it had failed"):
        second(None)


def test_a_proposer_that_commits_out_of_order_is_found_out():
    proposer = HeldProposer()
    witness = Witness(proposer)
    witness.propose("a", create(a_task("a")))
    witness.propose("b", create(a_task("b")))
    with pytest.raises(AssertionError, match="before an earlier one"):
        proposer.waiting[1][1](None)


def test_a_failed_proposal_is_seen_by_nobody():
    proposer = HeldProposer()
    witness = Witness(proposer)
    heard = []
    witness.store.watch(None, heard.append)
    witness.propose("a", create(a_task("a")))
    proposer.fail(ProposalDropped("no"))
    assert heard == witness.commits == []


def test_what_a_callback_proposes_is_told_after_it():
    story = []

    def committed(event):
        story.append(("begin", event.view.version))
        if event.view.version < 3:
            store.propose(
                Changes.atomic(Create(a_task(f"t{event.view.version}"))),
                lambda outcome: story.append(("done", outcome.version)),
            )
        story.append(("end", event.view.version))

    store = Store(CommitAtOnce(), lambda: 0, on_commit=committed)
    heard = []
    store.watch(None, lambda event: heard.append(event.view.version))
    store.propose(Changes.atomic(Create(a_task("first"))), lambda outcome: story.append(("done", outcome.version)))
    assert story == [
        ("begin", 1),
        ("end", 1),
        ("done", 1),
        ("begin", 2),
        ("end", 2),
        ("done", 2),
        ("begin", 3),
        ("end", 3),
        ("done", 3),
    ]
    assert heard == [1, 2, 3]


def test_a_callback_that_raises_does_not_stop_the_store():
    def failing(outcome):
        raise ZeroDivisionError

    store = Store(CommitAtOnce(), lambda: 0)
    heard = []
    store.watch(None, lambda event: heard.append(event.view.version))
    with pytest.raises(ZeroDivisionError):
        store.propose(Changes.atomic(Create(a_task("t1"))), failing)
    store.propose(Changes.atomic(Create(a_task("t2"))), lambda outcome: heard.append(outcome))
    assert heard == [1, 2, Outcome(version=2)]


def test_after_close_nothing_commits():
    proposer = HeldProposer()
    witness = Witness(proposer)
    witness.propose("a", create(a_task("a")))
    witness.propose("b", [])
    witness.store.close()
    assert witness.story == [("a", "ProposalUnknown"), ("b", "ProposalUnknown")]
    proposer.commit()
    assert witness.store.view is EMPTY
    assert witness.commits == []
    witness.propose("c", create(a_task("c")))
    assert witness.story[2:] == [("c", "ProposalDropped")]
    assert proposer.waiting == []
    witness.store.close()


class Limited(CommitAtOnce):
    def __init__(self, limit):
        self.max_entry_bytes = limit
        self.sizes = []
        self.versions = []

    def propose(self, entry, done):
        self.sizes.append(entry.size())
        self.versions.append(entry.version)
        super().propose(entry, done)


def a_config(key, size):
    return Config(id=key, spec=ConfigSpec(annotations=named(Config, key, key).spec.annotations, data=b"x" * size))


def test_what_fits_is_one_version():
    proposer = Limited(20_000)
    witness = Witness(proposer)
    witness.propose("a", create(*(a_config(f"c{number}", 1_000) for number in range(10))))
    assert proposer.versions == [1]
    assert witness.story == [("commit", 1), ("a", 1)]


def test_what_is_too_large_is_parted_between_groups():
    proposer = Limited(5_000)
    witness = Witness(proposer)
    groups = create(*(a_config(f"c{number}", 1_000) for number in range(10)))
    groups.insert(3, [*create(a_config("d1", 1_500))[0], *create(a_config("d2", 1_500))[0]])
    witness.propose("a", groups)
    assert witness.story == [("commit", 1), ("commit", 2), ("commit", 3), ("commit", 4), ("a", 4)]
    assert all(size <= 5_000 for size in proposer.sizes)
    view = witness.store.view
    assert view.count(Config) == 12
    assert view.config("d1").meta == view.config("d2").meta
    assert view.config("c0").meta.version == Version(1)
    assert view.config("c9").meta.version == Version(4)


def test_a_group_that_is_too_large_alone_is_refused():
    proposer = Limited(5_000)
    witness = Witness(proposer)
    witness.propose(
        "a", [*create(a_config("c1", 100), a_config("c2", 6_000), a_config("c3", 100)), *create(a_config("c1", 1))]
    )
    outcome = witness.outcome("a")
    assert outcome.error is None
    assert [(refused.group, type(refused.error).__name__) for refused in outcome.refused] == [
        (1, "TooLarge"),
        (3, "AlreadyExists"),
    ]
    assert "at most 5000 are taken" in str(outcome.refused[0].error)
    assert [config.id for config in witness.store.view.configs()] == ["c1", "c3"]
    witness.propose("b", create(a_config("c2", 6_000)))
    assert (witness.outcome("b").version, len(witness.outcome("b").refused)) == (1, 1)


def test_a_delete_takes_little_of_the_limit():
    configs = [a_config(f"c{number}", 4_000) for number in range(30)]
    proposer = Limited(5_000)
    witness = Witness(proposer, a_view(*configs))
    witness.propose("a", [*delete(*configs), *create(a_config("d", 1_500), a_config("e", 4_000))])
    assert proposer.versions == [2, 3]
    assert [config.id for config in witness.commits[0].view.configs()] == ["d"]
    assert [config.id for config in witness.store.view.configs()] == ["d", "e"]


def test_a_later_part_that_fails_leaves_the_end_open():
    proposer = HeldProposer(limit=3_000)
    witness = Witness(proposer)
    witness.propose("a", create(*(a_config(f"c{number}", 1_000) for number in range(5))))
    witness.propose("b", create(a_task("t1")))
    assert len(proposer.waiting) == 4
    proposer.commit()
    proposer.fail(ProposalDropped("no"))
    assert witness.story == [("commit", 1), ("a", "ProposalUnknown"), ("b", "ProposalDropped")]
    assert "only a part was committed, up to version 1" in str(witness.outcome("a").error)
    assert witness.store.view.count(Config) == 2


def test_a_proposer_that_fails_the_first_part_at_once_gets_no_second():
    class Refusing:
        max_entry_bytes = 3_000
        asked = 0

        def propose(self, entry, done):
            self.asked += 1
            done(NotLeader("m2"))

    proposer = Refusing()
    witness = Witness(proposer)
    witness.propose("a", create(*(a_config(f"c{number}", 1_000) for number in range(5))))
    assert proposer.asked == 1
    assert witness.story == [("a", "NotLeader")]
    assert contents(witness.store.view) == contents(EMPTY)


def test_without_a_limit_nothing_is_measured():
    class Unmeasured(CommitAtOnce):
        def propose(self, entry, done):
            assert entry._parts is None
            super().propose(entry, done)

    witness = Witness(Unmeasured())
    witness.propose("a", create(a_config("c1", 10_000_000)))
    assert witness.outcome("a") == Outcome(version=1)


def test_the_store_begins_where_it_is_told():
    view = a_view(a_task("t1"))
    witness = Witness(CommitAtOnce(), view)
    assert witness.store.view is view
    witness.propose("a", update(replace(view.task("t1"), slot=4)))
    assert witness.store.view.version == 2
    assert isinstance(witness.store.view, Snapshot)
    assert witness.store.view.count(Task) == 1
