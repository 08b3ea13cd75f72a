"""Each checker catches what it is there for: hand-made commits, proposals and clusters that do what none may."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from swarmlab.api import (
    Action,
    Annotations,
    Availability,
    Change,
    Changes,
    Create,
    Delete,
    Duration,
    Endpoint,
    GlobalService,
    Instant,
    JobStatus,
    Node,
    NodeDescription,
    NodeId,
    NodeSpec,
    NodeState,
    NodeStatus,
    Placement,
    PortConfig,
    PublishMode,
    ReplicatedJob,
    ReplicatedService,
    ResourceRequirements,
    Resources,
    RestartCondition,
    RestartPolicy,
    Service,
    ServiceId,
    ServiceSpec,
    StoreObject,
    Task,
    TaskId,
    TaskSpec,
    TaskState,
    TaskStatus,
    Update,
    UpdateState,
    UpdateStatus,
    Version,
)
from swarmlab.api.quantities import generic_amount, generic_unit
from swarmlab.sim import InvariantBroken, check_commit, check_converged, check_proposal
from swarmlab.store import EMPTY, Committed, Snapshot, apply

NEW, PENDING, ASSIGNED, RUNNING = TaskState.NEW, TaskState.PENDING, TaskState.ASSIGNED, TaskState.RUNNING
SHUTDOWN, FAILED, COMPLETE = TaskState.SHUTDOWN, TaskState.FAILED, TaskState.COMPLETE


def node(name: str = "n", *, cpus: int = 4, zone: str = "a", **fields: Any) -> Node:
    fields.setdefault("status", NodeStatus(state=NodeState.READY))
    resources = Resources(
        nano_cpus=cpus * 10**9,
        memory_bytes=2**30,
        generic=(generic_amount("ssd", 2), generic_unit("gpu", "g1"), generic_unit("gpu", "g2")),
    )
    return Node(
        id=NodeId(name),
        spec=NodeSpec(annotations=Annotations(labels={"zone": zone})),
        description=NodeDescription(hostname=name, resources=resources),
        **fields,
    )


def service(name: str = "web", replicas: int = 1, **spec: Any) -> Service:
    if not spec.keys() & {"global_", "replicated_job"}:
        spec["replicated"] = ReplicatedService(replicas=replicas)
    return Service(id=ServiceId(name), spec=ServiceSpec(annotations=Annotations(name=name), **spec))


def task(
    name: str = "t",
    state: TaskState = RUNNING,
    desired: TaskState = RUNNING,
    *,
    on: str = "n",
    of: str = "web",
    reserved: Resources | None = None,
    placement: Placement | None = None,
    ports: tuple[PortConfig, ...] = (),
    **fields: Any,
) -> Task:
    return Task(
        id=TaskId(name),
        service_id=ServiceId(of),
        node_id=NodeId(on),
        status=TaskStatus(state=state),
        desired_state=desired,
        spec=TaskSpec(resources=ResourceRequirements(reservations=reserved), placement=placement),
        endpoint=Endpoint(ports=ports) if ports else None,
        **{"slot": 1, **fields},
    )


def commit(view: Snapshot, *actions: Action) -> Committed:
    applied = apply(view, Changes.each(actions).groups, Instant(view.version), view.version + 1)
    assert not applied.refused, applied.refused
    return Committed(applied.snapshot, applied.changes)


def view_of(*objects: StoreObject) -> Snapshot:
    return commit(EMPTY, *map(Create, objects)).view


def wrong(event: Committed, **options: bool) -> str:
    """What the checker says to a commit that it must not let pass."""
    with pytest.raises(InvariantBroken) as broken:
        check_commit(event, **options)
    return str(broken.value).removeprefix(f"at version {event.view.version}: ")


CLUSTER = (node(), service())


def step(old: Task, new: Task) -> Committed:
    """From one state of a task to the next, behind the store's back: it would refuse some of it."""
    view = view_of(*CLUSTER, new)
    made = view.task(new.id)
    assert made is not None
    return Committed(view, (Change(kind=2, object=made, old=old),))  # type: ignore[arg-type]


