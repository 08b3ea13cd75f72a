"""A cluster under faults whose kinds and rates the seed picks, then healed: it must agree and go on."""

import random
from collections.abc import Callable

from raft_checkers import Safety
from raft_cluster import Cluster, Member
from raft_story import Story

from swarmlab.api import AlreadyExists, NotFound, NotLeader, Precondition, ProposalDropped
from swarmlab.raft import (
    ChangeKind,
    ConfigChange,
    EntryKind,
    Membership,
    RaftId,
    changed,
    decode_change,
)

#: What a machine answers to a wish that cannot be had now.
REFUSALS = (AlreadyExists, NotFound, NotLeader, Precondition, ProposalDropped)
#: No cluster of a seed has more members than this over its life.
MOST_MEMBERS = 9


class Chaos:
    """One seed's run."""

    def __init__(self, seed: int, trace: Callable[[str], None] | None = None) -> None:
        self._rng = rng = random.Random(seed)
        self._trace = trace
        self.cluster = Cluster(seed)
        self.safety = Safety(self.cluster.members)
        if trace:
            self.cluster.watch(Story(trace))
        self.cluster.watch(self.safety)
        self._settings = {
            "election_ticks": rng.choice([3, 5, 10]),
            "max_entries_bytes": rng.choice([20, 60, 1000, 100_000]),
            "max_inflight": rng.choice([1, 2, 5, 256]),
            "max_uncommitted_bytes": rng.choice([200, 100_000]),
            "slow_entries": rng.choice([0, 0, 3, 500]),
            "pre_vote": rng.random() < 0.7,
            "check_quorum": rng.random() < 0.7,
        }
        self.cluster.found(rng.choice([1, 2, 3, 3, 3, 4, 5, 5, 6, 7]), **self._settings)
        self._proposals = 0
        self._reads: dict[RaftId, int] = {}
        common: dict[Callable[[], None], float] = {
            self._deliver: 50,
            self._flow: rng.choice([2, 6, 12]),
            self._tick: rng.choice([2, 10]),
            self._tick_all: rng.choice([3, 10, 20]),
            self._propose: rng.choice([5, 15]),
            self._write: rng.choice([5, 20]),
        }
        # Some kinds of trouble are absent from a run, others frequent.
        rare: dict[Callable[[], None], float] = {
            self._lose: rng.choice([0, 1, 8]),
            self._duplicate: rng.choice([0, 1, 8]),
            self._slow: rng.choice([0, 1, 3]),
            self._crash: rng.choice([0, 1, 3]),
            self._bounce: rng.choice([0, 1, 4]),
            self._restart: rng.choice([2, 6]),
            self._partition: rng.choice([0, 1, 3]),
            self._heal: rng.choice([1, 3]),
            self._change: rng.choice([0, 1, 4]),
            self._compact: rng.choice([0, 4, 12]),
            self._read: rng.choice([0, 5, 15]),
            self._transfer: rng.choice([0, 0.3, 1]),
            self._campaign: rng.choice([0, 0.5, 4]),
            self._rivals: rng.choice([0, 1, 4]),
            self._unreachable: rng.choice([0, 0.5]),
        }
        weights = {**common, **rare}
        self._actions = list(weights)
        self._weights = list(weights.values())
        self._capacity = rng.choice([10, 30, 100])
        #: Chance that the oldest message is delivered and not any.
        self._in_order = rng.choice([0.0, 0.5, 0.9, 1.0])

    def run(self, steps: int) -> None:
        """Act one: break things."""
        rng = self._rng
        for _ in range(40):
            self._tick_all()
            while self.cluster.wire and rng.random() < 0.97:
                self.cluster.deliver(0)
        for action in rng.choices(self._actions, self._weights, k=steps):
            if self._trace:
                self._trace(f"-- {action.__name__}")
            action()
            # A wire holds only so much; what was sent first is not the first to be lost.
            while len(self.cluster.wire) > self._capacity:
                self.cluster.deliver(rng.randrange(len(self.cluster.wire)), lose=True)

    def _member(self) -> Member:
        return self._rng.choice(list(self.cluster.members.values()))

    def _leader(self) -> Member | None:
        leaders = self.cluster.leaders()
        return self._rng.choice(leaders) if leaders else None

    def _place(self) -> int:
        return 0 if self._rng.random() < self._in_order else self._rng.randrange(len(self.cluster.wire))

    def _deliver(self) -> None:
        if self.cluster.wire:
            self.cluster.deliver(self._place())

    def _flow(self) -> None:
        """Many messages arrive as they were sent, so that something comes about."""
        for _ in range(15):
            if self.cluster.wire:
                self.cluster.deliver(0)

    def _lose(self) -> None:
        if self.cluster.wire:
            self.cluster.deliver(self._place(), lose=True)

    def _duplicate(self) -> None:
        if self.cluster.wire:
            self.cluster.deliver(self._place(), keep=True)

    def _tick(self) -> None:
        member = self._member()
        # Clocks need not go alike: now and then one runs far ahead.
        for _ in range(self._rng.choice([1, 1, 1, self._settings["election_ticks"] * 2])):
            if member.raft is not None:
                member.raft.tick()
                self.cluster.settle(member)

    def _tick_all(self) -> None:
        for member in self.cluster.members.values():
            if member.raft is not None:
                member.raft.tick()
                self.cluster.settle(member)

    def _propose(self) -> None:
        leaders = self.cluster.leaders()
        # Mostly the newest one is asked; an older one does not know yet that it leads no more.
        member = (leaders[-1] if self._rng.random() < 0.7 else leaders[0]) if leaders else None
        if member is None or member.raft is None:
            return
        for _ in range(self._rng.choice([1, 1, 1, 5])):
            self._proposals += 1
            data = f"p{self._proposals}".encode() * self._rng.choice([1, 1, 10])
            try:
                member.raft.propose(data)
            except ProposalDropped:
                break
        self.cluster.settle(member)

    def _write(self) -> None:
        self.cluster.finish(self._member())

    def _slow(self) -> None:
        member = self._member()
        member.is_slow = not member.is_slow

    def _crash(self) -> None:
        leader = self._leader()
        member = leader if leader is not None and self._rng.random() < 0.5 else self._member()
        self.cluster.crash(member, keep=self._rng.random() < 0.5)

    def _bounce(self) -> None:
        """One that is back before anybody noticed."""
        member = self._member()
        self.cluster.crash(member, keep=self._rng.random() < 0.5)
        self._reads[member.raft_id] = 0
        self.cluster.restart(member)

    def _restart(self) -> None:
        for member in self.cluster.members.values():
            if member.raft is None:
                self._reads[member.raft_id] = 0
                self.cluster.restart(member)
                return

    def _partition(self) -> None:
        side = {member for member in self.cluster.members if self._rng.random() < 0.5}
        both_ways = self._rng.random() < 0.8
        for one in self.cluster.members:
            for other in self.cluster.members:
                if one in side and other not in side:
                    self.cluster.cut.add((one, other))
                    if both_ways:
                        self.cluster.cut.add((other, one))

    def _heal(self) -> None:
        self.cluster.cut.clear()

    def _change(self) -> None:
        member = self._leader()
        if member is None or member.raft is None:
            return
        kind = self._rng.choice([ChangeKind.ADD_VOTER, ChangeKind.ADD_LEARNER, ChangeKind.REMOVE, ChangeKind.UPDATE])
        known = [*member.raft.members.voters, *member.raft.members.learners]
        fresh = RaftId(max(self.cluster.members) + 1)
        is_new = kind in (ChangeKind.ADD_VOTER, ChangeKind.ADD_LEARNER) and self._rng.random() < 0.6
        if is_new and fresh > MOST_MEMBERS:
            return
        try:
            member.raft.propose_change(ConfigChange(kind, fresh if is_new else self._rng.choice(known), b"address"))
        except REFUSALS:
            return
        if is_new:
            self.cluster.join(fresh, **self._settings)
        self.cluster.settle(member)

    def _compact(self) -> None:
        self.cluster.compact(self._member())

    def _read(self) -> None:
        leaders = self.cluster.leaders()
        # An old leader that does not know it is the one to give a wrong answer.
        self._ask(leaders[0] if leaders and self._rng.random() < 0.4 else self._member())

    def _ask(self, member: Member) -> bytes | None:
        if member.raft is None:
            return None
        number = self._reads[member.raft_id] = self._reads.get(member.raft_id, 0) + 1
        context = f"r{number}".encode()
        try:
            self.cluster.read(member, context)
        except NotLeader:
            return None
        return context

    def _transfer(self) -> None:
        member = self._leader()
        if member is None or member.raft is None:
            return
        try:
            member.raft.transfer(self._member().raft_id)
        except REFUSALS:
            return
        self.cluster.settle(member)

    def _campaign(self) -> None:
        member = self._member()
        if member.raft is not None:
            member.raft.campaign()
            self.cluster.settle(member)

    def _rivals(self) -> None:
        """Two ask for votes in the same moment, and one who gave its vote restarts."""
        self._campaign()
        self._campaign()
        for _ in range(self._rng.randrange(6)):
            self._deliver()
        self._bounce()

    def _unreachable(self) -> None:
        member = self._leader()
        if member is not None and member.raft is not None:
            member.raft.report_unreachable(self._member().raft_id)
            self.cluster.settle(member)

    # Act two

    def heal(self) -> None:
        """Act two: all is well again, so within a bounded time they agree, take a proposal and answer reads."""
        cluster = self.cluster
        cluster.cut.clear()
        for member in cluster.members.values():
            member.is_slow = False
            if member.raft is None:
                self._reads[member.raft_id] = 0
                cluster.restart(member)
            cluster.finish(member)
        self._until(lambda: self._leads_all() is not None, "one leader")
        # The first attempt may hit a leadership that is being handed over.
        self._until(self._proposed, "a proposal is taken")
        self._until(self._agreed, "all members have the same state")
        for raft_id in sorted(self._alive_members()):
            self._until_read(cluster.members[raft_id])

    def _until(self, condition: Callable[[], bool], wish: str) -> None:
        for _ in range(60 * self._settings["election_ticks"]):
            self._stop_removed()
            self._tick_all()
            for _ in range(5000):
                if not self.cluster.wire:
                    break
                self.cluster.deliver(0)
            else:
                raise AssertionError("liveness: messages beget messages without end")
            if condition():
                return
        raise AssertionError(f"liveness: not reached: {wish}")

    def _stop_removed(self) -> None:
        # Whoever asks a member of a removed one is told so by the wire, and stops.
        for raft_id, member in self.cluster.members.items():
            if raft_id in self._removed():
                self.cluster.crash(member, keep=True)

    def _removed(self) -> set[RaftId]:
        gone: set[RaftId] = set()
        for entry in self.safety.committed.values():
            if entry.kind == EntryKind.CONFIG:
                change = decode_change(entry.data)
                if change.kind == ChangeKind.REMOVE:
                    gone.add(change.raft_id)
                elif change.kind in (ChangeKind.ADD_VOTER, ChangeKind.ADD_LEARNER):
                    gone.discard(change.raft_id)
        return gone

    def _members(self) -> Membership:
        members = Membership()
        for _, entry in sorted(self.safety.committed.items()):
            if entry.kind == EntryKind.CONFIG:
                members = changed(members, decode_change(entry.data))
        return members

    def _alive_members(self) -> set[RaftId]:
        members = self._members()
        return {*members.voters, *members.learners}

    def _leads_all(self) -> Member | None:
        """The member whom all follow, if there is one."""
        leaders = self.cluster.leaders()
        if not leaders:
            return None
        leader = leaders[-1]
        if leader.raft is None or not leader.raft.has_committed_in_term or leader.raft.transferee:
            return None
        following = all(
            (raft := self.cluster.members[raft_id].raft) is not None and raft.leader == leader.raft_id
            for raft_id in self._alive_members()
        )
        return leader if following else None

    def _proposed(self) -> bool:
        leader = self._leads_all()
        if leader is None or leader.raft is None:
            return False
        self._proposals += 1
        try:
            leader.raft.propose(f"last{self._proposals}".encode())
        except ProposalDropped:
            return False
        self.cluster.settle(leader)
        return True

    def _agreed(self) -> bool:
        leader = self._leads_all()
        if leader is None or leader.raft is None or leader.applied != leader.raft.last_index:
            return False
        if not leader.state or leader.state[-1][1] != f"last{self._proposals}".encode():
            return False
        members = leader.raft.members
        assert members == self._members(), f"membership: {members} on the leader, {self._members()} committed"
        for raft_id in self._alive_members():
            member = self.cluster.members[raft_id]
            if member.applied != leader.applied:
                return False
            assert member.state == leader.state, f"state machine safety: member {raft_id} differs from its leader"
            assert member.raft is not None
            assert member.raft.members == members, f"membership: {member.raft.members} on {raft_id}, not {members}"
        return True

    def _until_read(self, member: Member) -> None:
        asked: list[bytes] = []

        def answered() -> bool:
            if any((member.raft_id, context) in self.safety.answered for context in asked):
                return True
            context = self._ask(member)
            if context is not None:
                asked.append(context)
            return False

        self._until(answered, f"a read of member {member.raft_id} is answered")


def play(seed: int, steps: int, trace: Callable[[str], None] | None = None) -> None:
    """Both acts of a seed.

    Raises:
        AssertionError: With the property that was broken and the seed.
    """
    try:
        chaos = Chaos(seed, trace)
        chaos.run(steps)
        chaos.heal()
    except AssertionError as error:
        raise AssertionError(f"seed {seed}: {error}") from error
