"""The simulated wire between a manager and its workers."""

import random
from collections.abc import Callable
from typing import Any

from swarmlab.api import Instant, Value, after, seconds
from swarmlab.sim.chance import Spread, happens
from swarmlab.sim.heap import Heap


class NetworkModel(Value, frozen=True, kw_only=True):
    """How the wire behaves when nobody cuts it."""

    delay: Spread = Spread(median=seconds(0.001), sigma=0.3)
    #: Probability that a message finds the connection broken, which both ends then notice.
    breaks: float = 0.0
    #: After how long an end notices that a cut wire no longer carries anything.
    notice: Spread = Spread(median=seconds(15))


class Link:
    """The connection of one worker: ordered both ways, as a stream over TCP is."""

    def __init__(self, node: str) -> None:
        self.node = node
        self.cut = False
        #: Something was sent into the cut wire, so the connection cannot go on where it was.
        self.lost = False
        #: Grows when the connection breaks; what was on its way under an earlier number never arrives.
        self.life = 0
        self.last_arrival: dict[str, Instant] = {}


class Network:
    """Links by node id; what is sent arrives later, in order, or the connection breaks.

    A cut link (a partition) carries nothing; messages into it are lost with the connection, as soon as the end that
    sent has noticed.
    """

    def __init__(
        self,
        heap: Heap,
        rng: random.Random,
        model: NetworkModel,
        *,
        to_manager: Callable[[str, Any, int], None],
        to_worker: Callable[[str, Any, int], None],
        broken: Callable[[str, str], None],
    ) -> None:
        """`broken(node, end)` is called for each end, "manager" or "worker", when it notices that it is gone."""
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
        link = self.link(node)
        if link.cut:
            link.lost = True
            life = link.life
            self._heap.later(self._model.notice.draw(self._rng), lambda: self._notice(link, life))
            return
        if happens(self._rng, self._model.breaks):
            self.break_connection(node)
            return
        arrival = after(self._heap.now, self._model.delay.draw(self._rng))
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
        if link.lost:
            self.break_connection(node)

    def break_connection(self, node: str, *, ends: tuple[str, ...] = ("manager", "worker")) -> None:
        """The connection is gone now, and the given ends know it at once."""
        link = self.link(node)
        link.life += 1
        link.lost = False
        link.last_arrival.clear()
        for end in ends:
            self._heap.at(self._heap.now, lambda end=end: self._broken(node, end))  # type: ignore[misc]

    def _notice(self, link: Link, life: int) -> None:
        if link.life == life and link.cut:
            self.break_connection(link.node)

    def _arrive(self, link: Link, life: int, end: str, message: Any, call: int) -> None:
        if link.life == life and not link.cut:
            self._deliver[end](link.node, message, call)
