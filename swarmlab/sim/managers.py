"""Several managers of one simulated cluster: each with a disk and lives, on wires of their own."""

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from swarmlab.api import Duration, NodeId, NotFound, Precondition, Value, seconds
from swarmlab.node import Manager, RaftMember, Recovered, Replica, ReplicaConfig, founding, joining
from swarmlab.raft import RaftId
from swarmlab.sim.broken import InvariantBroken
from swarmlab.sim.disk import DiskModel, SimDisk
from swarmlab.sim.heap import Heap, HeapTimers
from swarmlab.sim.mesh import Mesh, MeshModel, MeshWire
from swarmlab.store import Committed, Proposer, Snapshot, difference

#: Until a group has a leader again, whatever befell it, if a majority is there.
PATIENCE = seconds(60)
#: Versions of which it is remembered what they were.
REMEMBERED = 20_000


class GroupModel(Value, frozen=True, kw_only=True):
    """How managers among themselves behave."""

    tick: Duration = seconds(0.1)
    mesh: MeshModel = MeshModel()
    disk: DiskModel = DiskModel()
    raft: ReplicaConfig = ReplicaConfig()


class Making(Protocol):
    """Builds a manager from parts and ports."""

    def __call__(self, owner: "SimManager", proposer: Proposer, snapshot: Snapshot, /) -> Manager:
        """A manager that proposes there and begins with that state; its timers go to `owner.timers`."""


class SimManager:
    """A machine with a manager: its disk lasts, its lives come and go."""

    def __init__(self, name: str, disk: SimDisk) -> None:
        self.name = name
        self.disk = disk
        #: How often it was started; no two lives draw the same ids.
        self.lives = 0
        self.up = False
        self.timers: list[HeapTimers] = []
        self.manager: Manager | None = None
        self.replica: Replica | None = None

    @property
    def raft_id(self) -> RaftId:
        """Its number in the group."""
        return self.disk.recovered.member.raft_id

    @property
    def leads(self) -> bool:
        """Whether it is up and takes proposals."""
        return self.up and self.replica is not None and self.replica.leads

    @property
    def running(self) -> tuple[Manager, Replica]:
        """Its present or last life."""
        assert self.manager is not None, f"manager {self.name} was never started"
        assert self.replica is not None, f"manager {self.name} was never started"
        return self.manager, self.replica


