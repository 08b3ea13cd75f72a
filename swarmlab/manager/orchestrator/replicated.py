"""Replicated services: so many tasks, each in a slot of its own."""

import random
from collections.abc import Sequence

from swarmlab.api import Instant
from swarmlab.component import Effect, Event


class ReplicatedOrchestrator:
    """Creates, restarts, updates and moves the tasks of replicated services. Lives for one leader term."""

    name = "replicated"

    def __init__(self, ids: random.Random) -> None:
        self._ids = ids

    def step(self, event: Event, now: Instant) -> Sequence[Effect]:
        """Nothing concerns it yet."""
        return ()
