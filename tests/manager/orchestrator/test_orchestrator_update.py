"""Updates: a few slots at a time, watched, and stopped or taken back when too many fail."""

import pytest
from msgspec.structs import replace
from orchestrator_world import START, World, a_spec, image_of

from swarmlab.api import (
    MINUTE,
    SECOND,
    Delete,
    Duration,
    FailureAction,
    ReplicatedService,
    RestartCondition,
    RestartPolicy,
    ServiceId,
    Task,
    TaskState,
    Update,
    UpdateConfig,
    UpdateOrder,
    UpdateState,
    UpdateStatus,
)
from swarmlab.manager.orchestrator.update import monitor_time, timeout_of

S = SECOND
START_FIRST = UpdateOrder.START_FIRST
CONTINUE, ROLLBACK = FailureAction.CONTINUE, FailureAction.ROLLBACK


def a_world(replicas: int = 4, **spec: object) -> tuple[World, ServiceId]:
    world = World(["n1", "n2"])
    world.rejected = {"bad"}
    world.unplaceable = {"nowhere"}
    web = world.create(a_spec(replicas=replicas, **spec))  # type: ignore[arg-type]
    world.run(20)
    return world, web


def change(world: World, web: ServiceId, image: str, **config: object) -> None:
    spec = world.service(web).spec
    assert spec.task.container is not None
    task = replace(spec.task, container=replace(spec.task.container, image=image))
    update = replace(spec.update or UpdateConfig(), **config) if config else spec.update
    world.update(web, replace(spec, task=task, update=update))


def images(world: World, web: ServiceId) -> str:
    """The image of what runs in each slot, '-' where nothing does, both where two do."""
    found: dict[int, list[str]] = {task.slot: [] for task in world.tasks(web)}
    for task in world.running(web):
        found[task.slot].append(image_of(task))
    return " ".join("+".join(found[slot]) or "-" for slot in sorted(found))


def status(world: World, web: ServiceId) -> UpdateStatus | None:
    return world.service(web).update_status


def state(world: World, web: ServiceId) -> str:
    present = status(world, web)
    return present.state.name if present is not None else "none"


def trail(world: World, web: ServiceId, seconds: float, step: float = 0.05) -> list[str]:
    """Each different picture of the slots over a time."""
    seen = [images(world, web)]
    for _ in range(round(seconds / step)):
        world.run(step)
        now = images(world, web)
        if now != seen[-1]:
            seen.append(now)
    return seen


def test_stop_first_replaces_one_slot_after_the_other() -> None:
    world, web = a_world(3, update=UpdateConfig(parallelism=1))
    change(world, web, "v2")
    assert trail(world, web, 3) == ["- v1 v1", "v2 - v1", "v2 v2 -", "v2 v2 v2"]


def test_start_first_never_has_less() -> None:
    world, web = a_world(2, update=UpdateConfig(parallelism=1, order=START_FIRST))
    change(world, web, "v2")
    assert trail(world, web, 3) == ["v1 v1", "v2 v1", "v2 v2"]
    assert {task.slot for task in world.tasks(web)} == {1, 2}


def test_parallelism_is_how_many_are_replaced_at_once() -> None:
    world, web = a_world(5, update=UpdateConfig(parallelism=2))
    change(world, web, "v2")
    seen = trail(world, web, 4)
    assert max(line.count("-") for line in seen) == 2
    assert seen[-1] == "v2 v2 v2 v2 v2"


def test_parallelism_zero_is_all_at_once() -> None:
    world, web = a_world(3, update=UpdateConfig(parallelism=0))
    change(world, web, "v2")
    assert trail(world, web, 2) == ["- - -", "v2 v2 v2"]


def test_the_delay_comes_after_each_slot() -> None:
    world, web = a_world(3, update=UpdateConfig(parallelism=1, delay=Duration(10 * S)))
    change(world, web, "v2")
    world.run(5)
    assert images(world, web) == "v2 v1 v1"
    world.run(10)
    assert images(world, web) == "v2 v2 v1"
    world.run(10)
    assert images(world, web) == "v2 v2 v2"


def test_the_status_tells_the_course_of_an_update() -> None:
    world, web = a_world(1)
    begun = world.now
    change(world, web, "v2")
    assert status(world, web) == UpdateStatus(
        state=UpdateState.UPDATING, started_at=begun, message="update in progress"
    )
    world.run(5)
    assert state(world, web) == "UPDATING"
    world.run(2)
    done = status(world, web)
    assert done is not None
    assert done == UpdateStatus(
        state=UpdateState.COMPLETED,
        started_at=begun,
        completed_at=done.completed_at,
        message="update completed",
    )
    # The monitor time of 5 s counts from when the last new task ran.
    assert done.completed_at is not None
    assert 5.3 * S <= done.completed_at - begun <= 5.6 * S
    assert [(fields["state"], fields["message"]) for fields in world.records("update")] == [
        ("updating", "update in progress"),
        ("completed", "update completed"),
    ]


