"""What a follower does in the term of its leader: make its log equal to the leader's (paper, section 5.3)."""

from swarmlab.raft.log import RaftLog
from swarmlab.raft.membership import Memberships
from swarmlab.raft.messages import Message, MessageKind, SnapshotMeta
from swarmlab.raft.outbox import Outbox


class Following:
    """Takes entries, snapshots and the commit index from whoever leads. All answers wait for the disk."""

    def __init__(self, log: RaftLog, memberships: Memberships, outbox: Outbox) -> None:
        self._log = log
        self._memberships = memberships
        self._outbox = outbox
        #: A snapshot of the leader that is not durable here yet.
        self.arrived: SnapshotMeta | None = None

    def hear(self, message: Message) -> None:
        """An APPEND, HEARTBEAT or SNAPSHOT of the leader of this member's term."""
        if message.kind == MessageKind.APPEND:
            self._take_entries(message)
        elif message.kind == MessageKind.HEARTBEAT:
            self._commit_to(min(message.commit, self._log.last))
            self._outbox.say(MessageKind.HEARTBEAT_ANSWER, message.sender, message.term, context=message.context)
        elif message.snapshot is not None:
            self._take_snapshot(message, message.snapshot)

    def _take_entries(self, message: Message) -> None:
        log = self._log
        entries = message.entries
        if message.index < log.commit:
            # Older than what is committed: equal for sure, and the leader learns how far this one is.
            self._accept(message, log.commit)
            return
        if log.term(message.index) != message.log_term:
            hint, hint_term = log.last_at_most(min(message.index, log.last), message.log_term)
            self._outbox.say(
                MessageKind.APPEND_ANSWER,
                message.sender,
                message.term,
                index=message.index,
                reject=True,
                hint=hint,
                hint_term=hint_term,
            )
            return
        last = message.index + len(entries)
        known = log.conflict(entries)
        if known:
            entries = entries[known:]
        if entries:
            first = entries[0].index
            if first <= log.last:
                log.truncate(first)
                self._memberships.truncate(first)
            log.append(entries)
            self._memberships.append(entries)
        self._commit_to(min(message.commit, last))
        self._accept(message, last)

    def _take_snapshot(self, message: Message, snapshot: SnapshotMeta) -> None:
        log = self._log
        if snapshot.index > log.commit:
            if log.term(snapshot.index) == snapshot.term:
                # All of it is here already; only that it is committed was not known.
                self._commit_to(snapshot.index)
            else:
                log.restore(snapshot)
                self._memberships.restore(snapshot.index, snapshot.members)
                self.arrived = snapshot
        self._accept(message, log.commit)

    def _accept(self, message: Message, index: int) -> None:
        self._outbox.say(MessageKind.APPEND_ANSWER, message.sender, message.term, index=index)

    def _commit_to(self, index: int) -> None:
        self._log.commit = max(self._log.commit, index)
