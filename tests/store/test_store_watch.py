"""Who follows: from now, from the past, through a restore."""

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
    replace,
    update,
)

from swarmlab.api import Change, ChangeKind, Changes, Create, OutOfSequence, StateError
from swarmlab.store import CommitAtOnce, difference, encode_snapshot
from swarmlab.store.history import COMMIT_WEIGHT


def after_commits(count, **options):
    witness = Witness(CommitAtOnce(), **options)
    for number in range(1, count + 1):
        witness.propose(f"p{number}", create(a_task(f"t{number:03}")))
    return witness


def versions(store, since):
    heard = []
    store.watch(since, lambda event: heard.append(event.view.version)).cancel()
    return heard


def test_from_now_on():
    witness = after_commits(2)
    heard = []
    watch = witness.store.watch(None, heard.append)
    assert heard == []
    witness.propose("a", create(a_task("a")))
    assert heard == witness.commits[-1:]
    watch.cancel()
    witness.propose("b", create(a_task("b")))
    assert len(heard) == 1


def test_the_past_is_told_first_then_what_comes():
    witness = after_commits(3)
    heard = []
    witness.store.watch(1, heard.append)
    witness.propose("a", create(a_task("a")))
    assert heard == witness.commits[1:]
    assert [event.view.version for event in heard] == [2, 3, 4]
    assert [event.changes[0].object.id for event in heard] == ["t002", "t003", "a"]


def test_from_the_present_version_there_is_no_past():
    assert versions(after_commits(3).store, 3) == []
    assert versions(after_commits(3).store, 0) == [1, 2, 3]


def test_from_a_version_that_is_not_yet():
    with pytest.raises(OutOfSequence, match="from version 4: the store is at 3"):
        versions(after_commits(3).store, 4)


def test_the_history_is_bounded():
    store = after_commits(10, history=3 * COMMIT_WEIGHT).store
    assert versions(store, 7) == [8, 9, 10]
    with pytest.raises(OutOfSequence, match="from version 6: the history begins after 7"):
        versions(store, 6)


def test_a_large_commit_takes_the_place_of_many_small_ones():
    witness = after_commits(3, history=3 * COMMIT_WEIGHT)
    witness.propose("large", create(*(a_task(f"x{number}") for number in range(2 * COMMIT_WEIGHT))))
    assert versions(witness.store, 2) == [3, 4]
    # The last commit is held whatever its size.
    witness.propose("huge", create(*(a_task(f"y{number}") for number in range(5 * COMMIT_WEIGHT))))
    assert versions(witness.store, 4) == [5]
    with pytest.raises(OutOfSequence):
        versions(witness.store, 3)


def test_without_a_history_only_the_present_can_be_followed():
    store = after_commits(3, history=0).store
    assert versions(store, 3) == []
    with pytest.raises(OutOfSequence):
        versions(store, 2)


def test_the_history_begins_where_the_store_does():
    store = Witness(CommitAtOnce(), a_view(a_task("t1"))).store
    assert versions(store, 1) == []
    with pytest.raises(OutOfSequence, match="begins after 1"):
        versions(store, 0)


def test_what_a_follower_of_the_past_proposes_is_told_after_the_past():
    witness = after_commits(3)
    heard = []

    def deliver(event):
        if event.view.version == 2:
            witness.propose("from within", create(a_task("new")))
        heard.append(event.view.version)

    witness.store.watch(0, deliver)
    assert heard == [1, 2, 3, 4]
    assert witness.outcome("from within").version == 4


def test_a_watch_begun_by_a_callback_misses_nothing_and_hears_nothing_twice():
    """While version 2 is told, 3 and 4 are committed already and wait to be told."""
    witness = after_commits(1)
    heard = []

    def deliver(event):
        if event.view.version == 2:
            witness.propose("three", create(a_task("three")))
            witness.propose("four", create(a_task("four")))
            witness.store.watch(1, lambda again: heard.append(again.view.version))

    witness.store.watch(None, deliver)
    witness.propose("two", create(a_task("two")))
    assert heard == [2, 3, 4]
    witness.propose("five", create(a_task("five")))
    assert heard == [2, 3, 4, 5]


