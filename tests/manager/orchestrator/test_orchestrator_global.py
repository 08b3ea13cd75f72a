"""Global services: one task for each node that suits."""

from typing import Any

import pytest
from msgspec.structs import replace
from orchestrator_world import World, a_spec, image_of

from swarmlab.api import (
    SECOND,
    Availability,
    Delete,
    Duration,
    FailureAction,
    NodeId,
    NodeState,
    RestartCondition,
    RestartPolicy,
    ServiceId,
    Task,
    TaskState,
    UpdateConfig,
    UpdateOrder,
)

S = SECOND


def a_world(*names: str, **spec: Any) -> tuple[World, ServiceId]:
    world = World(names or ("n1", "n2", "n3"))
    world.rejected = {"bad"}
    service = world.create(a_spec("agent", mode="global", **spec))
    world.run(20)
    return world, service


def nodes(world: World, service: ServiceId) -> list[str]:
    return sorted(f"{task.node_id} {image_of(task)}" for task in world.running(service))


def change(world: World, service: ServiceId, image: str) -> None:
    spec = world.service(service).spec
    assert spec.task.container is not None
    world.update(service, replace(spec, task=replace(spec.task, container=replace(spec.task.container, image=image))))


def state(world: World, service: ServiceId) -> str:
    status = world.service(service).update_status
    return status.state.name if status is not None else "none"


def test_every_node_gets_one_task_bound_to_it() -> None:
    world, agent = a_world("n1", "n2")
    assert world.shape(agent) == [
        (0, "n1", "v1", "RUNNING", "RUNNING"),
        (0, "n2", "v1", "RUNNING", "RUNNING"),
    ]
    assert world.records("created") == [{"service": agent, "name": "agent", "tasks": 2}]


def test_a_node_that_joins_gets_its_task() -> None:
    world, agent = a_world("n1")
    world.add_node("n2", state=NodeState.UNKNOWN)
    world.run(1)
    world.up("n2")
    world.run(1)
    assert nodes(world, agent) == ["n1 v1", "n2 v1"]


@pytest.mark.parametrize("away", ["down", "drain"])
def test_a_node_that_is_away_has_none_and_gets_one_when_it_is_back(away: str) -> None:
    world, agent = a_world("n1", "n2")
    getattr(world, away)("n1")
    world.run(0.02)
    assert {task.desired_state for task in world.tasks(agent) if task.node_id == "n1"} == {TaskState.SHUTDOWN}
    world.run(30)
    assert nodes(world, agent) == ["n2 v1"]
    world.up("n1")
    world.availability("n1", Availability.ACTIVE)
    world.run(2)
    assert nodes(world, agent) == ["n1 v1", "n2 v1"]


def test_the_tasks_of_a_removed_node_are_deleted() -> None:
    world, agent = a_world("n1", "n2")
    world.remove_node("n1")
    world.run(1)
    assert [task.node_id for task in world.tasks(agent)] == ["n2"]


def test_a_paused_node_keeps_its_task_and_gets_no_other() -> None:
    world, agent = a_world("n1", "n2")
    world.availability("n1", Availability.PAUSE)
    change(world, agent, "v2")
    world.run(20)
    assert (nodes(world, agent), state(world, agent)) == (["n1 v1", "n2 v2"], "COMPLETED")
    world.end(next(task for task in world.running(agent) if task.node_id == "n1"))
    world.run(20)
    assert nodes(world, agent) == ["n2 v2"]
    world.availability("n1", Availability.ACTIVE)
    world.run(2)
    assert nodes(world, agent) == ["n1 v2", "n2 v2"]


def test_a_node_that_missed_an_update_is_brought_up_to_date_when_it_takes_tasks_again() -> None:
    world, agent = a_world("n1", "n2")
    world.availability("n1", Availability.PAUSE)
    change(world, agent, "v2")
    world.run(20)
    world.availability("n1", Availability.ACTIVE)
    world.run(2)
    assert nodes(world, agent) == ["n1 v2", "n2 v2"]
    assert state(world, agent) == "COMPLETED"


def test_a_paused_update_is_not_carried_on_by_a_node() -> None:
    world, agent = a_world("n1", "n2", "n3")
    world.availability("n3", Availability.PAUSE)
    change(world, agent, "bad")
    world.run(20)
    assert (nodes(world, agent), state(world, agent)) == (["n2 v1", "n3 v1"], "PAUSED")
    world.availability("n3", Availability.ACTIVE)
    world.label("n2", color="blue")
    world.run(20)
    assert nodes(world, agent) == ["n2 v1", "n3 v1"]


def test_a_node_event_does_not_disturb_an_update_in_progress() -> None:
    world, agent = a_world("n1", "n2", "n3", update=UpdateConfig(parallelism=1, delay=Duration(5 * S)))
    change(world, agent, "v2")
    world.run(2)
    world.label("n3", color="blue")
    world.add_node("n4")
    world.run(1)
    assert nodes(world, agent) == ["n1 v2", "n2 v1", "n3 v1", "n4 v2"]
    world.run(30)
    assert (nodes(world, agent), state(world, agent)) == (["n1 v2", "n2 v2", "n3 v2", "n4 v2"], "COMPLETED")


