"""Whatever comes: no node is given more than it has, no filter is broken, nothing waits that would fit.

The judge looks at objects one by one and shares nothing with the columns but the meaning of constraints.
"""

import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scheduling import Desk, a_node, a_service, a_spec, a_task, tasks_of

from swarmlab.api import Availability, Node, NodeState, Platform, Service, Task, TaskState
from swarmlab.manager.constraint import Constraints
from swarmlab.manager.scheduler.view import View
from swarmlab.plugin import Host, Move, Moves, Placement, Plan
from swarmlab.store import Snapshot

NAMES = ("spread", "binpack", "random", "rebalance", "least-allocated", "balanced", "dotproduct", "optimal")
HOSTS = {name: Host.load(name, strict=True) for name in NAMES}


# The judge


def amounts(task: Task) -> Counter[str]:
    """What a task books, by kind."""
    wanted = task.spec.resources.reservations if task.spec.resources else None
    found: Counter[str] = Counter()
    if wanted is not None:
        found["cpu"], found["memory"] = wanted.nano_cpus, wanted.memory_bytes
        for item in wanted.generic:
            assert item.discrete_resource_spec is not None
            found[item.discrete_resource_spec.kind] += item.discrete_resource_spec.value
    return found


def owns(node: Node) -> Counter[str]:
    """What a node reports, by kind."""
    resources = node.description.resources if node.description else None
    found: Counter[str] = Counter()
    if resources is not None:
        found["cpu"], found["memory"] = resources.nano_cpus, resources.memory_bytes
        for item in resources.generic:
            if item.named_resource_spec is not None:
                found[item.named_resource_spec.kind] += 1
            elif item.discrete_resource_spec is not None:
                found[item.discrete_resource_spec.kind] += item.discrete_resource_spec.value
    return found


def holds(task: Task) -> bool:
    return bool(task.node_id) and TaskState.ASSIGNED <= task.status.state <= TaskState.RUNNING


def ports(task: Task) -> set[int]:
    return {port.published_port for port in task.endpoint.ports} if task.endpoint else set()


def fits(task: Task, node: Node, on_it: Sequence[Task]) -> bool:
    """Whether the task may come to the node beside those that are on it."""
    if node.status.state != NodeState.READY or node.spec.availability != Availability.ACTIVE:
        return False
    left = owns(node)
    for other in on_it:
        left.subtract(amounts(other))
    if any(need > left[kind] for kind, need in amounts(task).items() if need > 0):
        return False
    placement = task.spec.placement
    if placement is not None:
        if not Constraints.parse(placement.constraints).match(node):
            return False
        if placement.platforms:
            own = node.description.platform if node.description else None
            if own is None:
                return False
            names = {"x86_64": "amd64", "aarch64": "arm64"}
            machine = names.get(own.architecture, own.architecture)
            if not any(
                want.os in ("", own.os) and want.architecture in ("", machine, own.architecture)
                for want in placement.platforms
            ):
                return False
        active = [other for other in on_it if other.desired_state <= TaskState.COMPLETE]
        mine = sum(other.service_id == task.service_id for other in active)
        if placement.max_replicas and task.service_id and mine >= placement.max_replicas:
            return False
    return not any(ports(task) & ports(other) for other in on_it)


def beside(view: Snapshot, node: Node, but: str = "") -> list[Task]:
    return [task for task in view.tasks() if task.node_id == node.id and holds(task) and task.id != but]


# The worlds

PLATFORMS = [Platform("x86_64", "linux"), Platform("aarch64", "linux"), None]


@st.composite
def nodes(draw: st.DrawFn) -> list[Node]:
    return [
        a_node(
            f"n{number}",
            cpus=draw(st.integers(0, 6)),
            memory=draw(st.integers(0, 6)),
            generic=draw(st.sampled_from(["", "gpu=u1,gpu=u2", "gpu=3"])),
            labels={"zone": draw(st.sampled_from("ab"))},
            state=draw(st.sampled_from([NodeState.READY] * 4 + [NodeState.DOWN])),
            availability=draw(st.sampled_from([Availability.ACTIVE] * 4 + [Availability.PAUSE])),
            platform=draw(st.sampled_from(PLATFORMS)),
        )
        for number in range(draw(st.integers(1, 6)))
    ]


@st.composite
def services(draw: st.DrawFn) -> list[Service]:
    return [
        a_service(
            f"s{number}",
            draw(st.integers(1, 7)),
            cpus=draw(st.integers(0, 3)),
            memory=draw(st.integers(0, 2)),
            generic=draw(st.sampled_from(["", "", "gpu=1", "gpu=2"])),
            constraints=draw(st.sampled_from([(), (), ("node.labels.zone == a",), ("node.labels.zone != b",)])),
            preferences=draw(st.sampled_from([(), ("node.labels.zone",)])),
            platforms=draw(st.sampled_from([(), (Platform("amd64", "linux"),), (Platform("", "linux"),)])),
            max_replicas=draw(st.sampled_from([0, 0, 1, 2])),
            port=draw(st.sampled_from([0, 0, 80])),
            mode=draw(st.sampled_from(["replicated"] * 4 + ["global"])),
        )
        for number in range(draw(st.integers(1, 4)))
    ]


