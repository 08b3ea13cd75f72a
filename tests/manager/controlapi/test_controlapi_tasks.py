"""Tasks: listing, and when one may be cleared away."""

import pytest
from asked import Requests, node, placed, spec, task

from swarmlab.api import (
    Annotations,
    ContainerSpec,
    Filters,
    NotFound,
    Precondition,
    Service,
    ServiceId,
    TaskId,
    TaskSpec,
    TaskState,
    Version,
)
from swarmlab.manager.controlapi import get_task, list_tasks, remove_task

NGINX = TaskSpec(container=ContainerSpec(image="nginx"))


def web(**more: object) -> Service:
    return Service(id=ServiceId("s1"), spec=spec("web"), spec_version=Version(4), **more)


def test_lists_are_narrowed_by_every_filter(at: Requests) -> None:
    labelled = Annotations("web", {"tier": "front"})
    at.put(
        web(),
        node("n1"),
        task("t1", "s1", node="n1", slot=1, service_annotations=labelled, spec=NGINX),
        task("t2", "s1", node="n2", slot=2, service_annotations=labelled, desired=TaskState.SHUTDOWN, spec=NGINX),
        task("t3", "s2", node="n1", slot=1, service_annotations=Annotations("api"), spec=NGINX),
    )

    def ids(**by: object) -> list[str]:
        return [found.id for found in list_tasks(at.view, Filters(**by))]

    assert ids() == ["t1", "t2", "t3"]
    assert ids(names=("web.1.t1",)) == ["t1"]
    assert ids(name_prefixes=("web.", "api")) == ["t1", "t2", "t3"]
    assert ids(id_prefixes=("t3",)) == ["t3"]
    assert ids(labels={"tier": "front"}) == ["t1", "t2"]
    assert ids(service_ids=("s1", "s1")) == ["t1", "t2"]
    assert ids(node_ids=("n1",)) == ["t1", "t3"]
    assert ids(service_ids=("s1",), node_ids=("n1",)) == ["t1"]
    assert ids(desired_states=(TaskState.RUNNING,)) == ["t1", "t3"]
    assert ids(runtimes=("container",)) == ["t1", "t2", "t3"]
    assert ids(runtimes=("attachment",)) == []


def test_up_to_date_tasks_follow_the_present_spec(at: Requests) -> None:
    at.put(
        web(),
        node("n1"),
        task("same-version", "s1", spec_version=Version(4), node="n1"),
        task("same-spec", "s1", spec=NGINX, spec_version=Version(1), node="n1"),
        task("other-spec", "s1", spec_version=Version(2), node="n1"),
        task("no-service", "gone", spec_version=Version(4), node="n1"),
    )
    assert [found.id for found in list_tasks(at.view, Filters(up_to_date=True))] == ["same-spec", "same-version"]


def test_a_task_is_up_to_date_while_only_its_place_changed_and_still_suits(at: Requests) -> None:
    wish = spec("web", task=placed("node.labels.disk == ssd"))
    at.put(
        Service(id=ServiceId("s1"), spec=wish, spec_version=Version(4)),
        node("n1", {"disk": "ssd"}),
        node("n2"),
        task("good", "s1", spec=NGINX, spec_version=Version(1), node="n1"),
        task("misplaced", "s1", spec=NGINX, spec_version=Version(1), node="n2"),
    )
    assert [found.id for found in list_tasks(at.view, Filters(up_to_date=True))] == ["good"]


def test_unknown_tasks_are_not_found(at: Requests) -> None:
    for ask in (get_task, remove_task):
        with pytest.raises(NotFound, match="task t9 not found"):
            ask(at.view, TaskId("t9"))


@pytest.mark.parametrize("state", [TaskState.COMPLETE, TaskState.FAILED, TaskState.ORPHANED])
def test_an_ended_task_goes_at_once(at: Requests, state: TaskState) -> None:
    at.put(web(), task("t1", "s1", state, node="n1"))
    at.commit(remove_task(at.view, TaskId("t1")))
    assert at.view.tasks() == ()


@pytest.mark.parametrize("state", [TaskState.NEW, TaskState.PENDING, TaskState.STARTING, TaskState.RUNNING])
def test_defect_20_a_task_that_its_service_wants_is_not_removed(at: Requests, state: TaskState) -> None:
    """It would be killed behind the back of its node, and another made at once."""
    at.put(web(), node("n1"), task("t1", "s1", state, node="n1"))
    with pytest.raises(Precondition, match=f"task t1 of service web is {state.name.lower()} and would be replaced"):
        remove_task(at.view, TaskId("t1"))


def test_a_task_that_nobody_wants_and_nobody_runs_goes_at_once(at: Requests) -> None:
    at.put(
        web(),
        task("never-ran", "s1", TaskState.PENDING, TaskState.SHUTDOWN),
        task("no-service", "gone", TaskState.NEW),
        task("no-node", "gone", TaskState.RUNNING, node="lost"),
    )
    for each in at.view.tasks():
        at.commit(remove_task(at.view, each.id))
    assert at.view.tasks() == ()


def test_a_task_that_nobody_wants_and_a_node_runs_is_stopped_first(at: Requests) -> None:
    at.put(node("n1"), task("t1", "gone", node="n1"))
    at.commit(remove_task(at.view, TaskId("t1")))
    assert get_task(at.view, TaskId("t1")).desired_state == TaskState.REMOVE
    changes, _ = remove_task(at.view, TaskId("t1"))
    assert not changes
