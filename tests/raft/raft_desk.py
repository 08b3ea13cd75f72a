"""Commands of the raft transcripts.

`cluster N [setting=value ...]` starts N voters that share the log of their foundation; `log MEMBER TERM ... [at=TERM]`
before it gives one a log of its own, by the terms of its entries. What all apply at first is not told, and `quietly`
before a command hides what that tells. Messages wait until `run` delivers all of them, or `deliver A->B [KIND]` the
oldest such; `last` delivers the newest, `again` the oldest and leaves it on its way, `lose` takes all such away.
"""

import random
from collections.abc import Callable, Sequence

from raft_checkers import Safety
from raft_cluster import Cluster, Disk, Member
from raft_story import Story, shown_entry, shown_members

from swarmlab.api import SwarmlabError
from swarmlab.raft import (
    ChangeKind,
    ConfigChange,
    EntryKind,
    HardState,
    LogEntry,
    Membership,
    MessageKind,
    RaftConfig,
    RaftId,
    SnapshotMeta,
)

#: Messages that `run` delivers at most: more mean that members talk without end.
ENDLESS = 2000


class Desk:
    """Plays one file."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._cluster = Cluster()
        self._logs: dict[RaftId, tuple[list[int], int]] = {}
        self._settings: dict[str, int] = {}

    def __call__(self, command: str) -> Sequence[str]:
        """Run a command; gives what it told."""
        self._lines.clear()
        word, *rest = command.split()
        is_quiet = word == "quietly"
        if is_quiet:
            word, *rest = rest
        handler: Callable[..., None] = getattr(self, f"_do_{word}")
        try:
            handler(*rest)
        except SwarmlabError as error:
            self._lines.append(f"{type(error).__name__}: {error}")
        return [] if is_quiet else tuple(self._lines)

    def _member(self, word: str) -> Member:
        return self._cluster.members[RaftId(int(word))]

    # The cluster

    def _do_log(self, member: str, *terms: str) -> None:
        entries = [int(term) for term in terms if "=" not in term]
        newest = [int(term.removeprefix("at=")) for term in terms if "=" in term]
        self._logs[RaftId(int(member))] = (entries, max([*entries, *newest]))

    def _do_cluster(self, count: str, *settings: str) -> None:
        self._cluster = Cluster()
        safety = Safety(self._cluster.members)
        self._cluster.watch(Story(self._lines.append))
        self._cluster.watch(safety)
        self._settings = {name: int(value) for name, _, value in (word.partition("=") for word in settings)}
        if not self._logs:
            self._cluster.found(int(count), **self._settings)
            self._lines.clear()
            return
        voters = tuple(RaftId(number) for number in range(1, int(count) + 1))
        for raft_id in voters:
            terms, term = self._logs.get(raft_id, ([], 0))
            entries = [
                LogEntry(index=index, term=entry, data=f"{index}/{entry}".encode())
                for index, entry in enumerate(terms, 1)
            ]
            start = SnapshotMeta(members=Membership(voters=voters))
            disk = Disk(hard_state=HardState(term=term), snapshot=start, entries=entries)
            config = RaftConfig(raft_id=raft_id, **self._settings)
            member = Member(raft_id, config, disk, random.Random(raft_id))
            self._cluster.members[raft_id] = member
            self._cluster.restart(member)
        self._logs = {}
        self._lines.clear()

    def _do_join(self, member: str) -> None:
        self._cluster.join(RaftId(int(member)), **self._settings)

    def _do_crash(self, member: str, fate: str = "kept") -> None:
        self._cluster.crash(self._member(member), keep={"kept": True, "lost": False}[fate])

    def _do_restart(self, member: str) -> None:
        self._cluster.restart(self._member(member))

    def _do_slow(self, member: str) -> None:
        self._member(member).is_slow = True

    def _do_fast(self, member: str) -> None:
        self._member(member).is_slow = False
        self._cluster.finish(self._member(member))

    def _do_write(self, member: str) -> None:
        self._cluster.finish(self._member(member))

    # The wire

    def _do_run(self) -> None:
        for _ in range(ENDLESS):
            if not self._cluster.wire:
                return
            self._cluster.deliver(0)
        raise AssertionError(f"after {ENDLESS} messages there are still {len(self._cluster.wire)}")

    def _places(self, pair: str, kind: str) -> list[int]:
        found = [
            place
            for place, flight in enumerate(self._cluster.wire)
            if f"{flight.sender}->{flight.to}" == pair and (not kind or flight.kind == MessageKind[kind])
        ]
        assert found, f"no {kind or 'message'} {pair} on its way"
        return found

    def _do_deliver(self, pair: str, kind: str = "") -> None:
        self._cluster.deliver(self._places(pair, kind)[0])

    def _do_last(self, pair: str, kind: str = "") -> None:
        self._cluster.deliver(self._places(pair, kind)[-1])

    def _do_again(self, pair: str, kind: str = "") -> None:
        self._cluster.deliver(self._places(pair, kind)[0], keep=True)

    def _do_lose(self, pair: str, kind: str = "") -> None:
        for place in reversed(self._places(pair, kind)):
            self._cluster.deliver(place, lose=True)

    def _do_cut(self, *sides: str) -> None:
        """Lose whatever goes between the sides; one side alone is cut from all others."""
        groups = [[RaftId(int(number)) for number in side.split(",")] for side in sides]
        if len(groups) == 1:
            groups.append([raft_id for raft_id in self._cluster.members if raft_id not in groups[0]])
        for one in groups[0]:
            for other in groups[1]:
                self._cluster.cut |= {(one, other), (other, one)}

    def _do_heal(self) -> None:
        self._cluster.cut.clear()

    # The machines

    def _do_tick(self, member: str, times: str = "1") -> None:
        for _ in range(int(times)):
            for each in self._cluster.members.values() if member == "all" else [self._member(member)]:
                if each.raft is not None:
                    each.raft.tick()
                    self._cluster.settle(each)

    def _do_lead(self, member: str) -> None:
        """Elect a member and let it tell everybody."""
        self._do_campaign(member)
        self._do_run()
        self._do_tick(member)
        self._do_run()

    def _do_campaign(self, member: str) -> None:
        raft = self._member(member).raft
        assert raft is not None
        raft.campaign()
        self._cluster.settle(self._member(member))

    def _do_propose(self, member: str, *values: str) -> None:
        raft = self._member(member).raft
        assert raft is not None
        try:
            for value in values:
                raft.propose(value.encode())
        finally:
            self._cluster.settle(self._member(member))

    def _do_change(self, member: str, kind: str, target: str) -> None:
        raft = self._member(member).raft
        assert raft is not None
        raft.propose_change(ConfigChange(ChangeKind[kind], RaftId(int(target)), b""))
        self._cluster.settle(self._member(member))

    def _do_read(self, member: str, name: str) -> None:
        self._cluster.read(self._member(member), name.encode())

    def _do_transfer(self, member: str, to: str) -> None:
        raft = self._member(member).raft
        assert raft is not None
        raft.transfer(RaftId(int(to)))
        self._cluster.settle(self._member(member))

    def _do_compact(self, member: str) -> None:
        self._cluster.compact(self._member(member))

    def _do_unreachable(self, member: str, other: str) -> None:
        raft = self._member(member).raft
        assert raft is not None
        raft.report_unreachable(RaftId(int(other)))
        self._cluster.settle(self._member(member))

    # What is there

    def _do_status(self) -> None:
        for member in self._cluster.members.values():
            disk, raft = member.disk, member.raft
            base = f"snapshot={disk.snapshot.index}/{disk.snapshot.term} " if disk.snapshot.index else ""
            # Every log begins with the foundation.
            entries = [entry for entry in disk.entries if entry.term > 1 or entry.kind != EntryKind.CONFIG]
            log = " ".join(map(shown_entry, entries))
            if raft is None:
                self._lines.append(f"{member.raft_id} down {base}log=[{log}]")
                continue
            self._lines.append(
                f"{member.raft_id} {raft.role.name} term={raft.term} leader={raft.leader} commit={raft.commit}"
                f" {shown_members(raft.members)} {base}log=[{log}]"
            )

    def _do_progress(self, member: str) -> None:
        raft = self._member(member).raft
        assert raft is not None
        for raft_id, progress in raft.progress().items():
            self._lines.append(
                f"{raft_id} {progress.state.name} match={progress.match} next={progress.next}"
                f" silent={progress.silent_ticks} active={'yes' if progress.is_active else 'no'}"
            )
