"""A manager's part in consensus: the log that makes its store the same as everybody's."""

import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from swarmlab.api import (
    ManagerStatus,
    NodeId,
    NotFound,
    NotLeader,
    ProposalDropped,
    ProposalUnknown,
    SwarmlabError,
    defaults,
)
from swarmlab.node.changes import Admitted, ChangeDesk
from swarmlab.node.consensus import RaftDisk, RaftWire, Write
from swarmlab.node.group import Group
from swarmlab.node.image import Image, Recovered
from swarmlab.node.members import RaftMember, Roster
from swarmlab.node.reads import Answer, Reads
from swarmlab.node.status import ReplicaConfig, Status
from swarmlab.node.tenure import Tenure
from swarmlab.raft import (
    NOBODY,
    ChangeKind,
    EntryKind,
    LogEntry,
    Message,
    MessageKind,
    Raft,
    RaftConfig,
    RaftId,
    Ready,
    Role,
    SnapshotMeta,
    Stored,
)
from swarmlab.raft.codec import decode_change
from swarmlab.store import Entry, Snapshot, Store

#: Largest entry: SwarmKit's limit of a transaction.
MAX_ENTRY_BYTES = 3 << 19
#: What a member that was removed is told.
REMOVED = "this member was removed from the raft group"
#: Heartbeats within which the others must have answered when a member is let go.
FRESH_HEARTBEATS = 3
#: After how many election timeouts without a leader a member without a vote asks whether it is one still.
FORGOTTEN_ELECTIONS = 3

Record = Callable[[str, Mapping[str, Any]], None]


class _Writing(NamedTuple):
    """What the disk is busy with."""

    ready: Ready
    image: Image | None
    #: Committed entries that are applied once it is done.
    late: tuple[LogEntry, ...]
    #: When it began.
    tick: int


def _at_once(action: Callable[[], None]) -> None:
    action()


