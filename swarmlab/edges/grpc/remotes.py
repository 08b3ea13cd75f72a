"""The managers that a node may speak with, and how well each of them has answered."""

import random
from bisect import bisect
from collections.abc import Callable, Iterable
from itertools import accumulate

from swarmlab.api import Peer, Precondition, WeightedPeer

#: Weight of a manager that answered, and less that of one that did not. SwarmKit `remotes`.
GOOD = 10
#: Of the old weight so much goes into the new one.
_SMOOTHING = 0.5
#: No weight goes beyond this, either way.
_LIMIT = 256
#: Added to each weight, so that managers that all failed are tried all the same, one as likely as the other.
_BIAS = 0.001

#: Keeps the list for the next life of this node; it is given the whole list, sorted by address.
Keep = Callable[[tuple[WeightedPeer, ...]], None]


class Remotes:
    """The managers by address.

    Args:
        rng: Chooses among them.
        peers: Those that are known to begin with.
        keep: Told of every list that has others in it than the one before.
    """

    def __init__(self, rng: random.Random, peers: Iterable[WeightedPeer], keep: Keep) -> None:
        self._rng = rng
        self._keep = keep
        #: {address: (manager, weight)}
        self._known: dict[str, tuple[Peer, float]] = {}
        self._set(peers)

    @property
    def peers(self) -> tuple[WeightedPeer, ...]:
        """All of them with their weights, sorted by address."""
        return tuple(WeightedPeer(peer, int(weight)) for _, (peer, weight) in sorted(self._known.items()))

    def replace(self, peers: Iterable[WeightedPeer]) -> None:
        """Take the complete list that a manager sent. One that names nobody would strand the node, and is not taken.

        What the manager thinks of each counts like an answer, so that one that failed long ago is tried again as soon
        as another fails. Source: SwarmKit `agent/agent.go`, `handleSessionMessage`.
        """
        before = {peer for peer, _ in self._known.values()}
        self._set(peers)
        if {peer for peer, _ in self._known.values()} != before:
            self._keep(self.peers)

    def select(self, *excluded: str) -> Peer:
        """One of them, by weight; one of the addresses in `excluded` only where there is no other.

        Raises:
            Precondition: None is known.
        """
        if not self._known:
            raise Precondition("no manager is known: join the cluster again, with the address of one")
        addresses = [address for address in sorted(self._known) if address not in excluded] or sorted(self._known)
        heights = list(accumulate(max(0.0, self._known[address][1]) + _BIAS for address in addresses))
        place = min(bisect(heights, self._rng.random() * heights[-1]), len(addresses) - 1)
        return self._known[addresses[place]][0]

    def has(self, peer: Peer) -> bool:
        """Whether the manager at that address is still one; who joins knows the address alone."""
        return peer.addr in self._known

    def observe(self, peer: Peer, answered: bool) -> None:
        """Note how a manager did; what is not on the list is not noted."""
        if not self.has(peer):
            return
        known, weight = self._known[peer.addr]
        self._known[peer.addr] = known, _smoothed(weight, GOOD if answered else -GOOD)

    def _set(self, peers: Iterable[WeightedPeer]) -> None:
        fresh = {}
        for weighted in peers:
            peer = weighted.peer
            if peer is not None and peer.addr:
                known = self._known.get(peer.addr)
                told = float(weighted.weight)
                fresh[peer.addr] = peer, told if known is None else _smoothed(known[1], told)
        if fresh:
            self._known = fresh


def _smoothed(weight: float, seen: float) -> float:
    return max(-_LIMIT, min(_LIMIT, _SMOOTHING * seen + (1 - _SMOOTHING) * weight))
