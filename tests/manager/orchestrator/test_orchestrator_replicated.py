"""Replicated services: how many tasks, in which slots, and which go first."""

import random
from itertools import islice

from msgspec.structs import replace
from orchestrator_world import START, World, a_spec

from swarmlab.api import (
    Annotations,
    Change,
    ChangeKind,
    Changes,
    Cluster,
    ClusterId,
    ClusterSpec,
    Create,
    Delete,
    Driver,
    Endpoint,
    EndpointSpec,
    Meta,
    NodeId,
    PortConfig,
    ProposalDropped,
    RestartCondition,
    RestartPolicy,
    Service,
    ServiceId,
    Task,
    TaskDefaults,
    TaskId,
    TaskState,
    TaskStatus,
    Update,
    Version,
    new_id,
)
from swarmlab.component import Disconnected, Propose, Proposed, Record, SetTimer, TimerFired
from swarmlab.manager.orchestrator import ReplicatedOrchestrator
from swarmlab.manager.orchestrator.scaling import free_slots, kept_slots
from swarmlab.store import EMPTY, Committed, Led, apply

CLUSTER = Cluster(
    id=ClusterId("c1"),
    spec=ClusterSpec(annotations=Annotations("default"), task_defaults=TaskDefaults(Driver("fluentd"))),
)


def a_task(slot: int, node: str, state: TaskState = TaskState.RUNNING) -> Task:
    return Task(id=TaskId(f"t{slot}"), slot=slot, node_id=NodeId(node), status=TaskStatus(state=state))


def slots(*tasks: Task) -> dict[int, list[Task]]:
    found: dict[int, list[Task]] = {}
    for task in tasks:
        found.setdefault(task.slot, []).append(task)
    return found


def test_the_node_with_most_copies_loses_one_first() -> None:
    here = slots(a_task(1, "n1"), a_task(2, "n1"), a_task(3, "n1"), a_task(4, "n2"), a_task(5, "n2"))
    assert [kept_slots(here, count) for count in (4, 3, 2, 1, 0)] == [[1, 2, 4, 5], [1, 2, 4], [1, 4], [1], []]


def test_tasks_that_do_not_run_go_before_those_that_do() -> None:
    here = slots(
        a_task(1, "n1", TaskState.STARTING), a_task(2, "n1"), a_task(3, "n2", TaskState.FAILED), a_task(4, "n2")
    )
    assert kept_slots(here, 2) == [2, 4]


def test_slots_without_a_node_and_doubled_ones_go_first() -> None:
    here = slots(a_task(1, "", TaskState.PENDING), a_task(2, "n1"), a_task(2, "n2"), a_task(3, "n3"), a_task(4, "n3"))
    assert [kept_slots(here, count) for count in (3, 2, 1)] == [[2, 3, 4], [3, 4], [3]]


def test_defect_23_ties_are_broken_by_the_slot_number_whatever_the_order() -> None:
    tasks = [a_task(number, f"n{number % 5}") for number in range(1, 21)]
    expected = [1, 2, 3, 4, 5, 6, 7]
    for seed in range(20):
        shuffled = tasks[:]
        random.Random(seed).shuffle(shuffled)
        assert kept_slots(slots(*shuffled), 7) == expected


def test_free_slots_are_the_lowest_numbers() -> None:
    assert list(islice(free_slots({1, 2, 4, 7}), 4)) == [3, 5, 6, 8]


# --- the component by itself


def a_service(replicas: int = 2) -> Service:
    spec = replace(a_spec(replicas=replicas), endpoint=EndpointSpec(ports=(PortConfig(target_port=80),)))
    return Service(id=ServiceId("web"), spec=spec, spec_version=Version(4))


def test_a_new_task_is_the_service_in_one_slot() -> None:
    view = apply(EMPTY, Changes.atomic(Create(CLUSTER), Create(a_service(1))).groups, START, 1).snapshot
    propose, *rest = ReplicatedOrchestrator(random.Random(5)).step(Led(view), START)
    service = view.service(ServiceId("web"))
    assert service is not None
    expected = Task(
        id=TaskId(new_id(random.Random(5))),
        spec=service.spec.task,
        spec_version=Version(4),
        service_id=ServiceId("web"),
        slot=1,
        service_annotations=service.spec.annotations,
        status=TaskStatus(timestamp=START, state=TaskState.NEW, message="created"),
        desired_state=TaskState.RUNNING,
        endpoint=Endpoint(spec=service.spec.endpoint),
        log_driver=Driver("fluentd"),
    )
    assert propose == Propose(Changes.atomic(Create(expected)), "1")
    assert rest == []
    assert isinstance(propose, Propose)
    [[made]] = propose.changes.groups
    assert isinstance(made, Create)
    assert isinstance(made.object, Task)
    assert made.object.spec is service.spec.task


