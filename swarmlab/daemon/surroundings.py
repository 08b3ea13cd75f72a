"""What the parts of one node process share."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from swarmlab.api import Instant
from swarmlab.edges.driver import Alarm


class Surroundings(NamedTuple):
    """Clock, chance, records and supervision."""

    #: All chance that need not be secret derives from it.
    seed: int
    clock: Callable[[], Instant]
    #: (component, event name, fields)
    record: Callable[[str, str, Mapping[str, Any]], None]
    #: Supervises what the parts run; one that breaks ends them all.
    group: asyncio.TaskGroup
    #: The same for what runs in callbacks.
    alarm: Alarm
