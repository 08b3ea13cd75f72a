"""One look at a slot: what is restarted, released, shut down."""

import random

import pytest
from msgspec.structs import replace
from orchestrator_world import START, a_node, a_spec

from swarmlab.api import (
    SECOND,
    Changes,
    ContainerSpec,
    Create,
    Instant,
    Meta,
    NodeId,
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
    UpdateConfig,
    UpdateOrder,
    UpdateState,
    UpdateStatus,
    Version,
)
from swarmlab.manager.orchestrator.charge import Charge, Charges
from swarmlab.manager.orchestrator.slots import SlotKey
from swarmlab.manager.orchestrator.tending import Tended, is_at_rest, renew, tend
from swarmlab.store import EMPTY, apply

S = SECOND
KEY = SlotKey(ServiceId("web"), 1)
NODES = apply(EMPTY, Changes.atomic(Create(a_node("n1")), Create(a_node("n2"))).groups, START, 1).snapshot


def a_task(
    name: str,
    state: TaskState = TaskState.RUNNING,
    desired: TaskState = TaskState.RUNNING,
    *,
    image: str = "v2",
    born: int = 0,
    node: str = "n1",
    restart: RestartPolicy | None = None,
) -> Task:
    """Times are in seconds after START."""
    return Task(
        id=TaskId(name),
        meta=Meta(created_at=Instant(START + born * S)),
        service_id=ServiceId("web"),
        slot=1,
        node_id=NodeId(node),
        spec=TaskSpec(container=ContainerSpec(image=image), restart=restart),
        spec_version=Version(int(image[1:])),
        status=TaskStatus(state=state, applied_at=Instant(START + born * S + 1)),
        desired_state=desired,
    )


def a_charge(
    now: float = 100, *, order: UpdateOrder = UpdateOrder.STOP_FIRST, status: UpdateState | None = None
) -> Charge:
    service = Service(
        id=ServiceId("web"),
        spec=a_spec(image="v2", update=UpdateConfig(order=order)),
        spec_version=Version(2),
        update_status=None if status is None else UpdateStatus(state=status),
    )
    return Charge(service, NODES, Instant(START + round(now * S)))


def done(tended: Tended | tuple[object, ...]) -> list[str]:
    """The actions in short: `+READY` for a new task, `name>SHUTDOWN` for one wanted otherwise."""
    actions = tended.actions if isinstance(tended, Tended) else tended
    words = []
    for action in actions:
        assert isinstance(action, Create | Update)
        assert isinstance(action.object, Task)
        desired = action.object.desired_state.name
        words.append(f"+{desired}" if isinstance(action, Create) else f"{action.object.id}>{desired}")
    return words


def look(*slot: Task, charge: Charge | None = None, replaceable: bool = True) -> Tended:
    return tend(KEY, slot, charge or a_charge(), random.Random(1), replaceable=replaceable)


def test_a_task_that_does_well_is_left_alone() -> None:
    assert look(a_task("a")) == Tended()


def test_an_empty_slot_is_vacant() -> None:
    assert look() == Tended(vacant=True)
    assert look(a_task("a", TaskState.FAILED, TaskState.SHUTDOWN)).vacant


def test_a_failed_task_is_replaced() -> None:
    assert done(look(a_task("a", TaskState.FAILED))) == ["a>SHUTDOWN", "+READY"]
    assert done(look(a_task("a", TaskState.FAILED), replaceable=False)) == ["a>SHUTDOWN"]
    assert look(a_task("a", TaskState.FAILED), replaceable=False).vacant


def test_the_restart_policy_may_leave_it_at_that() -> None:
    rule = RestartPolicy(condition=RestartCondition.NONE)
    slot = a_task("a", TaskState.FAILED, restart=rule)
    assert done(look(slot)) == ["a>SHUTDOWN"]
    assert is_at_rest([slot], a_charge())
    assert not is_at_rest([slot], a_charge(status=UpdateState.ROLLBACK_STARTED))
    assert not is_at_rest([replace(slot, desired_state=TaskState.REMOVE)], a_charge())
    assert not is_at_rest([], a_charge())


def test_a_waiting_task_is_released_when_its_time_has_come() -> None:
    old = a_task("a", TaskState.FAILED, TaskState.SHUTDOWN, born=90)
    new = a_task("b", TaskState.READY, TaskState.READY, born=95)
    assert done(look(old, new, charge=a_charge(99.9))) == []
    assert look(old, new, charge=a_charge(99.9)).again == START + 100 * S
    assert done(look(old, new, charge=a_charge(100))) == ["b>RUNNING"]


def test_a_waiting_task_that_failed_waits_on() -> None:
    old = a_task("a", TaskState.FAILED, TaskState.SHUTDOWN, born=90)
    new = a_task("b", TaskState.REJECTED, TaskState.READY, born=95)
    early = look(old, new, charge=a_charge(98))
    assert (early.actions, early.again, early.vacant) == ((), START + 100 * S, False)
    assert done(look(old, new, charge=a_charge(100))) == ["b>SHUTDOWN", "+READY"]


def test_a_running_task_of_the_new_spec_sends_the_others_away() -> None:
    for order in UpdateOrder:
        slot = (a_task("a", image="v1"), a_task("b", born=5))
        assert done(look(*slot, charge=a_charge(order=order))) == ["a>SHUTDOWN"]


