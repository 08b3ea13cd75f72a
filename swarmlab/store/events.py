"""What the store tells the parts."""

from swarmlab.api import Change, Refused, Value
from swarmlab.component import Event
from swarmlab.store.snapshot import Snapshot


class Led(Event, frozen=True):
    """Leadership began here and now; what a part knew of an earlier term is void."""

    view: Snapshot


class Committed(Event, frozen=True):
    """A new version: the cluster as it is now, and what happened to each object since the version before."""

    view: Snapshot
    changes: tuple[Change, ...]


class Outcome(Value, frozen=True, gc=True):
    """The end of a proposal.

    Without `error`: `version` is that of its last commit, or of the view when nothing was to be committed, and the
    groups in `refused` were not taken. With `error`: nothing was committed, for sure (ProposalDropped, NotLeader,
    TooLarge), or perhaps all or a part of it was (ProposalUnknown).
    """

    version: int = 0
    refused: tuple[Refused, ...] = ()
    error: Exception | None = None
