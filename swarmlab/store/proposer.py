"""How a change becomes final: at once, or after a disk or a quorum has it."""

from collections.abc import Callable
from typing import Protocol

from swarmlab.api import Change
from swarmlab.store.codec import encode_change, encode_entry
from swarmlab.store.snapshot import Snapshot


class Entry:
    """One step of the store from `version - 1` to `version`."""

    __slots__ = ("_data", "_parts", "changes", "version", "view")

    def __init__(self, view: Snapshot, changes: tuple[Change, ...]) -> None:
        self.version = view.version
        self.changes = changes
        #: The store after this entry and all before it.
        self.view = view
        self._parts: list[bytes] | None = None
        self._data: bytes | None = None

    def size(self) -> int:
        """Bytes of the changes, written down."""
        if self._parts is None:
            self._parts = [encode_change(change) for change in self.changes]
        return sum(map(len, self._parts))

    def data(self) -> bytes:
        """The entry for a log; `codec.replayed` reads it."""
        if self._data is None:
            self.size()
            self._data = encode_entry(self.version, self._parts or ())
        return self._data


class Proposer(Protocol):
    """Makes entries final, in the order given.

    Entries form a chain: each was checked against the one before. So when one fails, all that were proposed after it
    and not yet answered fail too, and the next that comes continues from the last one that was committed. After an
    indefinite failure (ProposalUnknown) it drops whatever follows, until it knows again what was committed.
    """

    @property
    def max_entry_bytes(self) -> int | None:
        """Limit of an entry's size; None where entries are never written down, and so need not be measured."""

    def propose(self, entry: Entry, done: Callable[[Exception | None], None]) -> None:
        """Commit `entry`, then call `done(None)`, on the thread of the store, perhaps before this returns.

        `done` is called exactly once. Its argument says why the entry was not committed: ProposalDropped, NotLeader,
        TooLarge: for sure; anything else: it may have been.
        """


class CommitAtOnce:
    """A proposer that has nobody to ask: every entry is final at once.

    For simulations, and for clusters that keep nothing.
    """

    max_entry_bytes: int | None = None

    def propose(self, _: Entry, done: Callable[[Exception | None], None]) -> None:
        """Commit, before this returns."""
        done(None)
