"""The allocator: subnets for networks, addresses for services and tasks, places for nodes."""

import pytest
from allocator_world import World, network, port, service, task
from msgspec.structs import replace

from swarmlab.api import (
    AddressFamily,
    Annotations,
    Cluster,
    ClusterId,
    ClusterSpec,
    Driver,
    EndpointSpec,
    IPAMConfig,
    IPAMOptions,
    Network,
    NetworkAttachmentConfig,
    NetworkId,
    NetworkSpec,
    Node,
    NodeId,
    ProposalUnknown,
    ResolutionMode,
    Service,
    ServiceId,
    Task,
    TaskId,
    TaskSpec,
    TaskState,
    TaskStatus,
    VirtualIP,
)
from swarmlab.component import Proposed, TimerFired
from swarmlab.manager.allocator import Allocator

VNI = "com.docker.network.driver.overlay.vxlanid_list"


@pytest.fixture
def world() -> World:
    world = World()
    world.lead()
    return world


def asked(name: str, *subnets: str, options: dict[str, str] | None = None, **more: object) -> Network:
    configs = tuple(IPAMConfig(subnet=subnet) for subnet in subnets)
    spec = NetworkSpec(
        annotations=Annotations(name),
        driver_config=Driver("overlay", options or {}),
        ipam=IPAMOptions(configs=configs) if configs else None,
        **more,
    )
    return Network(id=NetworkId(name), spec=spec)


def pool(subnet: str, gateway: str, **more: object) -> IPAMConfig:
    family = AddressFamily.IPV6 if ":" in subnet else AddressFamily.IPV4
    return IPAMConfig(family=family, subnet=subnet, gateway=gateway, **more)


def on(name: str, *targets: str, mode: ResolutionMode = ResolutionMode.VIP, **more: object) -> Service:
    held = service(name)
    networks = tuple(NetworkAttachmentConfig(target=target) for target in targets)
    return replace(
        held,
        spec=replace(held.spec, task=TaskSpec(networks=networks), endpoint=EndpointSpec(mode=mode)),
        **more,
    )


def net(world: World, name: str) -> Network:
    found = world.view.network(NetworkId(name))
    assert found is not None
    return found


def addresses(world: World, task_id: str) -> list[tuple[str, tuple[str, ...]]]:
    networks = world.view.task(TaskId(task_id)).networks
    return [(each.network.spec.annotations.name, each.addresses) for each in networks]


def attached(world: World, node: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(each.network.id, each.addresses) for each in world.view.node(NodeId(node)).attachments]


def move(world: World, task_id: str, state: TaskState, node: str = "n1") -> None:
    """As the scheduler and the node do."""
    held = world.view.task(TaskId(task_id))
    world.change(replace(held, node_id=NodeId(node), status=replace(held.status, state=state)))


def test_an_overlay_gets_a_subnet_a_gateway_and_an_id(world: World) -> None:
    world.put(network("a"), asked("b", options={"encrypted": ""}))
    assert net(world, "a").driver_state == Driver("overlay", {VNI: "4096"})
    assert net(world, "b").driver_state == Driver("overlay", {"encrypted": "", VNI: "4097"})
    assert net(world, "a").ipam == IPAMOptions(Driver("default"), (pool("10.0.0.0/24", "10.0.0.1"),))
    assert net(world, "b").ipam == IPAMOptions(Driver("default"), (pool("10.0.1.0/24", "10.0.1.1"),))
    assert ("network-allocated", {"network": "a", "subnets": ["10.0.0.0/24"]}) in world.records


def test_networks_of_a_node_s_own_driver_get_no_addresses(world: World) -> None:
    world.put(network("here", "macvlan"), service("web"), task("t1", "web", TaskState.RUNNING, "here", "host"))
    assert net(world, "here").driver_state == Driver("macvlan")
    assert net(world, "here").ipam is None
    assert addresses(world, "t1") == [("here", ()), ("host", ())]
    host = world.view.task(TaskId("t1")).networks[1].network
    assert host.driver_state == Driver("host")
    assert host.spec.annotations == Annotations("host", {"com.docker.swarm.predefined": "true"})