def test_a_change_that_is_no_change_of_tasks_is_no_update() -> None:
    world, web = a_world(2)
    before = world.tasks(web)
    spec = world.service(web).spec
    world.update(web, replace(spec, annotations=replace(spec.annotations, labels={"a": "b"})))
    world.run(10)
    assert world.tasks(web) == before
    assert state(world, web) == "none"


def test_the_first_failure_pauses_the_update() -> None:
    world, web = a_world(3, restart=RestartPolicy(condition=RestartCondition.ANY, delay=Duration(2 * S)))
    change(world, web, "bad")
    world.run(30)
    present = status(world, web)
    assert present is not None
    assert present.state == UpdateState.PAUSED
    [first] = [fields for fields in world.records("update") if fields["state"] == "paused"]
    failed = first["message"].rpartition(" ")[2]
    assert first["message"] == f"update paused due to failure or early termination of task {failed}"
    assert images(world, web) == "- v1 v1"
    world.run(30)
    assert images(world, web) == "- v1 v1"


def test_a_paused_update_goes_on_when_the_user_updates_again() -> None:
    world, web = a_world(3)
    change(world, web, "bad")
    world.run(10)
    assert state(world, web) == "PAUSED"
    change(world, web, "v3")
    world.run(20)
    assert (images(world, web), state(world, web)) == ("v3 v3 v3", "COMPLETED")


def test_start_first_leaves_the_old_task_alone_when_the_new_one_fails() -> None:
    world, web = a_world(2, update=UpdateConfig(parallelism=1, order=START_FIRST))
    change(world, web, "bad")
    for _ in range(100):
        world.run(0.5)
        assert images(world, web) == "v1 v1"
    assert state(world, web) == "PAUSED"


def test_a_task_that_fails_within_the_monitor_time_counts_and_later_ones_do_not() -> None:
    for monitor, expected in ((10, "PAUSED"), (1, "COMPLETED")):
        world, web = a_world(1, update=UpdateConfig(parallelism=1, monitor=Duration(monitor * S)))
        world.fails_after = {"v2": Duration(3 * S)}
        change(world, web, "v2")
        world.run(15)
        assert state(world, web) == expected


def test_continue_goes_on_whatever_fails() -> None:
    world, web = a_world(3, update=UpdateConfig(parallelism=1, failure_action=CONTINUE))
    change(world, web, "bad")
    world.run(20)
    assert images(world, web) == "- - -"
    world.rejected = set()
    world.run(20)
    assert (images(world, web), state(world, web)) == ("bad bad bad", "COMPLETED")


def test_only_more_than_the_ratio_of_failures_stops_it() -> None:
    for ratio, expected in ((0.5, "COMPLETED"), (0.24, "PAUSED")):
        world, web = a_world(4, update=UpdateConfig(parallelism=1, max_failure_ratio=ratio))
        world.fails_after = {"v2": Duration(S)}
        change(world, web, "v2")
        world.run(1.3)
        world.fails_after = {}
        world.run(40)
        assert state(world, web) == expected


def test_a_failure_rolls_back_by_the_rules_for_rollbacks() -> None:
    update = UpdateConfig(parallelism=1, failure_action=ROLLBACK)
    rollback = UpdateConfig(parallelism=0, order=START_FIRST)
    world, web = a_world(3, update=update, rollback=rollback)
    old = world.service(web)
    change(world, web, "bad")
    world.run(0.5)
    service = world.service(web)
    assert service.spec == old.spec
    assert service.spec_version == old.spec_version
    assert service.previous_spec is None
    assert service.update_status is not None
    assert service.update_status.state == UpdateState.ROLLBACK_STARTED
    assert service.update_status.message.startswith("update rolled back due to failure or early termination of task ")
    world.run(20)
    assert (images(world, web), state(world, web)) == ("v1 v1 v1", "ROLLBACK_COMPLETED")
    # The two slots that the update had not reached are as they were.
    assert [len(list(group)) for group in _by_slot(world.tasks(web))] == [3, 1, 1]


def _by_slot(tasks: list[Task]) -> list[list[Task]]:
    return [[task for task in tasks if task.slot == slot] for slot in sorted({task.slot for task in tasks})]


