"""By chance: a yardstick for the others."""

from collections.abc import Sequence

import numpy as np

from swarmlab.plugin import ClusterView, Group, Ints, Placement, Plan, Strategy


class Random(Strategy):
    """By chance: each task goes to any node that has room, all equally likely; from the run's seed."""

    name = "random"

    def place(self, groups: Sequence[Group], view: ClusterView) -> Plan:
        """Task by task; preferences and scores are not looked at."""
        placements = []
        for group in groups:
            counts = _drawn(group, view)
            if counts.any():
                placement = Placement.of(group.id, counts)
                placements.append(placement)
                view = view.after(placement)
        return Plan(tuple(placements))

    def formula(self) -> str:
        """Chance."""
        return "every node with room is equally likely"


def _drawn(group: Group, view: ClusterView) -> Ints:
    left = view.capacity(group).tolist()
    counts = np.zeros(len(left), np.int64)
    usable = [node for node, room in enumerate(left) if room > 0]
    for _ in range(group.count):
        if not usable:
            break
        at = view.rng.randrange(len(usable))
        node = usable[at]
        counts[node] += 1
        left[node] -= 1
        if not left[node]:
            # The last one takes the place of the full one; their order means nothing here.
            usable[at] = usable[-1]
            usable.pop()
    return counts