def test_asked_subnets_are_given_exactly_and_each_has_an_id(world: World) -> None:
    spec = IPAMConfig(subnet="172.30.0.0/16", range="172.30.4.0/30", gateway="172.30.9.9", reserved={"x": "172.30.4.1"})
    held = asked("a")
    world.put(replace(held, spec=replace(held.spec, ipam=IPAMOptions(configs=(spec, IPAMConfig(subnet="fd00::/64"))))))
    found = net(world, "a")
    assert found.ipam.configs == (
        pool("172.30.0.0/16", "172.30.9.9", range="172.30.4.0/30", reserved={"x": "172.30.4.1"}),
        pool("fd00::/64", "fd00::1"),
    )
    assert found.driver_state.options == {VNI: "4096,4097"}
    world.put(service("web"), *(task(f"t{n}", "web", TaskState.RUNNING, "a") for n in range(4)))
    assert [addresses(world, f"t{n}") for n in range(3)] == [
        [("a", ("172.30.4.0/16", "fd00::2/64"))],
        [("a", ("172.30.4.2/16", "fd00::3/64"))],
        [("a", ("172.30.4.3/16", "fd00::4/64"))],
    ]
    assert world.state("t3") == (TaskState.NEW, "no address is left on network a (172.30.0.0/16)")


def test_an_ipv6_network_has_ipv4_too(world: World) -> None:
    world.put(asked("a", "fd00::/64"))
    assert [config.subnet for config in net(world, "a").ipam.configs] == ["10.0.0.0/24", "fd00::/64"]


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        (asked("b", "10.7.3.0/24"), "subnet 10.7.3.0/24 overlaps with 10.7.0.0/16 of network a"),
        (asked("b", "10.9.0.0/24", "10.9.0.0/26"), "subnet 10.9.0.0/26 overlaps with 10.9.0.0/24 of the same network"),
        (asked("b", "10.9.0.0/30"), "subnet 10.9.0.0/30 is too small, wanted: /29 or shorter"),
        (asked("b", options={VNI: "5000"}), "VXLAN id 5000 belongs to network a"),
    ],
)
def test_what_a_network_cannot_have_is_said_to_its_tasks(world: World, held: Network, reason: str) -> None:
    world.put(asked("a", "10.7.0.0/16", options={VNI: "5000"}))
    world.put(held, service("web"), task("t1", "web", TaskState.RUNNING, "b"), on("api", "b"), task("t2", "api"))
    assert net(world, "b").driver_state is None
    told = f"network b is not allocated: {reason}"
    assert [world.state("t1"), world.state("t2")] == [(TaskState.NEW, told)] * 2
    assert ("allocation-failed", {"network": "b", "reason": reason}) in world.records
    world.drop(net(world, "a"))
    if "of network a" in reason or "belongs to" in reason:
        assert net(world, "b").driver_state is not None
        assert [world.state("t1"), world.state("t2")] == [(TaskState.PENDING, "")] * 2


def test_subnets_come_from_the_pools_of_the_cluster_until_they_end(world: World) -> None:
    cluster = Cluster(
        id=ClusterId("c"),
        spec=ClusterSpec(annotations=Annotations("default")),
        defaultAddressPool=("10.20.0.0/23", "10.40.0.0/24"),
        subnetSize=24,
    )
    world.put(cluster)
    world.put(asked("x", "10.20.1.128/25"), network("a"), network("b"), network("c"))
    assert [net(world, name).ipam.configs[0].subnet for name in "ab"] == ["10.20.0.0/24", "10.40.0.0/24"]
    reason = "no subnet /24 is left in 10.20.0.0/23, 10.40.0.0/24"
    assert ("allocation-failed", {"network": "c", "reason": reason}) in world.records
    world.change(replace(world.view.cluster(), defaultAddressPool=("10.20.0.0/23", "10.50.0.0/16")))
    assert net(world, "c").ipam.configs[0].subnet == "10.50.0.0/24"
    world.drop(net(world, "a"))
    world.put(network("d"))
    assert net(world, "d").ipam.configs[0].subnet == "10.50.1.0/24"


