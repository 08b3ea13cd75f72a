"""Whether and when a task that ended is replaced."""

import pytest
from msgspec.structs import replace
from orchestrator_world import World, a_spec

from swarmlab.api import (
    MINUTE,
    SECOND,
    Annotations,
    Availability,
    Changes,
    Create,
    Duration,
    Instant,
    Meta,
    NodeId,
    NodeSpec,
    NodeState,
    NodeStatus,
    RestartCondition,
    RestartPolicy,
    ServiceId,
    Task,
    TaskId,
    TaskSpec,
    TaskState,
    TaskStatus,
    Version,
)
from swarmlab.api import Node as ApiNode
from swarmlab.manager.orchestrator.restart import attempts, may_restart, start_delay, starts_at
from swarmlab.store import EMPTY, Snapshot, apply

ANY, ON_FAILURE, NONE = RestartCondition.ANY, RestartCondition.ON_FAILURE, RestartCondition.NONE
S = SECOND


def policy(
    condition: RestartCondition = ANY, *, delay: int | None = None, most: int = 0, window: int | None = None
) -> RestartPolicy:
    return RestartPolicy(
        condition=condition,
        delay=None if delay is None else Duration(delay),
        max_attempts=most,
        window=None if window is None else Duration(window),
    )


def a_task(
    born: int,
    state: TaskState = TaskState.RUNNING,
    *,
    ended: int = 0,
    desired: TaskState = TaskState.RUNNING,
    restart: RestartPolicy | None = None,
    node: str = "n1",
    version: int = 1,
) -> Task:
    """Times are in seconds; the name is that of the birth."""
    return Task(
        id=TaskId(f"t{born:03d}"),
        meta=Meta(created_at=Instant(born * S)),
        service_id=ServiceId("web"),
        slot=1,
        node_id=NodeId(node),
        spec=TaskSpec(restart=restart),
        spec_version=Version(version),
        status=TaskStatus(state=state, applied_at=Instant(ended * S) if ended else None),
        desired_state=desired,
    )


def failed(born: int, ended: int, **fields: RestartPolicy) -> Task:
    return a_task(born, TaskState.FAILED, ended=ended, desired=TaskState.SHUTDOWN, **fields)


def a_view(state: NodeState = NodeState.READY, availability: Availability = Availability.ACTIVE) -> Snapshot:
    node = ApiNode(
        id=NodeId("n1"),
        spec=NodeSpec(annotations=Annotations(), availability=availability),
        status=NodeStatus(state=state),
    )
    return apply(EMPTY, Changes.atomic(Create(node)).groups, Instant(1), 1).snapshot


@pytest.mark.parametrize(
    ("restart", "state", "job", "expected"),
    [
        (None, TaskState.COMPLETE, False, True),
        (policy(ANY), TaskState.COMPLETE, False, True),
        (policy(ANY), TaskState.COMPLETE, True, False),
        (policy(ANY), TaskState.FAILED, True, True),
        (policy(ON_FAILURE), TaskState.COMPLETE, False, False),
        (policy(ON_FAILURE), TaskState.FAILED, False, True),
        (policy(ON_FAILURE), TaskState.REJECTED, False, True),
        (policy(ON_FAILURE), TaskState.RUNNING, False, True),
        (policy(NONE), TaskState.FAILED, False, False),
        (policy(NONE), TaskState.RUNNING, False, False),
    ],
)
def test_the_condition_decides(restart: RestartPolicy | None, state: TaskState, job: bool, expected: bool) -> None:
    task = a_task(10, state, ended=20, restart=restart)
    assert may_restart(task, [task], job=job) is expected


def test_each_task_after_one_that_ended_by_itself_is_an_attempt() -> None:
    rule = policy(most=2)
    slot = [failed(10, 11, restart=rule), failed(12, 13, restart=rule), failed(14, 15, restart=rule)]
    assert [attempts(task, slot, rule) for task in slot] == [0, 1, 2]
    assert [may_restart(task, slot) for task in slot] == [True, True, False]


def test_what_followed_a_task_that_was_shut_down_is_no_attempt() -> None:
    rule = policy(most=1)
    slot = [
        a_task(10, TaskState.SHUTDOWN, ended=11, desired=TaskState.SHUTDOWN, restart=rule),
        a_task(12, TaskState.ORPHANED, ended=13, desired=TaskState.SHUTDOWN, restart=rule),
        failed(14, 15, restart=rule),
    ]
    assert attempts(slot[2], slot, rule) == 0


def test_tasks_of_other_spec_versions_and_tasks_to_be_removed_do_not_count() -> None:
    rule = policy(most=1)
    slot = [
        a_task(10, TaskState.FAILED, ended=11, desired=TaskState.SHUTDOWN, version=0, restart=rule),
        failed(12, 13, restart=rule),
        a_task(14, TaskState.FAILED, ended=15, desired=TaskState.REMOVE, restart=rule),
        a_task(16, restart=rule),
    ]
    assert attempts(slot[1], slot, rule) == 0
    assert attempts(slot[3], slot, rule) == 1


