"""Members of one log with disks that can be slow or lose the last write, and a wire that can do anything but lie."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from swarmlab.raft import (
    ChangeKind,
    ConfigChange,
    EntryKind,
    HardState,
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
    decode_message,
    encode_message,
    founded,
)

#: What a member's state is made of: every entry with data, in order.
State = tuple[tuple[int, bytes], ...]


@dataclass
class Disk:
    """What outlives a crash."""

    hard_state: HardState = field(default_factory=HardState)
    snapshot: SnapshotMeta = field(default_factory=SnapshotMeta)
    state: State = ()
    entries: list[LogEntry] = field(default_factory=list)

    def stored(self) -> Stored:
        return Stored(hard_state=self.hard_state, snapshot=self.snapshot, entries=tuple(self.entries))

    def has(self, index: int, term: int) -> bool:
        """Whether that entry is here, or was before the snapshot."""
        place = index - self.snapshot.index - 1
        return place < 0 or (place < len(self.entries) and self.entries[place].term == term)

    def last(self) -> int:
        return self.snapshot.index + len(self.entries)


@dataclass
class Member:
    """One member; without a machine it is down."""

    raft_id: RaftId
    config: RaftConfig
    disk: Disk
    rng: random.Random
    raft: Raft | None = None
    #: What it asked for and is not done.
    out: Ready | None = None
    state: list[tuple[int, bytes]] = field(default_factory=list)
    applied: int = 0
    #: {index: data of a snapshot that came}
    arrived: dict[int, State] = field(default_factory=dict)
    #: Its disk writes only when told.
    is_slow: bool = False


class Flight(NamedTuple):
    """A message on its way, as bytes, with the data beside it."""

    sender: RaftId
    to: RaftId
    kind: MessageKind
    data: bytes
    state: State | None


class Watcher:
    """Sees what happens; raises when it must not. Each method says nothing unless it is overridden."""

    def started(self, member: Member) -> None:
        """Its machine is new, from what its disk holds."""

    def acted(self, member: Member) -> None:
        """Something came to it; before it is asked what it wants."""

    def asked(self, member: Member, ready: Ready) -> None:
        """It wants that."""

    def sent(self, message: Message) -> None:
        """That is on its way."""

    def applied(self, member: Member, entry: LogEntry) -> None:
        """It is told that the entry is committed."""

    def restored(self, member: Member, meta: SnapshotMeta, state: State) -> None:
        """A snapshot took the place of its state."""

    def read_asked(self, member: Member, context: bytes) -> None:
        """Somebody wants to read from it."""


class Cluster:
    """All members and what is on its way between them. Nothing happens by itself."""

    def __init__(self, seed: int = 0) -> None:
        self.members: dict[RaftId, Member] = {}
        self.wire: list[Flight] = []
        #: Pairs whose messages are lost, from and to.
        self.cut: set[tuple[RaftId, RaftId]] = set()
        self._watchers: list[Watcher] = []
        self._seed = seed

    def watch(self, watcher: Watcher) -> None:
        """Let it see what happens from now on."""
        self._watchers.append(watcher)

    def found(self, count: int, **settings: int) -> None:
        """Start the first members."""
        changes = [ConfigChange(ChangeKind.ADD_VOTER, RaftId(raft_id)) for raft_id in range(1, count + 1)]
        stored = founded(changes)
        for raft_id in range(1, count + 1):
            disk = Disk(hard_state=stored.hard_state, entries=list(stored.entries))
            self._add(RaftId(raft_id), disk, settings)

    def join(self, raft_id: RaftId, **settings: int) -> None:
        """Start a member that knows nothing."""
        self._add(raft_id, Disk(), settings)

    def _add(self, raft_id: RaftId, disk: Disk, settings: dict[str, int]) -> None:
        config = RaftConfig(raft_id=raft_id, **settings)
        member = Member(raft_id, config, disk, random.Random(f"{self._seed}/{raft_id}"))
        self.members[raft_id] = member
        self.restart(member)

    # Lives

    def restart(self, member: Member) -> None:
        """Start it with what its disk holds."""
        member.raft = Raft(member.config, member.disk.stored(), member.rng)
        member.out = None
        member.state = list(member.disk.state)
        member.applied = member.disk.snapshot.index
        member.arrived = {}
        for watcher in self._watchers:
            watcher.started(member)
        self.settle(member)

    def crash(self, member: Member, *, keep: bool) -> None:
        """Stop it. The write that is not done is on its disk or is not; nothing of it was said or applied."""
        if keep and member.out is not None:
            self._write(member, member.out)
        member.raft = None
        member.out = None

    # Disks

    def settle(self, member: Member) -> None:
        """Let a member do all it wants; with a slow disk, until it has to write."""
        raft = member.raft
        if raft is None:
            return
        for watcher in self._watchers:
            watcher.acted(member)
        while member.out is None:
            ready = raft.ready()
            if ready is None:
                return
            member.out = ready
            for watcher in self._watchers:
                watcher.asked(member, ready)
            self._send(member, ready.eager)
            if member.is_slow and (ready.entries or ready.hard_state or ready.snapshot):
                return
            self._finish(member)

    def finish(self, member: Member) -> None:
        """The write of a slow disk is done, and what waits for it."""
        if member.out is not None:
            self._finish(member)
            self.settle(member)

    def _finish(self, member: Member) -> None:
        ready, raft = member.out, member.raft
        assert ready is not None
        assert raft is not None
        self._write(member, ready)
        self._send(member, ready.messages)
        if ready.snapshot is not None:
            member.state = list(member.disk.state)
            member.applied = ready.snapshot.index
            for watcher in self._watchers:
                watcher.restored(member, ready.snapshot, member.disk.state)
        for entry in ready.committed:
            for watcher in self._watchers:
                watcher.applied(member, entry)
            member.applied = entry.index
            if entry.kind == EntryKind.NORMAL and entry.data:
                member.state.append((entry.index, entry.data))
        member.out = None
        raft.advance(ready)
        for watcher in self._watchers:
            watcher.acted(member)

    def _write(self, member: Member, ready: Ready) -> None:
        disk = member.disk
        if ready.snapshot is not None:
            disk.snapshot = ready.snapshot
            disk.state = member.arrived[ready.snapshot.index]
            disk.entries = []
        if ready.hard_state is not None:
            disk.hard_state = ready.hard_state
        if ready.entries:
            first = ready.entries[0].index
            assert disk.snapshot.index < first <= disk.last() + 1, (
                f"member {member.raft_id} writes entry {first} on a disk with {disk.snapshot.index}..{disk.last()}"
            )
            disk.entries[first - disk.snapshot.index - 1 :] = ready.entries

    def compact(self, member: Member) -> None:
        """Take a snapshot of what is applied, durable at once."""
        raft = member.raft
        # A snapshot that arrived and is not restored yet is ahead of what is applied.
        if raft is None or member.applied <= raft.snapshot.index:
            return
        meta = raft.snapshot_at(member.applied)
        disk = member.disk
        disk.entries = disk.entries[meta.index - disk.snapshot.index :]
        disk.snapshot = meta
        disk.state = tuple(member.state)
        raft.compact(meta)
        self.settle(member)

    # Wire

    def _send(self, member: Member, messages: Iterable[Message]) -> None:
        for message in messages:
            state = None
            if message.kind == MessageKind.SNAPSHOT:
                meta = message.snapshot
                assert meta == member.disk.snapshot, f"member {member.raft_id} sends {meta}, has {member.disk.snapshot}"
                state = member.disk.state
            for watcher in self._watchers:
                watcher.sent(message)
            data = encode_message(message)
            self.wire.append(Flight(member.raft_id, message.to, message.kind, data, state))

    def deliver(self, place: int, *, keep: bool = False, lose: bool = False) -> None:
        """Let a message arrive; `keep` leaves a copy on its way, `lose` takes it off without arriving."""
        flight = self.wire[place] if keep else self.wire.pop(place)
        member = self.members.get(flight.to)
        lost = lose or (flight.sender, flight.to) in self.cut or member is None or member.raft is None
        if flight.state is not None and not keep:
            sender = self.members[flight.sender]
            if sender.raft is not None:
                sender.raft.report_snapshot(flight.to, ok=not lost)
        if member is not None and member.raft is not None and not lost:
            message = decode_message(flight.data)
            if message.snapshot is not None and flight.state is not None:
                member.arrived[message.snapshot.index] = flight.state
            member.raft.step(message)
            self.settle(member)
        if flight.state is not None:
            self.settle(self.members[flight.sender])

    # What drivers see

    def leaders(self) -> list[Member]:
        """Who leads, as they see it, the newest term last."""
        found = [(member.raft.term, member) for member in self.members.values() if is_leading(member) and member.raft]
        return [member for _, member in sorted(found, key=lambda pair: pair[0])]

    def read(self, member: Member, context: bytes) -> None:
        """Ask a member for a read."""
        assert member.raft is not None
        for watcher in self._watchers:
            watcher.read_asked(member, context)
        member.raft.read_index(context)
        self.settle(member)


def is_leading(member: Member) -> bool:
    """Whether it is up and leads, as it sees it."""
    return member.raft is not None and member.raft.role == Role.LEADER
