"""Virtual time: what is due first happens first, of equals what was planned first."""

import heapq
from collections.abc import Callable
from itertools import count

from swarmlab.api import Duration, Instant, after

START = Instant(1_000_000_000_000_000_000)


class Time:
    """A clock that moves only when it is told to, and what happens on the way."""

    def __init__(self) -> None:
        self.now = START
        self._planned: list[tuple[Instant, int, Callable[[], None]]] = []
        self._order = count()

    def clock(self) -> Instant:
        return self.now

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return (self.now - START) / 1e9

    def at(self, when: Instant, action: Callable[[], None]) -> None:
        heapq.heappush(self._planned, (max(when, self.now), next(self._order), action))

    def later(self, span: Duration | int, action: Callable[[], None]) -> None:
        self.at(after(self.now, span), action)

    def advance(self, span: Duration | int) -> None:
        end = after(self.now, span)
        while self._planned and self._planned[0][0] <= end:
            due, _, action = heapq.heappop(self._planned)
            self.now = max(self.now, due)
            action()
        self.now = end

    def stand_still(self, span: Duration | int) -> None:
        """Time goes by and nothing happens, as to a process that was stopped; what was due then happens late."""
        self.now = after(self.now, span)


class Timers:
    """The named timers of one machine."""

    def __init__(self, time: Time, fire: Callable[[str, str], None]) -> None:
        self._time = time
        self._fire = fire
        #: {(component, timer): a mark of its own each time it is set}
        self._set: dict[tuple[str, str], object] = {}

    def set(self, owner: str, name: str, at: Instant) -> None:
        mark = self._set[owner, name] = object()
        self._time.at(at, lambda: self._due(owner, name, mark))

    def cancel(self, owner: str, name: str) -> None:
        self._set.pop((owner, name), None)

    def close(self) -> None:
        self._set.clear()

    def _due(self, owner: str, name: str, mark: object) -> None:
        if self._set.get((owner, name)) is mark:
            del self._set[owner, name]
            self._fire(owner, name)
