"""The simulated wire between a manager and its workers."""

import random
from collections.abc import Callable
from typing import Any

from swarmlab.api import Duration, Instant, Value, after, seconds
from swarmlab.sim.chance import Spread, happens
from swarmlab.sim.heap import Heap

#: The end at the other side.
_OTHER = {"manager": "worker", "worker": "manager"}


class NetworkModel(Value, frozen=True, kw_only=True):
    """How the wire behaves when nobody cuts it."""

    delay: Spread = Spread(median=seconds(0.001), sigma=0.3)
    #: Probability that a message finds the connection broken, which both ends then notice.
    breaks: float = 0.0
    #: After how long an end notices that what it sends gets no answer: the wire is cut, or the peer has no power.
    notice: Spread = Spread(median=seconds(15))


class Link:
    """The wire of one worker, and the connection on it: ordered both ways, as a stream over TCP is."""

    def __init__(self, node: str) -> None:
        self.node = node
        self.cut = False
        #: Of several managers the one that it is for is on the other side of a partition.
        self.away = False
        #: Something was lost in the cut wire, so the connection cannot go on where it was.
        self.lost = False
        #: The worker's end has power and a process that listens.
        self.up = True
        #: Number of the newest connection. What was on its way on an earlier one never arrives.
        self.life = 0
        #: {end: the connection that it believes in}; an end behind `life` has yet to notice that its own is gone.
        self.held = {"manager": 0, "worker": 0}
        self.last_arrival: dict[str, Instant] = {}

    @property
    def is_cut(self) -> bool:
        """Nothing gets through."""
        return self.cut or self.away


class Network:
    """Links by node id; what is sent arrives later, in order, or the connection breaks.

    A connection never loses one message and carries the next. Each end notices for itself that it is gone: by what it
    sends, when nothing comes back, or when its peer begins a new one.
    """

    def __init__(
        self,
        heap: Heap,
        rng: random.Random,
        model: Callable[[], NetworkModel],
        *,
        to_manager: Callable[[str, Any, int], None],
        to_worker: Callable[[str, Any, int], None],
        broken: Callable[[str, str], None],
    ) -> None:
        """Join both ends.

        Args:
            heap: Time.
            rng: Chance of this wire alone.
            model: Asked for each message.
            to_manager: Takes (node, message, call).
            to_worker: The same.
            broken: Called with (node, end) when that end, "manager" or "worker", notices that its connection is gone.
        """
        self._heap = heap
        self._rng = rng
        self._model = model
        self._deliver = {"manager": to_manager, "worker": to_worker}
        self._broken = broken
        self._links: dict[str, Link] = {}

    def link(self, node: str) -> Link:
        """The link of that node."""
        if node not in self._links:
            self._links[node] = Link(node)
        return self._links[node]

    def send(self, node: str, end: str, message: Any, call: int) -> None:
        """Carry a message over the link of `node` to that end of it, "manager" or "worker"."""
        link, sender = self.link(node), _OTHER[end]
        if link.is_cut or link.held[sender] != link.life:
            self._lose(link, sender)
            return
        if happens(self._rng, self._model().breaks):
            self.break_connection(node)
            return
        arrival = after(self._heap.now, self._model().delay.draw(self._rng))
        arrival = max(arrival, link.last_arrival.get(end, arrival))
        link.last_arrival[end] = arrival
        life = link.life
        self._heap.at(arrival, lambda: self._arrive(link, life, end, message, call))

    def cut(self, node: str) -> None:
        """Partition the node from the manager."""
        self.link(node).cut = True

    def heal(self, node: str) -> None:
        """End the partition; where something was lost in it, the connection breaks."""
        link = self.link(node)
        link.cut = False
        self._mended(link)

    def set_away(self, node: str, away: bool) -> None:
        """Whether a partition stands between the node and the manager that it talks to; its end is as `heal`."""
        link = self.link(node)
        link.away = away
        if not away:
            self._mended(link)

    def break_connection(self, node: str) -> None:
        """The connection is gone, and both ends notice at once."""
        link = self.link(node)
        self._renew(link)
        for end in ("manager", "worker"):
            self._notice_at(link, end, self._heap.now)

    def close(self, node: str) -> None:
        """The worker's process ends: its machine closes the connection, and the manager's end is told of it."""
        link = self.link(node)
        self.silence(node)
        if not link.is_cut:
            self._notice_at(link, "manager", after(self._heap.now, self._model().delay.draw(self._rng)))

    def leave(self, node: str) -> None:
        """The manager gives up the connection; the worker is told at once, or finds out where the wire is cut."""
        link = self.link(node)
        is_cut = link.is_cut
        self._renew(link)
        self._notice_at(link, "manager", self._heap.now)
        span = self._model().notice.draw(self._rng) if is_cut else Duration(0)
        self._notice_at(link, "worker", after(self._heap.now, span))

    def silence(self, node: str) -> None:
        """The worker's machine loses power: nobody is told."""
        link = self.link(node)
        link.up = False
        self._renew(link)

    def open(self, node: str) -> None:
        """The worker's process starts: its end begins a new connection with what it sends first."""
        link = self.link(node)
        link.up = True
        link.held["worker"] = link.life

    def _mended(self, link: Link) -> None:
        if link.lost and not link.is_cut:
            self.break_connection(link.node)

    def _renew(self, link: Link) -> None:
        link.life += 1
        link.lost = False
        link.last_arrival.clear()

    def _arrive(self, link: Link, life: int, end: str, message: Any, call: int) -> None:
        if link.life != life:
            return
        if link.is_cut:
            self._lose(link, _OTHER[end])
            return
        if link.held[end] != life:
            self._learn(link, end)
        self._deliver[end](link.node, message, call)

    def _lose(self, link: Link, sender: str) -> None:
        """A message of `sender` gets nowhere. A peer that is there says so at once, otherwise it takes a while."""
        link.lost = link.lost or link.is_cut
        reached = link.up and not link.is_cut
        model = self._model()
        span = (model.delay if reached else model.notice).draw(self._rng)
        self._notice_at(link, sender, after(self._heap.now, span))

    def _notice_at(self, link: Link, end: str, at: Instant) -> None:
        life = link.held[end]
        self._heap.at(at, lambda: self._notice(link, end, life))

    def _notice(self, link: Link, end: str, life: int) -> None:
        if link.held[end] != life or (end == "worker" and not link.up):
            return
        if link.life == life:
            self._renew(link)
        self._learn(link, end)

    def _learn(self, link: Link, end: str) -> None:
        link.held[end] = link.life
        self._broken(link.node, end)
