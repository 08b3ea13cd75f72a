"""The safety properties of the paper (figure 3) and of linearizable reads, seen from outside.

They look at what members ask their drivers to do and at what is on the disks, and keep their own copy of every log; of
the machines they read role, term and commit index alone.
"""

from collections.abc import Sequence

from raft_cluster import Member, State, Watcher

from swarmlab.raft import EntryKind, LogEntry, RaftId, Ready, Role, SnapshotMeta


class Copy:
    """A member's log as it asked its disk to keep it."""

    def __init__(self, base: int, base_term: int) -> None:
        self.base = base
        self.terms = [base_term]

    @property
    def last(self) -> int:
        return self.base + len(self.terms) - 1

    def term(self, index: int) -> int:
        return self.terms[index - self.base]


class Safety(Watcher):
    """Watches a cluster."""

    def __init__(self, members: dict[RaftId, Member]) -> None:
        #: The members of the cluster; grows with it.
        self._members = members
        self._copies: dict[RaftId, Copy] = {}
        #: {term: who led it}
        self._leaders: dict[int, RaftId] = {}
        #: {(index, term): the entry and the term before it}
        self._entries: dict[tuple[int, int], tuple[LogEntry, int]] = {}
        #: {index: the entry that was committed there}
        self.committed: dict[int, LogEntry] = {}
        #: Highest index that any member knew to be committed.
        self.commit = 0
        self._seen: dict[RaftId, tuple[int, int]] = {}
        self._commits: dict[RaftId, int] = {}
        #: {member: the term that it led when it last asked for something; 0: none}
        self._led: dict[RaftId, int] = {}
        #: {member and its name for a read: what was committed when it was last asked for}
        self._reads: dict[tuple[RaftId, bytes], int] = {}
        #: Those that were answered.
        self.answered: set[tuple[RaftId, bytes]] = set()

    def started(self, member: Member) -> None:
        disk = member.disk
        self._copies[member.raft_id] = Copy(disk.snapshot.index, disk.snapshot.term)
        self._enter(self._copies[member.raft_id], disk.entries)
        self._seen[member.raft_id] = (0, 0)
        self._commits[member.raft_id] = 0
        self._led[member.raft_id] = 0

    def acted(self, member: Member) -> None:
        raft = member.raft
        assert raft is not None
        me = member.raft_id
        term, commit = raft.term, raft.commit
        old_term, old_commit = self._seen[me]
        if (term, commit) != (old_term, old_commit):
            assert term >= old_term, f"member {me} went back from term {old_term} to {term}"
            assert commit >= old_commit, f"member {me} went back from commit {old_commit} to {commit}"
            self._seen[me] = (term, commit)
        if raft.role == Role.LEADER:
            leader = self._leaders.setdefault(term, me)
            assert leader == me, f"election safety: members {leader} and {me} both lead term {term}"
            if commit > self._commits[me] and commit > self.commit:
                self._commits[me] = commit
                self._check_majority(member, commit)
        self.commit = max(self.commit, commit)

    def _check_majority(self, member: Member, commit: int) -> None:
        assert member.raft is not None
        voters = member.raft.members.voters
        entries = [entry for entry in member.disk.entries if entry.index == commit]
        entries += [entry for entry in (member.out.entries if member.out else ()) if entry.index == commit]
        if not entries:
            # Not written by the leader itself yet: then its followers' disks alone have to tell.
            terms = {
                entry.term for other in self._members.values() for entry in other.disk.entries if entry.index == commit
            }
        else:
            terms = {entries[-1].term}
        best = max(
            (sum(self._members[voter].disk.has(commit, term) for voter in voters) for term in terms),
            default=0,
        )
        assert best > len(voters) // 2, (
            f"durability: member {member.raft_id} committed {commit} with {best} of voters {list(voters)}"
        )

    def asked(self, member: Member, ready: Ready) -> None:
        me = member.raft_id
        copy = self._copies[me]
        if ready.snapshot is not None:
            copy = self._copies[me] = Copy(ready.snapshot.index, ready.snapshot.term)
        if ready.entries:
            first = ready.entries[0].index
            assert copy.base < first <= copy.last + 1, f"member {me} leaves a gap before entry {first}"
            leads_on = ready.role == Role.LEADER and self._led[me] == ready.term
            assert not leads_on or first == copy.last + 1, (
                f"leader append-only: member {me} replaces entry {first} of {copy.last}"
            )
            del copy.terms[first - copy.base :]
            self._enter(copy, ready.entries)
        if ready.role == Role.LEADER and self._led[me] != ready.term:
            self._check_completeness(me, ready.term, copy)
        self._led[me] = ready.term if ready.role == Role.LEADER else 0
        for read in ready.reads:
            floor = self._reads[me, read.context]
            assert read.index >= floor, f"stale read: {read.context!r} at {read.index}, but {floor} was committed"
            self.answered.add((me, read.context))

    def _enter(self, copy: Copy, entries: Sequence[LogEntry]) -> None:
        before = copy.terms[-1]
        for entry in entries:
            known = self._entries.setdefault((entry.index, entry.term), (entry, before))
            assert known == (entry, before), (
                f"log matching: {entry} after term {before}, elsewhere {known[0]} after {known[1]}"
            )
            before = entry.term
            copy.terms.append(before)

    def _check_completeness(self, me: RaftId, term: int, copy: Copy) -> None:
        for index, entry in self.committed.items():
            if index > copy.base:
                here = copy.term(index) if index <= copy.last else None
                assert here == entry.term, (
                    f"leader completeness: member {me} leads term {term} with {here} at {index}, not {entry.term}"
                )

    def applied(self, member: Member, entry: LogEntry) -> None:
        assert entry.index == member.applied + 1, (
            f"member {member.raft_id} applies {entry.index} after {member.applied}"
        )
        known = self.committed.setdefault(entry.index, entry)
        assert known == entry, f"state machine safety: {entry} on member {member.raft_id}, elsewhere {known}"

    def restored(self, member: Member, meta: SnapshotMeta, state: State) -> None:
        expected = tuple(
            (index, entry.data)
            for index, entry in sorted(self.committed.items())
            if index <= meta.index and entry.data and entry.kind == EntryKind.NORMAL
        )
        assert state == expected, f"state machine safety: snapshot {meta.index} on member {member.raft_id} differs"

    def read_asked(self, member: Member, context: bytes) -> None:
        self._reads[member.raft_id, context] = self.commit
        self.answered.discard((member.raft_id, context))
