"""Global services: one task for each node that suits."""

import random
from collections.abc import Sequence

from swarmlab.api import Instant
from swarmlab.component import Effect, Event


class GlobalOrchestrator:
    """Creates, restarts and updates the tasks of global services. Lives for one leader term."""

    name = "global"

    def __init__(self, ids: random.Random) -> None:
        self._ids = ids

    def step(self, event: Event, now: Instant) -> Sequence[Effect]:
        """Nothing concerns it yet."""
        return ()
