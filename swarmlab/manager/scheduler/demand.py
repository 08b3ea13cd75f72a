"""What tasks ask of a node, read out of their specs."""

from collections.abc import Iterable

from swarmlab.api import (
    Endpoint,
    GenericResource,
    Mount,
    MountType,
    NetworkAttachment,
    Placement,
    PublishMode,
    Resources,
    Service,
    Task,
    TaskSpec,
    TaskState,
)
from swarmlab.plugin import Group, Reservation

_NO_RESOURCES = Resources()
_ANYWHERE = Placement()


def on_node(task: Task) -> bool:
    """It is on a node and holds its resources there, told to stop or not."""
    return bool(task.node_id) and TaskState.ASSIGNED <= task.status.state <= TaskState.RUNNING


def active(task: Task) -> bool:
    """Of those on a node: not told to stop."""
    return task.desired_state <= TaskState.COMPLETE


def reserved(spec: TaskSpec) -> Resources:
    """The reservation of one task, empty where there is none."""
    resources = spec.resources
    return (resources.reservations if resources is not None else None) or _NO_RESOURCES


def units(generic: Iterable[GenericResource]) -> dict[str, int]:
    """{kind: units} of counted and named resources, by kind."""
    found: dict[str, int] = {}
    for item in generic:
        if item.discrete_resource_spec is not None:
            counted = item.discrete_resource_spec
            found[counted.kind] = found.get(counted.kind, 0) + counted.value
        elif item.named_resource_spec is not None:
            kind = item.named_resource_spec.kind
            found[kind] = found.get(kind, 0) + 1
    return {kind: found[kind] for kind in sorted(found) if found[kind] > 0}


def reservation_of(spec: TaskSpec) -> Reservation:
    """What one task of the spec books."""
    wanted = reserved(spec)
    return Reservation(max(wanted.nano_cpus, 0), max(wanted.memory_bytes, 0), units(wanted.generic))


def host_ports(endpoint: Endpoint | None) -> tuple[tuple[str, int], ...]:
    """(protocol, port) pairs that the task takes on its host."""
    if endpoint is None:
        return ()
    wished = endpoint.spec.ports if endpoint.spec is not None else ()
    return tuple(
        (port.protocol.name.lower(), port.published_port)
        for port in endpoint.ports or wished
        if port.publish_mode == PublishMode.HOST and port.published_port
    )


def cluster_mounts(spec: TaskSpec) -> tuple[Mount, ...]:
    """The mounts that need a cluster volume."""
    if spec.container is None:
        return ()
    return tuple(mount for mount in spec.container.mounts if mount.type == MountType.CLUSTER)


def drivers(spec: TaskSpec, networks: Iterable[NetworkAttachment]) -> tuple[tuple[str, str], ...]:
    """(type, name) pairs of drivers that the node must have. Source: SwarmKit `scheduler/filter.go`, PluginFilter."""
    found = []
    for mount in spec.container.mounts if spec.container is not None else ():
        options = mount.volume_options
        driver = options.driver_config.name if options is not None and options.driver_config is not None else ""
        if mount.type == MountType.VOLUME and driver not in ("", "local"):
            found.append(("Volume", driver))
    for attachment in networks:
        network = attachment.network
        if network is not None and network.driver_state is not None and network.driver_state.name:
            found.append(("Network", network.driver_state.name))
    if spec.log_driver is not None and spec.log_driver.name not in ("", "none"):
        found.append(("Log", spec.log_driver.name))
    return tuple(sorted(set(found)))


def group_of_tasks(group_id: str, first: Task, service: Service | None, count: int) -> Group:
    """The group of `count` tasks equal to `first`."""
    annotations = service.spec.annotations if service is not None else first.service_annotations
    placement = first.spec.placement or _ANYWHERE
    return Group(
        id=group_id,
        service=first.service_id,
        service_name=annotations.name,
        labels=annotations.labels,
        spec=first.spec,
        spec_version=first.spec_version.index if first.spec_version is not None else 0,
        count=count,
        reservation=reservation_of(first.spec),
        constraints=placement.constraints,
        preferences=_preferences(placement),
        platforms=tuple((platform.os, platform.architecture) for platform in placement.platforms),
        max_replicas=placement.max_replicas,
        host_ports=host_ports(first.endpoint),
        drivers=drivers(first.spec, first.networks),
    )


def group_of_service(service: Service, count: int, networks: Iterable[NetworkAttachment] = ()) -> Group:
    """The group of `count` further tasks of the service on those networks, as its spec is now."""
    version = service.spec_version
    like = Task(
        service_id=service.id,
        spec=service.spec.task,
        spec_version=version,
        endpoint=service.endpoint if service.endpoint is not None else Endpoint(service.spec.endpoint),
        networks=tuple(networks),
    )
    return group_of_tasks(group_id(service.id, version.index if version is not None else 0), like, service, count)


def group_id(service: str, spec_version: int) -> str:
    """The name of the group of a service's tasks of one spec version."""
    return f"{service}@{spec_version}"


def _preferences(placement: Placement) -> tuple[str, ...]:
    return tuple(
        preference.spread.spread_descriptor for preference in placement.preferences if preference.spread is not None
    )