def test_start_first_waits_until_the_new_task_runs() -> None:
    slot = (a_task("a", image="v1"), a_task("b", TaskState.STARTING, born=5))
    waiting = look(*slot, charge=a_charge(order=UpdateOrder.START_FIRST))
    assert waiting == Tended(doubled=True)
    assert done(look(*slot, charge=a_charge())) == ["a>SHUTDOWN"]


def test_start_first_keeps_no_more_than_two() -> None:
    slot = (
        a_task("a", image="v1"),
        a_task("b", TaskState.STARTING, image="v1", born=3),
        a_task("c", TaskState.STARTING, born=5),
        a_task("d", TaskState.PENDING, node="", born=6),
    )
    assert done(look(*slot, charge=a_charge(order=UpdateOrder.START_FIRST))) == ["b>SHUTDOWN", "d>SHUTDOWN"]


def test_of_two_old_tasks_the_better_one_stays() -> None:
    slot = (a_task("a", TaskState.STARTING, image="v1"), a_task("b", image="v1", born=5))
    assert done(look(*slot)) == ["a>SHUTDOWN"]


def test_of_two_new_tasks_the_older_one_stays() -> None:
    assert done(look(a_task("b"), a_task("a", born=5))) == ["a>SHUTDOWN"]


def test_nothing_starts_while_what_it_takes_over_from_is_being_stopped() -> None:
    slot = (a_task("a", image="v1"), a_task("b", TaskState.READY, TaskState.READY, born=5))
    assert done(look(*slot)) == ["a>SHUTDOWN"]


def test_an_old_task_that_fails_beside_a_new_one_is_not_replaced() -> None:
    slot = (a_task("a", TaskState.FAILED, image="v1"), a_task("b", TaskState.STARTING, born=5))
    assert done(look(*slot, charge=a_charge(order=UpdateOrder.START_FIRST))) == ["a>SHUTDOWN"]


def test_a_new_task_that_fails_beside_an_old_one_is_tried_again() -> None:
    slot = (a_task("a", image="v1"), a_task("b", TaskState.FAILED, born=5))
    assert done(look(*slot, charge=a_charge(order=UpdateOrder.START_FIRST))) == ["b>SHUTDOWN", "+READY"]


def test_a_new_task_that_fails_beside_an_old_one_sends_it_away_when_the_order_is_stop_first() -> None:
    slot = (a_task("a", image="v1"), a_task("b", TaskState.FAILED, born=5))
    assert done(look(*slot)) == ["a>SHUTDOWN", "b>SHUTDOWN", "+READY"]


def test_one_of_two_old_tasks_that_fails_is_not_replaced_by_a_new_one() -> None:
    """The update has not come to this slot yet."""
    slot = (a_task("a", image="v1"), a_task("b", TaskState.FAILED, image="v1", born=5))
    assert done(look(*slot)) == ["b>SHUTDOWN"]


def test_a_failed_attempt_that_waits_goes_when_another_task_serves() -> None:
    ended = a_task("b", TaskState.FAILED, TaskState.SHUTDOWN, born=98)
    waiting = a_task("c", TaskState.FAILED, TaskState.READY, born=99)
    assert done(look(ended, waiting)) == []
    assert done(look(a_task("a"), ended, waiting)) == ["c>SHUTDOWN"]


def test_a_job_knows_no_rollback() -> None:
    """What was given up in a run stays so, whatever its service says of an update."""
    status = UpdateStatus(state=UpdateState.ROLLBACK_STARTED)
    job = Service(spec=a_spec(mode="replicated-job"), update_status=status)
    assert not Charge(job, NODES, START).rolling_back
    assert a_charge(status=UpdateState.ROLLBACK_STARTED).rolling_back


@pytest.mark.parametrize(
    ("order", "expected"), [(UpdateOrder.STOP_FIRST, ["a>SHUTDOWN", "+READY"]), (UpdateOrder.START_FIRST, ["+RUNNING"])]
)
def test_a_dirty_slot_is_renewed(order: UpdateOrder, expected: list[str]) -> None:
    assert done(renew(KEY, [a_task("a", image="v1")], a_charge(order=order), random.Random(1))) == expected


def test_a_slot_that_is_clean_or_under_way_is_not_renewed() -> None:
    slot = [a_task("a", image="v1"), a_task("b", TaskState.PENDING)]
    assert renew(KEY, slot, a_charge(), random.Random(1)) == ()


def test_a_slot_that_ended_is_renewed_at_once() -> None:
    slot = [a_task("a", TaskState.COMPLETE, TaskState.SHUTDOWN, image="v1")]
    for order in UpdateOrder:
        assert done(renew(KEY, slot, a_charge(order=order), random.Random(1))) == ["+RUNNING"]


def test_charges_are_made_once_and_only_for_services_that_are_there() -> None:
    view = apply(EMPTY, Changes.atomic(Create(a_charge().service)).groups, START, 1).snapshot
    charges = Charges(view, {ServiceId("web"), ServiceId("gone")}, START)
    web = charges.get(ServiceId("web"))
    assert web is not None
    assert charges.get(ServiceId("web")) is web
    assert charges.get(ServiceId("gone")) is None
    assert charges.get(ServiceId("other")) is None
    assert list(charges.of([ServiceId("web"), ServiceId("gone")])) == [web]
