"""Moves: start-first, one at a time in a slot, nothing else restarted, all of it read from the store."""

from typing import Any

import pytest
from msgspec.structs import replace
from orchestrator_world import World, a_spec, image_of

from swarmlab.api import (
    SECOND,
    Availability,
    ContainerSpec,
    Delete,
    Duration,
    NodeId,
    RestartCondition,
    RestartPolicy,
    ServiceId,
    Task,
    TaskId,
    TaskState,
    Update,
    UpdateConfig,
)
from swarmlab.manager.orchestrator import MOVE_FROM, MOVE_REASON, MOVE_TO
from swarmlab.plugin import Move

S = SECOND


def a_world(replicas: int = 2, **spec: Any) -> tuple[World, ServiceId]:
    """A service whose tasks are all on n1, and an empty n2."""
    world = World(["n1"])
    web = world.create(a_spec(replicas=replicas, **spec))
    world.run(20)
    world.add_node("n2")
    return world, web


def nodes(world: World, web: ServiceId) -> str:
    found: dict[int, list[str]] = {task.slot: [] for task in world.tasks(web)}
    for task in world.running(web):
        found[task.slot].append(task.node_id)
    return " ".join("+".join(found[slot]) or "-" for slot in sorted(found))


def outcomes(world: World) -> list[tuple[str, str]]:
    return [
        (event, fields["why"]) for event, fields in world.log if event in ("moved", "move-failed", "move-cancelled")
    ]


def halves(world: World, web: ServiceId) -> tuple[Task, Task]:
    [new] = [task for task in world.tasks(web) if MOVE_FROM in task.annotations.labels]
    old = world.view.task(TaskId(new.annotations.labels[MOVE_FROM]))
    assert old is not None
    return new, old


def test_a_move_starts_the_new_task_and_then_stops_the_old_one() -> None:
    world, web = a_world(2)
    first, second = world.running(web)
    world.start_time = Duration(S)
    begun = world.now
    world.move(first, "n2", "n2 is empty")
    new, old = halves(world, web)
    assert old == first
    assert (new.slot, new.desired_state, new.annotations.labels) == (
        1,
        TaskState.RUNNING,
        {MOVE_FROM: first.id, MOVE_TO: "n2", MOVE_REASON: "n2 is empty"},
    )
    world.run(1)
    assert nodes(world, web) == "n1 n1"
    world.run(1)
    assert nodes(world, web) == "n2 n1"
    assert world.view.task(second.id) == second
    [record] = world.records("moved")
    assert record == {
        "service": web,
        "slot": 1,
        "task": first.id,
        "new_task": new.id,
        "from": "n1",
        "to": "n2",
        "reason": "n2 is empty",
        "why": "",
        "seconds": record["seconds"],
    }
    assert 1 <= record["seconds"] <= (world.now - begun) / S
    assert world.records("restarted") == []
    assert world.records("move-begun") == [
        {
            "service": web,
            "slot": 1,
            "task": first.id,
            "new_task": new.id,
            "from": "n1",
            "to": "n2",
            "reason": "n2 is empty",
        }
    ]


def test_a_moved_task_can_be_moved_again_and_restarts_like_any_other() -> None:
    world, web = a_world(1)
    world.move(world.running(web)[0], "n2")
    world.run(2)
    world.move(world.running(web)[0], "n1")
    world.run(2)
    assert nodes(world, web) == "n1"
    world.end(world.running(web)[0])
    world.run(10)
    [task] = world.running(web)
    assert task.annotations.labels == {}
    assert [event for event, _ in outcomes(world)] == ["moved", "moved"]


def test_several_moves_at_once_and_one_for_each_slot() -> None:
    world, web = a_world(4)
    first, second, *_ = world.running(web)
    world.add_node("n3")
    world.wish(Move(first.id, NodeId("n2"), "a"), Move(second.id, NodeId("n3"), "b"), Move(first.id, NodeId("n3"), "c"))
    world.run(2)
    assert nodes(world, web) == "n2 n3 n1 n1"
    assert outcomes(world) == [
        ("move-cancelled", "its slot has another task already"),
        ("moved", ""),
        ("moved", ""),
    ]


