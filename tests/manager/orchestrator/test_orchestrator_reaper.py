"""Tasks that are over go, and what is still needed stays."""

from typing import Any

import pytest
from msgspec.structs import replace
from orchestrator_world import START, World, a_node, a_spec

from swarmlab.api import (
    SECOND,
    Annotations,
    Changes,
    Cluster,
    ClusterId,
    ClusterSpec,
    Create,
    Delete,
    Duration,
    Instant,
    JobStatus,
    Meta,
    Node,
    NodeId,
    OrchestrationConfig,
    ProposalDropped,
    RestartCondition,
    RestartPolicy,
    Service,
    ServiceId,
    Task,
    TaskId,
    TaskSpec,
    TaskState,
    TaskStatus,
    Update,
    Version,
)
from swarmlab.component import Disconnected, Propose, Proposed, Record, SetTimer, TimerFired
from swarmlab.manager.orchestrator import TaskReaper
from swarmlab.manager.orchestrator.reaper import BATCH_SIZE, superfluous
from swarmlab.store import EMPTY, Committed, Led, Snapshot, apply

S = SECOND
WEB = Service(id=ServiceId("web"), spec=a_spec())


def a_task(
    name: str,
    state: TaskState = TaskState.RUNNING,
    desired: TaskState = TaskState.RUNNING,
    *,
    born: int = 0,
    run: int | None = None,
    service: str = "web",
    node: str = "n1",
) -> Task:
    return Task(
        id=TaskId(name),
        meta=Meta(created_at=Instant(born)),
        service_id=ServiceId(service),
        slot=1,
        node_id=NodeId(node),
        spec=TaskSpec(),
        status=TaskStatus(state=state),
        desired_state=desired,
        job_iteration=None if run is None else Version(run),
    )


def dead(name: str, state: TaskState = TaskState.FAILED, **fields: Any) -> Task:
    return a_task(name, state, TaskState.SHUTDOWN, **fields)


def pruned(limit: int, *slot: Task, service: Service = WEB) -> list[str]:
    return list(superfluous(slot, service, limit))


def test_the_oldest_dead_tasks_go_until_the_limit_is_met() -> None:
    slot = (dead("a"), dead("b", TaskState.SHUTDOWN), dead("c", TaskState.COMPLETE), a_task("d"))
    assert [pruned(limit, *slot) for limit in (5, 4, 3, 2, 1)] == [[], [], ["a"], ["a", "b"], ["a", "b", "c"]]


def test_a_negative_limit_keeps_all() -> None:
    assert pruned(-1, dead("a"), dead("b"), a_task("c")) == []


def test_what_may_still_run_is_never_deleted() -> None:
    """SwarmKit TestTickHistoryCleanup: never a task that the agent may still run, but one that no node ever had."""
    stopping = a_task("a", TaskState.RUNNING, TaskState.SHUTDOWN)
    never = a_task("b", TaskState.PENDING, TaskState.SHUTDOWN, node="")
    assert pruned(1, stopping, never, a_task("c")) == ["b"]


def test_the_last_task_of_a_slot_stays_even_without_history() -> None:
    assert pruned(0, dead("a"), dead("b")) == ["a"]
    assert pruned(0, dead("a"), a_task("b", TaskState.FAILED, TaskState.REMOVE)) == ["b"]


def test_what_a_delayed_task_waits_for_stays() -> None:
    waiting = a_task("c", TaskState.NEW, TaskState.READY)
    assert pruned(0, dead("a"), dead("b"), waiting) == ["a"]


def test_completed_tasks_of_the_present_run_stay() -> None:
    job = Service(id=ServiceId("job"), spec=a_spec(mode="replicated-job"), job_status=JobStatus(Version(2)))

    def done(name: str, run: int) -> Task:
        return a_task(name, TaskState.COMPLETE, TaskState.COMPLETE, run=run)

    assert pruned(0, done("a", 1), done("b", 2), dead("c", run=2), service=job) == ["a"]
    assert pruned(0, done("a", 1), dead("b", run=1), done("c", 2), service=job) == ["a", "b"]
    first = replace(job, job_status=None)
    assert pruned(0, done("a", 0), dead("b"), service=first) == []


# --- the component by itself


def a_cluster(limit: int = 5) -> Cluster:
    return Cluster(
        id=ClusterId("c1"),
        spec=ClusterSpec(annotations=Annotations("default"), orchestration=OrchestrationConfig(limit)),
    )


def a_view(*objects: Any) -> Snapshot:
    return apply(EMPTY, Changes.each(map(Create, objects)).groups, START, 1).snapshot