@given(st.data(), st.sampled_from(sorted(HOSTS)))
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_never_too_much_never_against_a_filter_and_nothing_waits_that_fits(data: st.DataObject, strategy: str) -> None:
    made, wanted = data.draw(nodes()), data.draw(services())
    desk = Desk(made, wanted, host=HOSTS[strategy])
    for step in range(data.draw(st.integers(1, 3))):
        before = desk.view
        new: list[Task] = []
        for service in wanted:
            if service.spec.global_ is not None:
                new += [a_task(f"{service.id}.{node.id}.{step}", service, node=node.id, slot=0) for node in made]
            else:
                new += tasks_of(service, service.spec.replicated.replicas)  # type: ignore[union-attr]
        desk.create(*(task for task in new if before.task(task.id) is None))
        check_all(desk)
        running = [task for task in desk.view.tasks() if task.status.state == TaskState.ASSIGNED]
        for task in running:
            # Some end, some are told to stop, the others stay.
            end = data.draw(st.sampled_from(["stay", "stay", "end", "stop"]))
            if end == "end":
                desk.report(task.id, TaskState.COMPLETE)
            elif end == "stop":
                desk.change(Task, task.id, desired_state=TaskState.SHUTDOWN)
        check_all(desk)


def check_all(desk: Desk) -> None:
    view = desk.view
    for node in view.nodes():
        here = beside(view, node)
        booked: Counter[str] = Counter()
        for task in here:
            booked.update(amounts(task))
        had = owns(node)
        assert all(booked[kind] <= had[kind] for kind in booked), (node.id, booked, had)
        taken = [port for task in here for port in ports(task)]
        assert len(taken) == len(set(taken)), f"a port is taken twice on {node.id}"
        units = [
            item.named_resource_spec.value
            for task in here
            for item in task.assigned_generic_resources
            if item.named_resource_spec is not None
        ]
        assert len(units) == len(set(units)), f"a unit was given twice on {node.id}"
    for task in view.tasks():
        if task.status.state == TaskState.ASSIGNED and task.status.timestamp == desk.now:
            node = view.node(task.node_id)
            assert node is not None
            assert Constraints.parse(task.spec.placement.constraints).match(node)  # type: ignore[union-attr]
            assert node.status.state == NodeState.READY
        if task.status.state == TaskState.PENDING:
            assert task.status.err
            places = [node for node in view.nodes() if not task.node_id or node.id == task.node_id]
            could = [node.id for node in places if fits(task, node, beside(view, node))]
            assert not could, f"{task.id} waits ({task.status.err}), but would fit on {could}"


@given(nodes(), services(), st.integers(1, 9), st.integers(0, 2**16))
@settings(max_examples=120, deadline=None)
def test_capacity_is_what_one_by_one_would_fit(made: list[Node], wanted: list[Service], count: int, seed: int) -> None:
    desk = Desk(made, wanted, host=HOSTS["spread"])
    rnd = random.Random(seed)
    for service in wanted:
        desk.create(*tasks_of(service, rnd.randrange(3)))
    view = desk.seen()
    for service in wanted:
        group = view.group_of(service.id, count)
        capacity = view.capacity(group).tolist()
        for place, node in enumerate(desk.view.nodes()):
            here = beside(desk.view, node)
            room = 0
            while room < count:
                task = a_task(f"x{room}", service)
                if not fits(task, node, here):
                    break
                here.append(a_task(f"x{room}", service, node=node.id, state=TaskState.ASSIGNED))
                room += 1
            assert capacity[place] == room, (service.id, node.id)


def columns(view: View, group_id: str) -> dict[str, list[object]]:
    group = view.group_of(group_id, 5)
    nodes_ = view.nodes
    return {
        "cpu": nodes_.cpu_free.tolist(),
        "memory": nodes_.memory_free.tolist(),
        "tasks": nodes_.tasks.tolist(),
        "own": nodes_.tasks_of(group.service).tolist(),
        "gpu": nodes_.generic_free("gpu").tolist(),
        "port": view.table.port_users(("tcp", 80)).tolist(),
        "capacity": view.capacity(group).tolist(),
    }