@pytest.mark.parametrize("end", ["fails", "rejected", "lost", "removed", "drained"])
def test_the_old_task_stays_when_the_new_one_does_not_make_it(end: str) -> None:
    world, web = a_world(2)
    first = world.running(web)[0]
    world.start_time = Duration(5 * S)
    world.move(first, "n2")
    world.run(1)
    new, _ = halves(world, web)
    if end == "fails":
        world.end(new)
    elif end == "rejected":
        world.end(new, TaskState.REJECTED, "no such image")
    elif end == "lost":
        world.down("n2")
    elif end == "removed":
        world.remove_node("n2")
    else:
        world.drain("n2")
    world.run(30)
    assert nodes(world, web) == "n1 n1"
    assert world.running(web)[0] == first
    assert outcomes(world) == [
        (
            "move-failed",
            {
                "fails": "FAILED: exit 1",
                "rejected": "REJECTED: no such image",
                "lost": "the target node was lost",
                "removed": "the target node was lost",
                "drained": "the target node was lost",
            }[end],
        )
    ]
    assert world.records("restarted") == []
    if end != "lost":
        assert world.view.task(new.id) is None


def test_the_scheduler_drops_a_move_whose_target_does_not_suit() -> None:
    world, web = a_world(1)
    world.availability("n2", Availability.ACTIVE)
    first = world.running(web)[0]
    world.move(first, "n2")
    world.down("n2")
    world.run(5)
    assert nodes(world, web) == "n1"
    assert [event for event, _ in outcomes(world)] == ["move-cancelled"]
    assert [task.id for task in world.tasks(web)] == [first.id]


def test_a_move_that_takes_too_long_is_given_up() -> None:
    world, web = a_world(1)
    world.unplaceable = {"v1"}
    world.move(world.running(web)[0], "n2")
    world.run(599)
    assert len(world.tasks(web)) == 2
    world.run(2)
    assert outcomes(world) == [("move-failed", "the new task did not run in time")]
    assert nodes(world, web) == "n1"


def test_the_new_task_takes_over_when_the_old_one_fails_first() -> None:
    world, web = a_world(1)
    first = world.running(web)[0]
    world.start_time = Duration(3 * S)
    world.move(first, "n2")
    world.run(1)
    world.end(first)
    world.run(3)
    assert nodes(world, web) == "n2"
    assert outcomes(world) == [("move-cancelled", "the old task ended, or lost its node, first")]
    assert len(world.tasks(web)) == 2


def test_the_new_task_goes_too_when_the_old_one_ended_for_good() -> None:
    world, web = a_world(1, restart=RestartPolicy(condition=RestartCondition.ON_FAILURE))
    first = world.running(web)[0]
    world.start_time = Duration(3 * S)
    world.move(first, "n2")
    world.run(1)
    world.end(first, TaskState.COMPLETE)
    world.run(30)
    assert world.shape(web) == [(1, "n1", "v1", "COMPLETE", "SHUTDOWN")]


def test_an_update_cancels_the_move() -> None:
    world, web = a_world(2, update=UpdateConfig(parallelism=1))
    world.start_time = Duration(3 * S)
    world.move(world.running(web)[0], "n2")
    world.run(1)
    world.update(web, a_spec(replicas=2, image="v2"))
    world.run(30)
    assert {image_of(task) for task in world.running(web)} == {"v2"}
    assert len(world.running(web)) == 2
    assert outcomes(world) == [("move-cancelled", "the service was updated")]


def test_scaling_down_cancels_the_moves_of_the_service() -> None:
    world, web = a_world(4)
    world.start_time = Duration(3 * S)
    world.move(world.running(web)[0], "n2")
    world.move(world.running(web)[3], "n2")
    world.run(1)
    world.scale(web, 3)
    world.run(10)
    assert nodes(world, web) == "n1 n1 n1"
    assert sorted(outcomes(world)) == [
        ("move-cancelled", "the service was scaled down"),
        ("move-cancelled", "the slot was removed"),
    ]


def test_a_move_does_not_make_its_slot_go_first_when_scaling_down() -> None:
    world, web = a_world(4)
    first = world.running(web)[0]
    world.start_time = Duration(3 * S)
    world.move(first, "n2")
    world.run(1)
    world.scale(web, 3)
    world.run(10)
    assert [task.slot for task in world.running(web)] == [1, 2, 3]
    assert world.running(web)[0] == first
    assert outcomes(world) == [("move-cancelled", "the service was scaled down")]


