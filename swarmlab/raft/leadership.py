"""What a leader does in its term: feed the followers, commit by counting, confirm reads, hand over."""

from collections.abc import Mapping

from swarmlab.api.errors import NotFound, Precondition, ProposalDropped
from swarmlab.raft.config import RaftConfig
from swarmlab.raft.log import RaftLog
from swarmlab.raft.messages import (
    NOBODY,
    LogEntry,
    Membership,
    Message,
    MessageKind,
    RaftId,
    ReadReady,
    SnapshotMeta,
)
from swarmlab.raft.outbox import Outbox
from swarmlab.raft.progress import Progress, Replication, ReplicationState
from swarmlab.raft.quorum import needed, reached
from swarmlab.raft.reads import Reads


class Leadership:
    """One leader in one term; it ends with the term.

    Everything that it says may be said before its own disk is done (thesis, section 10.2.1), since its term was durable
    when it was elected, and its own copy of an entry counts only once that is durable. So all of it is eager.
    """

    def __init__(
        self,
        config: RaftConfig,
        term: int,
        log: RaftLog,
        members: Membership,
        outbox: Outbox,
        reads: list[ReadReady],
    ) -> None:
        self._config = config
        self._term = term
        self._log = log
        self._outbox = outbox
        self._own_reads = reads
        self._members = members
        self._others: dict[RaftId, Replication] = {}
        self._reads = Reads()
        self._heartbeat_elapsed = 0
        #: Who takes over, and for how many ticks it has been waited for.
        self.transferee = NOBODY
        self._transfer_elapsed = 0
        #: Whether an entry of this term is committed: then all before it is, and is known to be.
        self.has_committed = False
        self.reconfigure(members)

    def reconfigure(self, members: Membership) -> None:
        """Another membership is in force."""
        self._members = members
        known = self._others
        self._others = {
            member: known.get(member) or Replication(self._log.last + 1)
            for member in sorted((*members.voters, *members.learners))
            if member != self._config.raft_id
        }
        if self.transferee not in members.voters:
            self.transferee = NOBODY

    def progress(self) -> Mapping[RaftId, Progress]:
        """How far each other member is."""
        return {member: other.view(self._config.election_ticks) for member, other in self._others.items()}

    # Time

    def tick(self) -> bool:
        """A tick passed; False when no quorum was heard for an election time-out: the leader has to step down."""
        for other in self._others.values():
            other.silent_ticks += 1
        if self.transferee:
            self._transfer_elapsed += 1
            if self._transfer_elapsed >= self._config.election_ticks:
                self.transferee = NOBODY
        if self._config.check_quorum and not self._is_heard():
            return False
        self._heartbeat_elapsed += 1
        if self._heartbeat_elapsed >= self._config.heartbeat_ticks:
            self._beat()
        return True

    def _is_heard(self) -> bool:
        limit = self._config.election_ticks
        heard = sum(
            voter == self._config.raft_id or self._others[voter].silent_ticks < limit for voter in self._members.voters
        )
        return heard >= needed(self._members.voters)

    def _beat(self) -> None:
        self._heartbeat_elapsed = 0
        context = self._reads.round.to_bytes(8, "big")
        for member, other in self._others.items():
            self._say(MessageKind.HEARTBEAT, member, commit=min(other.match, self._log.commit), context=context)

    # What to send

    def feed(self) -> None:
        """Send what is due: entries, the commit index, heartbeats that confirm reads."""
        if self._reads.begin_round():
            self._beat()
            self._confirm()
        #: {next: entries and their bytes}: followers are mostly at the same place.
        batches: dict[int, tuple[tuple[LogEntry, ...], int]] = {}
        for member, other in self._others.items():
            while self._wants(other):
                self._append(member, other, batches)

    def _wants(self, other: Replication) -> bool:
        if other.state == ReplicationState.PROBE:
            return not other.is_paused
        if other.state == ReplicationState.SNAPSHOT:
            return False
        if other.is_due:
            return True
        log = self._log
        if other.next > log.last:
            return other.told_commit < log.commit
        return not other.is_full(self._config.max_inflight, self._config.max_inflight_bytes)

    def _append(self, member: RaftId, other: Replication, batches: dict[int, tuple[tuple[LogEntry, ...], int]]) -> None:
        log = self._log
        previous = other.next - 1
        previous_term = log.term(previous)
        if previous_term is None:
            self._send_snapshot(member, other)
            return
        batch = batches.get(other.next)
        if batch is None:
            batch = batches[other.next] = (
                log.batch(other.next, self._config.max_entries_bytes) if other.next <= log.last else ((), 0)
            )
        entries, size = batch
        if other.is_full(self._config.max_inflight, self._config.max_inflight_bytes):
            entries, size = (), 0
        self._outbox.say(
            MessageKind.APPEND,
            member,
            self._term,
            is_eager=True,
            index=previous,
            log_term=previous_term,
            entries=entries,
            commit=log.commit,
        )
        last = previous + len(entries)
        other.told_commit = min(log.commit, last)
        other.sent(last, size)

    def _send_snapshot(self, member: RaftId, other: Replication) -> None:
        if other.silent_ticks >= self._config.election_ticks:
            # It is perhaps gone; a snapshot is large. Its next answer to a heartbeat asks again.
            other.probe()
            other.is_paused = True
            return
        snapshot = self._log.snapshot
        other.await_snapshot(snapshot.index)
        self._say(MessageKind.SNAPSHOT, member, snapshot=snapshot)

    def _say(
        self,
        kind: MessageKind,
        to: RaftId,
        *,
        index: int = 0,
        commit: int = 0,
        context: bytes = b"",
        snapshot: SnapshotMeta | None = None,
    ) -> None:
        self._outbox.say(
            kind, to, self._term, is_eager=True, index=index, commit=commit, context=context, snapshot=snapshot
        )

    # What was heard

    def heard(self, message: Message) -> None:
        """An answer, or a read of a follower."""
        if message.kind == MessageKind.READ_INDEX:
            self.read(message.sender, message.context)
            return
        other = self._others.get(message.sender)
        if other is None:
            return
        other.silent_ticks = 0
        if message.kind == MessageKind.APPEND_ANSWER:
            if message.reject:
                following = self._log.last_at_most(message.hint, message.hint_term)[0] + 1
                other.rejected(message.index, following)
            elif other.accepted(message.index):
                self.count()
                if message.sender == self.transferee:
                    self._hand_over()
        elif message.kind == MessageKind.HEARTBEAT_ANSWER:
            other.beat(self._log.last)
            round_ = int.from_bytes(message.context, "big")
            if round_ > other.read_round:
                other.read_round = round_
                self._confirm()

    def report_unreachable(self, member: RaftId) -> None:
        """What was sent to a member is probably lost."""
        other = self._others.get(member)
        if other is not None and other.state == ReplicationState.REPLICATE:
            other.probe()

    def report_snapshot(self, member: RaftId, ok: bool) -> None:
        """The snapshot on its way to a member arrived, or did not."""
        other = self._others.get(member)
        if other is None or other.state != ReplicationState.SNAPSHOT:
            return
        if not ok:
            other.snapshot_index = 0
        other.probe()
        # Its answer, or that to the next heartbeat, says how to go on; asking at once would only send it again.
        other.is_paused = True

    # What is committed

    def count(self) -> None:
        """Commit what a majority has, if it is of this term (paper, section 5.4.2).

        An entry of an earlier term is committed only with one of this term behind it: it may be on a majority and yet
        be replaced by a leader that lacks it (figure 8).
        """
        log = self._log
        index = reached(self._members.voters, self._match)
        if index > log.commit and log.term(index) == self._term:
            log.commit = index
            if not self.has_committed:
                self.has_committed = True
                self._reads.resume(index)

    def _match(self, voter: RaftId) -> int:
        return self._log.stable if voter == self._config.raft_id else self._others[voter].match

    # Reads

    def read(self, reader: RaftId, context: bytes) -> None:
        """Confirm the leadership for a read of a member, perhaps of the leader itself."""
        if self.has_committed:
            self._reads.ask(reader, context, self._log.commit)
        else:
            self._reads.postpone(reader, context)

    def _confirm(self) -> None:
        for read in self._reads.confirmed(reached(self._members.voters, self._round)):
            if read.reader == self._config.raft_id:
                self._own_reads.append(ReadReady(context=read.context, index=read.index))
            else:
                self._say(MessageKind.READ_INDEX_ANSWER, read.reader, index=read.index, context=read.context)

    def _round(self, voter: RaftId) -> int:
        return self._reads.round if voter == self._config.raft_id else self._others[voter].read_round

    # Handing over

    def transfer(self, to: RaftId) -> None:
        """Let another voter take over; proposals are dropped until it did, or an election time-out passed.

        Raises:
            NotFound: It is no voter.
            Precondition: It leads already.
        """
        if to == self._config.raft_id:
            raise Precondition(f"raft member {to} leads already")
        if to not in self._members.voters:
            raise NotFound(f"raft member {to} is no voter, want one of {list(self._members.voters)}")
        self.transferee = to
        self._transfer_elapsed = 0
        self._hand_over()

    def _hand_over(self) -> None:
        if self.transferee and self._others[self.transferee].match == self._log.last:
            self._say(MessageKind.TIMEOUT_NOW, self.transferee)

    def resign(self) -> None:
        """The leader is no voter any more, for good: the voter that has most goes on without waiting."""
        if self._members.voters:
            heir = max(self._members.voters, key=lambda voter: (self._others[voter].match, -voter))
            self._say(MessageKind.TIMEOUT_NOW, heir)

    def check_open(self, size: int) -> None:
        """See whether a proposal of that many bytes is taken.

        Raises:
            ProposalDropped: Leadership is being handed over, or too much is not committed yet.
        """
        if self.transferee:
            raise ProposalDropped(f"leadership is being handed over to raft member {self.transferee}")
        waiting = self._log.bytes_after(self._log.commit)
        if waiting and waiting + size > self._config.max_uncommitted_bytes:
            raise ProposalDropped(
                f"{waiting} bytes of proposals wait to be committed, {size} more go over"
                f" {self._config.max_uncommitted_bytes}"
            )
