"""The cluster's story: what its parts recorded, kept for a while and told to whoever listens."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec

from swarmlab.api import Instant, LabEvent

#: Events kept for those who come later.
KEPT = 10_000


class Story:
    """A bounded list of events, and the listeners who wait for more."""

    def __init__(self, clock: Callable[[], Instant], kept: int = KEPT) -> None:
        self._clock = clock
        self._events: deque[LabEvent] = deque(maxlen=kept)
        self._next = 1
        self._told = asyncio.Event()

    def record(self, component: str, name: str, fields: Mapping[str, Any]) -> None:
        """Add an event."""
        text = msgspec.json.encode(fields, order="deterministic").decode()
        self._events.append(LabEvent(index=self._next, at=self._clock(), component=component, name=name, fields=text))
        self._next += 1
        self._told.set()
        self._told = asyncio.Event()

    @property
    def last(self) -> int:
        """The index of the newest event; 0 before the first."""
        return self._next - 1

    def since(self, index: int = 0) -> tuple[LabEvent, ...]:
        """The events after that index that are still kept, oldest first."""
        first = self._events[0].index if self._events else self._next
        skip = max(0, index + 1 - first)
        return tuple(event for place, event in enumerate(self._events) if place >= skip)

    async def follow(self, index: int = 0) -> AsyncIterator[LabEvent]:
        """The events after that index, and then each as it happens; a listener who falls far behind misses some."""
        while True:
            told = self._told
            for event in self.since(index):
                index = event.index
                yield event
            await told.wait()
