"""One proposal at a time, and moments to look again: what every part of this room needs to act on a store."""

import heapq
from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from swarmlab.api import SECOND, Action, AlreadyExists, Changes, Instant, NotFound, OutOfSequence, after
from swarmlab.component import CancelTimer, Effect, Propose, Proposed, Record, SetTimer

#: How long it is left alone after a proposal that came to nothing for another reason than that somebody was faster.
RETRY_DELAY = SECOND
RETRY = "retry"
AGENDA = "agenda"

#: Somebody was faster: a look at the view that is in hand by now gives another decision.
_OVERTAKEN = (OutOfSequence, NotFound, AlreadyExists)


class _Sortable(Protocol):
    def __lt__(self, other: Any, /) -> bool: ...


K = TypeVar("K", bound=_Sortable)


class Entry(NamedTuple, Generic[K]):
    """A group of actions, what it is about, and what is recorded once it is committed."""

    about: K
    actions: tuple[Action, ...]
    records: tuple[Record, ...] = ()


class Settled(NamedTuple, Generic[K]):
    """The end of a proposal."""

    effects: list[Effect]
    #: What its failed groups were about: to be looked at again.
    again: list[K]


class Desk(Generic[K]):
    """Holds back while a proposal is on its way.

    What is decided on a view that lacks one's own last changes would be decided twice: new tasks collide with nothing.
    So there is one proposal at a time, and meanwhile marks gather.
    """

    def __init__(self) -> None:
        self._entries: Sequence[Entry[K]] | None = None
        self._resting = False
        self._count = 0

    def reset(self) -> None:
        """Forget what is on its way: its answer will mean nothing any more."""
        self._entries = None
        self._resting = False

    @property
    def busy(self) -> bool:
        """A proposal is on its way, or the last one came to nothing a moment ago."""
        return self._entries is not None or self._resting

    def propose(self, entries: Sequence[Entry[K]]) -> list[Effect]:
        """Send the groups off together."""
        assert not self.busy, "a second proposal before the end of the first"
        self._entries = entries
        self._count += 1
        return [Propose(Changes(tuple(entry.actions for entry in entries)), self._tag)]

    @property
    def _tag(self) -> str:
        return str(self._count)

    def settle(self, event: Proposed, now: Instant) -> Settled[K]:
        """Take the answer. Whatever failed for good reasons is tried again after a rest.

        The answer to a proposal of before a reset gives nothing.
        """
        if self._entries is None or event.tag != self._tag:
            return Settled([], [])
        entries, self._entries = self._entries, None
        if event.error is not None:
            again = [entry.about for entry in entries]
            why = {"error": str(event.error), "groups": len(entries)}
            return Settled([Record("proposal-failed", why), *self._rest(now)], again)
        refused = {refusal.group: refusal.error for refusal in event.refused}
        effects: list[Effect] = [
            record for number, entry in enumerate(entries) if number not in refused for record in entry.records
        ]
        odd = sorted({str(error) for error in refused.values() if not isinstance(error, _OVERTAKEN)})
        if odd:
            effects += [Record("proposal-refused", {"errors": odd}), *self._rest(now)]
        return Settled(effects, [entries[number].about for number in sorted(refused)])

    def _rest(self, now: Instant) -> list[Effect]:
        self._resting = True
        return [SetTimer(RETRY, after(now, RETRY_DELAY))]

    def resume(self) -> None:
        """The rest is over."""
        self._resting = False


class Agenda(Generic[K]):
    """When to look again at what, behind one timer."""

    def __init__(self) -> None:
        self._due: dict[K, Instant] = {}
        #: (instant, what); entries that `_due` contradicts are void.
        self._heap: list[tuple[Instant, K]] = []
        self._set: Instant | None = None

    def put(self, what: K, at: Instant | None) -> None:
        """Look at it again at `at`, and at no other time; None: not at all."""
        if at is None:
            self._due.pop(what, None)
        elif self._due.get(what) != at:
            self._due[what] = at
            heapq.heappush(self._heap, (at, what))

    def __contains__(self, what: K) -> bool:
        return what in self._due

    def take(self, now: Instant) -> list[K]:
        """What is due; it is on the agenda no more."""
        taken: list[K] = []
        while self._heap and self._heap[0][0] <= now:
            at, what = heapq.heappop(self._heap)
            if self._due.get(what) == at:
                del self._due[what]
                taken.append(what)
        return taken

    def timer(self) -> list[Effect]:
        """What moves the timer to the next moment, where it is not there already."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        first = self._heap[0][0] if self._heap else None
        if first == self._set:
            return []
        self._set = first
        return [CancelTimer(AGENDA)] if first is None else [SetTimer(AGENDA, first)]

    def fired(self) -> None:
        """The timer went off, and has to be set again."""
        self._set = None