def test_tasks_of_other_runs_of_a_job_do_not_count() -> None:
    rule = policy(most=1)
    slot = [
        replace(failed(born, born + 1, restart=rule), job_iteration=Version(run))
        for born, run in ((10, 1), (12, 2), (14, 2))
    ]
    assert [attempts(task, slot, rule) for task in slot] == [0, 0, 1]


def test_attempts_before_the_window_are_forgotten() -> None:
    rule = policy(most=2, window=10 * S)
    slot = [failed(born, born + 1, restart=rule) for born in (10, 12, 30, 32)]
    assert [attempts(task, slot, rule) for task in slot] == [0, 1, 1, 2]
    assert may_restart(slot[2], slot)
    assert not may_restart(slot[3], slot)


def test_a_restart_waits_for_the_delay_of_its_policy() -> None:
    new = a_task(20, desired=TaskState.READY, restart=policy(delay=7 * S))
    assert start_delay(new, failed(10, 20), a_view()) == 7 * S
    assert start_delay(new, a_task(10, TaskState.ORPHANED, ended=19), a_view()) == 7 * S
    assert start_delay(a_task(20, desired=TaskState.READY), failed(10, 20), a_view()) == 5 * S


def test_what_replaces_a_living_task_has_no_delay() -> None:
    new = a_task(20, desired=TaskState.READY)
    assert start_delay(new, a_task(10, desired=TaskState.SHUTDOWN), a_view()) == 0
    assert start_delay(new, a_task(10, TaskState.SHUTDOWN, ended=21, desired=TaskState.SHUTDOWN), a_view()) == 0
    assert start_delay(new, failed(10, 21), a_view()) == 0


def test_what_replaces_a_task_of_a_lost_node_waits_and_of_a_drained_one_does_not() -> None:
    new = a_task(20, desired=TaskState.READY)
    old = a_task(10, desired=TaskState.SHUTDOWN)
    assert start_delay(new, old, a_view(NodeState.DOWN)) == 5 * S
    assert start_delay(new, old, EMPTY) == 5 * S
    assert start_delay(new, failed(10, 15), a_view(availability=Availability.DRAIN)) == 0


def test_without_anything_known_of_the_past_the_delay_holds() -> None:
    assert start_delay(a_task(20, desired=TaskState.READY), None, EMPTY) == 5 * S


def test_the_start_waits_for_the_old_task_to_stop_a_minute_at_most() -> None:
    old = a_task(10, desired=TaskState.SHUTDOWN)
    new = a_task(20, desired=TaskState.READY, node="")
    assert starts_at(new, [old, new], a_view()) == 20 * S + MINUTE
    assert starts_at(new, [old, new], a_view(NodeState.DOWN)) == 25 * S
    slow = a_task(20, desired=TaskState.READY, node="", restart=policy(delay=2 * MINUTE))
    older = failed(5, 6)
    assert starts_at(slow, [old, older, slow], a_view()) == 20 * S + MINUTE
    assert starts_at(slow, [older, slow], a_view()) == 20 * S + 2 * MINUTE


def test_a_task_that_no_node_has_is_not_waited_for() -> None:
    old = a_task(10, TaskState.PENDING, desired=TaskState.SHUTDOWN, node="")
    new = a_task(20, TaskState.NEW, desired=TaskState.READY, node="")
    assert starts_at(new, [old, new], a_view()) == 20 * S


# --- in a cluster


def a_world(restart: RestartPolicy, **fields: Duration) -> tuple[World, ServiceId]:
    world = World(["n1"])
    world.fails_after = dict(fields)
    web = world.create(a_spec(image="v1", replicas=1, restart=restart))
    return world, web


def starts(world: World, web: ServiceId) -> list[float]:
    """When each task of the service was made, in seconds from the first one, rounded."""
    born = sorted((task.meta.created_at or 0) for task in world.tasks(web))
    return [round((instant - born[0]) / S, 1) for instant in born]


def test_a_task_that_always_fails_is_restarted_so_often_and_no_more() -> None:
    world, web = a_world(policy(delay=2 * S, most=2), v1=Duration(S))
    world.run(60)
    assert world.shape(web) == [(1, "n1", "v1", "FAILED", "SHUTDOWN")] * 3
    assert starts(world, web) == [0.0, 1.1, 4.2]
    world.run(600)
    assert len(world.tasks(web)) == 3


def test_a_window_lets_it_go_on_once_the_failures_are_old() -> None:
    world, web = a_world(policy(delay=S, most=1, window=30 * S), v1=Duration(40 * S))
    world.run(200)
    assert len(starts(world, web)) == 2
    assert len(world.records("restarted")) == 4


def test_a_new_spec_gets_its_attempts_anew() -> None:
    world, web = a_world(policy(delay=S, most=1), v1=Duration(S), v2=Duration(S))
    world.run(30)
    assert len(world.records("restarted")) == 1
    world.update(web, a_spec(image="v2", replicas=1, restart=policy(delay=S, most=1)))
    world.run(30)
    assert len(world.records("restarted")) == 2
    assert world.shape(web)[-1] == (1, "n1", "v2", "FAILED", "SHUTDOWN")


