"""A disk or a quorum as a model: commits take a while, and now and then one is dropped."""

import random
from collections import deque
from collections.abc import Callable

from swarmlab.api import Instant, ProposalDropped, Value, after, seconds
from swarmlab.sim.chance import Spread, happens
from swarmlab.sim.heap import Heap
from swarmlab.store import Entry

Done = Callable[[Exception | None], None]


class CommitModel(Value, frozen=True, kw_only=True):
    """How changes become final."""

    delay: Spread = Spread(median=seconds(0))
    #: Probability that a proposal is dropped, and with it all that wait behind it.
    drops: float = 0.0


class HeapProposer:
    """Makes entries final after the model's delay, in their order."""

    max_entry_bytes: int | None = None

    def __init__(self, heap: Heap, rng: random.Random, model: Callable[[], CommitModel]) -> None:
        self._heap = heap
        self._rng = rng
        self._model = model
        self._waiting: deque[Done] = deque()
        self._last = Instant(0)

    def propose(self, _: Entry, done: Done) -> None:
        """Commit or drop, later."""
        self._waiting.append(done)
        self._last = max(self._last, after(self._heap.now, self._model().delay.draw(self._rng)))
        self._heap.at(self._last, lambda: self._decide(done))

    def _decide(self, done: Done) -> None:
        if done not in self._waiting:
            return
        assert self._waiting[0] is done, "proposals are decided in their order"
        if happens(self._rng, self._model().drops):
            # Those behind it were checked on top of it.
            dropped, self._waiting = list(self._waiting), deque()
            for each in dropped:
                each(ProposalDropped("the model dropped it"))
            return
        self._waiting.popleft()
        done(None)