def test_constraints_choose_the_nodes() -> None:
    world = World(["n1", "n2"])
    world.label("n1", zone="a")
    agent = world.create(a_spec("agent", mode="global", constraints=("node.labels.zone == a",)))
    world.run(2)
    assert nodes(world, agent) == ["n1 v1"]
    world.label("n2", zone="a")
    world.run(2)
    assert nodes(world, agent) == ["n1 v1", "n2 v1"]
    world.label("n1", zone="b")
    world.run(2)
    assert nodes(world, agent) == ["n2 v1"]
    world.label("n1", zone="a")
    world.run(2)
    assert nodes(world, agent) == ["n1 v1", "n2 v1"]


def test_other_constraints_stop_tasks_where_they_do_not_hold_and_touch_no_other() -> None:
    world, agent = a_world("n1", "n2")
    world.label("n1", zone="a")
    before = {task.id for task in world.running(agent) if task.node_id == "n1"}
    world.update(agent, a_spec("agent", mode="global", constraints=("node.labels.zone == a",)))
    world.run(5)
    assert {task.id for task in world.running(agent)} == before


def test_failed_tasks_are_restarted_on_their_node_as_often_as_the_policy_says() -> None:
    rule = RestartPolicy(condition=RestartCondition.ANY, delay=Duration(S), max_attempts=2)
    world, agent = a_world("n1", "n2", restart=rule)
    for _ in range(3):
        world.end(next(task for task in world.running(agent) if task.node_id == "n1"))
        world.run(3)
    assert nodes(world, agent) == ["n2 v1"]
    assert len([task for task in world.tasks(agent) if task.node_id == "n1"]) == 3


def test_a_node_that_comes_and_goes_uses_up_no_attempts() -> None:
    rule = RestartPolicy(condition=RestartCondition.ON_FAILURE, delay=Duration(S), max_attempts=1)
    world, agent = a_world("n1", restart=rule)
    for _ in range(4):
        world.down("n1")
        world.run(5)
        world.up("n1")
        world.run(5)
        assert nodes(world, agent) == ["n1 v1"]


def test_a_task_that_the_user_removes_is_made_again() -> None:
    world, agent = a_world("n1")
    world.commit(Delete(Task, world.running(agent)[0].id))
    world.run(1)
    assert nodes(world, agent) == ["n1 v1"]


@pytest.mark.parametrize("order", list(UpdateOrder))
def test_updates_go_node_by_node(order: UpdateOrder) -> None:
    world, agent = a_world(update=UpdateConfig(parallelism=1, order=order))
    change(world, agent, "v2")
    seen = []
    for _ in range(60):
        world.run(0.05)
        if not seen or seen[-1] != nodes(world, agent):
            seen.append(nodes(world, agent))
    least = 2 if order == UpdateOrder.STOP_FIRST else 3
    assert min(map(len, seen)) == least
    assert seen[-1] == ["n1 v2", "n2 v2", "n3 v2"]
    world.run(10)
    assert state(world, agent) == "COMPLETED"


def test_a_failing_update_rolls_back() -> None:
    world, agent = a_world(update=UpdateConfig(parallelism=1, failure_action=FailureAction.ROLLBACK))
    change(world, agent, "bad")
    world.run(30)
    assert (nodes(world, agent), state(world, agent)) == (["n1 v1", "n2 v1", "n3 v1"], "ROLLBACK_COMPLETED")


def test_an_update_goes_on_when_a_node_is_lost_in_the_middle() -> None:
    world, agent = a_world(update=UpdateConfig(parallelism=1))
    world.start_time = Duration(3 * S)
    change(world, agent, "v2")
    world.run(1)
    world.down("n1")
    world.run(30)
    assert (nodes(world, agent), state(world, agent)) == (["n2 v2", "n3 v2"], "COMPLETED")


def test_defect_13_a_node_event_judges_each_service_by_its_own_tasks() -> None:
    """A service whose tasks must not be restarted says nothing about the tasks of another one."""
    world = World(["n1"])
    once = world.create(a_spec("once", mode="global", restart=RestartPolicy(condition=RestartCondition.NONE)))
    always = world.create(a_spec("always", mode="global"))
    world.run(2)
    world.end(world.running(once)[0], TaskState.COMPLETE)
    [task] = world.running(always)
    world.down("n1")
    world.run(1)
    world.up("n1")
    world.run(3)
    assert nodes(world, always) == ["n1 v1"]
    assert world.running(always)[0].id != task.id
    assert world.shape(once) == [(0, "n1", "v1", "COMPLETE", "SHUTDOWN")]
    world.label("n1", color="blue")
    world.run(3)
    assert world.shape(once) == [(0, "n1", "v1", "COMPLETE", "SHUTDOWN")]


def test_a_new_leader_finds_missing_and_superfluous_tasks() -> None:
    world, agent = a_world("n1", "n2")
    world.deaf = True
    world.add_node("n3")
    world.drain("n1")
    world.deaf = False
    world.lead()
    world.run(2)
    assert nodes(world, agent) == ["n2 v1", "n3 v1"]


def test_a_removed_service_leaves_nothing() -> None:
    world, agent = a_world("n1", "n2")
    world.remove(agent)
    world.run(2)
    assert world.view.tasks() == ()
    world.label("n1", color="blue")
    world.run(2)
    assert world.view.tasks_on(NodeId("n1")) == ()
