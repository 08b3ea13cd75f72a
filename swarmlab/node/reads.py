"""Reads that see all that was committed before them."""

from collections.abc import Callable
from typing import NamedTuple

from swarmlab.api import ProposalDropped
from swarmlab.raft import RaftId
from swarmlab.store import Snapshot

#: After how long consensus is asked again.
AGAIN_TICKS = 3

#: Told once: the state, or why there is none.
Answer = Callable[[Snapshot | None, Exception | None], None]


class _Read(NamedTuple):
    answer: Answer
    #: When it came, and when consensus was asked last.
    since: int
    asked: int
    #: What has to be applied first; None until a leader has confirmed that it leads.
    place: int | None = None


class Reads:
    """Those that wait, by the context under which consensus knows them."""

    def __init__(self, raft_id: RaftId, patience_ticks: int) -> None:
        self._raft_id = raft_id
        self._patience_ticks = patience_ticks
        self._number = 0
        self._waiting: dict[bytes, _Read] = {}

    def ask(self, answer: Answer, tick: int) -> bytes:
        """Begin to wait; the context to ask consensus with."""
        return self._wait(_Read(answer, tick, tick))

    def asked_again(self, tick: int) -> tuple[bytes, ...]:
        """New contexts for reads that got lost on their way, as it seems."""
        lost = [key for key, read in self._waiting.items() if read.place is None and tick - read.asked >= AGAIN_TICKS]
        return tuple(self._wait(self._waiting.pop(context)._replace(asked=tick)) for context in lost)

    def _wait(self, read: _Read) -> bytes:
        self._number += 1
        context = b"%x.%x" % (self._raft_id, self._number)
        self._waiting[context] = read
        return context

    def confirm(self, context: bytes, index: int) -> None:
        """The read may be answered once `index` is applied."""
        read = self._waiting.get(context)
        if read is not None:
            self._waiting[context] = read._replace(place=index)

    def answer(self, applied: int, view: Snapshot) -> None:
        """Answer those whose index is applied."""
        due = [key for key, read in self._waiting.items() if read.place is not None and read.place <= applied]
        for context in due:
            self._waiting.pop(context).answer(view, None)

    def expire(self, tick: int) -> None:
        """End those that nobody confirmed in time."""
        late = [key for key, read in self._waiting.items() if tick - read.since >= self._patience_ticks]
        for context in late:
            error = ProposalDropped(f"no leader confirmed the read within {self._patience_ticks} ticks")
            self._waiting.pop(context).answer(None, error)

    def end(self, error: Exception) -> None:
        """End all."""
        waiting, self._waiting = self._waiting, {}
        for read in waiting.values():
            read.answer(None, error)
