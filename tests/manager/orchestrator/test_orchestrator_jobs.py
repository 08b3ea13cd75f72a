"""Jobs: a number of completions, or one for each node."""

import random
from typing import Any

import pytest
from orchestrator_world import START, World, a_node, a_spec

from swarmlab.api import (
    SECOND,
    Availability,
    Changes,
    Create,
    Delete,
    Duration,
    JobStatus,
    ReplicatedJob,
    RestartCondition,
    RestartPolicy,
    Service,
    ServiceId,
    Task,
    TaskState,
    Version,
)
from swarmlab.component import Propose, Proposed, Record
from swarmlab.manager.orchestrator import JobsOrchestrator
from swarmlab.manager.orchestrator.jobs import Book, Standing
from swarmlab.store import EMPTY, Led, apply

S = SECOND


def a_world(*names: str, **spec: Any) -> tuple[World, ServiceId]:
    world = World(names or ("n1", "n2"))
    spec.setdefault("mode", "replicated-job")
    service = world.create(a_spec("job", **spec))
    return world, service


def counts(world: World, service: ServiceId) -> dict[str, int]:
    found: dict[str, int] = {}
    for task in world.tasks(service):
        found[task.status.state.name] = found.get(task.status.state.name, 0) + 1
    return dict(sorted(found.items()))


def test_a_job_completes_so_often_and_so_many_at_once() -> None:
    world, job = a_world(completions=5, concurrent=2)
    most = 0
    for _ in range(100):
        world.run(0.1)
        most = max(most, counts(world, job).get("RUNNING", 0))
    assert most == 2
    assert world.shape(job) == [(slot, ("n1", "n2")[slot % 2], "v1", "COMPLETE", "COMPLETE") for slot in range(5)]
    assert sum(fields["tasks"] for fields in world.records("created")) == 5


def test_without_a_limit_all_run_at_once() -> None:
    world, job = a_world(completions=4)
    world.run(1)
    assert counts(world, job) == {"RUNNING": 4}


def test_a_task_of_a_job_carries_its_iteration_and_is_to_complete() -> None:
    service = Service(
        id=ServiceId("job"),
        spec=a_spec("job", mode="replicated-job", completions=1),
        job_status=JobStatus(Version(3)),
    )
    view = apply(EMPTY, Changes.atomic(Create(service)).groups, START, 1).snapshot
    [propose] = JobsOrchestrator(random.Random(1)).step(Led(view), START)
    assert isinstance(propose, Propose)
    [[made]] = propose.changes.groups
    assert isinstance(made, Create)
    assert isinstance(made.object, Task)
    assert (made.object.slot, made.object.job_iteration, made.object.desired_state) == (
        0,
        Version(3),
        TaskState.COMPLETE,
    )


def test_failed_tasks_are_restarted_in_their_slot_and_count_as_running() -> None:
    world, job = a_world(completions=2, concurrent=1, restart=_policy())
    world.run(1)
    world.end(world.tasks(job)[0])
    world.run(0.5)
    assert [(t.slot, t.desired_state.name) for t in world.tasks(job)] == [(0, "SHUTDOWN"), (0, "READY")]
    world.run(10)
    assert [(t.slot, t.status.state.name) for t in world.tasks(job)] == [
        (0, "FAILED"),
        (0, "COMPLETE"),
        (1, "COMPLETE"),
    ]


def _policy(condition: RestartCondition = RestartCondition.ANY, *, attempts: int = 0) -> RestartPolicy:
    return RestartPolicy(condition=condition, delay=Duration(S), max_attempts=attempts)


@pytest.mark.parametrize("condition", [RestartCondition.NONE, RestartCondition.ANY])
def test_a_slot_that_may_not_be_tried_again_is_given_up_and_the_others_go_on(condition: RestartCondition) -> None:
    world, job = a_world(completions=3, concurrent=1, restart=_policy(condition, attempts=1))
    world.fails_after = {"v1": Duration(S)}
    world.run(4 if condition == RestartCondition.ANY else 1.5)
    world.fails_after = {}
    world.run(30)
    tries = 2 if condition == RestartCondition.ANY else 1
    assert counts(world, job) == {"COMPLETE": 2, "FAILED": tries}
    world.lead()
    world.run(30)
    assert counts(world, job) == {"COMPLETE": 2, "FAILED": tries}


def test_a_completed_task_is_never_restarted() -> None:
    world, job = a_world(completions=1, restart=_policy())
    world.run(60)
    assert counts(world, job) == {"COMPLETE": 1}


@pytest.mark.parametrize("lost", ["down", "drain", "remove_node"])
def test_tasks_of_a_lost_node_run_elsewhere(lost: str) -> None:
    world, job = a_world(completions=2)
    world.job_time = Duration(20 * S)
    world.run(1)
    getattr(world, lost)("n1")
    world.run(60)
    assert sorted((t.slot, t.node_id) for t in world.tasks(job) if t.status.state == TaskState.COMPLETE) == [
        (0, "n2"),
        (1, "n2"),
    ]