def test_a_rollback_to_tasks_that_do_not_run_yet_waits_for_them() -> None:
    """The slot has a task of the old spec already, which is still starting: that alone completes nothing."""
    update = UpdateConfig(parallelism=1, failure_action=ROLLBACK, order=START_FIRST)
    world, web = a_world(1, image="good", update=update, rollback=update)
    change(world, web, "v2")
    world.run(20)
    world.unplaceable = {"good"}
    change(world, web, "good")
    world.run(1)
    assert (images(world, web), state(world, web)) == ("v2", "UPDATING")
    spec = world.service(web).spec
    world.update(web, replace(spec, update=replace(update, delay=Duration(S))))
    world.run(20)
    assert (images(world, web), state(world, web)) == ("v2", "UPDATING")
    world.unplaceable = set()
    world.stir()
    world.run(20)
    assert (images(world, web), state(world, web)) == ("good", "COMPLETED")


def test_without_a_previous_spec_a_rollback_is_a_pause() -> None:
    world, web = a_world(2, update=UpdateConfig(parallelism=1, failure_action=ROLLBACK))
    change(world, web, "bad")
    world.commit(Update(replace(world.service(web), previous_spec=None)))
    world.run(10)
    assert state(world, web) == "PAUSED"


def test_a_rollback_asked_for_by_the_user() -> None:
    world, web = a_world(3)
    change(world, web, "v2")
    world.run(20)
    world.roll_back(web)
    world.run(20)
    assert (images(world, web), state(world, web)) == ("v1 v1 v1", "ROLLBACK_COMPLETED")


def test_defect_09_a_failing_rollback_stays_paused_whatever_its_failure_action() -> None:
    config = UpdateConfig(parallelism=1, failure_action=ROLLBACK)
    world, web = a_world(2, image="good", update=config, rollback=config)
    change(world, web, "v2")
    world.run(20)
    world.rejected = {"good"}
    world.roll_back(web)
    for _ in range(40):
        world.run(5)
    present = status(world, web)
    assert present is not None
    assert present.state == UpdateState.ROLLBACK_PAUSED
    assert present.message.startswith("rollback paused due to failure or early termination of task ")
    assert images(world, web) == "- v2"


def test_defect_10_a_task_that_can_never_be_placed_counts_as_failed_after_a_while() -> None:
    world, web = a_world(2, update=UpdateConfig(parallelism=1, order=START_FIRST))
    change(world, web, "nowhere")
    world.run(600)
    assert state(world, web) == "UPDATING"
    world.run(10)
    present = status(world, web)
    assert present is not None
    assert present.state == UpdateState.PAUSED
    assert present.message.startswith("update paused due to no start within 10m5s of task ")
    assert images(world, web) == "v1 v1"


def test_defect_10_the_time_is_a_label_of_the_service() -> None:
    config = UpdateConfig(parallelism=1, failure_action=CONTINUE, order=START_FIRST)
    world, web = a_world(3, update=config, labels={"swarmlab.update.timeout": "20s"})
    change(world, web, "nowhere")
    world.run(78)
    assert state(world, web) == "UPDATING"
    world.run(10)
    assert state(world, web) == "COMPLETED"
    assert images(world, web) == "v1 v1 v1"
    world.unplaceable = set()
    world.stir()
    world.run(5)
    assert images(world, web) == "nowhere nowhere nowhere"


@pytest.mark.parametrize(
    ("text", "expected"), [(None, 10 * MINUTE), ("90s", 90 * S), ("soon", 10 * MINUTE), ("0s", 10 * MINUTE)]
)
def test_a_time_that_cannot_be_read_is_ten_minutes(text: str | None, expected: int) -> None:
    world, web = a_world(1, labels={} if text is None else {"swarmlab.update.timeout": text})
    assert timeout_of(world.service(web)) == expected


def test_the_monitor_time_is_longer_than_the_delay() -> None:
    assert monitor_time(UpdateConfig(delay=Duration(0), monitor=Duration(5 * S))) == 5 * S
    assert monitor_time(UpdateConfig(delay=Duration(5 * S), monitor=Duration(5 * S))) == 6 * S
    assert monitor_time(UpdateConfig(delay=Duration(7 * S), monitor=None)) == 8 * S


def test_scaling_during_an_update_lets_it_go_on() -> None:
    world, web = a_world(4, update=UpdateConfig(parallelism=1, delay=Duration(5 * S)))
    change(world, web, "v2")
    world.run(3)
    assert images(world, web) == "v2 v1 v1 v1"
    world.scale(web, 6)
    world.run(1)
    assert images(world, web) == "v2 v1 v1 v1 v2 v2"
    assert state(world, web) == "UPDATING"
    world.scale(web, 3)
    world.run(60)
    assert (images(world, web), state(world, web)) == ("v2 v2 v2", "COMPLETED")


