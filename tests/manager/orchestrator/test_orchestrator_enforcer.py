"""Tasks whose node does not suit them any more are rejected."""

from msgspec.structs import replace
from orchestrator_world import START, World, a_node, a_spec

from swarmlab.api import (
    Annotations,
    Availability,
    Changes,
    Create,
    DiscreteGenericResource,
    GenericResource,
    Instant,
    Meta,
    NamedGenericResource,
    Node,
    NodeDescription,
    NodeId,
    NodeSpec,
    Placement,
    ProposalDropped,
    ResourceRequirements,
    Resources,
    Service,
    ServiceId,
    Task,
    TaskId,
    TaskSpec,
    TaskState,
    TaskStatus,
    Update,
)
from swarmlab.component import Disconnected, Propose, Proposed, Record, SetTimer, TimerFired
from swarmlab.manager.orchestrator import ConstraintEnforcer
from swarmlab.manager.orchestrator.enforcer import violators
from swarmlab.store import EMPTY, Committed, Led, Snapshot, apply

GONE = "assigned node no longer meets constraints"


def gpu(name: str) -> GenericResource:
    return GenericResource(named_resource_spec=NamedGenericResource("gpu", name))


def fpga(count: int) -> GenericResource:
    return GenericResource(discrete_resource_spec=DiscreteGenericResource("fpga", count))


def a_task(
    name: str,
    *,
    born: int = 0,
    cpus: int = 0,
    memory: int = 0,
    generic: tuple[GenericResource, ...] = (),
    state: TaskState = TaskState.RUNNING,
    desired: TaskState = TaskState.RUNNING,
    service: str = "web",
    constraints: tuple[str, ...] = (),
) -> Task:
    return Task(
        id=TaskId(name),
        meta=Meta(created_at=Instant(born)),
        service_id=ServiceId(service),
        slot=1,
        node_id=NodeId("n1"),
        spec=TaskSpec(
            resources=ResourceRequirements(reservations=Resources(cpus, memory)) if cpus or memory else None,
            placement=Placement(constraints=constraints) if constraints else None,
        ),
        status=TaskStatus(state=state),
        desired_state=desired,
        assigned_generic_resources=generic,
    )


def a_machine(cpus: int, memory: int = 100, *generic: GenericResource) -> Node:
    node = a_node("n1", labels={"zone": "a"})
    assert node.description is not None
    return replace(node, description=replace(node.description, resources=Resources(cpus, memory, generic)))


def a_view(*objects: Node | Task | Service) -> Snapshot:
    """The births of the tasks are kept: each is a commit of its own."""
    view = EMPTY
    for obj in sorted(objects, key=lambda obj: obj.meta.created_at or 0):
        born = obj.meta.created_at or START
        view = apply(view, Changes.atomic(Create(obj)).groups, born, view.version + 1).snapshot
    return view


def rejected(node: Node, *objects: Task | Service) -> list[tuple[str, str]]:
    service = Service(id=ServiceId("web"), spec=a_spec())
    services = [obj for obj in objects if isinstance(obj, Service)] or [service]
    tasks = [obj for obj in objects if isinstance(obj, Task)]
    return [(task.id, why) for task, why in violators(node, a_view(node, *services, *tasks))]


def test_what_fits_stays() -> None:
    assert rejected(a_machine(4), a_task("t1", cpus=2), a_task("t2", cpus=2), a_task("t3")) == []


def test_the_constraints_are_those_of_the_service_now() -> None:
    """They can change without a restart of the tasks. SwarmKit TestOutdatedTaskPlacementConstraints."""
    here = a_task("t1", constraints=("node.labels.zone == b",))
    assert rejected(a_machine(4), here) == []
    service = Service(id=ServiceId("web"), spec=a_spec(constraints=("node.labels.zone == b",)))
    assert rejected(a_machine(4), service, a_task("t1")) == [("t1", GONE)]