class Replica:
    """Raft, a store and the membership of one manager, driven by messages, ticks and answers of the disk.

    It is the store's `Proposer`: an entry is final when a majority has it. Entries that others proposed go into the
    store as they are committed, so every member's store goes through the same versions. All calls happen on one thread;
    what a callback causes is done after it has returned.

    The order of things: proposals that come while the disk writes are written together next; a leader's messages to
    followers leave before its own disk is done, everybody's promises after; entries that the log has already are
    applied while later ones are written.

    A disk that fails is the end: the replica falls silent, so that the others elect another leader; what was on its way
    ends as ProposalUnknown, what comes later as ProposalDropped.

    Args:
        config: Its times and sizes.
        recovered: Who it is, and what it knows.
        rng: Chance of elections, and new raft ids.
        disk: Keeps its promises.
        wire: Carries its messages.
        record: Takes (event, fields) for the log.
        soon: Has a function called once those who are about to propose have done so, so that one write, and one message
            to each follower, takes all of it. By default every proposal goes on its way at once.
    """

    def __init__(
        self,
        config: ReplicaConfig,
        recovered: Recovered,
        rng: random.Random,
        disk: RaftDisk,
        wire: RaftWire,
        record: Record = lambda *_: None,
        soon: Callable[[Callable[[], None]], object] = _at_once,
    ) -> None:
        self.max_entry_bytes: int | None = MAX_ENTRY_BYTES
        self.member = recovered.member
        self._config = config
        self._disk = disk
        self._wire = wire
        self._record = record
        self._soon = soon
        #: A look at what was proposed is on its way.
        self._is_due = False
        self._image = recovered.image
        self._group = Group(
            self.member, recovered.image, config.election_ticks, FRESH_HEARTBEATS * config.heartbeat_ticks
        )
        self._applied = recovered.image.meta.index
        self._applied_term = recovered.image.meta.term
        self._raft = Raft(
            RaftConfig(
                raft_id=self.member.raft_id,
                election_ticks=config.election_ticks,
                heartbeat_ticks=config.heartbeat_ticks,
                slow_entries=config.slow_entries,
            ),
            Stored(recovered.hard_state, recovered.image.meta, recovered.entries),
            rng,
        )
        self._store: Store | None = None
        self._on_lead: Callable[[], None] = lambda: None
        self._on_resign: Callable[[], None] = lambda: None
        self._followers: list[Callable[[Status], None]] = []
        #: What of the status they were told last.
        self._told: object = None

        self._ticks = 0
        self._pumping = False
        self._writing: _Writing | None = None
        self._written = False
        self._saving = False
        #: They came with SNAPSHOT messages; consensus asks for one of them, or does not.
        self._arrived: dict[SnapshotMeta, Image] = {}

        self._tenure = Tenure()
        self._reads = Reads(self.member.raft_id, 2 * config.election_ticks)
        self._changes = ChangeDesk(self._raft, self._group, rng, record)
        self._failure: Exception | None = None
        self._removed = False
        self._closed = False

    # What it is

    @property
    def snapshot(self) -> Snapshot:
        """The state that its store has to begin with."""
        return self._image.view

    @property
    def leads(self) -> bool:
        """Whether it takes proposals."""
        return self._tenure.term > 0

    @property
    def roster(self) -> Roster:
        """The members as far as this one knows."""
        return self._group.roster

    @property
    def leader(self) -> RaftMember | None:
        """Who leads; None while that is not known, and for one that takes part no more."""
        return self._group.roster.get(self._leader_id) if self._leader_id != NOBODY else None

    def members(self) -> tuple[RaftMember, ...]:
        """All members, sorted by raft id."""
        return self._group.roster.members

    @property
    def voters(self) -> tuple[RaftId, ...]:
        """The members that have a vote, by the newest change that this one knows, committed or not."""
        return self._raft.members.voters

    def managers(self) -> Mapping[NodeId, ManagerStatus]:
        """{node: its place in the group}, as this member sees it; only a leader knows who answers."""
        return self._group.statuses(self._leader_id, self._ticks)

    def status(self) -> Status:
        """It at a glance."""
        return Status(
            member=self.member,
            role=self._raft.role,
            term=self._raft.term,
            leader=self.leader,
            leads=self.leads,
            commit=self._raft.commit,
            applied=self._applied,
            log_size=self._raft.log_size,
            failure=str(self._failure or ""),
            removed=self._removed,
        )

    @property
    def _leader_id(self) -> RaftId:
        """The last leader that one heard of who takes part no more may be itself, and would be so for ever."""
        return NOBODY if self._failure is not None or self._removed else self._raft.leader

    def follow(self, hear: Callable[[Status], None]) -> None:
        """Have `hear` called when role, leader, members, or fitness have changed."""
        self._followers.append(hear)

    # Its life

    def start(self, store: Store, lead: Callable[[], None], resign: Callable[[], None]) -> None:
        """Begin, with a store that has `snapshot` and proposes here.

        `lead` is called once everything committed in earlier terms is in the store; `resign` when the leadership is
        lost, before the proposals on their way end.
        """
        assert self._store is None, "the replica runs already"
        self._store, self._on_lead, self._on_resign = store, lead, resign
        self._wire.know(self._group.roster)
        if self._raft.members.voters == (self.member.raft_id,):
            # Nobody else could be elected, so there is nothing to wait for.
            self._raft.campaign()
        self._pump()

    def close(self) -> None:
        """Take part no more: nothing is sent, written or committed from here on."""
        self._closed = True
        self._end(ProposalUnknown("the manager was stopped meanwhile"))

    def tick(self) -> None:
        """One tick has passed."""
        if self.is_out:
            return
        self._ticks += 1
        self._notice_wedge()
        self._raft.tick()
        self._reads.expire(self._ticks)
        for context in self._reads.asked_again(self._ticks):
            self._ask(context)
        if self._tenure.term:
            self._changes.promote_learners(self._ticks)
        self._ask_after_membership()
        self._pump()

    def receive(self, message: Message) -> None:
        """Take a message of another member.

        Raises:
            NotFound: The sender was removed, and is to be told so.
        """
        if message.sender in self._group.roster.removed:
            raise NotFound(REMOVED)
        if self.is_out or message.to != self.member.raft_id:
            return
        self._group.hear(message.sender, self._ticks)
        self._raft.step(message)
        self._pump()

    def receive_image(self, message: Message, image: Image) -> None:
        """Take a SNAPSHOT message, and the image that came with it.

        Raises:
            NotFound: As for `receive`.
        """
        if message.snapshot == image.meta:
            self._arrived = {meta: kept for meta, kept in self._arrived.items() if meta.index > self._applied}
            self._arrived[image.meta] = image
            self.receive(message)

    def report_unreachable(self, raft_id: RaftId) -> None:
        """A message to that member was lost, as far as the wire knows."""
        if not self.is_out:
            self._raft.report_unreachable(raft_id)
            self._pump()

    def report_image(self, raft_id: RaftId, ok: bool) -> None:
        """The image that was sent to that member has arrived, or has not."""
        if not self.is_out:
            self._raft.report_snapshot(raft_id, ok)
            self._pump()

    def expelled(self) -> None:
        """Another member says that this one was removed."""
        if not self.is_out:
            self._removed = True
            self._record("expelled", {"raft_id": self.member.raft_id})
            self._end(ProposalUnknown(REMOVED))

    # What it is asked for

    def propose(self, entry: Entry, done: Callable[[Exception | None], None]) -> None:
        """Commit `entry`, as the store's `Proposer`."""
        if self._failure is not None:
            done(ProposalDropped(f"the disk failed before: {self._failure}; nothing is written any more"))
            return
        if not self._tenure.term:
            done(self._not_leader())
            return
        try:
            place = self._raft.propose(entry.data())
        except NotLeader:
            done(self._not_leader())
            return
        except ProposalDropped as error:
            done(error)
            return
        self._tenure.wait(place, done, self._ticks)
        if not self._is_due:
            self._is_due = True
            self._soon(self._come_due)

    def _come_due(self) -> None:
        self._is_due = False
        self._pump()

    def read(self, done: Answer) -> None:
        """The state with everything in it that was committed before this call, on whichever member.

        Ends with ProposalDropped when nobody confirms to lead within two election timeouts.
        """
        if self.is_out:
            done(None, self._not_leader())
            return
        self._ask(self._reads.ask(done, self._ticks))
        self._pump()

    def join(self, node_id: NodeId, addr: str, done: Admitted) -> None:
        """Admit that node as a learner, who becomes a voter once it has caught up.

        A node that is a member already is told so again; with another address, the address changes. Ends with NotLeader
        on a follower.
        """
        if not self._tenure.term:
            done(None, self._not_leader())
            return
        self._changes.join(node_id, addr, done)
        self._pump()

    def leave(self, raft_id: RaftId, done: Callable[[Exception | None], None]) -> None:
        """Remove that member for good.

        Ends with
            NotLeader: On a follower; and on a leader that was asked to remove itself: it hands over first, and the next
                leader is to be asked.
            NotFound: It is no member.
            Precondition: It is the last one, or the others would have no quorum.
        """
        if not self._tenure.term:
            done(self._not_leader())
            return
        try:
            self._group.check_spare(raft_id, self._raft.members.voters, self._ticks)
        except SwarmlabError as error:
            done(error)
            return
        if raft_id == self.member.raft_id:
            self.transfer()
            done(NotLeader())
        else:
            self._changes.remove(raft_id, done)
            self._pump()

    def transfer(self) -> None:
        """Hand the leadership to the voter that is furthest of those that answer; to nobody where there is none.

        One that has been silent for a few heartbeats may be dead already, and is asked only where nobody else is there.
        """
        progress = self._raft.progress() if self._raft.role is Role.LEADER else {}
        others = [
            (self._group.is_fresh(raft_id, self._ticks), progress[raft_id].match, raft_id)
            for raft_id in self._raft.members.voters
            if raft_id in progress and raft_id != self.member.raft_id and self._group.is_reachable(raft_id, self._ticks)
        ]
        if others:
            *_, target = max(others)
            self._record("transfer", {"to": target, "term": self._raft.term})
            self._raft.transfer(target)
            self._pump()

    # The loop

    @property
    def is_out(self) -> bool:
        """Whether it takes part no more, or not yet."""
        return self._closed or self._removed or self._failure is not None or self._store is None

    def _pump(self) -> None:
        """Do what consensus wants done, until it waits for the disk or for the world."""
        if self._pumping or self.is_out:
            return
        self._pumping = True
        try:
            while not self.is_out:
                self._watch_leadership()
                if self._writing is not None:
                    if not self._written:
                        break
                    self._finish()
                elif (ready := self._raft.ready()) is not None:
                    self._begin(ready)
                elif not (self._tenure.term and self._changes.proceed()):
                    break
            self._tell()
        finally:
            self._pumping = False

    def _begin(self, ready: Ready) -> None:
        for message in ready.eager:
            self._send(message)
        image = None
        if ready.snapshot is not None:
            image = self._arrived[ready.snapshot]
            self._arrived.clear()
        # What the log has already can be applied while the disk is busy with what follows.
        first = ready.entries[0].index if ready.entries else None
        early = () if image else tuple(e for e in ready.committed if first is None or e.index < first)
        self._writing = _Writing(ready, image, ready.committed[len(early) :], self._ticks)
        self._written = False
        if ready.entries or image is not None or ready.hard_state is not None:
            self._disk.write(Write(ready.hard_state, ready.entries, image), self._durable)
        else:
            self._written = True
        self._apply(early)

    def _durable(self, error: Exception | None) -> None:
        if self.is_out:
            return
        if error is not None:
            self._fail(error)
            return
        self._written = True
        self._pump()

    def _finish(self) -> None:
        assert self._writing is not None
        ready, image, late, _ = self._writing
        if image is not None:
            self._install(image)
        for message in ready.messages:
            self._send(message)
        self._apply(late)
        for read in ready.reads:
            self._reads.confirm(read.context, read.index)
        self._raft.advance(ready)
        self._writing = None
        assert self._store is not None
        self._reads.answer(self._applied, self._store.view)
        self._save_sometimes()

    def _send(self, message: Message) -> None:
        if message.kind is not MessageKind.SNAPSHOT:
            self._wire.send(message)
        elif message.snapshot == self._image.meta:
            self._wire.send_image(message, self._image)
        else:
            # A newer image took its place since; the member gets that one next time.
            self._raft.report_snapshot(message.to, False)

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self._record("disk-failed", {"error": str(error), "term": self._raft.term})
        self._end(ProposalUnknown(f"the disk failed: {error}"))

    def _end(self, error: Exception) -> None:
        """Take no further part; whatever waits is told."""
        self._resign(error)
        self._reads.end(error)
        self._tell()

    # Applying

    def _apply(self, entries: tuple[LogEntry, ...]) -> None:
        for entry in entries:
            if self.is_out:
                return
            assert entry.index == self._applied + 1, f"entry {entry.index} cannot be applied after {self._applied}"
            self._applied, self._applied_term = entry.index, entry.term
            if entry.kind is EntryKind.CONFIG:
                self._apply_change(entry)
            elif entry.data:
                self._commit(entry)
            if not self._tenure.term:
                self._lead_perhaps()

    def _commit(self, entry: LogEntry) -> None:
        assert self._store is not None
        ended = self._tenure.decided(entry.index)
        if ended is not None:
            ended(None)
        else:
            self._store.follow(entry.data)

    def _apply_change(self, entry: LogEntry) -> None:
        if entry.data:
            change = decode_change(entry.data)
            self._group.apply(change)
            self._wire.know(self._group.roster)
            fields = {"kind": change.kind.name.lower(), "raft_id": change.raft_id, "index": entry.index}
            self._record("membership", fields)
            if change.kind is ChangeKind.REMOVE and change.raft_id == self.member.raft_id:
                self._removed = True
                self._end(ProposalUnknown(REMOVED))
        self._changes.settle(entry.index)

    def _install(self, image: Image) -> None:
        """Take the state of the image that is on the disk now."""
        assert self._store is not None
        self._image = image
        self._group.restore(image)
        self._applied, self._applied_term = image.meta.index, image.meta.term
        self._wire.know(self._group.roster)
        self._record("snapshot-installed", {"index": image.meta.index, "version": image.view.version})
        self._store.adopt(image.view)

    def _save_sometimes(self) -> None:
        """Begin a snapshot when enough entries were applied since the last one."""
        assert self._store is not None
        if self._saving or self._applied - self._image.meta.index < self._snapshot_every():
            return
        self._saving = True
        image = Image(self._raft.snapshot_at(self._applied), self._group.roster, self._store.view)
        self._disk.save(image, partial(self._saved_image, image))

    def _saved_image(self, image: Image, error: Exception | None) -> None:
        if self.is_out:
            return
        self._saving = False
        if error is not None:
            self._fail(error)
        elif image.meta.index > self._image.meta.index:
            self._image = image
            self._raft.compact(image.meta)
            self._record("snapshot-saved", {"index": image.meta.index, "version": image.view.version})
            self._pump()

    def _snapshot_every(self) -> int:
        assert self._store is not None
        cluster = self._store.view.cluster()
        wanted = self._config.snapshot_every or (cluster.spec.raft.snapshot_interval if cluster is not None else 0)
        return wanted or defaults.CLUSTER.raft.snapshot_interval

    def _ask(self, context: bytes) -> None:
        """Have a read confirmed; where nobody leads, it is asked for again later."""
        with suppress(NotLeader):
            self._raft.read_index(context)

    # Leadership

    def _watch_leadership(self) -> None:
        """Notice that the leadership is lost; that it was won shows in what is applied."""
        leads = self._raft.role is Role.LEADER
        if self._tenure.term and not (leads and self._raft.term == self._tenure.term):
            self._resign(ProposalUnknown("the leadership was lost meanwhile"))
        if not self._tenure.term and leads:
            self._lead_perhaps()

    def _lead_perhaps(self) -> None:
        """Lead once everything that earlier leaders left behind is applied: entries build on each other."""
        term = self._raft.term
        if self._raft.role is not Role.LEADER or self._applied_term != term:
            return
        if self._is_wedged or not self._tenure.may_begin(term, self._applied):
            return
        self._tenure.begin(term)
        self._record("leading", {"term": term, "index": self._applied})
        self._on_lead()

    def _resign(self, error: Exception) -> None:
        """Lead no more, and end what was on its way."""
        term, self._tenure.term = self._tenure.term, 0
        if term:
            self._record("resigned", {"term": term, "why": str(error)})
            self._on_resign()
        self._tenure.end(error)
        self._changes.give_up(self._not_leader())

    @property
    def _is_wedged(self) -> bool:
        """Whether the disk or the others have not answered for too long."""
        since = self._writing.tick if self._writing is not None and not self._written else self._ticks
        since = min(since, self._tenure.oldest(self._ticks))
        return self._ticks - since >= self._config.wedge_ticks

    def _notice_wedge(self) -> None:
        if self._tenure.term and self._is_wedged:
            self._record("wedged", {"term": self._tenure.term, "ticks": self._config.wedge_ticks})
            self._tenure.give_up()
            self._resign(ProposalUnknown(f"nothing was committed for {self._config.wedge_ticks} ticks"))
            self.transfer()

    def _ask_after_membership(self) -> None:
        """Say something that changes nothing, where nobody leads a member that has no vote, now and then.

        A voter that was removed asks for votes, and is told. A learner asks for nothing: 1. Learner 4 is cut off. 2. It
        is removed. 3. The wire is whole again, and nobody ever sends it a word.
        """
        raft, every = self._raft, FORGOTTEN_ELECTIONS * self._config.election_ticks
        if self._ticks % every or raft.leader != NOBODY or raft.raft_id in raft.members.voters:
            return
        for member in self._group.roster.members:
            if member.raft_id != raft.raft_id:
                kind = MessageKind.HEARTBEAT_ANSWER
                self._wire.send(Message(kind=kind, to=member.raft_id, sender=raft.raft_id, term=raft.term))

    def _not_leader(self) -> NotLeader:
        leader = self.leader
        return NotLeader(leader.addr if leader is not None and leader != self.member else "")

    def _tell(self) -> None:
        """Tell those who follow what has changed, but for numbers that change with every entry."""
        raft = self._raft
        seen = (
            raft.role,
            raft.term,
            raft.leader,
            self._tenure.term,
            self._failure,
            self._removed,
            self._group.roster,
        )
        if seen != self._told:
            self._told = seen
            status = self.status()
            for hear in tuple(self._followers):
                hear(status)
