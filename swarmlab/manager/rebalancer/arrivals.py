"""Nodes that can take tasks again, and nodes that come and go too often to be given any."""

from collections import deque

from swarmlab.api import MINUTE, Change, ChangeKind, Duration, Instant, Node, NodeId, after
from swarmlab.manager.scheduler.columns import is_ready
from swarmlab.plugin import Trigger
from swarmlab.store import Snapshot

#: A node that became schedulable so many times within that span flaps.
FLAPS = 3
FLAP_MEMORY = Duration(5 * MINUTE)
#: A flapping node that stayed schedulable for so long is trusted again.
STABLE = MINUTE


class Arrivals:
    """Which nodes became schedulable (READY and ACTIVE) and were not answered yet. Lives for one leader term.

    A node that was there before its arrival returns, another one joins. What came before the term is not known.
    """

    def __init__(self, view: Snapshot) -> None:
        #: Nodes that were ever schedulable, or were there when the term began.
        self._known = {node.id for node in view.nodes()}
        self._schedulable = {node.id for node in view.nodes() if is_ready(node)}
        #: {node: when it became schedulable, oldest first}, of those that did within the memory.
        self._times: dict[NodeId, deque[Instant]] = {}
        #: {node to be answered: "join" or "return"}
        self._due: dict[NodeId, str] = {}
        #: {flapping node: when it will be trusted, None while it is away}
        self._flapping: dict[NodeId, Instant | None] = {}

    def note(self, change: Change, now: Instant) -> None:
        """Follow one change of a node."""
        node = change.object
        assert isinstance(node, Node)
        there = change.kind != ChangeKind.REMOVED and is_ready(node)
        if there and node.id not in self._schedulable:
            self._arrive(node.id, now)
        elif not there and node.id in self._schedulable:
            self._schedulable.discard(node.id)
            self._due.pop(node.id, None)
            if node.id in self._flapping:
                self._flapping[node.id] = None
        if change.kind == ChangeKind.REMOVED:
            for known in (self._times, self._flapping):
                known.pop(node.id, None)
            self._known.discard(node.id)

    def _arrive(self, node: NodeId, now: Instant) -> None:
        self._schedulable.add(node)
        times = self._times.setdefault(node, deque())
        times.append(now)
        while times[0] <= now - FLAP_MEMORY:
            times.popleft()
        if len(times) >= FLAPS:
            self._flapping[node] = after(now, STABLE)
        else:
            self._due[node] = "return" if node in self._known else "join"
        self._known.add(node)

    def trust(self, now: Instant) -> None:
        """Let flapping nodes that were stable for long enough return at last."""
        for node, at in list(self._flapping.items()):
            if at is not None and at <= now:
                del self._flapping[node]
                self._due[node] = "return"

    @property
    def due(self) -> bool:
        """Whether any node is to be answered."""
        return bool(self._due)

    @property
    def flapping(self) -> tuple[NodeId, ...]:
        """Nodes that came and went too often lately, sorted."""
        return tuple(sorted(self._flapping))

    @property
    def next_trust(self) -> Instant | None:
        """When the next flapping node will be trusted."""
        return min((at for at in self._flapping.values() if at is not None), default=None)

    def take(self) -> Trigger | None:
        """All that is to be answered, as one trigger; from now on it is."""
        if not self._due:
            return None
        due, self._due = self._due, {}
        kinds = set(due.values())
        return Trigger("join" if kinds == {"join"} else "return", tuple(sorted(due)))