def test_cancelled_while_others_are_told():
    witness = after_commits(1)
    heard = []
    watches = []
    witness.store.watch(None, lambda _: watches[0].cancel())
    watches.append(witness.store.watch(None, heard.append))
    witness.propose("a", create(a_task("a")))
    assert heard == []


def test_cancelled_during_the_past():
    witness = after_commits(3)
    heard = []

    def deliver(event):
        heard.append(event.view.version)
        raise StopIteration

    with pytest.raises(StopIteration):
        witness.store.watch(0, deliver)
    # A watch that failed during its past was never begun.
    witness.propose("a", create(a_task("a")))
    assert heard == [1]


def test_restore_tells_the_difference_as_one_commit():
    witness = Witness(CommitAtOnce(), a_view(a_service("s1"), a_task("t1"), a_task("t2"), a_task("t3")))
    saved = witness.store.save()
    view = witness.store.view
    t1 = view.task("t1")
    witness.propose("a", [*update(replace(t1, slot=1)), *delete(a_task("t2")), *create(a_task("t4"))])
    later = witness.store.view
    heard = []
    witness.store.watch(None, heard.append)
    changes = witness.store.restore(saved)
    assert changes == (
        Change(ChangeKind.UPDATED, t1, later.task("t1")),
        Change(ChangeKind.CREATED, view.task("t2")),
        Change(ChangeKind.REMOVED, later.task("t4")),
    )
    assert [event.changes for event in heard] == [changes]
    assert heard[0].view is witness.store.view
    assert heard == witness.commits[-1:]
    assert contents(witness.store.view) == contents(view)
    assert witness.store.view.version == 1
    # Versions and times are as saved, and the store goes on from there.
    witness.propose("b", update(replace(t1, slot=2)))
    assert witness.outcome("b").version == 2
    assert [event.view.version for event in heard] == [1, 2]


def test_the_history_begins_anew_with_a_restore():
    witness = after_commits(3)
    witness.store.restore(encode_snapshot(a_view(a_task("other"))))
    assert versions(witness.store, 1) == []
    with pytest.raises(OutOfSequence):
        versions(witness.store, 0)
    witness.propose("a", create(a_task("a")))
    assert versions(witness.store, 1) == [2]


def test_restore_ends_what_is_on_its_way():
    proposer = HeldProposer()
    witness = Witness(proposer)
    witness.propose("a", create(a_task("a")))
    witness.propose("b", create(a_task("b")))
    witness.store.restore(encode_snapshot(a_view(a_task("other"))))
    assert witness.story == [("a", "ProposalUnknown"), ("b", "ProposalUnknown"), ("commit", 1)]
    proposer.waiting.clear()
    witness.propose("c", create(a_task("a")))
    proposer.commit()
    assert [task.id for task in witness.store.view.tasks()] == ["a", "other"]


def test_a_damaged_save_changes_nothing():
    witness = after_commits(2)
    view = witness.store.view
    with pytest.raises(StateError):
        witness.store.restore(witness.store.save()[:-10])
    assert witness.store.view is view


def test_difference_of_equal_snapshots():
    view = a_view(a_task("t1"), a_service("s1"))
    assert difference(view, view) == ()
    assert difference(view, a_view(a_service("s1"), a_task("t1"))) == ()
    assert [change.kind for change in difference(EMPTY, view)] == [ChangeKind.CREATED, ChangeKind.CREATED]


def test_the_history_holds_no_lists_worked_out_from_old_snapshots():
    witness = after_commits(5)
    old = witness.store.view
    rows = old.tasks()
    witness.store.propose(Changes.atomic(Create(a_service("s1"))), lambda _: None)
    assert witness.store.view.tasks() is rows  # shared: services changed, tasks did not
    witness.propose("b", create(a_task("a")))
    assert old.tasks() == rows
    assert old.tasks() is not rows