def test_a_service_has_an_address_on_each_network_and_its_tasks_theirs(world: World) -> None:
    world.put(network("a"), network("b"))
    world.put(on("web", "b", "a"), on("rr", "a", mode=ResolutionMode.DNSRR))
    held = world.view.service(ServiceId("web"))
    assert held.endpoint.virtual_ips == (VirtualIP("b", "10.0.1.2/24"), VirtualIP("a", "10.0.0.2/24"))
    assert world.view.service(ServiceId("rr")).endpoint.virtual_ips == ()
    world.put(task("t1", "web", TaskState.RUNNING, "b", "a"))
    assert addresses(world, "t1") == [("b", ("10.0.1.3/24",)), ("a", ("10.0.0.3/24",))]
    found = world.view.task(TaskId("t1"))
    assert found.endpoint == held.endpoint
    assert [each.network for each in found.networks] == [net(world, "b"), net(world, "a")]


def test_without_an_endpoint_a_service_on_a_network_has_an_address_too(world: World) -> None:
    held = on("web", "a")
    world.put(network("a"), replace(held, spec=replace(held.spec, endpoint=None)))
    assert world.view.service(ServiceId("web")).endpoint.virtual_ips == (VirtualIP("a", "10.0.0.2/24"),)
    found = world.view.service(ServiceId("web"))
    world.change(replace(found, spec=replace(found.spec, task=TaskSpec())))
    assert world.view.service(ServiceId("web")).endpoint is None


def test_the_address_of_a_service_is_kept_over_updates(world: World) -> None:
    world.put(network("a"), network("b"), on("web", "a"))
    held = world.view.service(ServiceId("web"))
    world.change(replace(held, spec=on("web", "b", "a").spec))
    held = world.view.service(ServiceId("web"))
    assert held.endpoint.virtual_ips == (VirtualIP("b", "10.0.1.2/24"), VirtualIP("a", "10.0.0.2/24"))
    world.change(replace(held, spec=on("web", "b").spec))
    assert world.view.service(ServiceId("web")).endpoint.virtual_ips == (VirtualIP("b", "10.0.1.2/24"),)


def test_what_attachments_ask_for_is_given_and_copied(world: World) -> None:
    wish = NetworkAttachmentConfig(
        target="a", aliases=("db",), addresses=("10.0.0.77",), driver_attachment_opts={"k": "v"}
    )
    world.put(network("a"), service("web"))
    for name in ("t1", "t2"):
        world.put(replace(task(name), spec=TaskSpec(networks=(wish,))))
    found = world.view.task(TaskId("t1")).networks[0]
    assert (found.addresses, found.aliases, found.driver_attachment_opts) == (("10.0.0.77/24",), ("db",), {"k": "v"})
    assert world.state("t2") == (TaskState.NEW, "address 10.0.0.77 of network a is in use")
    move(world, "t1", TaskState.FAILED)
    assert addresses(world, "t2") == [("a", ("10.0.0.77/24",))]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("10.0.0.1", "address 10.0.0.1 of network a is given to nobody"),
        ("10.9.0.1", "address 10.9.0.1 is not of network a, which has 10.0.0.0/24"),
        ("ten", "address 'ten' of network a is none"),
    ],
)
def test_addresses_that_cannot_be_are_refused(world: World, address: str, reason: str) -> None:
    spec = TaskSpec(networks=(NetworkAttachmentConfig(target="a", addresses=(address,)),))
    world.put(network("a"), service("web"), replace(task("t1"), spec=spec))
    assert world.state("t1") == (TaskState.NEW, reason)


def test_a_full_network_makes_tasks_wait_until_one_has_ended(world: World) -> None:
    world.put(asked("a", "10.9.0.0/29"), service("web"))
    world.put(*(task(f"t{n}", "web", TaskState.RUNNING, "a") for n in range(6)))
    assert [addresses(world, f"t{n}")[0][1] for n in range(5)] == [(f"10.9.0.{n}/29",) for n in range(2, 7)]
    assert world.state("t5") == (TaskState.NEW, "no address is left on network a (10.9.0.0/29)")
    move(world, "t1", TaskState.RUNNING)
    held = world.view.task(TaskId("t1"))
    world.change(replace(held, desired_state=TaskState.SHUTDOWN))
    assert world.state("t5")[0] == TaskState.NEW, "a task that is told to stop runs still"
    move(world, "t1", TaskState.SHUTDOWN)
    assert addresses(world, "t5") == [("a", ("10.9.0.3/29",))]


