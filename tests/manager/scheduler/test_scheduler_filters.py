"""Each filter: whom it refuses, and its words."""

from collections.abc import Sequence

import numpy as np
import pytest
from msgspec.structs import replace
from scheduling import CPU, Desk, a_node, a_service, a_spec, a_task

from swarmlab.api import (
    Availability,
    ContainerSpec,
    Driver,
    Mount,
    MountType,
    Network,
    NetworkAttachment,
    Node,
    NodeState,
    Platform,
    Resources,
    Service,
    Task,
    TaskState,
    VolumeOptions,
)
from swarmlab.manager.scheduler import filters
from swarmlab.manager.scheduler.demand import group_of_tasks
from swarmlab.manager.scheduler.shortages import explained, in_words, shortages
from swarmlab.plugin import Host, Refusals

HOST = Host.load("spread", strict=True)


def refused(
    task: Task, *nodes: Node, others: Sequence[Task] = (), service: Service | None = None
) -> dict[str, list[bool]]:
    """{filter: refused or not, node by node}; filters that refuse nobody are left out."""
    desk = Desk(list(nodes), *([service] if service else []), list(others), host=HOST, lead=False)
    desk.columns.led(desk.view)
    view = desk.seen()
    group = view.know(group_of_tasks("g", task, service, 1))
    found: dict[str, list[bool]] = {}
    for refusal in view.refusals(group):
        found[refusal.plugin] = (np.array(found.get(refusal.plugin, False)) | refusal.mask).tolist()
    return found


@pytest.mark.parametrize(
    ("state", "availability", "ready"),
    [
        (NodeState.READY, Availability.ACTIVE, True),
        (NodeState.READY, Availability.PAUSE, False),
        (NodeState.READY, Availability.DRAIN, False),
        (NodeState.DOWN, Availability.ACTIVE, False),
        (NodeState.UNKNOWN, Availability.ACTIVE, False),
        (NodeState.DISCONNECTED, Availability.ACTIVE, False),
    ],
)
def test_ready_and_active(state: NodeState, availability: Availability, ready: bool) -> None:
    found = refused(a_task("t"), a_node("n0", state=state, availability=availability))
    assert found == ({} if ready else {filters.READY: [True]})


def test_resources_say_what_is_needed_and_what_is_there() -> None:
    desk = Desk(
        [a_node("n0", cpus=4, memory=10), a_node("n1", cpus=1, memory=1, generic="gpu=1")], host=HOST, lead=False
    )
    desk.columns.led(desk.view)
    view = desk.seen()
    group = view.know(group_of_tasks("g", a_task("t", cpus=2, memory=5, generic="gpu=1"), None, 1))
    found = {refusal.unit: refusal for refusal in view.refusals(group)}
    assert {unit: refusal.mask.tolist() for unit, refusal in found.items()} == {
        "nano-CPUs": [False, True],
        "bytes": [False, True],
        "gpu": [True, False],
    }
    cpu = found["nano-CPUs"]
    assert cpu.need is not None
    assert cpu.have is not None
    assert (cpu.need.tolist(), cpu.have.tolist()) == ([2 * CPU] * 2, [4 * CPU, CPU])


def test_nothing_reserved_nothing_refused() -> None:
    """Even on a node without description, or one that was overbooked."""
    assert refused(a_task("t"), replace(a_node("n0"), description=None), a_node("n1", cpus=0, memory=0)) == {}
    assert refused(a_task("t", cpus=1), replace(a_node("n0"), description=None)) == {filters.RESOURCES: [True]}


def test_limits_are_not_booked() -> None:
    spec = a_spec(cpus=1)
    assert spec.resources is not None
    spec = replace(spec, resources=replace(spec.resources, limits=Resources(99 * CPU, 2**60)))
    assert refused(a_task("t", spec=spec), a_node("n0", cpus=1)) == {}


@pytest.mark.parametrize(
    ("own", "wanted", "fits"),
    [
        (Platform("x86_64", "linux"), [Platform("amd64", "linux")], True),
        (Platform("amd64", "linux"), [Platform("x86_64", "linux")], True),
        (Platform("aarch64", "linux"), [Platform("arm64", "linux")], True),
        (Platform("aarch64", "linux"), [Platform("amd64", "linux")], False),
        (Platform("x86_64", "linux"), [Platform("amd64", "windows")], False),
        (Platform("x86_64", "windows"), [Platform("", "windows")], True),
        (Platform("riscv64", "linux"), [Platform("riscv64", "")], True),
        (Platform("x86_64", "linux"), [Platform("arm64", "linux"), Platform("amd64", "linux")], True),
        (Platform("x86_64", "linux"), [Platform()], True),
        (None, [Platform()], False),
        (None, [], True),
    ],
)
def test_platforms(own: Platform | None, wanted: list[Platform], fits: bool) -> None:
    """An empty field will do for any; two architectures have two names; an unknown platform never fits."""
    found = refused(a_task("t", platforms=wanted), a_node("n0", platform=own))
    assert found == ({} if fits else {filters.PLATFORMS: [True]})


def a_network(driver: str) -> NetworkAttachment:
    return NetworkAttachment(network=Network(id="net", driver_state=Driver(driver)))


VOLUME = Mount(
    type=MountType.VOLUME, source="v", target="/v", volume_options=VolumeOptions(driver_config=Driver("nfs"))
)
LOCAL = Mount(
    type=MountType.VOLUME, source="v", target="/v", volume_options=VolumeOptions(driver_config=Driver("local"))
)
BIND = Mount(source="/a", target="/b")