@given(nodes(), services(), st.integers(0, 2**16))
@settings(max_examples=120, deadline=None)
def test_after_a_plan_is_the_view_of_the_cluster_that_has_it(
    made: list[Node], wanted: list[Service], seed: int
) -> None:
    desk = Desk(made, wanted, host=HOSTS["random"], lead=False)
    desk.columns.led(desk.view)
    view = desk.seen(seed=seed)
    groups = [view.group_of(service.id, 4) for service in wanted]
    plan, _ = HOSTS["random"].place(groups, view)
    branch = view.after(plan)
    started = []
    for placement in plan.placements:
        service = desk.view.service(placement.group.partition("@")[0])
        assert service is not None
        places = np.repeat(placement.nodes, placement.counts).tolist()
        for number, place in enumerate(places):
            gpus = sum(item.discrete_resource_spec.value for item in reserved(service))  # type: ignore[union-attr]
            started.append(
                a_task(
                    f"{service.id}-{number}",
                    service,
                    node=view.nodes.ids[place],
                    state=TaskState.ASSIGNED,
                    given=units_for(desk, view.nodes.ids[place], gpus, started),
                )
            )
    if started:
        desk.create(*started)
        desk.columns.committed(desk.view, desk.commits[-1])
    for service in wanted:
        assert columns(branch, service.id) == columns(desk.seen(), service.id)
    untouched = view.nodes.cpu_free.tolist()
    assert untouched == [int(owns(node)["cpu"]) for node in desk.view.nodes()], "the root stays what it was"


def reserved(service: Service) -> tuple:  # type: ignore[type-arg]
    resources = service.spec.task.resources
    return resources.reservations.generic if resources and resources.reservations else ()


def units_for(desk: Desk, node_id: str, count: int, started: list[Task]) -> tuple:  # type: ignore[type-arg]
    """As many units of the node as nobody of `started` has."""
    node = desk.view.node(node_id)  # type: ignore[arg-type]
    assert node is not None
    assert node.description is not None
    assert node.description.resources is not None
    taken = [item for task in started if task.node_id == node_id for item in task.assigned_generic_resources]
    named = [item for item in node.description.resources.generic if item.named_resource_spec is not None]
    if named:
        return tuple(item for item in named if item not in taken)[:count]
    return a_spec(generic=f"gpu={count}").resources.reservations.generic if count else ()  # type: ignore[union-attr]


@given(nodes(), services(), st.integers(0, 2**16))
@settings(max_examples=80, deadline=None)
def test_after_moves_is_the_view_of_the_cluster_where_they_ran(
    made: list[Node], wanted: list[Service], seed: int
) -> None:
    desk = Desk(made, wanted, host=HOSTS["random"], seed=seed)
    for service in wanted:
        desk.create(*tasks_of(service, 3))
    moved = [task for task in desk.view.tasks() if holds(task) and not reserved_generic(task)]
    rnd = random.Random(seed)
    moves = [Move(task.id, rnd.choice(made).id, "why not") for task in rnd.sample(moved, min(3, len(moved)))]
    branch = desk.seen().after(Moves(moves=tuple(moves)))
    told = {service.id: columns(branch, service.id) for service in wanted}
    for move in moves:
        desk.change(Task, move.task, node_id=move.to)
    for service in wanted:
        assert told[service.id] == columns(desk.seen(), service.id)


def reserved_generic(task: Task) -> bool:
    return bool(task.assigned_generic_resources)


@given(nodes(), services(), st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(1, 4)), max_size=5))
@settings(max_examples=120, deadline=None)
def test_a_plan_fits_exactly_when_each_placement_has_room(
    made: list[Node], wanted: list[Service], parts: list[tuple[int, int, int]]
) -> None:
    """Whether the way was remembered or is worked out again."""
    desk = Desk(made, wanted, host=HOSTS["spread"])
    view = desk.seen()
    groups = [view.group_of(service.id, 20) for service in wanted]
    placements = []
    for which, place, count in parts:
        group = groups[which % len(groups)]
        at = np.array([place % len(made)], np.int64)
        placements.append(Placement(group.id, at, np.array([count], np.int64)))
    plan = Plan(tuple(placements))
    remembered, fitting = view, True
    for placement in placements:
        group = next(group for group in groups if group.id == placement.group)
        fitting &= bool((placement.counts <= remembered.capacity(group)[placement.nodes]).all())
        remembered = remembered.after(placement)
    assert (view.misfit(plan) is None) is fitting
    fresh = desk.seen()
    for service in wanted:
        fresh.group_of(service.id, 20)
    assert (fresh.misfit(plan) is None) is fitting


@pytest.mark.parametrize("strategy", sorted(HOSTS))
def test_decisions_do_not_depend_on_the_order_of_creation(strategy: str) -> None:
    def run(seed: int) -> list[tuple[str, object]]:
        order = random.Random(seed)
        objects = [
            *(a_node(f"n{number}", cpus=number % 4 + 1, labels={"zone": "ab"[number % 2]}) for number in range(9)),
            *(a_service(f"s{number}", 6, cpus=1, preferences=("node.labels.zone",)) for number in range(4)),
        ]
        tasks = [task for item in objects if isinstance(item, Service) for task in tasks_of(item, 6)]
        order.shuffle(objects)
        order.shuffle(tasks)
        desk = Desk(objects, tasks, host=Host.load(strategy, strict=True), lead=False).lead()
        return [(record.name, record.fields) for record in desk.records]

    first = run(0)
    assert [run(seed) for seed in range(1, 5)] == [first] * 4
