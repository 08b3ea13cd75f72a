"""The time for which a manager leads, and what was proposed in it."""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

Ended = Callable[[Exception | None], None]


class _Waiting(NamedTuple):
    """A proposal on its way."""

    #: Of its entry in the log.
    place: int
    ended: Ended
    #: When it came.
    tick: int


class Tenure:
    """The term in which a manager leads, if it does, and its proposals that are not decided yet."""

    def __init__(self) -> None:
        #: 0: it does not lead.
        self.term = 0
        self._waiting: deque[_Waiting] = deque()
        self._last_place = 0
        #: A term that was given up, and the place up to which all has to be applied before it is led again.
        self._given_up = (0, 0)

    def may_begin(self, term: int, applied: int) -> bool:
        """Whether that term can be led: what a given-up tenure had proposed in it has to be decided first."""
        given_up, undecided = self._given_up
        return term != given_up or applied >= undecided

    def begin(self, term: int) -> None:
        """Lead."""
        self.term = term

    def wait(self, place: int, ended: Ended, tick: int) -> None:
        """A proposal has its place in the log."""
        self._last_place = place
        self._waiting.append(_Waiting(place, ended, tick))

    def decided(self, place: int) -> Ended | None:
        """The proposal whose entry is applied now; None where it was somebody else's.

        While it leads in the term in which it proposed, no other entry can stand in that place.
        """
        if self._waiting and self._waiting[0].place == place:
            return self._waiting.popleft().ended
        return None

    def oldest(self, tick: int) -> int:
        """When the proposal came that waits longest; `tick` where none does."""
        return self._waiting[0].tick if self._waiting else tick

    def give_up(self) -> None:
        """Note, before the end, that the term may go on without this tenure."""
        self._given_up = self.term, self._last_place

    def end(self, error: Exception) -> None:
        """What is on its way ends with `error`, in its order."""
        waiting, self._waiting = self._waiting, deque()
        for proposal in waiting:
            proposal.ended(error)
