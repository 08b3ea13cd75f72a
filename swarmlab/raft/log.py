"""The log of one member in memory: a tail of entries, of which a front part is durable and covered by a snapshot."""

from bisect import bisect_right
from collections.abc import Sequence

from swarmlab.api.errors import StateError
from swarmlab.raft.messages import LogEntry, SnapshotMeta, Stored

#: Bytes that an entry counts beside its data, so that empty entries are not free.
ENTRY_BYTES = 16


def _term_of(entry: LogEntry) -> int:
    return entry.term


class RaftLog:
    """Entries `first .. last`, in order and without a gap.

    `snapshot.index <= applied <= commit <= last` and `first <= snapshot.index + 1`: some entries that the snapshot
    covers stay for slow followers. Terms never fall along the log, so a place is found by halving.
    """

    __slots__ = (
        "_before",
        "_before_bytes",
        "_before_term",
        "_ends",
        "_entries",
        "applied",
        "commit",
        "snapshot",
        "stable",
    )

    def __init__(self, stored: Stored) -> None:
        """The log that a disk holds.

        Raises:
            StateError: The entries do not follow the snapshot, or are fewer than are known to be committed.
        """
        #: The newest snapshot here; who lacks entries before `first` gets this one.
        self.snapshot = stored.snapshot
        #: Place and term of the entry just before the first one.
        self._before = stored.snapshot.index
        self._before_term = stored.snapshot.term
        self._entries: list[LogEntry] = []
        #: Bytes up to each entry and with it, counted from the making of this log; `_before_bytes`: before the first.
        self._ends: list[int] = []
        self._before_bytes = 0
        for place, entry in enumerate(stored.entries, stored.snapshot.index + 1):
            if entry.index != place:
                raise StateError(f"the stored log has entry {entry.index} where {place} is wanted")
        self.append(stored.entries)
        #: Last index that is durable here.
        self.stable = self.last
        self.commit = max(stored.hard_state.commit, stored.snapshot.index)
        self.applied = stored.snapshot.index
        if self.commit > self.last:
            raise StateError(f"the stored log ends at {self.last}, but {self.commit} was committed")

    @property
    def first(self) -> int:
        """Index of the first entry here, or of the next one if there is none."""
        return self._before + 1

    @property
    def last(self) -> int:
        """Index of the last entry; that of the snapshot if there is none; 0 at the very start."""
        return self._before + len(self._entries)

    @property
    def last_term(self) -> int:
        """Term of the last entry."""
        return self._entries[-1].term if self._entries else self._before_term

    def term(self, index: int) -> int | None:
        """The term at a place; None where the log does not reach, or no longer."""
        place = index - self._before
        if 1 <= place <= len(self._entries):
            return self._entries[place - 1].term
        return self._before_term if place == 0 else None

    def is_matched_by(self, index: int, term: int) -> bool:
        """Whether a log that ends at that place is at least as new as this one (paper, section 5.4.1)."""
        last_term = self.last_term
        return term > last_term or (term == last_term and index >= self.last)

    def last_at_most(self, index: int, term: int) -> tuple[int, int]:
        """The last place up to `index` whose term is at most `term`, with its term: the end of what two logs may share.

        The place before the first entry, with its term, when all entries are of later terms; `index`, with no term,
        where the log does not reach back to it.
        """
        if index < self._before:
            return index, 0
        stop = max(0, min(index - self._before, len(self._entries)))
        count = bisect_right(self._entries, term, 0, stop, key=_term_of)
        return self._before + count, self._entries[count - 1].term if count else self._before_term

    def append(self, entries: Sequence[LogEntry]) -> None:
        """Put entries behind the last."""
        self._entries.extend(entries)
        end = self._ends[-1] if self._ends else self._before_bytes
        ends = self._ends
        for entry in entries:
            end += ENTRY_BYTES + len(entry.data)
            ends.append(end)

    def conflict(self, entries: Sequence[LogEntry]) -> int:
        """How many of the entries are here already: the first of the rest is new, or differs in its term."""
        if not entries or entries[0].index > self.last:
            return 0
        for place, entry in enumerate(entries):
            if self.term(entry.index) != entry.term:
                return place
        return len(entries)

    def truncate(self, index: int) -> None:
        """Drop the entries from `index` on; none of them may be committed."""
        assert index > self.commit, f"entry {index} is dropped, but {self.commit} is committed"
        place = index - self.first
        del self._entries[place:]
        del self._ends[place:]
        self.stable = min(self.stable, index - 1)

    def batch(self, index: int, limit: int) -> tuple[tuple[LogEntry, ...], int]:
        """Entries from `index` on up to a limit in bytes, at least one if there is one, and their bytes."""
        place = index - self.first
        if place >= len(self._entries):
            return (), 0
        start = self._ends[place - 1] if place else self._before_bytes
        stop = max(place + 1, bisect_right(self._ends, start + limit, place))
        return tuple(self._entries[place:stop]), self._ends[stop - 1] - start

    def between(self, after: int, last: int) -> tuple[LogEntry, ...]:
        """The entries behind `after`, up to `last`."""
        return tuple(self._entries[after - self._before : last - self._before])

    def bytes_after(self, index: int) -> int:
        """Bytes of the entries behind `index`."""
        if not self._ends:
            return 0
        place = index - self._before
        return self._ends[-1] - (self._ends[place - 1] if place > 0 else self._before_bytes)

    def unstable(self) -> tuple[LogEntry, ...]:
        """The entries that are not known to be durable here."""
        return self.between(self.stable, self.last)

    def stored(self, entries: Sequence[LogEntry]) -> None:
        """These are durable, as far as they are still part of the log."""
        for entry in reversed(entries):
            if entry.index <= self.stable:
                return
            if self.term(entry.index) == entry.term:
                self.stable = entry.index
                return

    def restore(self, snapshot: SnapshotMeta) -> None:
        """Begin anew behind a snapshot of somebody else; it is durable together with what comes next."""
        self._entries.clear()
        self._ends.clear()
        self._before_bytes = 0
        self._before, self._before_term = snapshot.index, snapshot.term
        self.snapshot = snapshot
        self.stable = self.commit = snapshot.index

    def compact(self, snapshot: SnapshotMeta, keep: int) -> None:
        """Take an own snapshot of what is applied, and keep that many entries behind it."""
        self.snapshot = snapshot
        count = snapshot.index - keep - self._before
        if count > 0:
            self._before_term = self._entries[count - 1].term
            self._before_bytes = self._ends[count - 1]
            self._before += count
            del self._entries[:count]
            del self._ends[:count]
