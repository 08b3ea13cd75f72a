"""When a task is not what its service wants any more."""

import pytest
from msgspec.structs import replace
from orchestrator_world import a_node, a_spec

from swarmlab.api import (
    Annotations,
    Changes,
    ContainerSpec,
    Create,
    Endpoint,
    EndpointSpec,
    Instant,
    Node,
    NodeId,
    NodeSpec,
    Placement,
    PortConfig,
    PullOptions,
    Service,
    ServiceId,
    Task,
    TaskId,
    TaskSpec,
    TaskState,
    TaskStatus,
    Version,
)
from swarmlab.manager.orchestrator.dirty import DirtyCheck
from swarmlab.store import EMPTY, Snapshot, apply

SPEC = TaskSpec(container=ContainerSpec(image="v1"))


def a_service(task: TaskSpec = SPEC, *, version: int | None = 7, endpoint: EndpointSpec | None = None) -> Service:
    return Service(
        id=ServiceId("web"),
        spec=replace(a_spec(), task=task, endpoint=endpoint),
        spec_version=None if version is None else Version(version),
    )


def a_task(
    spec: TaskSpec = SPEC,
    *,
    version: int | None = 3,
    state: TaskState = TaskState.RUNNING,
    desired: TaskState = TaskState.RUNNING,
    node: str = "n1",
    endpoint: EndpointSpec | None = None,
) -> Task:
    return Task(
        id=TaskId("t1"),
        service_id=ServiceId("web"),
        spec=spec,
        spec_version=None if version is None else Version(version),
        slot=1,
        node_id=NodeId(node),
        status=TaskStatus(state=state),
        desired_state=desired,
        endpoint=Endpoint(spec=endpoint),
    )


def a_view(*nodes: Node) -> Snapshot:
    return apply(EMPTY, Changes.atomic(*map(Create, nodes)).groups, Instant(1), 1).snapshot


def is_dirty(service: Service, task: Task, *nodes: Node) -> bool:
    return DirtyCheck(service, a_view(*nodes))(task)


def placed(*constraints: str) -> TaskSpec:
    return replace(SPEC, placement=Placement(constraints=constraints))


def pulled(auth: str) -> TaskSpec:
    return replace(SPEC, container=ContainerSpec(image="v1", pull_options=PullOptions(auth)))


def test_an_equal_spec_of_another_version_is_clean() -> None:
    assert not is_dirty(a_service(), a_task())


def test_the_same_version_is_clean_without_a_comparison() -> None:
    assert not is_dirty(a_service(), a_task(replace(SPEC, force_update=9), version=7))


@pytest.mark.parametrize("version", [None, 3])
def test_another_image_is_dirty(version: int | None) -> None:
    other = replace(SPEC, container=ContainerSpec(image="v2"))
    assert is_dirty(a_service(other), a_task(version=version))


def test_force_update_makes_dirty() -> None:
    assert is_dirty(a_service(replace(SPEC, force_update=1)), a_task())


def test_another_endpoint_is_dirty() -> None:
    assert is_dirty(a_service(endpoint=EndpointSpec(ports=(PortConfig(target_port=80),))), a_task())


def test_a_task_without_endpoint_is_compared_by_its_spec_alone() -> None:
    service = a_service(endpoint=EndpointSpec(ports=(PortConfig(target_port=80),)))
    assert not is_dirty(service, replace(a_task(), endpoint=None))


def test_other_constraints_are_clean_where_the_node_meets_them() -> None:
    inside = a_node("n1", labels={"zone": "a"})
    service = a_service(placed("node.labels.zone == a"))
    assert not is_dirty(service, a_task(), inside)
    assert is_dirty(service, a_task(), a_node("n1", labels={"zone": "b"}))
    assert is_dirty(service, a_task(node=""), inside)
    assert is_dirty(service, a_task(), a_node("n2", labels={"zone": "a"}))


def test_other_constraints_and_another_image_are_dirty() -> None:
    service = a_service(replace(placed("node.labels.zone == a"), container=ContainerSpec(image="v2")))
    assert is_dirty(service, a_task(), a_node("n1", labels={"zone": "a"}))


def test_constraints_that_cannot_be_read_suit_no_node() -> None:
    assert is_dirty(a_service(placed("zone")), a_task(), a_node("n1"))


@pytest.mark.parametrize(
    ("state", "desired", "dirty"),
    [
        (TaskState.PREPARING, TaskState.RUNNING, True),
        (TaskState.READY, TaskState.RUNNING, False),
        (TaskState.RUNNING, TaskState.RUNNING, False),
        (TaskState.FAILED, TaskState.RUNNING, True),
        (TaskState.RUNNING, TaskState.SHUTDOWN, True),
    ],
)
def test_pull_options_do_not_matter_once_the_image_is_there(state: TaskState, desired: TaskState, dirty: bool) -> None:
    assert is_dirty(a_service(pulled("new")), a_task(pulled("old"), state=state, desired=desired)) is dirty


def test_pull_options_and_something_else_matter() -> None:
    service = a_service(replace(pulled("new"), force_update=1))
    assert is_dirty(service, a_task(pulled("old")))


def test_specs_are_compared_once_for_each_version_and_states_for_each_task() -> None:
    check = DirtyCheck(a_service(pulled("new")), a_view())
    assert [check(a_task(pulled("old"), state=state)) for state in (TaskState.PREPARING, TaskState.RUNNING)] == [
        True,
        False,
    ]


def test_a_node_that_is_not_there_suits_nothing() -> None:
    check = DirtyCheck(a_service(), a_view())
    assert not check.suits(None)
    assert check.suits(Node(id=NodeId("n1"), spec=NodeSpec(annotations=Annotations())))
