"""Constraints that stopped holding: their tasks are rejected."""

from collections.abc import Sequence

from swarmlab.api import Instant
from swarmlab.component import Effect, Event


class ConstraintEnforcer:
    """Rejects tasks whose node stopped to suit them. Lives for one leader term."""

    name = "enforcer"

    def step(self, event: Event, now: Instant) -> Sequence[Effect]:
        """Nothing concerns it yet."""
        return ()
