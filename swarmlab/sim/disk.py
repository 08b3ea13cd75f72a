"""A manager's disk as a model: writes take a while, and a crash may take back the last ones."""

import random
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from msgspec.structs import replace

from swarmlab.api import Instant, StateError, Value, after, seconds
from swarmlab.node import Image, Recovered, Write
from swarmlab.node.consensus import Done
from swarmlab.sim.chance import Spread
from swarmlab.sim.heap import Heap


class DiskModel(Value, frozen=True, kw_only=True):
    """How long a write takes until it is durable."""

    delay: Spread = Spread(median=seconds(0.002), sigma=0.5)


class _Pending(NamedTuple):
    """A write that was begun: it may be on the disk when the power fails, or may not."""

    change: Callable[[Recovered], Recovered]
    done: Done


class SimDisk:
    """What one manager has written, over all its lives.

    Args:
        heap: Time.
        rng: Chance of this disk alone.
        model: Asked for each write.
        recovered: What is on it at first.
    """

    def __init__(self, heap: Heap, rng: random.Random, model: Callable[[], DiskModel], recovered: Recovered) -> None:
        self._heap = heap
        self._rng = rng
        self._model = model
        #: What is durable.
        self.recovered = recovered
        self._pending: deque[_Pending] = deque()
        self._last = Instant(0)
        #: Set: every write fails with these words.
        self.full = ""
        #: No write ends while this is set.
        self.stalled = False

    def write(self, write: Write, done: Done) -> None:
        """Make it durable, later."""
        self._begin(lambda before: written(before, write), done)

    def save(self, image: Image, done: Done) -> None:
        """Keep a snapshot, later."""
        self._begin(lambda before: saved(before, image), done)

    def resume(self) -> None:
        """End the stall; what waits is written."""
        self.stalled = False
        for _ in self._pending:
            self._heap.at(self._heap.now, self._end_next)

    def crash(self, kept: int = 0) -> None:
        """Power fails: of the writes under way the first `kept` are durable, and nobody is told."""
        for pending in list(self._pending)[:kept]:
            self.recovered = pending.change(self.recovered)
        # What was planned finds nothing to end: the next life's writes are told apart by this queue.
        self._pending = deque()

    @property
    def under_way(self) -> int:
        """Writes that are not durable yet."""
        return len(self._pending)

    def _begin(self, change: Callable[[Recovered], Recovered], done: Done) -> None:
        pending = _Pending(change, done)
        queue = self._pending
        queue.append(pending)
        self._last = max(self._last, after(self._heap.now, self._model().delay.draw(self._rng)))
        self._heap.at(self._last, lambda: self._end(queue, pending))

    def _end(self, queue: deque[_Pending], pending: _Pending) -> None:
        if queue is self._pending and not self.stalled and queue and queue[0] is pending:
            self._end_next()

    def _end_next(self) -> None:
        if not self._pending or self.stalled:
            return
        pending = self._pending.popleft()
        if self.full:
            pending.done(StateError(self.full))
            return
        self.recovered = pending.change(self.recovered)
        pending.done(None)


def written(before: Recovered, write: Write) -> Recovered:
    """What is on the disk after a write."""
    image, entries = before.image, before.entries
    if write.image is not None:
        image, entries = write.image, ()
    if write.entries:
        keep = write.entries[0].index - image.meta.index - 1
        assert 0 <= keep <= len(entries), f"entry {write.entries[0].index} leaves a gap after {image.meta.index}"
        entries = (*entries[:keep], *write.entries)
    return Recovered(before.member, image, write.hard_state or before.hard_state, entries)


def saved(before: Recovered, image: Image) -> Recovered:
    """What is on the disk after a snapshot; an older one than there is changes nothing."""
    if image.meta.index <= before.image.meta.index:
        return before
    entries = before.entries[image.meta.index - before.image.meta.index :]
    hard_state = replace(before.hard_state, commit=max(before.hard_state.commit, image.meta.index))
    return Recovered(before.member, image, hard_state, entries)
