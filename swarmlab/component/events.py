"""What happens to a part. The store adds `Led` and `Committed`, the agent what its executor did."""

from typing import Any

from swarmlab.api.changes import Refused
from swarmlab.api.value import Value


class Event(Value, frozen=True, gc=True):
    """Base of all events; names are past participles."""


class TimerFired(Event, frozen=True):
    """The timer that this part set under `name` is due."""

    name: str


class Received(Event, frozen=True):
    """A message came from `sender`.

    `call` is 0 for a message that wants no answer; otherwise the answer is a `Send` to the same address with this
    number.
    """

    sender: str
    message: Any
    call: int = 0


class Disconnected(Event, frozen=True):
    """The connection to `peer` is gone, and with it every call in either direction."""

    peer: str


class Proposed(Event, frozen=True):
    """The end of a `Propose` of this part.

    Either `error` is None and `version` is that of the commit, with the groups that were `refused`; or nothing was
    committed, for sure (`ProposalDropped`, `NotLeader`, `TooLarge`) or perhaps (`ProposalUnknown`). A proposal of which
    every group was refused commits nothing: `version` is then that of the view it was held against.
    """

    tag: str
    version: int = 0
    refused: tuple[Refused, ...] = ()
    error: Exception | None = None
