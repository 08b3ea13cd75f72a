"""Which manager each worker is connected with, where there are several."""

from collections.abc import Callable

from swarmlab.sim.machine import SimManager
from swarmlab.sim.network import Network


class Connections:
    """A new connection finds the manager that leads; one whose manager leads no more breaks.

    Args:
        network: The wires of the workers.
        leader: Who leads now.
    """

    def __init__(self, network: Network, leader: Callable[[], SimManager | None]) -> None:
        self._network = network
        self._leader = leader
        #: {worker: the manager at the other end of its connection}
        self._ends: dict[str, SimManager] = {}
        #: {worker: names of managers between whom and it nothing gets through}
        self._parted: dict[str, set[str]] = {}

    def has(self, node: str, owner: SimManager) -> bool:
        """Whether that worker is connected with that manager."""
        return self._ends.get(node) is owner

    def end_of(self, node: str) -> SimManager | None:
        """The manager that gets what the worker sends; None where nobody leads whom it knows."""
        owner = self._ends.get(node) or self._leader()
        if owner is None or not owner.leads:
            return None
        self._ends[node] = owner
        return owner

    def broke(self, node: str) -> SimManager | None:
        """The manager's end of the worker's connection is gone; whose it was."""
        owner = self._ends.pop(node, None)
        self._fit(node)
        return owner

    def turned(self, owner: SimManager) -> None:
        """A manager began or ceased to lead."""
        if not owner.leads:
            for node in sorted(node for node, end in self._ends.items() if end is owner):
                self._network.leave(node)
        for node in sorted(self._parted):
            self._fit(node)

    def part(self, node: str, manager: str) -> None:
        """Let nothing through between the worker and that manager."""
        self._parted.setdefault(node, set()).add(manager)
        self._fit(node)

    def mend(self, node: str, manager: str) -> None:
        """Let everything through again between the two."""
        self._parted.get(node, set()).discard(manager)
        self._fit(node)

    def _fit(self, node: str) -> None:
        """Have the wire be as it is towards the manager that the worker talks to, or would talk to."""
        parted = self._parted.get(node)
        if parted is None:
            return
        owner = self._ends.get(node) or self._leader()
        self._network.set_away(node, owner is not None and owner.name in parted)
