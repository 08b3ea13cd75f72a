"""Addresses under any history: never given twice, always given in the end, the same whoever leads."""

from allocator_world import World, service
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from swarmlab.api import (
    Annotations,
    IPAMConfig,
    IPAMOptions,
    Network,
    NetworkAttachmentConfig,
    NetworkId,
    NetworkSpec,
    Node,
    NodeId,
    ProposalDropped,
    ProposalUnknown,
    ServiceId,
    Task,
    TaskId,
    TaskSpec,
    TaskState,
    TaskStatus,
)
from swarmlab.component import Propose, Proposed, TimerFired
from swarmlab.manager.allocator import Allocator

NETWORKS = ("a", "b", "c")
NODES = ("n1", "n2")


def small(name: str) -> Network:
    """Room for five, which is soon full; `c` asks for the subnet that `b` has."""
    subnet = {"a": "10.9.0.0/29", "b": "10.9.1.0/29", "c": "10.9.1.0/28"}[name]
    ipam = IPAMOptions(configs=(IPAMConfig(subnet=subnet),))
    return Network(id=NetworkId(name), spec=NetworkSpec(annotations=Annotations(name), ipam=ipam))


class Histories(RuleBasedStateMachine):
    """Users, a scheduler and nodes around an allocator whose proposals are late, lost, or of unknown end."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(held=True)
        self.world.lead()
        self.made = 0
        #: Proposals whose end the allocator does not know; they may be committed yet, in order.
        self.adrift: list[Propose] = []
        self.world.put(*(Node(id=NodeId(name)) for name in NODES))

    @rule(name=st.sampled_from(NETWORKS))
    def make_network(self, name: str) -> None:
        if self.world.view.network(NetworkId(name)) is None:
            self.world.put(small(name))

    @rule(name=st.sampled_from(NETWORKS))
    def drop_network(self, name: str) -> None:
        used = any(name in _targets(task) for task in self.world.view.tasks() if _lives(task))
        if self.world.view.network(NetworkId(name)) is not None and not used:
            self.world.drop(self.world.view.network(NetworkId(name)))

    @rule(name=st.sampled_from(("web", "api")), networks=st.sets(st.sampled_from(NETWORKS)))
    def wish_service(self, name: str, networks: set[str]) -> None:
        wishes = tuple(NetworkAttachmentConfig(target=target) for target in sorted(networks))
        held = self.world.view.service(ServiceId(name)) or service(name)
        made = replace(held, spec=replace(held.spec, task=TaskSpec(networks=wishes)))
        if self.world.view.service(ServiceId(name)) is None:
            self.world.put(made)
        else:
            self.world.change(made)

    @rule(name=st.sampled_from(("web", "api")))
    def drop_service(self, name: str) -> None:
        if self.world.view.service(ServiceId(name)) is not None:
            self.world.drop(self.world.view.service(ServiceId(name)))

    @rule(owner=st.sampled_from(("", "web", "api")), networks=st.sets(st.sampled_from(NETWORKS), min_size=1))
    def make_task(self, owner: str, networks: set[str]) -> None:
        self.made += 1
        held = self.world.view.service(ServiceId(owner))
        spec = (
            held.spec.task
            if held is not None
            else TaskSpec(networks=tuple(NetworkAttachmentConfig(target=one) for one in sorted(networks)))
        )
        self.world.put(
            Task(
                # Ids of any order, so that a later task may be looked at first.
                id=TaskId(f"t{self.made * 7 % 31:02}-{self.made}"),
                service_id=ServiceId(owner if held is not None else ""),
                spec=spec,
                desired_state=TaskState.RUNNING,
                status=TaskStatus(state=TaskState.NEW),
            )
        )

    @rule(place=st.integers(0, 20), node=st.sampled_from(NODES))
    def run_task(self, place: int, node: str) -> None:
        self._move(place, TaskState.PENDING, TaskState.RUNNING, node)

    @rule(place=st.integers(0, 20), state=st.sampled_from((TaskState.SHUTDOWN, TaskState.ORPHANED)))
    def end_task(self, place: int, state: TaskState) -> None:
        self._move(place, TaskState.RUNNING, state)

    @rule(place=st.integers(0, 20))
    def stop_task(self, place: int) -> None:
        tasks = [task for task in self.world.view.tasks() if task.desired_state == TaskState.RUNNING]
        if tasks:
            self.world.change(replace(tasks[place % len(tasks)], desired_state=TaskState.SHUTDOWN))

    @rule(place=st.integers(0, 20))
    def drop_task(self, place: int) -> None:
        tasks = self.world.view.tasks()
        if tasks:
            self.world.drop(tasks[place % len(tasks)])

    @rule(node=st.sampled_from(NODES), hostname=st.integers(0, 9))
    def change_node(self, node: str, hostname: int) -> None:
        """The dispatcher writes too."""
        held = self.world.view.node(NodeId(node))
        self.world.change(replace(held, VXLANUDPPort=hostname))

    @precondition(lambda self: self.world.waiting)
    @rule()
    def commit(self) -> None:
        self._drift()
        self.world.finish()

    @precondition(lambda self: self.world.waiting)
    @rule()
    def lose(self) -> None:
        lost = self.world.waiting.pop(0)
        self.world.step(Proposed(lost.tag, error=ProposalDropped("no quorum")))
        self.world.step(TimerFired("retry"))

    @precondition(lambda self: self.world.waiting)
    @rule()
    def lose_sight(self) -> None:
        lost = self.world.waiting.pop(0)
        self.adrift.append(lost)
        self.world.step(Proposed(lost.tag, error=ProposalUnknown("no answer")))
        self.world.step(TimerFired("retry"))

    @rule()
    def come_late(self) -> None:
        self._drift()

    @rule()
    def change_leader(self) -> None:
        """The new leader has applied all that was proposed before; the rest will never be committed."""
        self._drift()
        self.world.waiting.clear()
        self.world.allocator = Allocator()
        self.world.lead()

    @invariant()
    def nobody_shares(self) -> None:
        owners: dict[tuple[str, str], str] = {}

        def has(owner: str, network_id: str, address: str) -> None:
            other = owners.setdefault((network_id, address.partition("/")[0]), owner)
            assert other == owner, f"{address} on {network_id} belongs to {other} and to {owner}"

        for held in self.world.view.services():
            for vip in held.endpoint.virtual_ips if held.endpoint is not None else ():
                has(held.id, vip.network_id, vip.addr)
        for task in self.world.view.tasks():
            if _lives(task):
                for attachment in task.networks:
                    for address in attachment.addresses:
                        has(task.id, attachment.network.id, address)
        for node in self.world.view.nodes():
            for attachment in node.attachments:
                has(node.id, attachment.network.id, attachment.addresses[0])
        for found in self.world.view.networks():
            for config in found.ipam.configs if found.ipam is not None else ():
                has(f"gateway of {found.id}", found.id, config.gateway)

    @invariant()
    def nobody_goes_on_without_a_place(self) -> None:
        for task in self.world.view.tasks():
            if task.status.state >= TaskState.PENDING and task.networks:
                assert [each.network.driver_state is not None for each in task.networks] == [True] * len(task.networks)
                assert all(each.addresses for each in task.networks)

    def teardown(self) -> None:
        """Left alone, it comes to an end, and what could be had was had."""
        for _ in range(50):
            self._drift()
            if not self.world.waiting:
                break
            self.world.finish()
        else:
            raise AssertionError("proposals without end")
        view = self.world.view
        self.nobody_shares()
        for node in view.nodes():
            wanted = {
                attachment.network.id
                for task in view.tasks_on(node.id)
                if TaskState.ASSIGNED <= task.status.state <= TaskState.RUNNING
                for attachment in task.networks
            }
            found = {attachment.network.id for attachment in node.attachments}
            assert found <= wanted
            assert all(_is_full(self.world, missing) for missing in wanted - found)
        for task in view.tasks():
            if task.status.state == TaskState.NEW:
                orphan = task.service_id and view.service(task.service_id) is None
                assert orphan or task.status.err, f"{task.id} waits and nobody says why"
        self.world.allocator = Allocator()
        self.world.lead()
        # Of a task that lacks two things it may name the other one.
        more = [action.object for each in self.world.waiting for (action,) in each.changes.groups]
        assert all(isinstance(each, Task) and each.status.state == TaskState.NEW for each in more), more

    def _move(self, place: int, before: TaskState, state: TaskState, node: str = "") -> None:
        tasks = [task for task in self.world.view.tasks() if task.status.state == before]
        if tasks:
            task = tasks[place % len(tasks)]
            status = replace(task.status, state=state)
            self.world.change(replace(task, node_id=NodeId(node) if node else task.node_id, status=status))

    def _drift(self) -> None:
        """What was proposed earlier is committed earlier, if it is at all."""
        adrift, self.adrift = self.adrift, []
        for lost in adrift:
            self.world.commit(lost.changes)


def _lives(task: Task) -> bool:
    return task.status.state <= TaskState.RUNNING


def _targets(task: Task) -> set[str]:
    return {wish.target for wish in task.spec.networks} | {each.network.id for each in task.networks}


def _is_full(world: World, network_id: str) -> bool:
    """All of the five addresses are in use, or the network is gone."""
    if world.view.network(NetworkId(network_id)) is None:
        return True
    used = {
        vip.addr
        for held in world.view.services()
        if held.endpoint
        for vip in held.endpoint.virtual_ips
        if vip.network_id == network_id
    }
    used |= {
        address
        for task in world.view.tasks()
        if _lives(task)
        for each in task.networks
        if each.network.id == network_id
        for address in each.addresses
    }
    used |= {
        address
        for node in world.view.nodes()
        for each in node.attachments
        if each.network.id == network_id
        for address in each.addresses
    }
    return len(used) == (13 if network_id == "c" else 5)


Histories.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestHistories = Histories.TestCase
