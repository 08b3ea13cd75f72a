"""Jobs: tasks that are meant to end, a number of times or once on each node."""

import random
from collections.abc import Sequence

from swarmlab.api import Instant
from swarmlab.component import Effect, Event


class JobsOrchestrator:
    """Creates and restarts the tasks of jobs. Lives for one leader term."""

    name = "jobs"

    def __init__(self, ids: random.Random) -> None:
        self._ids = ids

    def step(self, event: Event, now: Instant) -> Sequence[Effect]:
        """Nothing concerns it yet."""
        return ()