@pytest.mark.parametrize(
    ("task", "plugins", "fits"),
    [
        (a_task("t", mounts=[VOLUME]), [("Volume", "local")], False),
        (a_task("t", mounts=[VOLUME]), [("Volume", "nfs")], True),
        (a_task("t", mounts=[VOLUME]), [("Volume", "nfs:latest")], True),
        (a_task("t", mounts=[VOLUME]), [("Network", "nfs")], False),
        (a_task("t", mounts=[VOLUME]), None, True),
        (a_task("t", mounts=[LOCAL, BIND]), [], True),
        (a_task("t", networks=(a_network("weave"),)), [("Network", "overlay")], False),
        (a_task("t", networks=(a_network("overlay"),)), [("Network", "overlay")], True),
        (a_task("t", networks=(NetworkAttachment(),)), [], True),
        (a_task("t", logs="splunk"), [("Log", "json-file")], False),
        (a_task("t", logs="splunk"), [("Log", "splunk")], True),
        (a_task("t", logs="splunk"), [("Volume", "local")], True),
        (a_task("t", logs="none"), [("Log", "json-file")], True),
    ],
)
def test_drivers(task: Task, plugins: list[tuple[str, str]] | None, fits: bool) -> None:
    """TestSchedulerPluginConstraint: old engines list no log drivers, and some nodes told nothing of their engine."""
    found = refused(task, a_node("n0", plugins=plugins))
    assert found == ({} if fits else {filters.DRIVER: [True]})


def test_constraints_of_all_keys() -> None:
    nodes = [
        a_node("n0", labels={"zone": "a"}, address="10.0.0.1"),
        a_node("n1", engine={"os": "x"}, address="10.9.0.1"),
    ]
    assert refused(a_task("t", constraints=["node.labels.zone == A"]), *nodes) == {filters.CONSTRAINTS: [False, True]}
    assert refused(a_task("t", constraints=["engine.labels.os != x"]), *nodes) == {filters.CONSTRAINTS: [False, True]}
    assert refused(a_task("t", constraints=["node.ip == 10.9.0.0/16"]), *nodes) == {filters.CONSTRAINTS: [True, False]}
    assert refused(a_task("t", constraints=["node.role == worker", "node.id != n0"]), *nodes) == {
        filters.CONSTRAINTS: [True, False]
    }


def test_constraints_that_cannot_be_read_are_not_held_against_nodes() -> None:
    assert refused(a_task("t", constraints=["nonsense"]), a_node("n0")) == {}


def test_max_replicas_counts_the_active_tasks_of_the_service() -> None:
    web = a_service("web", max_replicas=2)
    held = [
        a_task("a", web, node="n0", state=TaskState.RUNNING),
        a_task("b", web, node="n0", state=TaskState.RUNNING),
        a_task("c", web, node="n1", state=TaskState.RUNNING),
        a_task("d", web, node="n1", state=TaskState.RUNNING, desired=TaskState.SHUTDOWN),
    ]
    found = refused(a_task("t", web), a_node("n0"), a_node("n1"), others=held, service=web)
    assert found == {filters.MAX_REPLICAS: [True, False]}


def test_words_for_one_node_and_for_many() -> None:
    assert [in_words(name, "", 1) for name in filters.TEXTS] == [
        "1 node not available for new tasks",
        "insufficient resources on 1 node",
        "missing plugin on 1 node",
        "scheduling constraints not satisfied on 1 node",
        "unsupported platform on 1 node",
        "host-mode port already in use on 1 node",
        "max replicas per node limit exceed",
        "cannot fulfill requested CSI volume mounts on 1 node",
    ]
    assert [in_words(name, "", 3) for name in filters.TEXTS] == [
        "3 nodes not available for new tasks",
        "insufficient resources on 3 nodes",
        "missing plugin on 3 nodes",
        "scheduling constraints not satisfied on 3 nodes",
        "unsupported platform on 3 nodes",
        "host-mode port already in use on 3 nodes",
        "max replicas per node limit exceed",
        "cannot fulfill requested CSI volume mounts on 3 nodes",
    ]
    assert in_words("mine", "no licence", 1) == "no licence on 1 node"
    assert in_words("mine", "no licence", 2) == "no licence on 2 nodes"


def test_shortages_are_counted_once_per_node_and_most_first() -> None:
    def mask(*flags: int) -> np.ndarray:
        return np.array(flags, np.bool_)

    found = shortages(
        [
            Refusals(mask(1, 0, 0, 0), "not available", plugin=filters.READY),
            Refusals(mask(1, 1, 0, 0), "insufficient resources", plugin=filters.RESOURCES),
            Refusals(mask(0, 1, 1, 0), "insufficient resources", plugin=filters.RESOURCES),
            Refusals(mask(1, 1, 0, 0), "no licence", plugin="mine"),
            Refusals(mask(0, 0, 0, 1), "too hot", plugin="mine"),
        ]
    )
    assert [(shortage.filter, shortage.nodes) for shortage in found] == [
        ("resources", 3),
        ("mine", 2),
        ("ready", 1),
        ("mine", 1),
    ]
    assert explained(found) == (
        "no suitable node (insufficient resources on 3 nodes; no licence on 2 nodes; "
        "1 node not available for new tasks; too hot on 1 node)"
    )
    assert explained(()) == "no suitable node"


def test_a_task_without_a_container_asks_for_nothing_special() -> None:
    """Such as one that only attaches an engine's container to a network."""
    bare = a_task("t", spec=replace(a_spec(), container=None, placement=None))
    assert refused(bare, a_node("n0")) == {}
    assert refused(a_task("t", spec=replace(a_spec(), container=ContainerSpec(image="x"))), a_node("n0")) == {}
