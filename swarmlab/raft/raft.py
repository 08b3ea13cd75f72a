"""One member of the log: a machine that is told what happened and says what to do."""

import random
from collections.abc import Mapping

from swarmlab.api.errors import NotLeader, ProposalDropped
from swarmlab.raft.codec import encode_change
from swarmlab.raft.config import RaftConfig
from swarmlab.raft.following import Following
from swarmlab.raft.leadership import Leadership
from swarmlab.raft.log import RaftLog
from swarmlab.raft.membership import Memberships, check_change
from swarmlab.raft.messages import (
    NOBODY,
    ConfigChange,
    EntryKind,
    HardState,
    LogEntry,
    Membership,
    Message,
    MessageKind,
    RaftId,
    ReadReady,
    Ready,
    Role,
    SnapshotMeta,
    Stored,
)
from swarmlab.raft.outbox import Outbox
from swarmlab.raft.progress import Progress
from swarmlab.raft.quorum import Outcome, outcome

#: `Message.context` of a vote that the leader asked for: nobody protects that leader.
TRANSFER = b"transfer"
#: Bytes of `Message.context` before a follower's own: they tell its reads from those of its life before a restart.
_LIFE_BYTES = 8

_FROM_LEADER = {MessageKind.APPEND, MessageKind.HEARTBEAT, MessageKind.SNAPSHOT}