def test_at_the_start_it_looks_at_everything() -> None:
    view = a_view(
        a_cluster(1),
        a_node("n1"),
        WEB,
        dead("a"),
        a_task("b"),
        a_task("c", TaskState.COMPLETE, TaskState.REMOVE, service="gone"),
        a_task("d", TaskState.ORPHANED, TaskState.RUNNING, service=""),
        a_task("e", TaskState.RUNNING, TaskState.RUNNING, service="gone"),
        a_task("f", TaskState.RUNNING, TaskState.REMOVE, node="n9"),
        a_task("g", TaskState.RUNNING, TaskState.RUNNING, service="gone", node="n9"),
    )
    e, f, g = (view.task(TaskId(name)) for name in "efg")
    assert e is not None
    assert f is not None
    assert g is not None
    orphaned = TaskStatus(
        state=TaskState.ORPHANED,
        timestamp=START,
        applied_at=START,
        message="task orphaned: its node was removed",
    )
    part = TaskReaper()
    [propose] = part.step(Led(view), START)
    assert propose == Propose(
        Changes(
            (
                (Update(replace(e, desired_state=TaskState.REMOVE)),),
                (Update(replace(f, status=orphaned)),),
                (Update(replace(g, status=orphaned, desired_state=TaskState.REMOVE)),),
                (Delete(Task, "a"),),
                (Delete(Task, "c"),),
                (Delete(Task, "d"),),
            )
        ),
        "1",
    )
    assert part.step(Proposed("1", version=2), START) == [
        Record("removed", {"service": "gone", "tasks": 2}),
        Record("orphaned", {"service": "web", "slot": 1, "task": "f", "node": "n9"}),
        Record("orphaned", {"service": "gone", "slot": 1, "task": "g", "node": "n9"}),
    ]


def test_deletions_wait_a_moment_for_more_of_them() -> None:
    view = a_view(a_cluster(), a_node("n1"), WEB, a_task("a"))
    part = TaskReaper()
    assert part.step(Led(view), START) == []
    task = view.task(TaskId("a"))
    assert task is not None
    over = replace(task, status=TaskStatus(state=TaskState.SHUTDOWN), desired_state=TaskState.REMOVE)
    applied = apply(view, Changes.atomic(Update(over)).groups, START, 2)
    assert part.step(Committed(applied.snapshot, applied.changes), START) == [
        SetTimer("batch", Instant(START + 250_000_000))
    ]
    assert part.step(Committed(applied.snapshot, ()), START) == []
    assert part.step(TimerFired("batch"), START) == [Propose(Changes.atomic(Delete(Task, "a")), "1")]


def test_many_deletions_do_not_wait() -> None:
    tasks = [replace(a_task(f"t{number:04d}"), slot=number) for number in range(BATCH_SIZE + 1)]
    view = a_view(a_cluster(), a_node("n1"), WEB, *tasks)
    part = TaskReaper()
    part.step(Led(view), START)
    over = [
        Update(replace(task, status=TaskStatus(state=TaskState.SHUTDOWN), desired_state=TaskState.REMOVE))
        for task in view.tasks()
    ]
    applied = apply(view, Changes.each(over).groups, START, 2)
    [propose] = part.step(Committed(applied.snapshot, applied.changes), START)
    assert isinstance(propose, Propose)
    assert len(propose.changes.groups) == BATCH_SIZE + 1


def test_a_failed_deletion_is_tried_again() -> None:
    view = a_view(a_cluster(0), a_node("n1"), WEB, dead("a"), a_task("b"))
    part = TaskReaper()
    assert part.step(Led(view), START) == [Propose(Changes.atomic(Delete(Task, "a")), "1")]
    effects = part.step(Proposed("1", error=ProposalDropped("gone")), START)
    assert effects == [
        Record("proposal-failed", {"error": "gone", "groups": 1}),
        SetTimer("retry", Instant(START + S)),
    ]
    [batch] = part.step(TimerFired("retry"), START)
    assert batch == SetTimer("batch", Instant(START + 250_000_000))
    assert part.step(TimerFired("batch"), START) == [Propose(Changes.atomic(Delete(Task, "a")), "2")]


def test_nothing_else_concerns_it() -> None:
    part = TaskReaper()
    assert part.step(Disconnected("n1"), START) == ()
    assert part.step(TimerFired("other"), START) == ()


# --- in a cluster


@pytest.mark.parametrize(("history", "kept"), [(5, 5), (2, 2), (0, 1), (-1, 9)])
def test_each_slot_keeps_so_many_tasks(history: int, kept: int) -> None:
    world = World(["n1"], history=history)
    web = world.create(a_spec(restart=RestartPolicy(condition=RestartCondition.ANY, delay=Duration(0))))
    for _ in range(8):
        world.run(1)
        world.end(world.running(web)[0])
    world.run(2)
    assert len(world.tasks(web)) == kept
    assert len(world.running(web)) == 1