def test_a_task_that_fails_before_its_own_start_is_not_restarted_in_a_tight_loop() -> None:
    world, web = a_world(policy(delay=5 * S))
    world.run(1)
    world.rejected = {"v1"}
    world.end(world.running(web)[0])
    world.run(16)
    assert [fields["why"] for fields in world.records("restarted")] == ["FAILED: exit 1"] + [
        "REJECTED: no such image"
    ] * 3
    assert starts(world, web) == [0.0, 1.0, 6.0, 11.0, 16.0]


def test_an_old_task_that_never_stops_holds_its_successor_up_for_a_minute() -> None:
    world = World(["n1", "n2"])
    web = world.create(a_spec(replicas=1))
    world.run(1)
    [task] = world.running(web)
    world.stubborn.add(task.id)
    world.drain("n1")
    world.run(59)
    assert world.shape(web) == [(1, "n1", "v1", "RUNNING", "SHUTDOWN"), (1, "n2", "v1", "READY", "READY")]
    world.run(2)
    assert world.shape(web) == [(1, "n1", "v1", "RUNNING", "SHUTDOWN"), (1, "n2", "v1", "RUNNING", "RUNNING")]


def test_the_successor_starts_as_soon_as_the_old_task_has_stopped() -> None:
    world = World(["n1", "n2"])
    world.stop_time = Duration(3 * S)
    web = world.create(a_spec(replicas=1))
    world.run(10)
    world.drain("n1")
    world.run(2.9)
    assert [task.node_id for task in world.running(web)] == []
    world.run(0.3)
    assert [task.node_id for task in world.running(web)] == ["n2"]


def test_waiting_for_the_old_task_ends_when_its_node_is_lost() -> None:
    world = World(["n1", "n2"])
    web = world.create(a_spec(replicas=1))
    world.run(1)
    world.stubborn.add(world.running(web)[0].id)
    world.drain("n1")
    world.run(1)
    assert world.running(web) == []
    world.remove_node("n1")
    world.run(0.5)
    assert [task.node_id for task in world.running(web)] == []
    world.run(5)
    assert [task.node_id for task in world.running(web)] == ["n2"]


@pytest.mark.parametrize("lost", ["down", "remove_node"])
def test_tasks_of_a_lost_node_are_replaced_after_the_delay_without_waiting_for_them(lost: str) -> None:
    world = World(["n1", "n2"])
    web = world.create(a_spec(replicas=2))
    world.run(1)
    getattr(world, lost)("n1")
    world.run(4.9)
    assert [task.node_id for task in world.running(web)] == ["n2"]
    world.run(0.5)
    assert [task.node_id for task in world.running(web)] == ["n2", "n2"]
    assert [fields["node"] for fields in world.records("restarted")] == ["n1"]


def test_a_node_that_returns_stops_its_old_tasks_and_gets_nothing_back() -> None:
    world = World(["n1", "n2"])
    web = world.create(a_spec(replicas=2))
    world.run(1)
    world.down("n1")
    world.run(10)
    world.up("n1")
    world.run(10)
    assert world.shape(web) == [
        (1, "n1", "v1", "SHUTDOWN", "SHUTDOWN"),
        (1, "n2", "v1", "RUNNING", "RUNNING"),
        (2, "n2", "v1", "RUNNING", "RUNNING"),
    ]


def test_a_new_leader_keeps_to_the_delay() -> None:
    world, web = a_world(policy(delay=10 * S))
    world.run(1)
    world.end(world.running(web)[0])
    world.run(4)
    world.lead()
    world.run(5.9)
    assert world.running(web) == []
    world.run(0.3)
    assert len(world.running(web)) == 1


def test_a_new_leader_knows_how_often_a_task_was_restarted() -> None:
    world, web = a_world(policy(delay=2 * S, most=2), v1=Duration(S))
    world.run(3)
    for _ in range(10):
        world.lead()
        world.run(1)
    world.run(60)
    assert world.shape(web) == [(1, "n1", "v1", "FAILED", "SHUTDOWN")] * 3


def test_a_new_leader_sees_what_ended_while_nobody_led() -> None:
    world, web = a_world(policy(delay=S))
    world.run(1)
    world.deaf = True
    world.end(world.running(web)[0])
    world.deaf = False
    world.run(5)
    assert world.running(web) == []
    world.lead()
    world.run(1.5)
    assert len(world.running(web)) == 1


def test_a_node_lost_without_a_restart_policy_leaves_its_slots_as_they_are() -> None:
    world = World(["n1", "n2"])
    web = world.create(a_spec(replicas=2, restart=policy(NONE)))
    world.run(1)
    world.down("n1")
    world.run(100)
    assert world.shape(web) == [(1, "n1", "v1", "RUNNING", "SHUTDOWN"), (2, "n2", "v1", "RUNNING", "RUNNING")]