def test_a_task_without_service_has_its_own_constraints_and_one_of_a_removed_service_none() -> None:
    wrong = ("node.labels.zone == b",)
    assert rejected(
        a_machine(4),
        a_task("t1", service="", constraints=wrong),
        a_task("t2", service="gone", constraints=wrong),
    ) == [("t1", GONE)]


def test_constraints_that_cannot_be_read_reject_nothing() -> None:
    assert rejected(a_machine(4), a_task("t1", service="", constraints=("zone",))) == []


def test_only_tasks_that_are_wanted_and_not_over_are_looked_at() -> None:
    service = Service(id=ServiceId("web"), spec=a_spec(constraints=("node.labels.zone == b",)))
    tasks = [
        a_task("t1", desired=TaskState.SHUTDOWN),
        a_task("t2", state=TaskState.COMPLETE, desired=TaskState.COMPLETE),
        a_task("t3", state=TaskState.FAILED),
        a_task("t4", desired=TaskState.READY, state=TaskState.READY),
        a_task("t5", state=TaskState.PENDING),
    ]
    assert rejected(a_machine(4), service, *tasks) == [("t4", GONE), ("t5", GONE)]


def test_completed_tasks_of_jobs_reserve_nothing() -> None:
    """SwarmKit TestRejectNoncompliantTasksIgnoresCompletedJobTasksInReservations."""
    done = a_task("t1", born=1, cpus=4, state=TaskState.COMPLETE, desired=TaskState.COMPLETE)
    assert rejected(a_machine(4), done, a_task("t2", born=2, cpus=4)) == []


def test_a_task_that_was_not_assigned_yet_reserves_nothing() -> None:
    pending = a_task("t1", born=1, cpus=4, state=TaskState.PENDING)
    assert rejected(a_machine(4), pending, a_task("t2", born=2, cpus=4)) == []


def test_defect_14_the_newest_task_goes_whatever_the_order_of_ids() -> None:
    tasks = [a_task("c", born=1, cpus=2), a_task("b", born=2, cpus=2), a_task("a", born=3, cpus=2)]
    why = "assigned node no longer has the CPUs that the task reserves"
    assert rejected(a_machine(4), *tasks) == [("a", why)]
    assert rejected(a_machine(4), *reversed(tasks)) == [("a", why)]
    assert rejected(a_machine(2), *tasks) == [("b", why), ("a", why)]


def test_a_smaller_newer_task_may_stay_where_a_larger_older_one_does_not_fit() -> None:
    tasks = [a_task("t1", born=1, memory=60), a_task("t2", born=2, memory=60), a_task("t3", born=3, memory=40)]
    assert rejected(a_machine(4), *tasks) == [("t2", "assigned node no longer has the memory that the task reserves")]


def test_defect_14_a_generic_mismatch_does_not_end_the_pass() -> None:
    node = a_machine(4, 100, gpu("u1"), fpga(3))
    tasks = [
        a_task("t1", born=1, generic=(gpu("u2"),)),
        a_task("t2", born=2, generic=(gpu("u1"), fpga(2))),
        a_task("t3", born=3, generic=(gpu("u1"),)),
        a_task("t4", born=4, generic=(fpga(2),)),
        a_task("t5", born=5, generic=(fpga(1),)),
        a_task("t6", born=6, cpus=5),
    ]
    assert rejected(node, *tasks) == [
        ("t1", "assigned node no longer has the gpu u2 that the task holds"),
        ("t3", "assigned node no longer has the gpu u1 that the task holds"),
        ("t4", "assigned node no longer has the fpga that the task holds"),
        ("t6", "assigned node no longer has the CPUs that the task reserves"),
    ]


def test_nothing_is_known_of_a_node_that_reported_no_resources() -> None:
    node = a_node("n1")
    assert rejected(node, a_task("t1", cpus=5)) == []
    assert rejected(replace(node, description=None), a_task("t1", cpus=5)) == []


