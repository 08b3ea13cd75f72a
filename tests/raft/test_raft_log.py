"""The log in memory against a plain list, and what a disk may not hold."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmlab.api import StateError
from swarmlab.raft import HardState, LogEntry, SnapshotMeta, Stored
from swarmlab.raft.log import ENTRY_BYTES, RaftLog

TERMS = st.lists(st.integers(min_value=0, max_value=2), max_size=12)


def entries_of(terms: list[int], after: int = 0) -> tuple[LogEntry, ...]:
    return tuple(LogEntry(index, term, data=bytes(index % 5)) for index, term in enumerate(terms, after + 1))


def rising(steps: list[int], start: int = 1) -> list[int]:
    """Terms that never fall, from how much each is above the last."""
    terms = []
    for step in steps:
        start += step
        terms.append(start)
    return terms


@settings(max_examples=200, deadline=None)
@given(steps=TERMS, base=st.integers(min_value=0, max_value=3), data=st.data())
def test_log_is_a_list_behind_a_snapshot(steps: list[int], base: int, data: st.DataObject) -> None:
    """Terms, batches, conflicts and bytes are those of the list, before and after it is compacted and truncated."""
    terms = rising(steps)
    model = {entry.index: entry for entry in entries_of(terms, base)}
    log = RaftLog(Stored(snapshot=SnapshotMeta(index=base, term=1 if base else 0), entries=tuple(model.values())))

    assert (log.first, log.last, log.stable) == (base + 1, base + len(terms), base + len(terms))
    if model:
        cut = data.draw(st.integers(min_value=log.first, max_value=log.last + 1))
        log.truncate(cut)
        model = {index: entry for index, entry in model.items() if index < cut}
        fresh = entries_of(rising(data.draw(TERMS), log.last_term), log.last)
        log.append(fresh)
        model.update({entry.index: entry for entry in fresh})
    if model:
        covered = data.draw(st.sampled_from(sorted(model)))
        log.stable = log.commit = log.applied = log.last
        keep = data.draw(st.integers(min_value=0, max_value=4))
        log.compact(SnapshotMeta(index=covered, term=model[covered].term), keep)
        assert log.first == max(base + 1, covered - keep + 1)

    for index in range(log.first, log.last + 1):
        assert log.term(index) == model[index].term
        limit = data.draw(st.integers(min_value=1, max_value=60))
        batch, size = log.batch(index, limit)
        assert batch == tuple(model[place] for place in range(index, index + len(batch)))
        assert size == sum(ENTRY_BYTES + len(entry.data) for entry in batch)
        following = model.get(index + len(batch))
        assert len(batch) == 1 or size <= limit
        assert following is None or size + ENTRY_BYTES + len(following.data) > limit
        assert log.bytes_after(index) == sum(
            ENTRY_BYTES + len(entry.data) for place, entry in model.items() if place > index
        )
        term = data.draw(st.integers(min_value=0, max_value=30))
        fitting = [place for place in range(log.first, index + 1) if model[place].term <= term]
        before = (log.first - 1, log.term(log.first - 1))
        assert log.last_at_most(index, term) == ((fitting[-1], model[fitting[-1]].term) if fitting else before)
    assert log.term(log.last + 1) is None
    assert log.term(log.first - 2) is None


def test_conflict_is_the_first_entry_that_differs() -> None:
    """Entries that are there already are skipped, whatever comes behind them."""
    log = RaftLog(Stored(entries=entries_of([1, 1, 2])))

    assert log.conflict(entries_of([1, 1])) == 2
    assert log.conflict(entries_of([1, 1, 2, 2])) == 3
    assert log.conflict(entries_of([1, 3, 3])) == 1
    assert log.conflict(entries_of([2], after=3)) == 0
    assert log.conflict(()) == 0


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (Stored(entries=entries_of([1], after=1)), "the stored log has entry 2 where 1 is wanted"),
        (
            Stored(snapshot=SnapshotMeta(index=4, term=1), entries=entries_of([1], after=3)),
            "the stored log has entry 4 where 5 is wanted",
        ),
        (
            Stored(hard_state=HardState(term=1, commit=3), entries=entries_of([1, 1])),
            "the stored log ends at 2, but 3 was committed",
        ),
    ],
)
def test_stored_log_that_contradicts_itself_is_refused(stored: Stored, message: str) -> None:
    """A gap, and entries that were committed and are not there."""
    with pytest.raises(StateError, match=message):
        RaftLog(stored)
