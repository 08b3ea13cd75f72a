"""When a node renews: in the second half of a certificate's life, when it is told to, and until its role is right."""

import random
from collections.abc import Sequence

from msgspec.structs import replace

from swarmlab.api import (
    HOUR,
    Certificate,
    Instant,
    IssuanceState,
    IssuanceStatus,
    Node,
    NodeId,
    NodeRole,
    NodeSpec,
    after,
    seconds,
)
from swarmlab.ca.renewal import NodeTold, Renew, Renewal, RenewalFailed, Renewed
from swarmlab.component import CancelTimer, Effect, Event, Record, SetTimer, TimerFired
from swarmlab.testing import START, Time, Timers

LIFE = 100 * HOUR
ME = Node(id=NodeId("n"), spec=NodeSpec(desired_role=NodeRole.WORKER))


class Desk:
    """A renewal in virtual time; `said` holds (seconds, what) of renewals and records."""

    def __init__(self, seed: int = 1) -> None:
        self.time = Time()
        self.said: list[tuple[float, str]] = []
        self.timers = Timers(self.time, lambda _, timer: self.post(TimerFired(timer)))
        self.renewal = Renewal(random.Random(seed))

    def post(self, event: Event) -> None:
        self._do(self.renewal.step(event, self.time.now))

    def issue(self, role: NodeRole = NodeRole.WORKER) -> None:
        self.post(Renewed(role=role, not_before=self.time.now, not_after=after(self.time.now, LIFE)))

    def tell(self, *, rotate: bool = False, role: NodeRole = NodeRole.WORKER) -> None:
        state = IssuanceState.ROTATE if rotate else IssuanceState.ISSUED
        certificate = Certificate(status=IssuanceStatus(state))
        self.post(NodeTold(replace(ME, spec=NodeSpec(desired_role=role), certificate=certificate)))

    def renewals(self) -> list[float]:
        return [at for at, what in self.said if what == "renew"]

    def _do(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case SetTimer(name, at):
                    self.timers.set("renewal", name, at)
                case CancelTimer(name):
                    self.timers.cancel("renewal", name)
                case Renew():
                    self.said.append((self.time.elapsed, "renew"))
                case Record(name):
                    self.said.append((self.time.elapsed, name))


def test_a_certificate_is_renewed_between_half_and_four_fifths_of_its_life() -> None:
    moments = []
    for seed in range(200):
        desk = Desk(seed)
        desk.issue()
        desk.time.advance(LIFE)
        moments += [at / 3600 for at in desk.renewals()[:1]]
    assert len(moments) == 200
    assert 50 <= min(moments) < 52
    assert 78 < max(moments) <= 80


def test_one_that_has_ended_is_renewed_at_once() -> None:
    desk = Desk()
    desk.post(Renewed(role=NodeRole.WORKER, not_before=Instant(START - LIFE), not_after=Instant(START - 1)))
    desk.time.advance(0)
    assert desk.renewals() == [0.0]


def test_the_wish_of_a_manager_is_obeyed_after_a_moment_and_once() -> None:
    desk = Desk()
    desk.issue()
    desk.tell(rotate=True)
    desk.tell(rotate=True)
    desk.time.advance(seconds(10))
    assert desk.renewals() == [0.5]
    desk.issue()
    desk.tell()
    desk.time.advance(seconds(10))
    assert desk.renewals() == [0.5]


def test_a_wish_that_comes_while_a_renewal_is_on_its_way_makes_another_one() -> None:
    desk = Desk()
    desk.issue()
    desk.tell(rotate=True)
    desk.time.advance(seconds(1))
    desk.tell(rotate=True)
    desk.issue()
    desk.time.advance(seconds(1))
    assert desk.renewals() == [0.5, 1.5]


def test_failures_are_tried_again_with_growing_patience() -> None:
    """Below a bound of 5 s that doubles up to 1 h, and above its half."""
    desk = Desk()
    desk.issue()
    for failures in range(14):
        said, again = desk.renewal.step(RenewalFailed("no manager answers"), desk.time.now)
        assert isinstance(said, Record)
        assert isinstance(again, SetTimer)
        wait = (again.at - desk.time.now) / 1e9
        bound = min(5 * 2**failures, 3600)
        assert bound / 2 <= wait < bound
        assert said.fields == {"error": "no manager answers", "retry_ns": again.at - desk.time.now}


def test_a_new_role_is_asked_for_until_the_certificate_has_it() -> None:
    desk = Desk()
    desk.issue()
    desk.tell(role=NodeRole.MANAGER)
    desk.time.advance(seconds(1))
    assert desk.renewals() == [0.5]
    desk.issue(NodeRole.WORKER)
    desk.time.advance(seconds(6))
    assert len(desk.renewals()) == 2
    desk.issue(NodeRole.MANAGER)
    desk.time.advance(seconds(3600))
    assert len(desk.renewals()) == 2


def test_the_owner_is_warned_when_a_fifth_of_the_life_is_left() -> None:
    desk = Desk()
    desk.issue()
    desk.time.advance(LIFE)
    assert (80 * 3600.0, "certificate-expiring") in desk.said