def test_a_rejected_task_keeps_all_but_its_status() -> None:
    node = a_machine(1)
    view = a_view(node, Service(id=ServiceId("web"), spec=a_spec()), a_task("t1", cpus=2))
    task = view.task(TaskId("t1"))
    assert task is not None
    part = ConstraintEnforcer()
    [propose] = part.step(Led(view), START)
    why = "assigned node no longer has the CPUs that the task reserves"
    expected = replace(
        task,
        status=TaskStatus(
            timestamp=START,
            state=TaskState.REJECTED,
            message="task rejected by constraint enforcer",
            err=why,
            applied_at=START,
        ),
    )
    assert propose == Propose(Changes.atomic(Update(expected)), "1")
    assert part.step(Proposed("1", version=9), START) == [
        Record("rejected", {"service": "web", "slot": 1, "task": "t1", "node": "n1", "why": why})
    ]


def test_a_failed_proposal_is_tried_again() -> None:
    view = a_view(a_machine(1), Service(id=ServiceId("web"), spec=a_spec()), a_task("t1", cpus=2))
    part = ConstraintEnforcer()
    part.step(Led(view), START)
    failed = part.step(Proposed("1", error=ProposalDropped("gone")), START)
    assert isinstance(failed[1], SetTimer)
    [again] = part.step(TimerFired("retry"), START)
    assert isinstance(again, Propose)


def test_nothing_else_concerns_it() -> None:
    part = ConstraintEnforcer()
    assert part.step(Disconnected("n1"), START) == ()
    assert part.step(TimerFired("other"), START) == ()


def test_paused_nodes_are_left_alone_until_they_are_active_again() -> None:
    world = World(["n1", "n2"])
    web = world.create(a_spec(replicas=2, constraints=("node.labels.zone != b",)))
    world.run(2)
    world.availability("n1", Availability.PAUSE)
    world.label("n1", zone="b")
    world.run(2)
    assert [task.node_id for task in world.running(web)] == ["n1", "n2"]
    world.availability("n1", Availability.ACTIVE)
    world.run(10)
    assert [task.node_id for task in world.running(web)] == ["n2", "n2"]
    assert [fields["why"] for fields in world.records("rejected")] == [GONE]


def test_a_label_removed_and_put_back() -> None:
    world = World(["n1"])
    world.label("n1", ssd="yes")
    web = world.create(a_spec(replicas=1, constraints=("node.labels.ssd == yes",)))
    world.run(2)
    world.label("n1")
    world.run(20)
    assert world.running(web) == []
    world.label("n1", ssd="yes")
    world.run(20)
    assert len(world.running(web)) == 1


def test_a_task_placed_on_an_older_version_of_the_node_is_checked() -> None:
    """The scheduler decided on a view in which the node still had its label."""
    world = World(["n1"])
    world.unplaceable = {"v1"}
    web = world.create(a_spec(replicas=1, constraints=("node.labels.zone != b",)))
    world.run(1)
    world.label("n1", zone="b")
    [task] = world.tasks(web)
    assigned = replace(task, node_id=NodeId("n1"), status=replace(task.status, state=TaskState.ASSIGNED))
    world.commit(Update(assigned))
    assert world.view.task(task.id) != assigned
    assert world.records("rejected")[0]["task"] == task.id


def test_a_change_that_harms_nobody_is_not_looked_at() -> None:
    part = ConstraintEnforcer()
    node = a_machine(4)
    view = a_view(node)
    part.step(Led(view), START)
    present = view.node(NodeId("n1"))
    assert present is not None
    applied = apply(
        view,
        Changes.atomic(Update(replace(present, certificate=replace(present.certificate, cn="x")))).groups,
        START,
        9,
    )
    assert part.step(Committed(applied.snapshot, applied.changes), START) == []
    spec = NodeSpec(annotations=Annotations(labels={"zone": "c"}))
    moved = apply(
        applied.snapshot,
        Changes.atomic(Update(replace(applied.snapshot.nodes()[0], spec=spec, description=NodeDescription()))).groups,
        START,
        10,
    )
    assert part.step(Committed(moved.snapshot, moved.changes), START) == []