def test_scaling_up_lets_a_move_go_on() -> None:
    world, web = a_world(1)
    world.start_time = Duration(3 * S)
    world.move(world.running(web)[0], "n2")
    world.run(1)
    world.scale(web, 2)
    world.run(10)
    assert outcomes(world) == [("moved", "")]
    assert len(world.running(web)) == 2


def test_a_removed_service_takes_its_moves_along() -> None:
    world, web = a_world(2)
    world.start_time = Duration(3 * S)
    world.move(world.running(web)[0], "n2")
    world.run(1)
    world.remove(web)
    world.run(5)
    assert world.view.tasks() == ()


def test_a_move_goes_on_under_a_new_leader() -> None:
    world, web = a_world(2)
    world.start_time = Duration(3 * S)
    world.move(world.running(web)[0], "n2")
    for _ in range(60):
        world.run(0.1)
        world.lead()
    assert nodes(world, web) == "n2 n1"
    assert outcomes(world) == [("moved", "")]


def test_a_new_leader_sees_that_the_new_task_failed_meanwhile() -> None:
    world, web = a_world(1)
    world.start_time = Duration(3 * S)
    first = world.running(web)[0]
    world.move(first, "n2")
    world.run(1)
    world.deaf = True
    world.end(halves(world, web)[0])
    world.deaf = False
    world.lead()
    world.run(5)
    assert world.running(web) == [first]
    assert outcomes(world) == [("move-failed", "FAILED: exit 1")]


def test_moves_do_not_count_as_attempts() -> None:
    rule = RestartPolicy(condition=RestartCondition.ANY, delay=Duration(S), max_attempts=1)
    world, web = a_world(1, restart=rule)
    for target in ("n2", "n1", "n2"):
        world.move(world.running(web)[0], target)
        world.run(2)
    world.end(world.running(web)[0])
    world.run(5)
    assert len(world.running(web)) == 1
    world.end(world.running(web)[0])
    world.run(5)
    assert world.running(web) == []


def _with_image(world: World, web: ServiceId, image: str) -> None:
    spec = world.service(web).spec
    world.update(web, replace(spec, task=replace(spec.task, container=ContainerSpec(image=image))))


def test_what_cannot_be_moved_is_refused_with_a_reason() -> None:
    world, web = a_world(2)
    everywhere = world.create(a_spec("all", mode="global"))
    world.run(5)
    first, second = world.running(web)
    on_all = world.running(everywhere)[0]
    world.move(on_all, "n2")
    world.move(first, "n1")
    world.move(first, "n9")
    world.drain("n2")
    world.move(first, "n2")
    world.availability("n2", Availability.ACTIVE)
    world.end(second)
    world.move(second, "n2")
    world.commit(Delete(Task, second.id))
    world.move(second, "n2")
    assert outcomes(world) == [
        ("move-cancelled", "only tasks of replicated services are moved"),
        ("move-cancelled", "the task is there already"),
        ("move-cancelled", "the target takes no tasks"),
        ("move-cancelled", "the target takes no tasks"),
        ("move-cancelled", "the task is FAILED, wanted SHUTDOWN"),
        ("move-cancelled", "the task is gone"),
    ]
    assert world.records("move-begun") == []
    world.rejected = {"bad"}
    _with_image(world, web, "bad")
    world.move(first, "n2")
    assert outcomes(world)[-1] == ("move-cancelled", "the task is RUNNING, wanted SHUTDOWN")


def test_nothing_moves_while_its_service_is_updated_or_waits_for_it() -> None:
    world, web = a_world(2, update=UpdateConfig(parallelism=1))
    world.rejected = {"bad"}
    second = world.running(web)[1]
    _with_image(world, web, "bad")
    world.move(second, "n2")
    world.run(10)
    world.move(second, "n2")
    assert outcomes(world) == [("move-cancelled", "the service is being updated")] * 2


def test_a_wish_waits_for_what_is_on_its_way() -> None:
    world, web = a_world(1)
    first = world.running(web)[0]
    world.deaf = True
    world.commit(Update(replace(first, desired_state=TaskState.SHUTDOWN)))
    world.deaf = False
    world.lead()
    world.move(first, "n2")
    assert outcomes(world) == [("move-cancelled", "the task is RUNNING, wanted SHUTDOWN")]
