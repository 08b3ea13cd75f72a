"""Several managers of one simulated cluster, on wires of their own: who is there, who leads, who comes and goes."""

import random
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from swarmlab.api import Node, NodeId, NodeRole, NotFound, Precondition, seconds
from swarmlab.node import Joined, MembershipPorts, RaftMember, Recovered, Replica, Status, founding, joining
from swarmlab.raft import RaftId
from swarmlab.sim.broken import InvariantBroken
from swarmlab.sim.disk import DiskModel, SimDisk
from swarmlab.sim.heap import Heap
from swarmlab.sim.machine import GroupModel, Making, SimManager
from swarmlab.sim.mesh import Mesh, MeshWire
from swarmlab.store import Committed, Snapshot, difference

#: Until a group has a leader again, whatever befell it, if a majority is there.
PATIENCE = seconds(60)
#: How often a promoted machine asks to be admitted.
KNOCKS_EVERY = seconds(1)
#: Versions of which it is remembered what they were.
REMEMBERED = 20_000


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
        record: Callable[[str, str, Mapping[str, Any]], None],
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
        #: {manager: how its disk behaves, where it differs from the others}
        self.disks: dict[str, DiskModel] = {}
        #: (sender, receiver) between whom nothing gets through, by their names.
        self._muted: set[tuple[str, str]] = set()
        #: {version: the cluster at it}, as the first manager that committed it had it.
        self._agreed: dict[int, Snapshot] = {}
        self._newest = 0
        #: Machines that ask to be admitted.
        self._knocking: set[str] = set()
        self.all: list[SimManager] = []
        self._enter("m1", founding(RaftMember(RaftId(1), NodeId("m1"), "m1")))
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
        found = self._find(name)
        if found is None:
            raise NotFound(f"manager {name!r} not found; there are {', '.join(each.name for each in self.all)}")
        return found

    def crash(self, owner: SimManager, kept: int = 0) -> None:
        """Power fails; of the writes under way the first ones are on the disk.

        Raises:
            Precondition: It has none.
        """
        if not owner.up:
            raise Precondition(f"manager {owner.name} is down already")
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
        """A new life, with what is on the disk.

        Raises:
            Precondition: It runs, or is no manager any more.
        """
        if owner.up:
            raise Precondition(f"manager {owner.name} runs already")
        if owner.left:
            raise Precondition(f"manager {owner.name} has left the raft group")
        owner.lives += 1
        replica = Replica(
            self.model.raft,
            owner.disk.recovered,
            self._rng(f"raft/{owner.name}/{owner.lives}"),
            owner.disk,
            MeshWire(self.mesh),
            partial(self._record, owner.name),
        )
        membership = MembershipPorts(replica.managers, replica.leave)
        manager = self._make(owner, replica, replica.snapshot, membership)
        manager.store.watch(None, partial(self._hear, owner))
        owner.manager, owner.replica, owner.up = manager, replica, True
        self.mesh.attach(owner.raft_id, replica)

        def lead() -> None:
            manager.lead()
            self._turned(owner)

        def resign() -> None:
            manager.resign()
            self._turned(owner)

        replica.follow(partial(self._watch, owner, replica))
        replica.start(manager.store, lead, resign)
        self._tick_later(owner, replica)

    def resume(self, owner: SimManager) -> None:
        """Its disk is well again: what waits is written, later writes succeed and take as long as the others' do."""
        self.disks.pop(owner.name, None)
        owner.disk.full = ""
        if owner.disk.stalled:
            owner.disk.resume()

    # Wires

    def cut_off(self, owner: SimManager) -> None:
        """Part it from all the others."""
        for other in self.all:
            if other is not owner:
                self.mute(owner.name, other.name)
                self.mute(other.name, owner.name)

    def mute(self, sender: str, receiver: str) -> None:
        """Let nothing through from the one to the other."""
        self.mesh.mute(self.named(sender).raft_id, self.named(receiver).raft_id)
        self._muted.add((sender, receiver))

    def unmute(self, sender: str, receiver: str) -> None:
        """Let everything through again from the one to the other."""
        self.mesh.unmute(self.named(sender).raft_id, self.named(receiver).raft_id)
        self._muted.discard((sender, receiver))

    def reaches(self, sender: SimManager, receiver: SimManager) -> bool:
        """Whether what the one sends gets to the other now."""
        return sender.up and receiver.up and (sender.name, receiver.name) not in self._muted

    def heal(self) -> None:
        """End all partitions."""
        self._muted.clear()
        self.mesh.heal()

    # Members

    def promote(self, name: str) -> None:
        """Start the manager of that node as soon as the node has the role, and is admitted by who leads."""
        if name not in self._knocking:
            self._knocking.add(name)
            self._knock(name)

    def _knock(self, name: str) -> None:
        """Ask to be admitted, if the role is there; ask again later, if it may yet come."""
        owner, leader = self._find(name), self.leader
        node = leader.running[0].view.node(NodeId(name)) if leader is not None else None
        taken_back = node is not None and node.spec.desired_role != NodeRole.MANAGER
        if taken_back or (owner is not None and not owner.left):
            self._knocking.discard(name)
        elif leader is None or node is None or node.role != NodeRole.MANAGER:
            self._heap.later(KNOCKS_EVERY, partial(self._knock, name))
        else:
            leader.running[1].join(NodeId(name), name, partial(self._admitted, name))

    def _admitted(self, name: str, answer: Joined | None, error: Exception | None) -> None:
        if answer is None:
            self._record(name, "not-admitted", {"error": str(error)})
            self._heap.later(KNOCKS_EVERY, partial(self._knock, name))
        else:
            self._knocking.discard(name)
            self._enter(name, joining(answer.member, answer.roster))

    def unrest(self) -> Iterator[str]:
        """Why the managers are not at rest, one line each: one leads, all vote that should, and have the same."""
        leader = self.leader
        if leader is None:
            yield "no manager leads"
            return
        manager, replica = leader.running
        wished = {node.id for node in manager.view.nodes() if node.spec.desired_role == NodeRole.MANAGER}
        members = {member.node_id: member.raft_id for member in replica.roster.members}
        if set(members) != wished:
            yield f"the raft group has the members {sorted(members)}, wished are {sorted(wished)}"
        if sorted(replica.voters) != sorted(members.values()):
            yield f"of the members {members} only {sorted(replica.voters)} have a vote"
        for node in sorted(members):
            owner = self.named(node)
            if not owner.up or owner.raft_id != members[node]:
                yield f"manager {node} is down"
                continue
            status = owner.running[1].status()
            if status.failure:
                yield f"manager {node} takes no part: {status.failure}"
            if status.leader is None or status.leader.node_id != leader.node_id or status.leads != (owner is leader):
                yield f"manager {node} follows {status.leader}, and {leader.name} leads"
            version = owner.running[0].view.version
            if version != manager.view.version:
                yield f"manager {node} has version {version}, the leader has {manager.view.version}"
        yield from self.disagreements()

    def disagreements(self) -> Iterator[str]:
        """Where managers that are up have other contents at the same version than the first that had it."""
        for each in self.all:
            if each.up:
                view = each.running[0].view
                agreed = self._agreed.get(view.version)
                if agreed is not None and agreed is not view and difference(agreed, view):
                    yield f"manager {each.name} has another version {view.version} than the others"

    def _find(self, name: str) -> SimManager | None:
        return next((each for each in self.all if each.name == name), None)

    def _enter(self, name: str, recovered: Recovered) -> SimManager:
        """A member begins with that on its disk: a new machine, or one that was a member before."""
        disk = SimDisk(self._heap, self._rng(f"disk/{name}"), lambda: self.disks.get(name, self.model.disk), recovered)
        owner = self._find(name)
        if owner is None:
            owner = SimManager(name, disk)
            self.all.append(owner)
        owner.disk, owner.left = disk, False
        for sender, receiver in sorted(self._muted):
            if name in (sender, receiver):
                self.mute(sender, receiver)
        self.start(owner)
        return owner

    def _join(self, name: str) -> None:
        """Have a manager join at the very beginning, when nothing can go wrong yet."""
        leader = self.wait_for_leader().running[1]
        joined: list[Joined] = []

        def admitted(answer: Joined | None, error: Exception | None) -> None:
            assert answer is not None, f"manager {name} could not join: {error}"
            joined.append(answer)

        leader.join(NodeId(name), name, admitted)
        while not joined:
            assert self._heap.step(), f"manager {name} cannot join, and nothing more will happen"
        owner = self._enter(name, joining(joined[0].member, joined[0].roster))
        while owner.raft_id not in leader.voters:
            assert self._heap.step(), f"manager {name} gets no vote, and nothing more will happen"

    def _watch(self, owner: SimManager, replica: Replica, status: Status) -> None:
        """One that was removed ends, and what it knew is of no use any more; it comes back if it is wished to."""
        if status.removed:
            self._heap.later(KNOCKS_EVERY, lambda: self._dismiss(owner) if owner.replica is replica else None)

    def _dismiss(self, owner: SimManager) -> None:
        if owner.left:
            return
        self._record(owner.name, "left", {})
        if owner.up:
            self.crash(owner)
        owner.left = True
        self.promote(owner.name)

    def _told(self, node: Node) -> None:
        """A machine learns from its own node that it is no manager any more. A learner hears it from nobody else."""
        owner = self._find(node.id)
        if owner is not None and node.role == NodeRole.WORKER:
            self._heap.later(KNOCKS_EVERY, partial(self._obey, owner, owner.disk))

    def _obey(self, owner: SimManager, disk: SimDisk) -> None:
        if owner.disk is disk:
            self._dismiss(owner)

    def _hear(self, owner: SimManager, event: Committed) -> None:
        """A manager commits: the first to do so is believed, the others must have the same.

        Raises:
            InvariantBroken: They have not.
        """
        version = event.view.version
        if version > self._newest:
            self._newest = version
            self._agreed[version] = event.view
            self._agreed.pop(version - REMEMBERED, None)
            for change in event.changes:
                if isinstance(change.object, Node):
                    self._told(change.object)
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
