"""The way of a request: from a client to some manager, on to the one that leads, and back, if all goes well."""

import random
from collections.abc import Callable
from typing import Any

from swarmlab.api import NotLeader, ProposalDropped, ProposalUnknown, SwarmlabError, seconds
from swarmlab.node.manager import Request
from swarmlab.sim.heap import Heap
from swarmlab.sim.machine import SimManager
from swarmlab.sim.managers import SimManagers
from swarmlab.store import Snapshot

#: How long a client waits for an answer.
PATIENCE = seconds(5)

#: Told once: the answer, or why there is none. ProposalUnknown: what was asked for may happen, or have happened.
Answered = Callable[[Any, Exception | None], None]
#: What a manager is to do: it, and whom to tell.
_Work = Callable[[SimManager, Answered], None]


class Front:
    """Takes requests to managers. Wires between clients and managers are never cut, those between managers may be.

    Args:
        heap: Time.
        rng: How long ways take.
        managers: Whose they are.
    """

    def __init__(self, heap: Heap, rng: random.Random, managers: SimManagers) -> None:
        self._heap = heap
        self._rng = rng
        self._managers = managers

    def write(self, owner: SimManager, request: Request[Any], answered: Answered) -> None:
        """Have what `request` asks for committed, by way of that manager."""
        self._send(
            owner, lambda at, told: self._led(at, lambda leader, done: _write(leader, request, done), told), answered
        )

    def read(self, owner: SimManager, answered: Answered) -> None:
        """The state with all in it that was committed before, from that manager itself."""
        self._send(owner, lambda at, told: at.running[1].read(told), answered)

    def look(self, owner: SimManager, answered: Answered) -> None:
        """The state as the manager has it that leads, or still believes so, by way of that manager."""
        self._send(
            owner,
            lambda at, told: self._led(at, lambda leader, done: done(leader.running[0].view, None), told),
            answered,
        )

    def _send(self, owner: SimManager, work: _Work, answered: Answered) -> None:
        """There and back; where something is lost on the way, the client gives up after a while."""
        waits = True

        def answer(value: Any, error: Exception | None) -> None:
            nonlocal waits
            if waits:
                waits = False
                patience.cancel()
                answered(value, error)

        def arrive() -> None:
            if owner.up:
                work(owner, self._back(owner, answer))
            else:
                self._later(lambda: answer(None, ProposalDropped(f"manager {owner.name} does not answer")))

        patience = self._heap.later(PATIENCE, lambda: answer(None, ProposalUnknown("no answer came in time")))
        self._later(arrive)

    def _led(self, at: SimManager, work: _Work, told: Answered) -> None:
        """Have the leader do it: this manager, or the one that it follows."""
        if at.leads:
            work(at, told)
            return
        leader = at.running[1].leader
        other = next((each for each in self._managers.all if leader and each.name == leader.node_id), None)
        if other is None or other is at:
            told(None, NotLeader())
            return

        def arrive() -> None:
            if not other.up:
                return
            back = self._back(other, told)
            if other.leads:
                work(other, lambda value, error: back(value, error) if self._managers.reaches(other, at) else None)
            else:
                back(None, NotLeader())

        if self._managers.reaches(at, other):
            self._later(arrive)

    def _back(self, owner: SimManager, answered: Answered) -> Answered:
        """The way back from a manager: it says nothing any more once its power failed."""
        life = owner.lives

        def answer(value: Any, error: Exception | None) -> None:
            if owner.up and owner.lives == life:
                self._later(lambda: answered(value, error))

        return answer

    def _later(self, action: Callable[[], None]) -> None:
        self._heap.later(self._managers.model.mesh.delay.draw(self._rng), action)


def _write(leader: SimManager, request: Request[Any], done: Answered) -> None:
    manager = leader.running[0]

    try:
        manager.mutate(request, done)
    except SwarmlabError as error:
        done(None, error)


def is_definite(error: Exception) -> bool:
    """Whether what was asked for surely did not happen: it was refused, or dropped before anybody had it."""
    return isinstance(error, SwarmlabError) and not isinstance(error, ProposalUnknown)


def view_of(value: Any) -> Snapshot:
    """The state that a read brought."""
    assert isinstance(value, Snapshot), value
    return value
