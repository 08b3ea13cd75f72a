"""Nodes, services and tasks in a few words."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from swarmlab.api import (
    Annotations,
    Availability,
    ContainerSpec,
    Driver,
    Endpoint,
    EngineDescription,
    GenericResource,
    GlobalService,
    Mount,
    Node,
    NodeDescription,
    NodeId,
    NodeSpec,
    NodeState,
    NodeStatus,
    Placement,
    PlacementPreference,
    Platform,
    PluginDescription,
    PortConfig,
    PublishMode,
    ReplicatedService,
    ResourceRequirements,
    Resources,
    Service,
    ServiceId,
    ServiceSpec,
    SpreadOver,
    Task,
    TaskId,
    TaskSpec,
    TaskState,
    TaskStatus,
    Version,
    parse_generic_resources,
)

#: Nano-CPUs of one core.
CPU = 10**9
#: Bytes.
MIB = 2**20


def a_node(
    name: str,
    *,
    cpus: float = 4,
    memory: int = 4096 * MIB,
    generic: str = "",
    labels: Mapping[str, str] | None = None,
    engine: Mapping[str, str] | None = None,
    state: NodeState = NodeState.READY,
    availability: Availability = Availability.ACTIVE,
    platform: Platform | None = Platform("x86_64", "linux"),  # noqa: B008 - immutable
    plugins: Sequence[tuple[str, str]] | None = None,
    hostname: str = "",
    address: str = "",
    **more: Any,
) -> Node:
    """A node that takes tasks, unless told otherwise. `plugins` None: nothing is known of its engine."""
    resources = Resources(int(cpus * CPU), memory, parse_generic_resources(generic) if generic else ())
    known = plugins is not None or engine is not None
    about = EngineDescription(
        labels=dict(engine or {}), plugins=tuple(PluginDescription(kind, called) for kind, called in plugins or ())
    )
    return Node(
        id=NodeId(name),
        spec=NodeSpec(annotations=Annotations(labels=dict(labels or {})), availability=availability),
        status=NodeStatus(state=state, addr=address),
        description=NodeDescription(
            hostname=hostname or f"host-{name}", resources=resources, platform=platform, engine=about if known else None
        ),
        **more,
    )


def a_spec(
    *,
    cpus: float = 0,
    memory: int = 0,
    generic: str = "",
    constraints: Sequence[str] = (),
    preferences: Sequence[str] = (),
    platforms: Sequence[Platform] = (),
    max_replicas: int = 0,
    mounts: Sequence[Mount] = (),
    logs: str = "",
) -> TaskSpec:
    """What a task runs and asks for."""
    wanted = Resources(int(cpus * CPU), memory, parse_generic_resources(generic) if generic else ())
    return TaskSpec(
        container=ContainerSpec(image="box", mounts=tuple(mounts)),
        resources=ResourceRequirements(reservations=wanted) if cpus or memory or generic else None,
        placement=Placement(
            constraints=tuple(constraints),
            preferences=tuple(PlacementPreference(SpreadOver(key)) for key in preferences),
            platforms=tuple(platforms),
            max_replicas=max_replicas,
        ),
        log_driver=Driver(logs) if logs else None,
    )


def a_service(
    name: str,
    replicas: int = 1,
    *,
    version: int = 1,
    labels: Mapping[str, str] | None = None,
    mode: str = "replicated",
    port: int = 0,
    **asks: Any,
) -> Service:
    """A service; `asks` as for `a_spec`. Its id is its name."""
    spec = ServiceSpec(
        annotations=Annotations(name, dict(labels or {})),
        task=asks.pop("spec", None) or a_spec(**asks),
        replicated=ReplicatedService(replicas) if mode == "replicated" else None,
        global_=GlobalService() if mode == "global" else None,
    )
    return Service(
        id=ServiceId(name), spec=spec, spec_version=Version(version), endpoint=an_endpoint(port) if port else None
    )


def an_endpoint(*ports: int) -> Endpoint:
    """Host ports."""
    return Endpoint(
        ports=tuple(PortConfig(target_port=port, published_port=port, publish_mode=PublishMode.HOST) for port in ports)
    )


def a_task(
    name: str,
    of: Service | None = None,
    *,
    node: str = "",
    state: TaskState = TaskState.PENDING,
    desired: TaskState = TaskState.RUNNING,
    slot: int = 1,
    given: Iterable[GenericResource] = (),
    **asks: Any,
) -> Task:
    """A task of the service, or one of its own; `asks` as for `a_spec`, and fields of Task."""
    fields: dict[str, Any] = {key: asks.pop(key) for key in list(asks) if key in Task.__struct_fields__}
    if of is not None:
        fields = {
            "service_id": of.id,
            "spec_version": of.spec_version,
            "service_annotations": of.spec.annotations,
            "spec": of.spec.task,
            "endpoint": of.endpoint,
        } | fields
    fields.setdefault("spec", a_spec(**asks))
    return Task(
        id=TaskId(name),
        slot=slot,
        node_id=NodeId(node),
        status=TaskStatus(state=state),
        desired_state=desired,
        assigned_generic_resources=tuple(given),
        **fields,
    )


def tasks_of(service: Service, count: int, **fields: Any) -> list[Task]:
    """`count` tasks of the service: web.01, web.02 ..."""
    return [a_task(f"{service.id}.{slot:02}", service, slot=slot, **fields) for slot in range(1, count + 1)]