class Raft:
    """A member of one log (Ongaro and Ousterhout, 2014; Ongaro's thesis for what the paper leaves out).

    A driver calls `tick` in even steps, `step` for each message, and the proposing methods; then, while no other
    `Ready` is out, `ready`, does what it says in the order that it says, and calls `advance` with it.

    A new cluster starts from `membership.founded`; a member that joins starts from an empty `Stored` and waits.
    """

    def __init__(self, config: RaftConfig, stored: Stored, rng: random.Random) -> None:
        """Go on from what is stored.

        Args:
            config: Settings of this member.
            stored: What its disk holds.
            rng: For election time-outs, of this member alone.

        Raises:
            StateError: What is stored contradicts itself.
        """
        self._config = config
        self._rng = rng
        self._log = RaftLog(stored)
        self._memberships = Memberships(stored.snapshot.index, stored.snapshot.members, stored.entries)
        self._term = stored.hard_state.term
        self._vote = stored.hard_state.vote
        #: What the disk was last told, and what it is known to hold.
        self._told = stored.hard_state
        self._durable = stored.hard_state
        self._role = Role.FOLLOWER
        self._leader = NOBODY
        self._leadership: Leadership | None = None
        #: {who answered this candidate: whether it has the vote}
        self._votes: dict[RaftId, bool] = {}
        self._election_elapsed = 0
        self._election_timeout = 0
        self._draw_timeout()
        self._life = rng.getrandbits(8 * _LIFE_BYTES).to_bytes(_LIFE_BYTES, "big")
        self._outbox = Outbox(config.raft_id)
        self._following = Following(self._log, self._memberships, self._outbox)
        self._reads: list[ReadReady] = []
        self._shown = (self._leader, self._role, self._term)
        #: The `Ready` that is out.
        self._out: Ready | None = None

    # What it is

    @property
    def raft_id(self) -> RaftId:
        """Its number."""
        return self._config.raft_id

    @property
    def term(self) -> int:
        """Its term; perhaps not durable yet."""
        return self._term

    @property
    def role(self) -> Role:
        """What it is in its term."""
        return self._role

    @property
    def leader(self) -> RaftId:
        """Who leads in its term, as far as it knows."""
        return self._leader

    @property
    def commit(self) -> int:
        """Last index that it knows to be committed."""
        return self._log.commit

    @property
    def applied(self) -> int:
        """Last index that the driver applied: `committed` of the last `Ready` that came back."""
        return self._log.applied

    @property
    def members(self) -> Membership:
        """The membership in force: that of the last change in the log, committed or not. Empty before any was heard."""
        return self._memberships.newest

    @property
    def snapshot(self) -> SnapshotMeta:
        """The newest snapshot: of `compact`, or one that came, ahead of `applied` until its `Ready` is done."""
        return self._log.snapshot

    @property
    def last_index(self) -> int:
        """Index of the last entry of the log, committed or not."""
        return self._log.last

    @property
    def log_size(self) -> int:
        """Entries that the newest snapshot does not cover."""
        return self._log.last - self._log.snapshot.index

    @property
    def has_committed_in_term(self) -> bool:
        """Whether it leads and an entry of its term is committed, so that it knows all that is committed."""
        return self._leadership is not None and self._leadership.has_committed

    @property
    def transferee(self) -> RaftId:
        """To whom it is handing the leadership over."""
        return self._leadership.transferee if self._leadership else NOBODY

    def progress(self) -> Mapping[RaftId, Progress]:
        """How far each other member is, on a leader; else empty."""
        return self._leadership.progress() if self._leadership else {}

    def snapshot_at(self, index: int) -> SnapshotMeta:
        """What a snapshot of the state right after the entry at `index` stands for.

        `index` is at least that of the newest snapshot, and committed.
        """
        low, high = self._log.snapshot.index, self._log.commit
        assert low <= index <= high, f"a snapshot at {index}, want one from {low} to {high}"
        term = self._log.term(index)
        assert term is not None, f"the log lacks entry {index} between snapshot {low} and commit {high}"
        return SnapshotMeta(index=index, term=term, members=self._memberships.at(index))

    # What happened

    def tick(self) -> None:
        """A tick passed."""
        if self._leadership is not None:
            if not self._leadership.tick():
                self._follow(self._term, NOBODY)
            return
        self._election_elapsed += 1
        # A sole voter has nobody to wait for.
        if self._election_elapsed >= self._election_timeout or self.members.voters == (self.raft_id,):
            self._election_elapsed = 0
            self._leader = NOBODY
            self.campaign()

    def campaign(self) -> None:
        """Ask for votes now. Who leads, or is no voter, does not."""
        if self._role == Role.LEADER or not self._may_lead():
            return
        if self._config.pre_vote:
            self._ask_for_votes(Role.PRE_CANDIDATE)
        else:
            self._ask_for_votes(Role.CANDIDATE)

    def propose(self, data: bytes) -> int:
        """Put an entry into the log, and give its index. It is committed when it comes back with the term of now.

        Raises:
            NotLeader: Another member leads, or none; `leader` says which. The hint is empty: addresses are not known.
            ProposalDropped: Leadership is being handed over, or too much waits to be committed.
        """
        return self._propose(EntryKind.NORMAL, data)

    def propose_change(self, change: ConfigChange) -> int:
        """Put a change of the membership into the log, and give its index. It is in force at once.

        Raises:
            NotLeader: Another member leads, or none.
            ProposalDropped: Not now: no entry of this term is committed yet, or another change is not applied yet, or
                as for `propose`.
            InvalidSpec, NotFound, AlreadyExists, Precondition: The change makes no sense, see `check_change`.
        """
        if self._leadership is None:
            raise NotLeader
        if not self._leadership.has_committed:
            raise ProposalDropped(f"no entry of term {self._term} is committed yet, so the members cannot change")
        if self._memberships.newest_index > self._log.applied:
            raise ProposalDropped(f"the change of members at {self._memberships.newest_index} is not applied yet")
        check_change(self.members, change)
        return self._propose(EntryKind.CONFIG, encode_change(change))

    def _propose(self, kind: EntryKind, data: bytes) -> int:
        if self._leadership is None:
            raise NotLeader
        self._leadership.check_open(len(data))
        return self._lead_append(kind, data)

    def _lead_append(self, kind: EntryKind, data: bytes) -> int:
        entry = LogEntry(self._log.last + 1, self._term, kind, data)
        self._log.append((entry,))
        if kind == EntryKind.CONFIG:
            self._memberships.append((entry,))
            assert self._leadership is not None
            self._leadership.reconfigure(self.members)
            # With a voter less, what is there may already be enough.
            self._leadership.count()
        return entry.index

    def read_index(self, context: bytes) -> None:
        """Ask for a read: `ReadReady` with that context says from which index on the state may be read.

        It may never come: the driver asks again after a while, with another context.

        Raises:
            NotLeader: No leader is known.
        """
        if self._leadership is not None:
            self._leadership.read(self.raft_id, context)
        elif self._leader == NOBODY:
            raise NotLeader
        else:
            self._outbox.say(MessageKind.READ_INDEX, self._leader, self._term, context=self._life + context)

    def transfer(self, to: RaftId) -> None:
        """Let another voter take over, as soon as it has the whole log.

        Raises:
            NotLeader: Another member leads, or none.
            NotFound, Precondition: It is no voter, or leads already.
        """
        if self._leadership is None:
            raise NotLeader
        self._leadership.transfer(to)

    def report_unreachable(self, raft_id: RaftId) -> None:
        """What was sent to a member is probably lost."""
        if self._leadership is not None:
            self._leadership.report_unreachable(raft_id)

    def report_snapshot(self, raft_id: RaftId, ok: bool) -> None:
        """The data of a SNAPSHOT message arrived, or did not. It must be reported, or nothing is sent any more."""
        if self._leadership is not None:
            self._leadership.report_snapshot(raft_id, ok)

    def compact(self, meta: SnapshotMeta) -> None:
        """A snapshot up to `meta.index` is durable here. Some entries stay in memory for slow followers.

        An older one than that of now changes nothing.
        """
        if meta.index <= self._log.snapshot.index:
            return
        assert meta.index <= self._log.applied, f"a snapshot at {meta.index}, but {self._log.applied} is applied"
        assert meta.term == self._log.term(meta.index), f"a snapshot at {meta.index} with a wrong term, {meta.term}"
        self._log.compact(meta, self._config.slow_entries)
        self._memberships.compact(meta.index)

    # What to do

    def ready(self) -> Ready | None:
        """What is to be done now; None for nothing. Asked for only while no other is out."""
        assert self._out is None, "ready() before advance() of the last one"
        leadership = self._leadership
        if leadership is not None:
            leadership.feed()
            if self.raft_id not in self.members.voters and self._log.commit >= self._memberships.newest_index:
                # Its own removal is committed, and the others are being told (thesis, section 4.2.2).
                leadership.resign()
                self._follow(self._term, NOBODY)
        log = self._log
        arrived = self._following.arrived
        entries = log.unstable() if log.stable < log.last else ()
        hard_state = None
        # The commit index alone is not worth a write: after a restart the leader tells it again.
        if (
            self._term != self._told.term
            or self._vote != self._told.vote
            or ((entries or arrived) and log.commit != self._told.commit)
        ):
            hard_state = self._told = HardState(self._term, self._vote, log.commit)
        committed: tuple[LogEntry, ...] = ()
        if arrived is None and log.applied < log.commit:
            committed = log.between(log.applied, log.commit)
        shown = (self._leader, self._role, self._term)
        if not (
            entries
            or committed
            or self._outbox
            or self._reads
            or hard_state is not None
            or arrived is not None
            or shown != self._shown
        ):
            return None
        self._shown = shown
        self._out = Ready(
            hard_state=hard_state,
            entries=entries,
            snapshot=arrived,
            committed=committed,
            eager=tuple(self._outbox.eager),
            messages=tuple(self._outbox.patient),
            reads=tuple(self._reads),
            leader=self._leader,
            role=self._role,
            term=self._term,
        )
        self._outbox.clear()
        self._reads.clear()
        return self._out

    def advance(self, ready: Ready) -> None:
        """All that `ready` says is done: durable, sent, applied."""
        assert ready is self._out, "advance() with another Ready than the last"
        self._out = None
        log = self._log
        if ready.snapshot is not None:
            log.applied = max(log.applied, ready.snapshot.index)
            if ready.snapshot is self._following.arrived:
                self._following.arrived = None
        if ready.committed:
            log.applied = max(log.applied, ready.committed[-1].index)
        log.stored(ready.entries)
        if ready.hard_state is not None:
            self._durable = ready.hard_state
        if self._leadership is not None:
            self._leadership.count()
        elif self._role == Role.CANDIDATE:
            self._vote_for_itself()

    # Messages

    def step(self, message: Message) -> None:
        """A message came. What is meant for another, or overtaken, is not heard."""
        if message.to != self.raft_id:
            return
        if message.term < self._term:
            self._answer_old(message)
            return
        kind = message.kind
        if message.term > self._term and not self._rise(message):
            return
        if kind == MessageKind.APPEND_ANSWER or kind == MessageKind.HEARTBEAT_ANSWER or kind == MessageKind.READ_INDEX:
            if self._leadership is not None:
                self._leadership.heard(message)
        elif kind in _FROM_LEADER:
            self._hear_leader(message)
        elif kind in (MessageKind.PRE_VOTE, MessageKind.VOTE):
            self._answer_vote(message)
        elif kind == MessageKind.PRE_VOTE_ANSWER:
            if self._role == Role.PRE_CANDIDATE and (message.reject or message.term > self._term):
                self._take_vote(message.sender, not message.reject)
        elif kind == MessageKind.VOTE_ANSWER:
            if self._role == Role.CANDIDATE:
                self._take_vote(message.sender, not message.reject)
        elif kind == MessageKind.TIMEOUT_NOW:
            if self._role != Role.LEADER and self._may_lead():
                self._ask_for_votes(Role.CANDIDATE, TRANSFER)
        elif message.context.startswith(self._life):
            self._reads.append(ReadReady(context=message.context[_LIFE_BYTES:], index=message.index))

    def _answer_old(self, message: Message) -> None:
        """Answer a message of an earlier term, where the sender has to learn of the later one."""
        if message.kind in _FROM_LEADER:
            # Without it a member that raised its term alone could neither be led nor win (check quorum).
            self._outbox.say(MessageKind.APPEND_ANSWER, message.sender, self._term, index=message.index, reject=True)
        elif message.kind == MessageKind.PRE_VOTE:
            self._outbox.say(MessageKind.PRE_VOTE_ANSWER, message.sender, self._term, reject=True)
        elif message.kind == MessageKind.VOTE:
            self._outbox.say(MessageKind.VOTE_ANSWER, message.sender, self._term, reject=True)

    def _rise(self, message: Message) -> bool:
        """Take a message of a later term into account; whether to go on with it."""
        kind = message.kind
        if kind in (MessageKind.PRE_VOTE, MessageKind.VOTE):
            if message.context != TRANSFER and self._is_led(kind):
                return False
            if kind == MessageKind.VOTE:
                self._follow(message.term, NOBODY)
            return True
        if kind == MessageKind.PRE_VOTE_ANSWER and not message.reject:
            # The term that would be: it is not there yet.
            return message.term == self._term + 1
        self._follow(message.term, message.sender if kind in _FROM_LEADER else NOBODY)
        return True

    def _is_led(self, kind: MessageKind) -> bool:
        """Whether a leader was heard so lately that nobody has reason to ask for votes (thesis, section 4.2.3)."""
        if kind == MessageKind.VOTE and not self._config.check_quorum:
            return False
        if self._role == Role.LEADER:
            return True
        return self._leader != NOBODY and self._election_elapsed < self._config.election_ticks

    def _hear_leader(self, message: Message) -> None:
        assert self._role != Role.LEADER, f"members {self.raft_id} and {message.sender} both lead term {self._term}"
        if self._role != Role.FOLLOWER:
            self._follow(self._term, message.sender)
        self._leader = message.sender
        self._election_elapsed = 0
        self._following.hear(message)

    # Elections

    def _draw_timeout(self) -> None:
        ticks = self._config.election_ticks
        self._election_timeout = ticks + self._rng.randrange(ticks)

    def _follow(self, term: int, leader: RaftId) -> None:
        if term != self._term:
            self._term = term
            self._vote = NOBODY
        if self._role != Role.FOLLOWER:
            self._role = Role.FOLLOWER
            self._election_elapsed = 0
        self._leader = leader
        self._leadership = None
        self._votes.clear()
        self._draw_timeout()

    def _may_lead(self) -> bool:
        """Whether it is a voter, or was one until a change that is perhaps not committed.

        1 and 2 vote; 2 leads, removes itself, and stops before 1 has that entry. 1 alone is a voter then, in the newest
        membership, but cannot win against the longer log of 2. So 2 has to lead once more, a cluster that it is no part
        of, until the entry is committed (thesis, section 4.2.2).
        """
        here = self.raft_id
        return here in self.members.voters or here in self._memberships.at(self._log.commit).voters

    def _ask_for_votes(self, role: Role, context: bytes = b"") -> None:
        self._role = role
        self._leader = NOBODY
        self._votes.clear()
        self._election_elapsed = 0
        self._draw_timeout()
        term = self._term + 1
        kind = MessageKind.PRE_VOTE
        if role == Role.CANDIDATE:
            self._term = term
            self._vote = self.raft_id
            kind = MessageKind.VOTE
        for voter in self.members.voters:
            if voter != self.raft_id:
                self._outbox.say(kind, voter, term, index=self._log.last, log_term=self._log.last_term, context=context)
        if role == Role.PRE_CANDIDATE:
            self._take_vote(self.raft_id, True)

    def _vote_for_itself(self) -> None:
        """Count the own vote, which counts only once it is durable: else a restart could give it away again."""
        if self._durable.term == self._term and self._durable.vote == self.raft_id and self.raft_id not in self._votes:
            self._take_vote(self.raft_id, True)

    def _answer_vote(self, message: Message) -> None:
        is_pre = message.kind == MessageKind.PRE_VOTE
        is_free = (
            self._vote == message.sender
            or (self._vote == NOBODY and self._leader == NOBODY)
            # A question about a later term takes nothing away from this one.
            or (is_pre and message.term > self._term)
        )
        granted = is_free and self._log.is_matched_by(message.index, message.log_term)
        if granted and not is_pre:
            self._vote = message.sender
            self._election_elapsed = 0
        self._outbox.say(
            MessageKind.PRE_VOTE_ANSWER if is_pre else MessageKind.VOTE_ANSWER,
            message.sender,
            message.term if granted else self._term,
            reject=not granted,
        )

    def _take_vote(self, voter: RaftId, granted: bool) -> None:
        self._votes.setdefault(voter, granted)
        result = outcome(self.members.voters, self._votes)
        if result == Outcome.LOST:
            self._follow(self._term, NOBODY)
        elif result == Outcome.WON and self._role == Role.PRE_CANDIDATE:
            self._ask_for_votes(Role.CANDIDATE)
        elif result == Outcome.WON:
            self._lead()

    def _lead(self) -> None:
        self._role = Role.LEADER
        self._leader = self.raft_id
        self._votes.clear()
        self._leadership = Leadership(self._config, self._term, self._log, self.members, self._outbox, self._reads)
        # Nothing of earlier terms can be committed by counting, so the term begins with an entry of its own.
        self._lead_append(EntryKind.NORMAL, b"")
