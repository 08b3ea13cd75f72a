"""Virtual time: a heap of what happens when, and timers on it."""

import heapq
from collections.abc import Callable
from itertools import count

from swarmlab.api import Duration, Instant, after

#: 2026-01-01T00:00:00Z, so that a run's instants read as dates; nothing depends on the choice.
EPOCH = Instant(1_767_225_600_000_000_000)


class Occurrence:
    """Something that will happen, until it is cancelled."""

    __slots__ = ("action", "at")

    def __init__(self, at: Instant, action: Callable[[], None]) -> None:
        self.at = at
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """Let it not happen."""
        self.action = None


class Heap:
    """The time of a simulated world; what is due first happens first, of equals what was planned first."""

    def __init__(self, start: Instant = EPOCH) -> None:
        self.start = start
        self.now = start
        #: What happened so far; a world that does not come to rest is seen by it.
        self.steps = 0
        self._queue: list[tuple[Instant, int, Occurrence]] = []
        self._order = count()

    def clock(self) -> Instant:
        """The present instant."""
        return self.now

    def at(self, when: Instant, action: Callable[[], None]) -> Occurrence:
        """Plan `action` for `when`, or for now where that is past, behind what is planned for then already."""
        occurrence = Occurrence(max(when, self.now), action)
        heapq.heappush(self._queue, (occurrence.at, next(self._order), occurrence))
        return occurrence

    def later(self, span: Duration, action: Callable[[], None]) -> Occurrence:
        """Plan `action` for `span` from now."""
        return self.at(after(self.now, span), action)

    def run_until(self, when: Instant) -> None:
        """Let all happen that is due up to and with `when`, and make it that time."""
        while (due := self.next_due()) is not None and due <= when:
            self.step()
        self.now = max(self.now, when)

    def step(self) -> bool:
        """Let the next thing happen, and make it that time; False where nothing is planned."""
        if self.next_due() is None:
            return False
        at, _, occurrence = heapq.heappop(self._queue)
        action = occurrence.action
        assert action is not None
        self.now = max(self.now, at)
        self.steps += 1
        action()
        return True

    def next_due(self) -> Instant | None:
        """When the next thing happens; None where nothing is planned."""
        while self._queue and self._queue[0][2].action is None:
            heapq.heappop(self._queue)
        return self._queue[0][0] if self._queue else None


class HeapTimers:
    """Named timers of the components of one machine; cancelled as a whole when the machine dies."""

    def __init__(self, heap: Heap, fire: Callable[[str, str], None]) -> None:
        self._heap = heap
        self._fire = fire
        self._set: dict[tuple[str, str], Occurrence] = {}
        self._closed = False

    def set(self, owner: str, name: str, at: Instant) -> None:
        """Fire at `at`; a timer of that owner and name moves."""
        if self._closed:
            return
        self.cancel(owner, name)
        self._set[owner, name] = self._heap.at(at, lambda: self._due(owner, name))

    def cancel(self, owner: str, name: str) -> None:
        """Forget it, if there is one."""
        occurrence = self._set.pop((owner, name), None)
        if occurrence is not None:
            occurrence.cancel()

    def close(self) -> None:
        """Cancel all; later ones are not taken."""
        self._closed = True
        for occurrence in self._set.values():
            occurrence.cancel()
        self._set.clear()

    def _due(self, owner: str, name: str) -> None:
        del self._set[owner, name]
        self._fire(owner, name)
