"""Tasks that are over: they go."""

from collections.abc import Sequence

from swarmlab.api import Instant
from swarmlab.component import Effect, Event


class TaskReaper:
    """Deletes tasks that nobody needs any more. Lives for one leader term."""

    name = "reaper"

    def step(self, event: Event, now: Instant) -> Sequence[Effect]:
        """Nothing concerns it yet."""
        return ()