def test_the_log_driver_of_the_service_wins() -> None:
    service = a_service(1)
    spec = replace(service.spec, task=replace(service.spec.task, log_driver=Driver("none")))
    view = apply(EMPTY, Changes.atomic(Create(CLUSTER), Create(replace(service, spec=spec))).groups, START, 1).snapshot
    [propose] = ReplicatedOrchestrator(random.Random(5)).step(Led(view), START)
    assert isinstance(propose, Propose)
    [[made]] = propose.changes.groups
    assert isinstance(made, Create)
    assert isinstance(made.object, Task)
    assert made.object.log_driver == Driver("none")


def test_nothing_is_proposed_while_a_proposal_is_on_its_way() -> None:
    """Creations collide with nothing, so deciding again on a view that lacks them would make them twice."""
    part = ReplicatedOrchestrator(random.Random(5))
    view = apply(EMPTY, Changes.atomic(Create(a_service(2))).groups, START, 1).snapshot
    service = view.service(ServiceId("web"))
    assert service is not None
    [first] = part.step(Led(view), START)
    assert isinstance(first, Propose)
    assert len(first.changes.groups) == 2
    scaled = apply(view, Changes.atomic(_update(service, 3)).groups, START, 2)
    assert part.step(Committed(scaled.snapshot, scaled.changes), START) == []
    done = apply(scaled.snapshot, first.changes.groups, START, 3)
    assert part.step(Committed(done.snapshot, done.changes), START) == []
    record, second = part.step(Proposed("1", version=3), START)
    assert record == Record("created", {"service": "web", "name": "web", "tasks": 2})
    assert isinstance(second, Propose)
    assert [(action.object.slot) for [action] in second.changes.groups] == [3]  # type: ignore[union-attr]


def test_a_proposal_that_failed_is_tried_again_after_a_rest() -> None:
    part = ReplicatedOrchestrator(random.Random(5))
    view = apply(EMPTY, Changes.atomic(Create(a_service(2))).groups, START, 1).snapshot
    part.step(Led(view), START)
    effects = part.step(Proposed("1", error=ProposalDropped("no quorum")), START)
    assert effects == [
        Record("proposal-failed", {"error": "no quorum", "groups": 2}),
        SetTimer("retry", START + 1_000_000_000),
    ]
    [again] = part.step(TimerFired("retry"), START + 1_000_000_000)
    assert isinstance(again, Propose)
    assert len(again.changes.groups) == 2


def test_other_events_and_services_of_other_modes_do_not_concern_it() -> None:
    part = ReplicatedOrchestrator(random.Random(5))
    bare = replace(a_service(), spec=replace(a_spec(), replicated=None))
    view = apply(
        EMPTY,
        Changes.each(
            [Create(replace(a_service(), spec=a_spec(mode="global"))), Create(replace(bare, id="bare"))]
        ).groups,
        START,
        1,
    ).snapshot
    assert part.step(Led(view), START) == []
    assert part.step(Disconnected("n1"), START) == ()
    assert part.step(TimerFired("something"), START) == ()
    change = Change(ChangeKind.CREATED, Task(id=TaskId("t"), meta=Meta(), service_id=ServiceId("bare")))
    assert part.step(Committed(view, (change,)), START) == []


def _update(service: Service, replicas: int) -> Update:
    return Update(replace(service, spec=a_service(replicas).spec, spec_version=Version(9)))


# --- in a cluster


def test_a_new_service_gets_a_task_in_each_of_its_first_slots() -> None:
    world = World(["n1", "n2"])
    web = world.create(a_spec(replicas=3))
    world.run(1)
    assert world.shape(web) == [
        (1, "n1", "v1", "RUNNING", "RUNNING"),
        (2, "n2", "v1", "RUNNING", "RUNNING"),
        (3, "n1", "v1", "RUNNING", "RUNNING"),
    ]
    assert world.records("created") == [{"service": web, "name": "web", "tasks": 3}]


def test_scaling_up_takes_the_lowest_free_slots() -> None:
    world = World(["n1", "n2"])
    web = world.create(a_spec(replicas=4))
    world.run(1)
    world.scale(web, 2)
    world.run(2)
    assert [task.slot for task in world.tasks(web)] == [1, 2]
    world.scale(web, 5)
    world.run(1)
    assert [task.slot for task in world.running(web)] == [1, 2, 3, 4, 5]


def test_scaling_down_removes_the_tasks_and_their_history() -> None:
    world = World(["n1", "n2"])
    web = world.create(a_spec(replicas=3))
    world.run(1)
    [_, _, third] = world.running(web)
    world.end(third)
    world.run(10)
    assert [task.slot for task in world.tasks(web)] == [1, 2, 3, 3]
    world.scale(web, 2)
    world.run(0.02)
    assert {task.desired_state for task in world.tasks(web) if task.slot == 3} == {TaskState.REMOVE}
    world.run(2)
    assert [task.slot for task in world.tasks(web)] == [1, 2]


def test_scaling_to_nothing_and_back() -> None:
    world = World(["n1"])
    web = world.create(a_spec(replicas=3))
    world.run(1)
    before = {task.id for task in world.tasks(web)}
    world.scale(web, 0)
    world.run(0.05)
    world.scale(web, 3)
    world.run(5)
    assert [task.slot for task in world.running(web)] == [1, 2, 3]
    assert not before & {task.id for task in world.tasks(web)}