def test_a_failure_still_counts_after_scaling() -> None:
    world, web = a_world(4, update=UpdateConfig(parallelism=1, delay=Duration(4 * S), monitor=Duration(30 * S)))
    change(world, web, "v2")
    world.run(2)
    [new] = [task for task in world.running(web) if image_of(task) == "v2"]
    world.scale(web, 5)
    world.run(1)
    world.end(new)
    world.run(1)
    assert state(world, web) == "PAUSED"


def test_a_second_update_takes_the_place_of_the_first() -> None:
    world, web = a_world(3, update=UpdateConfig(parallelism=1, delay=Duration(3 * S), order=START_FIRST))
    world.start_time = Duration(2 * S)
    change(world, web, "v2")
    world.run(1)
    change(world, web, "v3")
    world.run(1)
    assert images(world, web) == "v1 v1 v1"
    world.run(30)
    assert (images(world, web), state(world, web)) == ("v3 v3 v3", "COMPLETED")


def test_going_back_to_the_old_spec_in_the_middle_keeps_the_old_tasks() -> None:
    world, web = a_world(3, update=UpdateConfig(parallelism=1, delay=Duration(5 * S)))
    old = {task.id for task in world.running(web) if task.slot > 1}
    change(world, web, "v2")
    world.run(2)
    change(world, web, "v1")
    world.run(20)
    assert (images(world, web), state(world, web)) == ("v1 v1 v1", "COMPLETED")
    assert old <= {task.id for task in world.running(web)}


def test_a_node_lost_during_an_update() -> None:
    world, web = a_world(4, update=UpdateConfig(parallelism=1, delay=Duration(2 * S)))
    change(world, web, "v2")
    world.run(0.25)
    world.down("n1")
    world.run(60)
    assert (images(world, web), state(world, web)) == ("v2 v2 v2 v2", "COMPLETED")
    assert {task.node_id for task in world.running(web)} == {"n2"}


def test_the_loss_of_a_node_is_no_failure_of_the_update() -> None:
    world, web = a_world(2, update=UpdateConfig(parallelism=2, monitor=Duration(60 * S)))
    change(world, web, "v2")
    world.run(2)
    world.remove_node("n1")
    world.run(100)
    assert (images(world, web), state(world, web)) == ("v2 v2", "COMPLETED")


def test_the_new_task_of_a_lost_node_is_followed_by_its_replacement() -> None:
    world, web = a_world(2, update=UpdateConfig(parallelism=1))
    world.start_time = Duration(5 * S)
    change(world, web, "v2")
    world.run(2)
    [new] = [task for task in world.tasks(web) if image_of(task) == "v2"]
    assert new.status.state < TaskState.RUNNING
    world.down(new.node_id)
    world.run(6)
    assert images(world, web) == "- v2" if new.slot == 2 else "- -"
    world.run(60)
    assert (images(world, web), state(world, web)) == ("v2 v2", "COMPLETED")


def test_a_slot_whose_new_task_was_lost_begins_anew_where_nothing_restarts_it() -> None:
    never = RestartPolicy(condition=RestartCondition.NONE)
    world, web = a_world(1, restart=never, update=UpdateConfig(parallelism=1, order=START_FIRST))
    world.start_time = Duration(3 * S)
    change(world, web, "v2")
    world.run(1)
    [new] = [task for task in world.tasks(web) if image_of(task) == "v2"]
    world.down(new.node_id)
    world.run(20)
    assert (images(world, web), state(world, web)) == ("v2", "COMPLETED")


def test_a_slot_that_ended_for_good_is_updated_too() -> None:
    world, web = a_world(2, restart=RestartPolicy(condition=RestartCondition.ON_FAILURE))
    world.end(world.running(web)[0], TaskState.COMPLETE)
    world.run(10)
    change(world, web, "v2")
    world.run(20)
    assert (images(world, web), state(world, web)) == ("v2 v2", "COMPLETED")


def test_an_update_under_way_goes_on_with_a_new_leader_every_moment() -> None:
    world, web = a_world(4, update=UpdateConfig(parallelism=1, delay=Duration(S)))
    change(world, web, "v2")
    for _ in range(200):
        world.run(0.07)
        world.lead()
        assert images(world, web).count("-") <= 1
    assert (images(world, web), state(world, web)) == ("v2 v2 v2 v2", "COMPLETED")


