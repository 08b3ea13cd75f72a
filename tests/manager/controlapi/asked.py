"""A cluster that is nothing but requests: commit at once, read back."""

import random
from typing import Any, TypeVar

from swarmlab.api import (
    Annotations,
    Changes,
    Cluster,
    ClusterId,
    ClusterSpec,
    ContainerSpec,
    Create,
    EngineDescription,
    Instant,
    Membership,
    Node,
    NodeDescription,
    NodeId,
    NodeSpec,
    NodeState,
    NodeStatus,
    Placement,
    PlacementPreference,
    ReplicatedService,
    ResourceRequirements,
    Resources,
    ServiceId,
    ServiceSpec,
    SpreadOver,
    StoreObject,
    Task,
    TaskId,
    TaskSpec,
    TaskState,
    TaskStatus,
)
from swarmlab.store import EMPTY, apply

T = TypeVar("T")


class Requests:
    """The state after the requests so far; each commit is one second later."""

    def __init__(self) -> None:
        self.view = EMPTY
        self.ids = random.Random(7)
        self.now = Instant(1_000_000_000)

    def commit(self, answered: tuple[Changes, T]) -> T:
        """Commit what a request asked for; its answer."""
        changes, answer = answered
        applied = apply(self.view, changes.groups, self.now, self.view.version + 1)
        assert not applied.refused, applied.refused
        self.view = applied.snapshot
        self.now = Instant(self.now + 1_000_000_000)
        return answer

    def put(self, *objects: StoreObject) -> None:
        """Objects from elsewhere."""
        self.commit((Changes.atomic(*map(Create, objects)), None))


def spec(name: str = "web", replicas: int = 2, task: TaskSpec | None = None, **more: Any) -> ServiceSpec:
    """A small replicated service."""
    labels = more.pop("labels", {})
    if not {"global_", "replicated_job", "global_job"} & more.keys():
        more["replicated"] = ReplicatedService(replicas)
    return ServiceSpec(
        annotations=Annotations(name, labels), task=task or TaskSpec(container=ContainerSpec(image="nginx")), **more
    )


def placed(*constraints: str, spread: str = "", reserve: Resources | None = None) -> TaskSpec:
    """A task with wishes about its place."""
    return TaskSpec(
        container=ContainerSpec(image="nginx"),
        placement=Placement(
            constraints=constraints,
            preferences=(PlacementPreference(SpreadOver(spread)),) if spread else (),
        ),
        resources=ResourceRequirements(reservations=reserve) if reserve is not None else None,
    )


def node(
    name: str,
    labels: dict[str, str] | None = None,
    engine: dict[str, str] | None = None,
    resources: Resources | None = None,
    state: NodeState = NodeState.READY,
    **more: Any,
) -> Node:
    """A worker whose id is its name."""
    return Node(
        id=NodeId(name),
        spec=more.pop("spec", NodeSpec(annotations=Annotations("", labels or {}), membership=Membership.ACCEPTED)),
        description=NodeDescription(
            hostname=more.pop("hostname", name), resources=resources, engine=EngineDescription(labels=engine or {})
        ),
        status=NodeStatus(state=state),
        **more,
    )


def task(
    name: str,
    service: str = "",
    state: TaskState = TaskState.RUNNING,
    desired: TaskState = TaskState.RUNNING,
    node: str = "",
    slot: int = 1,
    **more: Any,
) -> Task:
    """A task whose id is its name."""
    return Task(
        id=TaskId(name),
        service_id=ServiceId(service),
        node_id=NodeId(node),
        slot=slot,
        status=TaskStatus(state=state),
        desired_state=desired,
        **more,
    )


def cluster() -> Cluster:
    """The one cluster object."""
    return Cluster(id=ClusterId("cluster1"), spec=ClusterSpec(annotations=Annotations("default")))
