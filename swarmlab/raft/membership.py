"""Who counts, and how that changes.

Members are added and removed one at a time (thesis, section 4.1), not jointly: managers come and go one by one, any two
memberships that follow each other share a majority, and there is no half-way state that an operator could be caught in.
A change is in force as soon as it is in the log of a member, committed or not, and out of force when it is truncated.

One at a time alone is not safe over a change of leaders; the published fix (Ongaro, raft-dev, "bug in single-server
membership changes", 2015) is kept: a leader takes no change before an entry of its own term is committed. Nor does it
take one before the last one is applied, so two that are not committed are never in one log.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from swarmlab.api.errors import AlreadyExists, InvalidSpec, NotFound, Precondition
from swarmlab.raft.codec import decode_change, encode_change
from swarmlab.raft.messages import (
    NOBODY,
    ChangeKind,
    ConfigChange,
    EntryKind,
    HardState,
    LogEntry,
    Membership,
    Stored,
)


def changed(members: Membership, change: ConfigChange) -> Membership:
    """The membership after a change. What is so already stays so."""
    if change.kind == ChangeKind.UPDATE:
        return members
    voters = {member for member in members.voters if member != change.raft_id}
    learners = {member for member in members.learners if member != change.raft_id}
    if change.kind == ChangeKind.ADD_VOTER:
        voters.add(change.raft_id)
    elif change.kind == ChangeKind.ADD_LEARNER:
        learners.add(change.raft_id)
    return Membership(voters=tuple(sorted(voters)), learners=tuple(sorted(learners)))


def check_change(members: Membership, change: ConfigChange) -> None:
    """See whether a change makes sense.

    Raises:
        InvalidSpec: The number of the member cannot be one.
        NotFound: The member to remove or to update is none.
        AlreadyExists: The member to add is one, in that very part.
        Precondition: No voter would be left.
    """
    member = change.raft_id
    if member <= NOBODY:
        raise InvalidSpec(f"raft id {member} is no member's, want 1 or more")
    known = member in members.voters or member in members.learners
    if change.kind in (ChangeKind.REMOVE, ChangeKind.UPDATE) and not known:
        raise NotFound(f"raft member {member} is not known")
    if change.kind == ChangeKind.ADD_VOTER and member in members.voters:
        raise AlreadyExists(f"raft member {member} is a voter")
    if change.kind == ChangeKind.ADD_LEARNER and member in members.learners:
        raise AlreadyExists(f"raft member {member} is a learner")
    if not changed(members, change).voters:
        raise Precondition(f"raft member {member} is the last voter")


def founded(members: Sequence[ConfigChange]) -> Stored:
    """What the first members of a new cluster store: a log that begins with them, committed.

    A joining member stores nothing: it is told by the leader.
    """
    entries = tuple(
        LogEntry(index=index, term=1, kind=EntryKind.CONFIG, data=encode_change(change))
        for index, change in enumerate(members, 1)
    )
    return Stored(hard_state=HardState(term=1, commit=len(entries)), entries=entries)


class Memberships:
    """The membership at each place of a log that a snapshot does not cover."""

    def __init__(self, index: int, members: Membership, entries: Iterable[LogEntry]) -> None:
        #: Places of changes, rising, and the membership from each on. The first ones: at or before the snapshot.
        self._indexes = [index]
        self._members = [members]
        self.append(entries)

    @property
    def newest(self) -> Membership:
        """In force."""
        return self._members[-1]

    @property
    def newest_index(self) -> int:
        """Where it began."""
        return self._indexes[-1]

    def at(self, index: int) -> Membership:
        """The membership after the entry at `index`, which is not before the snapshot."""
        return self._members[bisect_right(self._indexes, index) - 1]

    def append(self, entries: Iterable[LogEntry]) -> bool:
        """Entries came into the log; whether a change is among them."""
        found = False
        for entry in entries:
            if entry.kind == EntryKind.CONFIG:
                found = True
                self._indexes.append(entry.index)
                self._members.append(changed(self._members[-1], decode_change(entry.data)))
        return found

    def truncate(self, index: int) -> None:
        """The entries from `index` on left the log."""
        while self._indexes[-1] >= index:
            self._indexes.pop()
            self._members.pop()

    def compact(self, index: int) -> None:
        """Nobody asks for what was before `index` any more."""
        place = bisect_right(self._indexes, index) - 1
        del self._indexes[:place]
        del self._members[:place]

    def restore(self, index: int, members: Membership) -> None:
        """The log begins anew behind a snapshot."""
        self._indexes[:] = [index]
        self._members[:] = [members]