def test_an_update_is_a_new_run_and_what_ran_of_the_old_one_goes() -> None:
    world, job = a_world(completions=2, concurrent=1)
    world.run(3)
    assert counts(world, job) == {"COMPLETE": 1, "RUNNING": 1}
    world.update(job, a_spec("job", mode="replicated-job", completions=3, image="v2"))
    world.run(10)
    present = [task for task in world.tasks(job) if task.job_iteration == Version(1)]
    assert [(task.slot, task.status.state.name) for task in present] == [
        (0, "COMPLETE"),
        (1, "COMPLETE"),
        (2, "COMPLETE"),
    ]
    assert [task.status.state.name for task in world.tasks(job) if task.job_iteration != Version(1)] == ["COMPLETE"]


def test_defect_11_finished_tasks_of_older_runs_are_pruned() -> None:
    world, job = a_world(completions=2)
    world.run(4)
    for _ in range(12):
        world.update(job, a_spec("job", mode="replicated-job", completions=2))
        world.run(4)
    for slot in (0, 1):
        runs = [t.job_iteration.index for t in world.tasks(job) if t.slot == slot and t.job_iteration is not None]
        assert runs == [8, 9, 10, 11, 12]


def test_defect_11_a_global_job_runs_on_nodes_that_join_later() -> None:
    world, job = a_world("n1", mode="global-job")
    world.run(5)
    world.add_node("n2")
    world.run(5)
    assert world.shape(job) == [
        (0, "n1", "v1", "COMPLETE", "COMPLETE"),
        (0, "n2", "v1", "COMPLETE", "COMPLETE"),
    ]
    world.label("n1", color="blue")
    world.run(5)
    assert counts(world, job) == {"COMPLETE": 2}


def test_defect_11_the_attempts_of_a_global_job_count_for_each_node() -> None:
    world, job = a_world("n1", "n2", mode="global-job", restart=_policy(attempts=2))
    world.fails_after = {"v1": Duration(S)}
    world.run(60)
    tries = {node: [t.status.state.name for t in world.tasks(job) if t.node_id == node] for node in ("n1", "n2")}
    assert tries == {"n1": ["FAILED"] * 3, "n2": ["FAILED"] * 3}
    assert [t.desired_state for t in world.tasks(job)] == [TaskState.SHUTDOWN] * 6


def test_defect_12_what_a_part_knew_as_leader_does_not_outlive_its_term() -> None:
    """The parts are made anew for each term; two leaders one after the other act once on the same store."""
    world, job = a_world("n1", completions=3, concurrent=1)
    for _ in range(100):
        world.run(0.1)
        world.lead()
    assert counts(world, job) == {"COMPLETE": 3}
    assert world.refusals == 0


def test_defect_12_an_answer_from_an_earlier_term_is_not_taken_for_one_of_this() -> None:
    service = Service(id=ServiceId("job"), spec=a_spec("job", mode="replicated-job", completions=2))
    view = apply(EMPTY, Changes.atomic(Create(service)).groups, START, 1).snapshot
    part = JobsOrchestrator(random.Random(1))
    [old] = part.step(Led(view), START)
    [new] = part.step(Led(view), START)
    assert isinstance(old, Propose)
    assert isinstance(new, Propose)
    assert old.tag != new.tag
    assert part.step(Proposed(old.tag, version=2), START) == []
    [record] = part.step(Proposed(new.tag, version=2), START)
    assert record == Record("created", {"service": "job", "name": "job", "tasks": 2})


def test_a_global_job_leaves_nodes_alone_that_take_no_tasks() -> None:
    world = World(["n1", "n2", "n3"])
    world.drain("n1")
    world.availability("n2", Availability.PAUSE)
    job = world.create(a_spec("job", mode="global-job"))
    world.run(5)
    assert world.shape(job) == [(0, "n3", "v1", "COMPLETE", "COMPLETE")]
    world.availability("n1", Availability.ACTIVE)
    world.run(5)
    assert [task.node_id for task in world.tasks(job)] == ["n3", "n1"]


def test_a_global_job_interrupted_by_the_loss_of_its_node_runs_again_when_it_is_back() -> None:
    world, job = a_world("n1", mode="global-job")
    world.run(1)
    world.down("n1")
    world.run(30)
    assert [task.desired_state for task in world.tasks(job)] == [TaskState.SHUTDOWN]
    world.up("n1")
    world.run(10)
    assert counts(world, job) == {"COMPLETE": 1, "SHUTDOWN": 1}


def test_a_task_that_completes_although_it_is_told_to_stop_is_done() -> None:
    """Its slot needs no other task: one that was made meanwhile is called back."""
    world, job = a_world("n1", "n2", completions=1)
    world.job_time = Duration(60 * S)
    world.run(1)
    [task] = world.tasks(job)
    world.stubborn.add(task.id)
    world.drain(task.node_id)
    world.run(1)
    assert [(t.id == task.id, t.desired_state.name) for t in world.tasks(job)] == [(True, "SHUTDOWN"), (False, "READY")]
    world.end(next(t for t in world.tasks(job) if t.id == task.id), TaskState.COMPLETE)
    world.run(120)
    assert counts(world, job) == {"COMPLETE": 1, "SHUTDOWN": 1}