def test_a_service_with_limited_restarts_keeps_what_they_are_counted_from() -> None:
    world = World(["n1"], history=1)
    world.fails_after = {"v1": Duration(S)}
    rule = RestartPolicy(condition=RestartCondition.ANY, delay=Duration(S), max_attempts=3)
    web = world.create(a_spec(restart=rule))
    world.run(60)
    assert len(world.tasks(web)) == 4
    assert len(world.records("restarted")) == 3


def test_a_lower_limit_takes_effect_at_once() -> None:
    world = World(["n1"])
    web = world.create(a_spec(restart=RestartPolicy(condition=RestartCondition.ANY, delay=Duration(0))))
    for _ in range(4):
        world.run(1)
        world.end(world.running(web)[0])
    world.run(2)
    assert len(world.tasks(web)) == 5
    cluster = world.view.cluster()
    assert cluster is not None
    world.commit(Update(replace(cluster, spec=replace(cluster.spec, orchestration=OrchestrationConfig(2)))))
    world.run(1)
    assert len(world.tasks(web)) == 2


def test_a_lower_number_of_restarts_takes_effect_at_once() -> None:
    """Found by a story of faults: slots of which nothing runs any more kept the longer history for ever."""
    world = World(["n1"], history=1)
    world.fails_after = {"v1": Duration(S)}
    rule = RestartPolicy(condition=RestartCondition.ANY, delay=Duration(S), max_attempts=3)
    web = world.create(a_spec(restart=rule))
    world.run(60)
    assert len(world.tasks(web)) == 4
    service = world.view.service(web)
    assert service is not None
    never = replace(rule, condition=RestartCondition.NONE, max_attempts=0)
    world.commit(Update(replace(service, spec=replace(service.spec, task=replace(service.spec.task, restart=never)))))
    world.run(1)
    assert len(world.tasks(web)) == 1


def test_without_history_a_failing_task_still_keeps_its_delay() -> None:
    world = World(["n1"], history=0)
    web = world.create(a_spec(restart=RestartPolicy(condition=RestartCondition.ANY, delay=Duration(10 * S))))
    world.run(1)
    world.end(world.running(web)[0])
    world.run(9)
    assert world.running(web) == []
    assert len(world.tasks(web)) == 2
    world.run(2)
    assert len(world.tasks(web)) == 1
    assert len(world.running(web)) == 1


def test_a_task_assigned_to_a_node_that_is_gone_ends() -> None:
    """Removal of the node and the assignment crossed: nobody will ever report the task's end."""
    world = World(["n1", "n2"])
    world.unplaceable = {"v1"}
    web = world.create(a_spec(replicas=1))
    world.run(1)
    world.remove_node("n1")
    [task] = world.tasks(web)
    assigned = replace(task, node_id=NodeId("n1"), status=replace(task.status, state=TaskState.ASSIGNED))
    world.commit(Update(assigned))
    ghost = world.view.task(task.id)
    assert ghost is not None
    assert ghost.status.state == TaskState.ORPHANED
    world.unplaceable = set()
    world.run(7)
    assert [running.node_id for running in world.running(web)] == ["n2"]


def test_tasks_on_a_node_that_vanished_end() -> None:
    world = World(["n1", "n2"])
    web = world.create(a_spec(replicas=2))
    world.run(1)
    world.commit(Delete(Node, "n1"))
    assert [task.status.state for task in world.tasks(web) if task.node_id == "n1"] == [TaskState.ORPHANED]
    world.run(10)
    assert [task.node_id for task in world.running(web)] == ["n2", "n2"]


def test_a_task_made_for_a_service_that_is_gone_goes() -> None:
    """Removal of the service and the creation crossed."""
    world = World(["n1"])
    task = a_task("stray", TaskState.NEW, service="gone", node="")
    world.commit(Create(task))
    world.run(1)
    assert world.view.tasks() == ()


def test_attachments_go_when_they_are_orphaned() -> None:
    world = World(["n1"])
    world.commit(Create(a_task("attachment", service="")))
    world.run(1)
    assert len(world.view.tasks()) == 1
    world.remove_node("n1")
    world.run(1)
    assert world.view.tasks() == ()


def test_a_task_of_a_removed_service_stays_until_its_node_says_that_it_stopped() -> None:
    world = World(["n1"])
    web = world.create(a_spec(replicas=1))
    world.run(1)
    [task] = world.running(web)
    world.down("n1")
    world.remove(web)
    world.run(60)
    assert [(t.id, t.desired_state) for t in world.view.tasks_of(web) if t.id == task.id] == [
        (task.id, TaskState.REMOVE)
    ]
    world.up("n1")
    world.run(2)
    assert world.view.tasks() == ()