class SimManagers:
    """The managers of a cluster. What each commits is held against what the others did.

    Args:
        count: How many; the first founds the group, the others join it before this returns.
        heap: Time.
        rng: Gives the generator of a name.
        model: Of their wires and disks.
        make: Builds the manager of a life.
        record: Takes (manager, event, fields).
        turned: Called with who has begun or ceased to lead.
        committed: Hears each version once, from whichever manager commits it first.
    """

    def __init__(
        self,
        count: int,
        heap: Heap,
        rng: Callable[[str], random.Random],
        model: GroupModel,
        make: Making,
        record: Callable[[str, str, dict[str, object]], None],
        turned: Callable[[SimManager], None],
        committed: Callable[[Committed], None],
    ) -> None:
        self._heap = heap
        self._rng = rng
        self.model = model
        self._make = make
        self._record = record
        self._turned = turned
        self._committed = committed
        self.mesh = Mesh(heap, rng("mesh"), lambda: self.model.mesh)
        #: {version: the cluster at it}, as the first manager that committed it had it.
        self._agreed: dict[int, Snapshot] = {}
        founder = founding(RaftMember(RaftId(1), NodeId("m1"), "m1"))
        self.all = [self._new("m1", founder)]
        for number in range(2, count + 1):
            self._join(f"m{number}")

    @property
    def leader(self) -> SimManager | None:
        """Who leads; of two that believe it, the one of the later term."""
        leading = [each for each in self.all if each.leads]
        return max(leading, key=lambda each: each.running[1].status().term, default=None)

    def wait_for_leader(self) -> SimManager:
        """The leader, after as long as it takes.

        Raises:
            Precondition: There is none, even after a while.
        """
        end = self._heap.now + PATIENCE
        while (leader := self.leader) is None:
            if self._heap.now > end or not self._heap.step():
                raise Precondition("no manager leads: more than half of them may be down, or cut off")
        return leader

    def named(self, name: str) -> SimManager:
        """The manager of that name.

        Raises:
            NotFound: There is none.
        """
        found = next((each for each in self.all if each.name == name), None)
        if found is None:
            raise NotFound(f"manager {name!r} not found; there are {', '.join(each.name for each in self.all)}")
        return found

    def crash(self, owner: SimManager, kept: int = 0) -> None:
        """Power fails; of the writes under way the first ones are on the disk."""
        assert owner.up, f"manager {owner.name} is down already"
        led = owner.leads
        manager, replica = owner.running
        owner.up = False
        self.mesh.detach(owner.raft_id)
        owner.disk.crash(kept)
        for timers in owner.timers:
            timers.close()
        owner.timers.clear()
        # Nobody is told anything any more; what was on its way ends as unknown for its clients.
        manager.resign()
        replica.close()
        manager.store.close()
        if led:
            self._turned(owner)

    def start(self, owner: SimManager) -> None:
        """A new life, with what is on the disk."""
        assert not owner.up, f"manager {owner.name} runs already"
        owner.lives += 1
        recovered = owner.disk.recovered
        replica = Replica(
            self.model.raft,
            recovered,
            self._rng(f"raft/{owner.name}/{owner.lives}"),
            owner.disk,
            MeshWire(self.mesh),
            lambda event, fields: self._record(owner.name, event, dict(fields)),
        )
        manager = self._make(owner, replica, replica.snapshot)
        manager.store.watch(None, partial(self._hear, owner))
        owner.manager, owner.replica, owner.up = manager, replica, True
        self.mesh.attach(owner.raft_id, replica)

        def lead() -> None:
            manager.lead()
            self._turned(owner)

        def resign() -> None:
            manager.resign()
            self._turned(owner)

        replica.start(manager.store, lead, resign)
        self._tick_later(owner, replica)

    def cut_off(self, owner: SimManager) -> None:
        """Part it from all the others."""
        for other in self.all:
            if other is not owner:
                self.mesh.cut(owner.raft_id, other.raft_id)

    def heal(self) -> None:
        """End all partitions."""
        self.mesh.heal()

    def disagreements(self) -> Sequence[str]:
        """Where managers that are up have other contents at the same version than the first that had it."""
        wrong = []
        for each in self.all:
            if each.up:
                view = each.running[0].view
                agreed = self._agreed.get(view.version)
                if agreed is not None and agreed is not view and difference(agreed, view):
                    wrong.append(f"manager {each.name} has another version {view.version} than the others")
        return wrong

    def _new(self, name: str, recovered: Recovered) -> SimManager:
        owner = SimManager(name, SimDisk(self._heap, self._rng(f"disk/{name}"), lambda: self.model.disk, recovered))
        self.start(owner)
        return owner

    def _join(self, name: str) -> None:
        leader = self.wait_for_leader().running[1]
        joined: list[Recovered] = []

        def admitted(answer: object, error: Exception | None) -> None:
            assert error is None, f"manager {name} could not join: {error}"
            joined.append(joining(answer.member, answer.roster))  # type: ignore[attr-defined]

        leader.join(NodeId(name), name, admitted)
        while not joined:
            assert self._heap.step(), f"manager {name} cannot join, and nothing more will happen"
        owner = self._new(name, joined[0])
        self.all.append(owner)
        while owner.raft_id not in leader.voters:
            assert self._heap.step(), f"manager {name} gets no vote, and nothing more will happen"

    def _hear(self, owner: SimManager, event: Committed) -> None:
        """A manager commits: the first to do so is believed, the others must have the same.

        Raises:
            InvariantBroken: They have not.
        """
        version = event.view.version
        newest = max(self._agreed, default=0)
        if version > newest:
            self._agreed[version] = event.view
            self._agreed.pop(version - REMEMBERED, None)
            self._committed(event)
            return
        agreed = self._agreed.get(version)
        if agreed is not None:
            for change in event.changes:
                if agreed.get(type(change.object), change.object.id) != event.view.get(
                    type(change.object), change.object.id
                ):
                    raise InvariantBroken(
                        f"at version {version}: manager {owner.name} has another {type(change.object).__name__} "
                        f"{change.object.id} than the manager that committed it first"
                    )

    def _tick_later(self, owner: SimManager, replica: Replica) -> None:
        def tick() -> None:
            if owner.up and owner.replica is replica:
                replica.tick()
                self._heap.later(self.model.tick, tick)

        self._heap.later(self.model.tick, tick)
