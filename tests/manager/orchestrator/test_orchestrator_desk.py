"""One proposal at a time, and moments to look again."""

import pytest

from swarmlab.api import (
    Changes,
    Delete,
    Instant,
    NotFound,
    OutOfSequence,
    ProposalUnknown,
    Refused,
    Task,
    TooLarge,
)
from swarmlab.component import CancelTimer, Propose, Proposed, Record, SetTimer
from swarmlab.manager.orchestrator.desk import RETRY_DELAY, Agenda, Desk, Entry

NOW = Instant(100)


def entries(*names: str) -> list[Entry[str]]:
    return [Entry(name, (Delete(Task, name),), (Record("did", {"what": name}),)) for name in names]


def test_groups_go_off_together_and_are_recorded_when_they_are_committed() -> None:
    desk: Desk[str] = Desk()
    assert desk.propose(entries("a", "b")) == [
        Propose(Changes(((Delete(Task, "a"),), (Delete(Task, "b"),))), "1"),
    ]
    assert desk.busy
    assert desk.settle(Proposed("1", version=1), NOW) == (
        [Record("did", {"what": "a"}), Record("did", {"what": "b"})],
        [],
    )
    assert not desk.busy


def test_a_second_proposal_before_the_end_of_the_first_is_a_bug() -> None:
    desk: Desk[str] = Desk()
    desk.propose(entries("a"))
    with pytest.raises(AssertionError):
        desk.propose(entries("b"))


def test_what_somebody_else_was_faster_with_is_looked_at_again_at_once() -> None:
    desk: Desk[str] = Desk()
    desk.propose(entries("a", "b", "c"))
    refused = (Refused(0, OutOfSequence("late")), Refused(2, NotFound("gone")))
    assert desk.settle(Proposed("1", version=1, refused=refused), NOW) == (
        [Record("did", {"what": "b"})],
        ["a", "c"],
    )
    assert not desk.busy


def test_what_is_refused_for_itself_is_looked_at_again_after_a_rest() -> None:
    desk: Desk[str] = Desk()
    desk.propose(entries("a"))
    settled = desk.settle(Proposed("1", refused=(Refused(0, TooLarge("2 MB")),)), NOW)
    assert settled == (
        [Record("proposal-refused", {"errors": ["2 MB"]}), SetTimer("retry", Instant(NOW + RETRY_DELAY))],
        ["a"],
    )
    assert desk.busy
    desk.resume()
    assert not desk.busy


def test_a_proposal_with_an_unknown_end_is_looked_at_again_as_a_whole() -> None:
    desk: Desk[str] = Desk()
    desk.propose(entries("a", "b"))
    settled = desk.settle(Proposed("1", error=ProposalUnknown("no answer")), NOW)
    assert settled.again == ["a", "b"]
    assert settled.effects[0] == Record("proposal-failed", {"error": "no answer", "groups": 2})


def test_the_answer_to_a_proposal_of_an_earlier_term_means_nothing() -> None:
    desk: Desk[str] = Desk()
    desk.propose(entries("a"))
    desk.reset()
    assert not desk.busy
    assert desk.settle(Proposed("1", version=1), NOW) == ([], [])
    [propose] = desk.propose(entries("b"))
    assert desk.settle(Proposed("1", error=ProposalUnknown("no answer")), NOW) == ([], [])
    assert desk.busy
    assert isinstance(propose, Propose)
    assert desk.settle(Proposed(propose.tag, version=1), NOW) == ([Record("did", {"what": "b"})], [])


def test_the_agenda_gives_what_is_due() -> None:
    agenda: Agenda[str] = Agenda()
    agenda.put("a", Instant(5))
    agenda.put("b", Instant(3))
    agenda.put("c", Instant(9))
    assert agenda.take(Instant(5)) == ["b", "a"]
    assert agenda.take(Instant(5)) == []
    assert "c" in agenda
    assert "a" not in agenda


def test_the_agenda_moves_and_forgets_entries() -> None:
    agenda: Agenda[str] = Agenda()
    agenda.put("a", Instant(5))
    agenda.put("a", Instant(8))
    agenda.put("b", Instant(6))
    agenda.put("b", None)
    agenda.put("never", None)
    assert agenda.take(Instant(7)) == []
    assert agenda.take(Instant(8)) == ["a"]


def test_one_timer_follows_the_first_entry() -> None:
    agenda: Agenda[str] = Agenda()
    assert agenda.timer() == []
    agenda.put("a", Instant(5))
    assert agenda.timer() == [SetTimer("agenda", Instant(5))]
    agenda.put("b", Instant(7))
    assert agenda.timer() == []
    agenda.put("c", Instant(3))
    assert agenda.timer() == [SetTimer("agenda", Instant(3))]
    agenda.put("c", None)
    assert agenda.timer() == [SetTimer("agenda", Instant(5))]
    agenda.fired()
    assert agenda.take(Instant(5)) == ["a"]
    assert agenda.timer() == [SetTimer("agenda", Instant(7))]
    agenda.put("b", None)
    assert agenda.timer() == [CancelTimer("agenda")]