def test_what_runs_in_place_of_a_task_that_completed_after_all_is_stopped() -> None:
    world, job = a_world("n1", "n2", completions=1, restart=_policy())
    world.job_time = Duration(60 * S)
    world.run(1)
    [task] = world.tasks(job)
    world.down(task.node_id)
    world.run(5)
    world.end(next(t for t in world.tasks(job) if t.id == task.id), TaskState.COMPLETE)
    world.run(120)
    assert counts(world, job) == {"COMPLETE": 1, "SHUTDOWN": 1}


def test_a_global_job_is_done_on_a_node_that_went_down_after_all() -> None:
    world, job = a_world("n1", "n2", mode="global-job")
    world.run(1)
    world.down("n1")
    world.run(1)
    world.end(next(task for task in world.tasks(job) if task.node_id == "n1"), TaskState.COMPLETE)
    world.up("n1")
    world.run(30)
    assert counts(world, job) == {"COMPLETE": 2}


def test_a_global_job_keeps_to_its_constraints() -> None:
    world = World(["n1", "n2"])
    world.label("n2", zone="a")
    job = world.create(a_spec("job", mode="global-job", constraints=("node.labels.zone == a",)))
    world.run(5)
    assert [task.node_id for task in world.tasks(job)] == ["n2"]
    world.remove_node("n2")
    world.run(5)
    assert world.tasks(job) == []


def test_a_task_of_a_global_job_whose_node_no_longer_suits_does_not_wait_for_ever() -> None:
    """Found by a story of faults: the node's label changed while its task was being made."""
    world = World(["n1"])
    world.label("n1", zone="a")
    world.unplaceable = {"v1"}
    job = world.create(a_spec("job", mode="global-job", constraints=("node.labels.zone == a",)))
    world.run(1)
    assert counts(world, job) == {"PENDING": 1}
    world.label("n1", zone="b")
    world.run(1)
    assert counts(world, job) == {"SHUTDOWN": 1}
    world.unplaceable = set()
    world.label("n1", zone="a")
    world.run(10)
    assert counts(world, job) == {"COMPLETE": 1, "SHUTDOWN": 1}


def test_a_new_run_of_a_global_job() -> None:
    world, job = a_world("n1", "n2", mode="global-job")
    world.run(5)
    world.update(job, a_spec("job", mode="global-job", image="v2"))
    world.run(5)
    assert sorted((t.node_id, t.spec.container.image if t.spec.container else "") for t in world.tasks(job)) == [
        ("n1", "v1"),
        ("n1", "v2"),
        ("n2", "v1"),
        ("n2", "v2"),
    ]


def test_the_rollback_of_a_job_is_another_run() -> None:
    world, job = a_world(completions=1)
    world.run(4)
    world.update(job, a_spec("job", mode="replicated-job", completions=1, image="v2"))
    world.run(4)
    world.roll_back(job)
    world.run(4)
    status = world.service(job).update_status
    assert status is not None
    assert status.state.name == "ROLLBACK_COMPLETED"
    assert [t.spec.container.image for t in world.tasks(job) if t.spec.container] == ["v1", "v2", "v1"]


def test_a_completed_task_that_the_user_deletes_runs_again() -> None:
    world, job = a_world(completions=2)
    world.run(5)
    world.commit(Delete(Task, world.tasks(job)[0].id))
    world.run(5)
    assert counts(world, job) == {"COMPLETE": 2}


def test_a_removed_job_leaves_nothing() -> None:
    world, job = a_world(completions=3)
    world.run(1)
    world.remove(job)
    world.run(5)
    assert world.view.tasks() == ()


# --- the book of a run


def a_book(total: int, limit: int) -> Book:
    return Book(Service(), ReplicatedJob(limit, total))


def test_missing_slots_are_the_lowest_free_ones() -> None:
    book = a_book(10, 4)
    assert book.missing() == [0, 1, 2, 3]
    for number in (0, 1, 2, 3):
        book.enter(number, Standing.ACTIVE)
    assert book.missing() == []
    book.enter(1, Standing.DONE)
    book.enter(2, Standing.GIVEN_UP)
    assert book.missing() == [4, 5]
    book.enter(5, Standing.ACTIVE)
    book.enter(0, None)
    assert book.missing() == [0, 4]
    assert book.missing() == [0, 4]


def test_no_more_than_the_total_is_ever_missing() -> None:
    book = a_book(3, 0)
    assert book.missing() == [0, 1, 2]
    book.enter(0, Standing.DONE)
    book.enter(1, Standing.GIVEN_UP)
    book.enter(2, Standing.DONE)
    assert book.missing() == []
    book.enter(7, Standing.ACTIVE)
    assert book.missing() == []


def test_a_node_is_only_needed_for_global_jobs() -> None:
    view = apply(EMPTY, Changes.atomic(Create(a_node("n1"))).groups, START, 1).snapshot
    assert JobsOrchestrator(random.Random(1)).step(Led(view), START) == []