def test_scaling_alone_touches_no_other_task() -> None:
    world = World(["n1", "n2"])
    web = world.create(a_spec(replicas=3))
    world.run(1)
    before = {task.id: task for task in world.tasks(web)}
    world.scale(web, 6)
    world.run(5)
    assert {task.id: task for task in world.tasks(web) if task.id in before} == before


def test_a_task_that_the_user_removes_is_made_again() -> None:
    world = World(["n1"])
    web = world.create(a_spec(replicas=2))
    world.run(1)
    world.commit(Delete(Task, world.running(web)[0].id))
    world.run(1)
    assert [task.slot for task in world.running(web)] == [1, 2]


def test_a_slot_that_ended_for_good_counts_and_is_not_filled_again() -> None:
    world = World(["n1"])
    rule = RestartPolicy(condition=RestartCondition.ON_FAILURE)
    web = world.create(a_spec(replicas=2, restart=rule))
    world.run(1)
    world.end(world.running(web)[0], TaskState.COMPLETE)
    world.run(10)
    expected = [(1, "n1", "v1", "COMPLETE", "SHUTDOWN"), (2, "n1", "v1", "RUNNING", "RUNNING")]
    assert world.shape(web) == expected
    world.lead()
    world.run(10)
    assert world.shape(web) == expected
    world.scale(web, 3)
    world.run(1)
    assert world.shape(web) == [*expected, (3, "n1", "v1", "RUNNING", "RUNNING")]


def test_a_slot_removed_and_wanted_again_runs_again_even_without_restarts() -> None:
    """A task told to go away says nothing about its slot, though its policy would not restart it."""
    world = World(["n1"])
    web = world.create(a_spec(replicas=2, restart=RestartPolicy(condition=RestartCondition.NONE)))
    world.run(1)
    world.scale(web, 1)
    world.run(0.02)
    world.scale(web, 2)
    world.run(5)
    assert [task.slot for task in world.running(web)] == [1, 2]


def test_a_removed_service_leaves_nothing() -> None:
    world = World(["n1"])
    web = world.create(a_spec(replicas=3))
    world.run(1)
    world.end(world.running(web)[0])
    world.run(1)
    world.remove(web)
    world.run(2)
    assert world.view.tasks() == ()
    assert world.records("removed") == [{"service": web, "tasks": 4}]


def test_a_service_removed_while_its_tasks_are_made_leaves_nothing() -> None:
    world = World(["n1"])
    web = world.create(a_spec(replicas=3))
    world.remove(web)
    world.run(2)
    assert world.view.tasks() == ()


def test_two_tasks_in_one_slot_become_one() -> None:
    """As after a proposal of which nobody knew whether it was committed, and that was made again."""
    world = World(["n1", "n2"])
    web = world.create(a_spec(replicas=1))
    world.run(1)
    [task] = world.running(web)
    world.deaf = True
    world.commit(Create(replace(task, id=TaskId("double"), meta=Meta(), node_id=NodeId(""), status=TaskStatus())))
    world.deaf = False
    world.run(1)
    assert len(world.running(web)) == 2
    world.lead()
    world.run(1)
    assert [running.id for running in world.running(web)] == [task.id]


def test_tasks_that_somebody_else_made_are_too_many() -> None:
    """As those of an earlier leader that are committed only now."""
    world = World(["n1", "n2"])
    web = world.create(a_spec(replicas=2))
    world.run(1)
    before = world.running(web)
    fresh = replace(before[0], meta=Meta(), node_id=NodeId(""), status=TaskStatus())
    world.commit(Create(replace(fresh, id=TaskId("double"))), Create(replace(fresh, id=TaskId("third"), slot=3)))
    world.run(2)
    assert world.running(web) == before
    assert [task.id for task in world.tasks(web) if task.desired_state < TaskState.SHUTDOWN] == [t.id for t in before]


def test_services_without_a_mode_are_nobodys() -> None:
    world = World(["n1"])
    odd = world.create(replace(a_spec(), replicated=None))
    world.commit(Update(replace(world.service(odd), endpoint=Endpoint())))
    world.commit(Create(replace(a_task(1, "n1"), service_id=odd)))
    world.lead()
    world.run(2)
    assert len(world.tasks(odd)) == 1


def test_a_task_assigned_to_a_node_that_was_lost_meanwhile_is_replaced() -> None:
    world = World(["n1", "n2"])
    world.unplaceable = {"v1"}
    web = world.create(a_spec(replicas=1))
    world.run(1)
    world.down("n1")
    [task] = world.tasks(web)
    assigned = replace(task, node_id=NodeId("n1"), status=replace(task.status, state=TaskState.ASSIGNED))
    world.commit(Update(assigned))
    world.unplaceable = set()
    world.run(6)
    assert [running.node_id for running in world.running(web)] == ["n2"]