def test_a_life_as_it_should_be_passes() -> None:
    view = view_of(*CLUSTER)
    states = (NEW, PENDING, ASSIGNED, TaskState.PREPARING, RUNNING, FAILED)
    event = commit(view, Create(task(state=NEW, on="")))
    for state in states:
        old = event.view.task(TaskId("t"))
        assert old is not None
        at = NodeId("n" if state >= ASSIGNED else "")
        event = commit(event.view, Update(replace(old, node_id=at, status=TaskStatus(state=state))))
        check_commit(event)
    check_commit(commit(event.view, Delete(Task, "t")))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (task(), task(state=ASSIGNED), "task t fell from RUNNING to ASSIGNED"),
        (task(desired=SHUTDOWN), task(), "task t: desired state fell from SHUTDOWN to RUNNING"),
        (task(on="m"), task(), "task t went from node m to n"),
        (task(), task(on=""), "task t is RUNNING on no node; task t went from node n to "),
        (task(slot=2), task(), "task t changed its service, slot or spec"),
        (task(of="api"), task(), "task t changed its service, slot or spec"),
        (task(placement=Placement()), task(), "task t changed its service, slot or spec"),
        (task(), task(state=TaskState.REMOVE), "task t is observed as REMOVE, which is only ever desired"),
    ],
)
def test_what_a_task_may_not_do(old: Task, new: Task, message: str) -> None:
    assert wrong(step(old, new)) == message


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ((task(of="gone"),), "task t is wanted, and its service gone is gone"),
        ((task(on="gone"),), "task t is RUNNING on node gone, which does not exist"),
        (
            (node(status=NodeStatus(state=NodeState.DOWN)), task(state=ASSIGNED)),
            "task t was put on node n, which gets no tasks",
        ),
        (
            (task(state=ASSIGNED, placement=Placement(constraints=("node.labels.zone == b",))),),
            "task t was put on node n, which is unsuitable",
        ),
    ],
)
def test_what_nobody_does_who_knows_the_view(objects: tuple[StoreObject, ...], message: str) -> None:
    """Where proposals take a while, it may have changed meanwhile; it must be mended then."""
    base = {obj.id: obj for obj in (*CLUSTER, *objects)}
    event = commit(EMPTY, *map(Create, base.values()))
    assert wrong(event) == message
    check_commit(event, at_once=False)


@pytest.mark.parametrize(
    ("reserved", "message"),
    [
        (Resources(nano_cpus=3 * 10**9), "6000000000 nano-CPUs of 4000000000"),
        (Resources(memory_bytes=2**30), "2147483648 bytes of memory of 1073741824"),
        (Resources(generic=(generic_amount("ssd", 2),)), "4 ssd of 2"),
        (Resources(generic=(generic_unit("gpu", "g1"), generic_unit("gpu", "g2"))), "4 gpu of 2"),
        (Resources(generic=(generic_amount("fpga", 1),)), "2 fpga of 0"),
    ],
)
def test_a_node_is_not_given_more_than_it_has(reserved: Resources, message: str) -> None:
    view = view_of(*CLUSTER, task("old", reserved=reserved))
    assert wrong(commit(view, Create(task("new", ASSIGNED, reserved=reserved)))).startswith(
        f"node n was given {message}"
    )


def test_what_has_ended_holds_nothing() -> None:
    all_of_it = Resources(nano_cpus=4 * 10**9)
    view = view_of(*CLUSTER, task("old", FAILED, SHUTDOWN, reserved=all_of_it))
    check_commit(commit(view, Create(task("new", ASSIGNED, reserved=all_of_it))))


def test_a_host_port_is_had_once() -> None:
    port = PortConfig(target_port=80, published_port=8080, publish_mode=PublishMode.HOST)
    view = view_of(*CLUSTER, task("old", ports=(port,)))
    assert wrong(commit(view, Create(task("new", ASSIGNED, ports=(port,))))) == (
        "node n has 2 tasks with host port 8080/tcp"
    )
    check_commit(commit(view, Create(task("new", ASSIGNED, ports=(replace(port, published_port=8081),)))))
    check_commit(commit(view, Create(task("new", ASSIGNED, ports=(replace(port, publish_mode=PublishMode.INGRESS),)))))


def test_a_node_has_no_more_tasks_of_a_service_than_it_allows() -> None:
    one = Placement(max_replicas=1)
    view = view_of(*CLUSTER, task("old"))
    assert wrong(commit(view, Create(task("new", ASSIGNED, placement=one)))) == (
        "node n has 2 tasks of service web, at most 1 may be there"
    )
    leaving = view_of(*CLUSTER, task("old", desired=SHUTDOWN))
    check_commit(commit(leaving, Create(task("new", ASSIGNED, placement=one))))
    empty = view_of(*CLUSTER)
    check_commit(commit(empty, Create(task("a", ASSIGNED, placement=one)), Create(task("b", ASSIGNED))))