def test_a_new_leader_keeps_to_the_parallelism_and_the_delay() -> None:
    world, web = a_world(4, update=UpdateConfig(parallelism=1, delay=Duration(10 * S)))
    change(world, web, "v2")
    world.run(3)
    for _ in range(3):
        world.lead()
        world.run(2)
        assert images(world, web) == "v2 v1 v1 v1"
    world.run(5)
    assert images(world, web) == "v2 v2 v1 v1"


def test_a_new_leader_counts_the_failures_that_the_store_still_shows() -> None:
    config = UpdateConfig(parallelism=1, max_failure_ratio=0.3, delay=Duration(3 * S))
    world, web = a_world(4, update=config, restart=RestartPolicy(condition=RestartCondition.NONE))
    change(world, web, "bad")
    world.run(1)
    world.lead()
    assert state(world, web) == "UPDATING"
    world.run(3)
    assert state(world, web) == "PAUSED"
    assert images(world, web) == "- - v1 v1"


def test_a_new_leader_still_watches_the_last_tasks() -> None:
    world, web = a_world(1, update=UpdateConfig(parallelism=1, monitor=Duration(20 * S)))
    change(world, web, "v2")
    world.run(5)
    world.lead()
    world.run(5)
    assert state(world, web) == "UPDATING"
    world.end(world.running(web)[0])
    world.run(1)
    assert state(world, web) == "PAUSED"


def test_a_new_leader_ends_an_update_that_has_nothing_left_to_do() -> None:
    world, web = a_world(1)
    world.deaf = True
    service = world.service(web)
    world.commit(Update(replace(service, update_status=UpdateStatus(state=UpdateState.UPDATING, started_at=START))))
    world.deaf = False
    world.lead()
    assert state(world, web) == "COMPLETED"


def test_a_paused_update_stays_paused_under_a_new_leader() -> None:
    world, web = a_world(3)
    change(world, web, "bad")
    world.run(10)
    world.lead()
    world.run(60)
    assert (images(world, web), state(world, web)) == ("- v1 v1", "PAUSED")


def test_a_service_removed_during_its_update_leaves_nothing() -> None:
    world, web = a_world(3)
    change(world, web, "v2")
    world.run(0.1)
    world.remove(web)
    world.run(5)
    assert world.view.tasks() == ()


def test_the_user_removes_the_task_that_the_update_waits_for() -> None:
    world, web = a_world(3, update=UpdateConfig(parallelism=1))
    world.start_time = Duration(3 * S)
    change(world, web, "v2")
    world.run(1)
    [new] = [task for task in world.tasks(web) if image_of(task) == "v2"]
    world.commit(Delete(Task, new.id))
    world.run(60)
    assert (images(world, web), state(world, web)) == ("v2 v2 v2", "COMPLETED")


def test_scaling_to_nothing_ends_the_update() -> None:
    world, web = a_world(3, update=UpdateConfig(parallelism=1))
    change(world, web, "v2")
    world.run(0.3)
    world.scale(web, 0)
    world.run(60)
    assert (world.tasks(web), state(world, web)) == ([], "none")


def test_stop_first_waits_for_the_old_task_a_minute_at_most() -> None:
    world, web = a_world(1)
    [old] = world.running(web)
    world.stubborn.add(old.id)
    change(world, web, "v2")
    world.run(59)
    assert images(world, web) == "-"
    world.run(2)
    assert images(world, web) == "v2"


def test_a_task_that_was_never_placed_is_replaced_at_once() -> None:
    world, web = a_world(1, image="nowhere")
    change(world, web, "v2")
    world.run(1)
    assert images(world, web) == "v2"


def test_many_slots_at_once_and_a_changed_rule_in_between() -> None:
    world, web = a_world(6, update=UpdateConfig(parallelism=1, delay=Duration(30 * S)))
    change(world, web, "v2")
    world.run(5)
    spec = world.service(web).spec
    world.update(web, replace(spec, update=UpdateConfig(parallelism=0)))
    world.run(10)
    assert (images(world, web), state(world, web)) == ("v2 v2 v2 v2 v2 v2", "COMPLETED")


def test_replicas_go_back_too_in_a_rollback() -> None:
    world, web = a_world(3, update=UpdateConfig(parallelism=1, failure_action=ROLLBACK))
    spec = world.service(web).spec
    assert spec.task.container is not None
    bad = replace(spec.task, container=replace(spec.task.container, image="bad"))
    world.update(web, replace(spec, task=bad, replicated=ReplicatedService(5)))
    world.run(30)
    assert (images(world, web), state(world, web)) == ("v1 v1 v1", "ROLLBACK_COMPLETED")
