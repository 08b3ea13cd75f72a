"""What scenarios do to managers: power, disks, wires, and who is one."""

from collections.abc import Mapping

from msgspec.structs import replace

from swarmlab.api import Changes, Create, Duration, Instant, InvalidSpec, Node, NodeId, NodeRole, Precondition, Value
from swarmlab.manager.controlapi import update_node
from swarmlab.sim.chance import Spread
from swarmlab.sim.disk import DiskModel
from swarmlab.sim.machine import manager_node
from swarmlab.sim.managers import SimManagers
from swarmlab.sim.partitions import Partition, has_sides
from swarmlab.sim.world import World
from swarmlab.store import Snapshot

#: Words for a disk beside a span, which is how long each of its writes takes.
STALLS, FAILS, WELL = "stalls", "fails", "well"
#: What a disk that fails says.
FULL = "no space left on device"


class Disk(Value, frozen=True, kw_only=True):
    """How a manager's disk is to be from now on."""

    model: DiskModel | None = None
    stalls: bool = False
    fails: bool = False

    @classmethod
    def parse(cls, text: str) -> "Disk":
        """The disk of that text: `stalls`, `fails`, `well`, or a span such as "20ms~1".

        Raises:
            InvalidSpec: It is none of them.
        """
        if text in (STALLS, FAILS, WELL):
            return cls(stalls=text == STALLS, fails=text == FAILS)
        try:
            return cls(model=DiskModel(delay=Spread.parse(text)))
        except InvalidSpec as error:
            raise InvalidSpec(f"disk {text!r}: wanted {STALLS}, {FAILS}, {WELL}, or a span such as 20ms~1") from error


def group_of(world: World) -> SimManagers:
    """The managers.

    Raises:
        Precondition: There is one alone.
    """
    if world.managers is None:
        raise Precondition("there is one manager alone: the scenario wants `managers: 3`, or more")
    return world.managers


def is_of_managers(world: World, text: str) -> bool:
    """Whether a partition of that text is one of managers: it has sides, or names one."""
    named = world.managers is not None and any(each.name == text for each in world.managers.all)
    return named or has_sides(text)


def partition_of(world: World, text: str) -> Partition:
    """The partition of that text; a manager alone is parted from all other managers."""
    if has_sides(text):
        return Partition.parse(text)
    others = tuple(each.name for each in group_of(world).all if each.name != text)
    return Partition(sides=((text,), others))


def power_off(world: World, name: str) -> None:
    """The machine of that manager loses power."""
    managers = group_of(world)
    managers.crash(managers.named(name), world.kept())


def power_on(world: World, name: str) -> None:
    """It has power again, and starts with what is on its disk."""
    managers = group_of(world)
    managers.start(managers.named(name))


def kill_leader(world: World, span: Duration) -> None:
    """The machine of whoever leads loses power for that span; where nobody leads, nothing happens."""
    managers = group_of(world)
    leader = managers.leader
    if leader is None:
        return
    managers.crash(leader, world.kept())

    def start() -> None:
        if not leader.up and not leader.left:
            managers.start(leader)

    world.heap.later(span, start)


def hand_over(world: World) -> None:
    """Whoever leads hands over to a manager that is as far."""
    leader = group_of(world).leader
    if leader is not None:
        leader.running[1].transfer()


def change_disks(world: World, disks: Mapping[str, str]) -> None:
    """From now on the disks of these managers are like that."""
    managers = group_of(world)
    for name, text in disks.items():
        owner, wanted = managers.named(name), Disk.parse(text)
        managers.resume(owner)
        if wanted.model is not None:
            managers.disks[name] = wanted.model
        owner.disk.stalled = wanted.stalls
        owner.disk.full = FULL if wanted.fails else ""


def promote(world: World, name: str) -> None:
    """The machine of that name is to be a manager: one that was one before, or a new one."""

    def request(view: Snapshot, _: object, __: Instant) -> tuple[Changes, None]:
        node = view.node(NodeId(name))
        if node is None:
            return Changes.atomic(Create(manager_node(name))), None
        spec = replace(node.spec, desired_role=NodeRole.MANAGER)
        return update_node(view, node.id, node.meta.version.index, spec)[0], None

    managers = group_of(world)
    try:
        world.ask(request)
    finally:
        # The wish may be granted though nobody could say so; the machine waits for its role in any case.
        managers.promote(name)


def demote(world: World, name: str) -> None:
    """That manager is to be none any more: it leaves the raft group as soon as the others can do without it."""
    managers = group_of(world)
    owner = managers.named(name)

    def request(view: Snapshot, _: object, __: Instant) -> tuple[Changes, Node]:
        node = view.node(owner.node_id)
        assert node is not None, f"manager {name} has no node"
        leader = managers.leader
        members = leader.running[1].managers() if leader is not None else None
        spec = replace(node.spec, desired_role=NodeRole.WORKER)
        return update_node(view, node.id, node.meta.version.index, spec, members)

    world.ask(request)