def test_all_that_is_wrong_is_told_at_once() -> None:
    event = commit(view_of(*CLUSTER), Create(task("a", of="gone")), Create(task("b", on="gone")))
    assert wrong(event).count(";") == 1


# Who writes what


def change(field: str, value: Any) -> Callable[[Task], Task]:
    return lambda old: replace(old, **{field: value})


def status(state: TaskState) -> Callable[[Task], Task]:
    return change("status", TaskStatus(state=state))


@pytest.mark.parametrize(
    ("source", "before", "edit", "message"),
    [
        ("replicated", RUNNING, change("desired_state", SHUTDOWN), ""),
        ("enforcer", RUNNING, status(TaskState.REJECTED), ""),
        ("reaper", RUNNING, status(TaskState.ORPHANED), ""),
        ("allocator", NEW, status(PENDING), ""),
        ("scheduler", PENDING, status(ASSIGNED), ""),
        ("dispatcher", ASSIGNED, status(RUNNING), ""),
        ("scheduler", PENDING, change("node_id", NodeId("m")), ""),
        ("dispatcher", RUNNING, change("desired_state", SHUTDOWN), "dispatcher writes desired_state of Task t"),
        ("replicated", RUNNING, change("node_id", NodeId("m")), "replicated writes node_id of Task t"),
        ("replicated", RUNNING, status(FAILED), "replicated takes Task t from RUNNING to FAILED"),
        ("scheduler", RUNNING, status(FAILED), "scheduler takes Task t from RUNNING to FAILED"),
        ("scheduler", PENDING, status(SHUTDOWN), "scheduler takes Task t from PENDING to SHUTDOWN"),
        ("allocator", NEW, status(ASSIGNED), "allocator takes Task t from NEW to ASSIGNED"),
        ("dispatcher", PENDING, status(ASSIGNED), "dispatcher takes Task t from PENDING to ASSIGNED"),
        ("enforcer", RUNNING, status(SHUTDOWN), "enforcer takes Task t from RUNNING to SHUTDOWN"),
        ("scheduler", RUNNING, status(TaskState.ORPHANED), "scheduler takes Task t from RUNNING to ORPHANED"),
        ("scheduler", RUNNING, change("slot", 5), "scheduler writes slot of Task t"),
    ],
)
def test_each_field_of_a_task_has_its_writer(
    source: str, before: TaskState, edit: Callable[[Task], Task], message: str
) -> None:
    view = view_of(*CLUSTER, task(state=before))
    old = view.task(TaskId("t"))
    assert old is not None
    proposal = Changes.atomic(Update(edit(old)))
    if not message:
        check_proposal(source, proposal, view)
        return
    with pytest.raises(InvariantBroken) as broken:
        check_proposal(source, proposal, view)
    assert str(broken.value) == f"after version 1: {message}"


@pytest.mark.parametrize(
    ("source", "action", "message"),
    [
        ("scheduler", Create(task("x")), "scheduler creates Task x"),
        ("replicated", Create(service("api")), "replicated creates Service api"),
        ("scheduler", Delete(Task, "t"), "scheduler removes Task t"),
        ("reaper", Delete(Node, "n"), "reaper removes Node n"),
    ],
)
def test_few_create_and_remove(source: str, action: Action, message: str) -> None:
    with pytest.raises(InvariantBroken, match=message):
        check_proposal(source, Changes.atomic(action), view_of(*CLUSTER, task()))


def test_specs_are_the_users() -> None:
    view = view_of(*CLUSTER)
    here, web = view.node(NodeId("n")), view.service(ServiceId("web"))
    assert here is not None
    assert web is not None
    drained = replace(here, spec=replace(here.spec, availability=Availability.DRAIN))
    with pytest.raises(InvariantBroken, match="dispatcher writes spec of Node n"):
        check_proposal("dispatcher", Changes.atomic(Update(drained)), view)
    scaled = replace(web, spec=replace(web.spec, replicated=ReplicatedService(replicas=9)))
    with pytest.raises(InvariantBroken, match="scheduler writes spec of Service web"):
        check_proposal("scheduler", Changes.atomic(Update(scaled)), view)
    check_proposal("replicated", Changes.atomic(Update(scaled)), view)