def test_a_freed_address_is_given_again_late(world: World) -> None:
    world.put(network("a"), service("web"), task("t1", "web", TaskState.RUNNING, "a"))
    world.drop(world.view.task(TaskId("t1")))
    world.put(task("t2", "web", TaskState.RUNNING, "a"))
    assert addresses(world, "t2") == [("a", ("10.0.0.3/24",))]
    world.allocator = Allocator()
    world.lead()
    world.put(task("t3", "web", TaskState.RUNNING, "a"))
    assert addresses(world, "t3") == [("a", ("10.0.0.4/24",))]


def test_nothing_is_kept_of_what_was_given_in_vain(world: World) -> None:
    """Two tasks on two networks that are nearly full: each must not sit on the last address that the other wants."""
    world.put(asked("a", "10.9.0.0/29"), asked("b", "10.9.1.0/29"), service("web"))
    world.put(*(task(f"a{n}", "web", TaskState.RUNNING, "a") for n in range(4)))
    world.put(*(task(f"b{n}", "web", TaskState.RUNNING, "b") for n in range(5)))
    world.put(task("t1", "web", TaskState.RUNNING, "a", "b"), task("t2", "web", TaskState.RUNNING, "a"))
    assert world.state("t1") == (TaskState.NEW, "no address is left on network b (10.9.1.0/29)")
    assert addresses(world, "t2") == [("a", ("10.9.0.6/29",))]


def test_a_node_is_on_a_network_as_long_as_its_tasks_are(world: World) -> None:
    world.put(network("a"), network("b"), service("web"), Node(id=NodeId("n1")), Node(id=NodeId("n2")))
    world.put(task("t1", "web", TaskState.RUNNING, "a", "b"), task("t2", "web", TaskState.RUNNING, "a", "host"))
    assert attached(world, "n1") == []
    move(world, "t1", TaskState.ASSIGNED)
    move(world, "t2", TaskState.ASSIGNED)
    assert attached(world, "n1") == [("a", ("10.0.0.4/24",)), ("b", ("10.0.1.3/24",))]
    assert world.view.node(NodeId("n1")).attachments[0].network == net(world, "a")
    move(world, "t1", TaskState.RUNNING)
    move(world, "t1", TaskState.COMPLETE)
    assert attached(world, "n1") == [("a", ("10.0.0.4/24",))]
    world.drop(world.view.task(TaskId("t2")))
    assert attached(world, "n1") == attached(world, "n2") == []


def test_the_ingress_network_is_on_every_node_and_carries_published_ports(world: World) -> None:
    world.put(Node(id=NodeId("n1")), service("old", port(80)), task("t0", "old"))
    world.put(network("a"), asked("mesh", ingress=True))
    world.put(Node(id=NodeId("n2")))
    assert [attached(world, name) for name in ("n1", "n2")] == [
        [("mesh", ("10.0.1.2/24",))],
        [("mesh", ("10.0.1.3/24",))],
    ]
    held = on("web", "a")
    held = replace(held, spec=replace(held.spec, endpoint=EndpointSpec(ports=(port(8080),))))
    world.put(held, task("t1", "web", TaskState.RUNNING, "a"))
    assert [name for name, _ in addresses(world, "t1")] == ["mesh", "a"]
    vips = world.view.service(ServiceId("web")).endpoint.virtual_ips
    assert [vip.network_id for vip in vips] == ["mesh", "a"]
    assert addresses(world, "t0") == [], "made before there was an ingress network"
    held = world.view.service(ServiceId("web"))
    world.change(replace(held, spec=on("web", "a").spec))
    assert [vip.network_id for vip in world.view.service(ServiceId("web")).endpoint.virtual_ips] == ["a"]


