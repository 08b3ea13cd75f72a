"""The component that answers nodes about attachments."""

import random
from collections.abc import Sequence
from typing import NamedTuple

from swarmlab.api import (
    AttachNetworkRequest,
    AttachNetworkResponse,
    DetachNetworkRequest,
    DetachNetworkResponse,
    Instant,
    NodeId,
    NotLeader,
    SwarmlabError,
)
from swarmlab.component import Effect, Event, Propose, Proposed, Received, Send
from swarmlab.manager.controlapi import attach_network, detach_network
from swarmlab.store import Committed, Led, Snapshot


class _Call(NamedTuple):
    """A call that waits for the end of its proposal."""

    sender: str
    number: int
    answer: AttachNetworkResponse | DetachNetworkResponse


class ResourceAllocator:
    """Attaches and detaches the plain containers of the calling node. Each call is a proposal of its own.

    Args:
        rng: For the ids of the tasks.
    """

    name = "resourceapi"
    #: Classes of messages that come here.
    takes = frozenset({AttachNetworkRequest, DetachNetworkRequest})

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._view: Snapshot | None = None
        #: {tag of a proposal under way: the call that it is for}
        self._calls: dict[str, _Call] = {}
        #: Proposals made so far, over all terms, so that a late answer is not taken for another.
        self._turn = 0

    def step(self, event: Event, now: Instant) -> Sequence[Effect]:
        """Take one event; give what is to be done."""
        match event:
            case Received(sender, message, call):
                try:
                    return self._ask(sender, message, call, now)
                except SwarmlabError as error:
                    return [Send(sender, error, call)]
            case Proposed(tag) if tag in self._calls:
                asked = self._calls.pop(tag)
                wrong = event.error or next((refused.error for refused in event.refused), None)
                return [Send(asked.sender, wrong or asked.answer, asked.number)]
            case Committed(view):
                self._view = view
            case Led(view):
                self._view = view
                calls, self._calls = self._calls, {}
                return [Send(asked.sender, NotLeader(), asked.number) for asked in calls.values()]
        return []

    def _ask(
        self, sender: str, message: AttachNetworkRequest | DetachNetworkRequest, call: int, now: Instant
    ) -> list[Effect]:
        if self._view is None:
            raise NotLeader
        node_id = NodeId(sender)
        answer: AttachNetworkResponse | DetachNetworkResponse
        if isinstance(message, AttachNetworkRequest):
            changes, answer = attach_network(self._view, node_id, message, self._rng, now)
        else:
            changes, answer = detach_network(self._view, node_id, message)
        self._turn += 1
        tag = f"attachment-{self._turn}"
        self._calls[tag] = _Call(sender, call, answer)
        return [Propose(changes, tag)]
