"""What a part wants done. The agent adds what its executor is to do."""

from collections.abc import Mapping
from typing import Any

from swarmlab.api.changes import Changes
from swarmlab.api.moments import Instant
from swarmlab.api.value import Value


class Effect(Value, frozen=True, gc=True):
    """Base of all effects; names are imperatives."""


class Propose(Effect, frozen=True):
    """Have `changes` committed; the part hears `Proposed(tag)`."""

    changes: Changes
    tag: str = ""


class SetTimer(Effect, frozen=True):
    """Fire `TimerFired(name)` at `at`, or as soon as possible when that is past. A timer of that name moves."""

    name: str
    at: Instant


class CancelTimer(Effect, frozen=True):
    """Forget the timer of that name, if there is one."""

    name: str


class Send(Effect, frozen=True):
    """Send `message` to the part at address `to`; `call` is the number of the call that it answers, or 0.

    An exception of the error tree as `message` ends the call with that error.
    """

    to: str
    message: Any
    call: int = 0


class Tell(Effect, frozen=True):
    """Hand `event` to the component of that name in the same assembly, after what is queued already."""

    component: str
    event: Any


class Record(Effect, frozen=True):
    """Note what was decided and why, for the decision log, `events` and the logs: an event name and plain fields.

    `fields` hold numbers, texts, booleans, None, and lists and mappings of them.
    """

    name: str
    fields: Mapping[str, Any]