def test_a_network_that_is_to_go_takes_nobody_and_goes_with_its_last_user(world: World) -> None:
    world.put(network("a"), service("web"), task("t1", "web", TaskState.RUNNING, "a"))
    move(world, "t1", TaskState.RUNNING)
    world.change(replace(net(world, "a"), pending_delete=True))
    world.put(task("t2", "web", TaskState.RUNNING, "a"))
    assert world.state("t2") == (TaskState.NEW, "network a is being removed")
    assert world.view.network(NetworkId("a")) is not None
    move(world, "t1", TaskState.SHUTDOWN)
    assert world.view.network(NetworkId("a")) is None
    assert world.state("t2") == (TaskState.NEW, "network a not found")


def test_a_network_that_is_not_there_is_named_and_waited_for(world: World) -> None:
    world.put(service("web"), task("t1", "web", TaskState.RUNNING, "nowhere"), on("api", "nowhere"), task("t2", "api"))
    assert [world.state("t1"), world.state("t2")] == [(TaskState.NEW, "network nowhere not found")] * 2
    world.put(network("nowhere"))
    assert [world.state("t1"), world.state("t2")] == [(TaskState.PENDING, "")] * 2


def test_networks_in_the_old_place_count_too(world: World) -> None:
    held = service("web")
    held = replace(held, spec=replace(held.spec, networks=(NetworkAttachmentConfig(target="back"),)))
    world.put(network("back"), held, task("t1"))
    assert addresses(world, "t1") == [("back", ("10.0.0.3/24",))]


def test_an_attachment_of_no_service_gets_its_place(world: World) -> None:
    world.put(network("a"), replace(task("t1", "", TaskState.RUNNING, "a"), node_id=NodeId("n1")))
    assert world.state("t1") == (TaskState.PENDING, "")
    assert addresses(world, "t1") == [("a", ("10.0.0.2/24",))]


def test_a_proposal_that_may_be_committed_late_is_not_contradicted(world: World) -> None:
    """Its end is not known, and meanwhile another task comes: the address may not be given to that one as well."""
    world.put(network("a"), service("web"))
    world.held = True
    world.put(task("t9", "web", TaskState.RUNNING, "a"))
    lost = world.waiting.pop()
    world.put(task("t1", "web", TaskState.RUNNING, "a"))
    world.step(Proposed(lost.tag, error=ProposalUnknown("no answer")))
    world.step(TimerFired("retry"))
    again = world.waiting.pop()
    world.commit(lost.changes)
    world.commit(again.changes)
    assert [addresses(world, name)[0][1] for name in ("t9", "t1")] == [("10.0.0.2/24",), ("10.0.0.3/24",)]


def test_all_that_is_allocated_is_taken_over_before_anything_is_given_out() -> None:
    world = World()
    world.lead()
    world.put(asked("z", "10.0.0.0/24"), on("zz", "z"), Node(id=NodeId("n1")))
    world.put(task("t9", "zz", TaskState.RUNNING, "z"))
    move(world, "t9", TaskState.RUNNING)
    before = world.view
    world.allocator = Allocator()
    world.step = lambda event: None  # nobody leads
    world.put(network("a"), on("aa", "z"), task("t1", "aa", TaskState.RUNNING, "z", "a"))
    del world.step
    world.lead()
    assert net(world, "a").ipam.configs[0].subnet == "10.0.1.0/24"
    assert world.view.service(ServiceId("aa")).endpoint.virtual_ips == (VirtualIP("z", "10.0.0.5/24"),)
    assert addresses(world, "t1") == [("z", ("10.0.0.6/24",)), ("a", ("10.0.1.2/24",))]
    assert world.view.task(TaskId("t9")) == before.task(TaskId("t9"))
    assert world.view.node(NodeId("n1")) == before.node(NodeId("n1"))


def test_a_leader_with_nothing_to_do_proposes_nothing(world: World) -> None:
    world.put(network("a"), asked("mesh", ingress=True), on("web", "a"), Node(id=NodeId("n1")))
    world.put(task("t1", "web", TaskState.RUNNING, "a"))
    move(world, "t1", TaskState.RUNNING)
    proposals = world.proposals
    world.allocator = Allocator()
    world.lead()
    assert world.proposals == proposals


def test_a_task_without_spec_or_service_needs_nothing(world: World) -> None:
    world.put(Task(id=TaskId("t1"), status=TaskStatus(), desired_state=TaskState.RUNNING))
    assert world.state("t1") == (TaskState.PENDING, "")