def test_what_the_store_will_refuse_is_not_judged() -> None:
    view = view_of(*CLUSTER, task())
    check_proposal("dispatcher", Changes.atomic(Update(task(desired=SHUTDOWN))), EMPTY)
    check_proposal("dispatcher", Changes.atomic(Update(task(desired=SHUTDOWN))), view)


# At rest


def unconverged(*objects: StoreObject, **options: Any) -> str:
    with pytest.raises(InvariantBroken) as broken:
        check_converged(view_of(*objects), **options)
    return str(broken.value)


def test_a_service_runs_as_many_tasks_as_it_has_replicas() -> None:
    two = (node(), service(replicas=2))
    check_converged(view_of(*two, task("a"), task("b", slot=2), task("c", FAILED, SHUTDOWN)))
    assert unconverged(*two, task("a")) == "service web: 1 tasks in 1 slots run, wanted 2"
    assert unconverged(*two, task("a"), task("b")) == "service web: 2 tasks in 1 slots run, wanted 2"
    assert unconverged(*two, task("a"), task("b", slot=2), task("c", slot=3)) == (
        "service web: 3 tasks in 3 slots run, wanted 2"
    )
    check_converged(view_of(*two, task("a")), {"web": 1})


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"status": NodeStatus(state=NodeState.DOWN)}, "down"),
        ({"zone": "b"}, "unsuitable"),
    ],
)
def test_what_runs_is_where_it_may_be(fields: dict[str, Any], reason: str) -> None:
    web = service(task=TaskSpec(placement=Placement(constraints=("node.labels.zone==a",))))
    assert unconverged(node(**fields), web, task()) == f"task t of web runs on node n, which is {reason}"


def test_nothing_runs_on_a_drained_node() -> None:
    drained = replace(node(), spec=NodeSpec(availability=Availability.DRAIN))
    assert unconverged(drained, service(), task()) == "task t of web runs on node n, which is drained"


def test_a_global_service_runs_once_on_each_node_that_suits() -> None:
    everywhere = service("agent", global_=GlobalService())
    nodes = (node("a"), node("b"))
    check_converged(view_of(*nodes, everywhere, task("t", of="agent", on="a"), task("u", of="agent", on="b")))
    assert unconverged(*nodes, everywhere, task("t", of="agent", on="a")) == (
        "service agent runs on ['a'], wanted once on each of ['a', 'b']"
    )
    only_b = replace(nodes[0], spec=NodeSpec(availability=Availability.PAUSE))
    check_converged(view_of(only_b, nodes[1], everywhere, task("u", of="agent", on="b")))


def test_a_job_completes_each_slot_of_its_present_run() -> None:
    job = replace(service("job", replicated_job=ReplicatedJob(total_completions=2)), job_status=JobStatus(Version(3)))
    done = task("a", COMPLETE, COMPLETE, of="job", slot=0, job_iteration=Version(3))
    old = task("b", COMPLETE, COMPLETE, of="job", slot=1, job_iteration=Version(2))
    assert unconverged(node(), job, done, old) == "job job: 1 slots completed, wanted 2"
    check_converged(view_of(node(), job, done, replace(old, job_iteration=Version(3))))


def test_what_may_end_for_good_may_be_missing_and_never_too_much() -> None:
    once = service(replicas=2, task=TaskSpec(restart=RestartPolicy(condition=RestartCondition.NONE)))
    check_converged(view_of(node(), once, task("a")))
    few = service(replicas=2, task=TaskSpec(restart=RestartPolicy(max_attempts=3, delay=Duration(0))))
    check_converged(view_of(node(), few))
    paused = replace(service(replicas=2), update_status=UpdateStatus(state=UpdateState.PAUSED))
    check_converged(view_of(node(), paused, task("a")))
    assert unconverged(node(), once, *(task(f"t{slot}", slot=slot) for slot in range(3)))


def test_nothing_is_left_of_what_is_gone() -> None:
    assert unconverged(node(), task("t", SHUTDOWN, SHUTDOWN, of="gone")) == (
        "task t is there, and its service gone is gone"
    )
    assert "task t is RUNNING on node gone, which is gone" in unconverged(service(), task("t", on="gone"))
