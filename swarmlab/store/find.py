"""Finders: what `Snapshot.find` can be asked for, as values."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from swarmlab.api import (
    KINDS,
    Annotations,
    ConfigId,
    Extension,
    InvalidSpec,
    Membership,
    NetworkId,
    Node,
    NodeId,
    NodeRole,
    Resource,
    ResourceType,
    SecretId,
    Service,
    ServiceId,
    StoreObject,
    Task,
    TaskSpec,
    TaskState,
    Value,
    Volume,
    VolumeId,
    name_of,
    runtime_of,
)

if TYPE_CHECKING:
    from swarmlab.store.snapshot import Snapshot

T = TypeVar("T", bound=StoreObject)


class ByName(Value, frozen=True):
    """Objects of that name, whatever the case: a node's host name, a task's display name, else what the user gave."""

    name: str


class ByNamePrefix(Value, frozen=True):
    """Objects whose name begins so, whatever the case."""

    prefix: str


class ByIdPrefix(Value, frozen=True):
    """Objects whose id begins so."""

    prefix: str


class ByService(Value, frozen=True):
    """Tasks of a service."""

    service_id: ServiceId


class ByNode(Value, frozen=True):
    """Tasks that a node was given."""

    node_id: NodeId


class BySlot(Value, frozen=True):
    """Tasks of a slot of a service."""

    service_id: ServiceId
    slot: int


class ByDesiredState(Value, frozen=True):
    """Tasks that are wanted in a state."""

    state: TaskState


class ByTaskState(Value, frozen=True):
    """Tasks observed in a state."""

    state: TaskState


class ByRole(Value, frozen=True):
    """Nodes that have a role now; `spec.desired_role` is only the wish."""

    role: NodeRole


class ByMembership(Value, frozen=True):
    """Nodes accepted, or not yet."""

    membership: Membership


class ReferencesNetwork(Value, frozen=True):
    """Services and tasks that use a network."""

    network_id: NetworkId


class ReferencesSecret(Value, frozen=True):
    """Services and tasks that use a secret."""

    secret_id: SecretId


class ReferencesConfig(Value, frozen=True):
    """Services and tasks that use a config."""

    config_id: ConfigId


class AttachesVolume(Value, frozen=True):
    """Tasks for which a cluster volume was chosen."""

    volume_id: VolumeId


class ByRuntime(Value, frozen=True):
    """Services and tasks run by `container`, `attachment` or a generic runtime of that kind."""

    runtime: str


class ByCustom(Value, frozen=True):
    """Objects whose annotations carry that index with that value."""

    index: str
    value: str


class ByCustomPrefix(Value, frozen=True):
    """Objects whose annotations carry that index with a value that begins so."""

    index: str
    prefix: str


class ByVolumeGroup(Value, frozen=True):
    """Cluster volumes of a group."""

    group: str


class ByDriver(Value, frozen=True):
    """Cluster volumes of a driver."""

    driver: str


class ByKind(Value, frozen=True):
    """Resources of an extension, by its name, whatever the case."""

    kind: str


By = (
    ByName
    | ByNamePrefix
    | ByIdPrefix
    | ByService
    | ByNode
    | BySlot
    | ByDesiredState
    | ByTaskState
    | ByRole
    | ByMembership
    | ReferencesNetwork
    | ReferencesSecret
    | ReferencesConfig
    | AttachesVolume
    | ByRuntime
    | ByCustom
    | ByCustomPrefix
    | ByVolumeGroup
    | ByDriver
    | ByKind
)

_EVERY = frozenset(KINDS)
_TASKS = frozenset({Task})
_NODES = frozenset({Node})
_WORKLOADS: frozenset[type[StoreObject]] = frozenset({Task, Service})
_VOLUMES = frozenset({Volume})

#: {finder: kinds that can be asked for by it}
FITS: dict[type[By], frozenset[type[StoreObject]]] = {
    ByName: _EVERY,
    ByNamePrefix: _EVERY,
    ByIdPrefix: _EVERY,
    ByService: _TASKS,
    ByNode: _TASKS,
    BySlot: _TASKS,
    ByDesiredState: _TASKS,
    ByTaskState: _TASKS,
    ByRole: _NODES,
    ByMembership: _NODES,
    ReferencesNetwork: _WORKLOADS,
    ReferencesSecret: _WORKLOADS,
    ReferencesConfig: _WORKLOADS,
    AttachesVolume: _TASKS,
    ByRuntime: _WORKLOADS,
    ByCustom: _EVERY,
    ByCustomPrefix: _EVERY,
    ByVolumeGroup: _VOLUMES,
    ByDriver: _VOLUMES,
    ByKind: frozenset({Resource}),
}


def found(view: "Snapshot", kind: type[T], by: By) -> tuple[T, ...]:
    """The objects of that kind that the finder names, sorted by id; at the cost of the answer where an index serves.

    Raises:
        InvalidSpec: The finder does not fit the kind.
    """
    if kind not in FITS[type(by)]:
        raise InvalidSpec(
            f"{type(by).__name__} does not find objects of the kind {KINDS[cast(type[StoreObject], kind)]}"
        )
    indexed = _indexed(view, kind, by)
    if indexed is not None:
        return cast("tuple[T, ...]", tuple(indexed))
    named = matcher(by)
    return tuple(obj for obj in view.all(kind) if named(obj))


def _indexed(view: "Snapshot", kind: type[T], by: By) -> Iterable[StoreObject] | None:
    match by:
        case ByService(service_id):
            return view.tasks_of(service_id)
        case ByNode(node_id):
            return view.tasks_on(node_id)
        case BySlot(service_id, slot):
            return view.tasks_in(service_id, slot)
        case ByName(name) if kind is Node:
            return view.nodes_called(name)
        case ByName(name) if kind not in (Task, Resource):
            only = view.by_name(kind, name)
            return () if only is None else (only,)
    return None


def matcher(by: By) -> Callable[[Any], bool]:
    """Whether the finder names an object, of a kind that it fits."""
    match by:
        case ByName(name):
            wanted = name.lower()
            return lambda obj: bool(wanted) and name_of(obj).lower() == wanted
        case ByNamePrefix(prefix):
            beginning = prefix.lower()
            return lambda obj: name_of(obj).lower().startswith(beginning)
        case ByIdPrefix(prefix):
            return lambda obj: obj.id.startswith(prefix)
        case ByCustom(index, value):
            return lambda obj: any(at.key == index and at.val == value for at in annotations_of(obj).indices)
        case ByCustomPrefix(index, prefix):
            return lambda obj: any(at.key == index and at.val.startswith(prefix) for at in annotations_of(obj).indices)
        case ByRole(role):
            return lambda node: node.role == role
        case ByMembership(membership):
            return lambda node: node.spec.membership == membership
        case ByVolumeGroup(group):
            return lambda volume: volume.spec.group == group
        case ByDriver(driver):
            return lambda volume: volume.spec.driver is not None and volume.spec.driver.name == driver
        case ByKind(name):
            extension = name.lower()
            return lambda resource: resource.kind.lower() == extension
    return _workload_matcher(by)


def _workload_matcher(by: By) -> Callable[[Any], bool]:
    match by:
        case ByService(service_id):
            return lambda task: bool(service_id) and task.service_id == service_id
        case ByNode(node_id):
            return lambda task: bool(node_id) and task.node_id == node_id
        case BySlot(service_id, slot):
            return lambda task: bool(service_id) and task.service_id == service_id and task.slot == slot
        case ByDesiredState(state):
            return lambda task: task.desired_state == state
        case ByTaskState(state):
            return lambda task: task.status.state == state
        case ReferencesNetwork(network_id):
            return lambda obj: network_id in _networks(obj)
        case ReferencesSecret(secret_id):
            return lambda obj: secret_id in _secrets(task_spec_of(obj))
        case ReferencesConfig(config_id):
            return lambda obj: config_id in _configs(task_spec_of(obj))
        case AttachesVolume(volume_id):
            return lambda task: any(volume.id == volume_id for volume in task.volumes)
        case ByRuntime(runtime):
            return lambda obj: runtime_of(task_spec_of(obj)) == runtime
    raise AssertionError(f"no matcher for {by}")


def annotations_of(obj: StoreObject) -> Annotations:
    """Name, labels and custom indexes of an object."""
    if isinstance(obj, Task | Resource | Extension):
        return obj.annotations
    return obj.spec.annotations


def task_spec_of(obj: Task | Service) -> TaskSpec:
    """What a task runs, or the tasks of a service."""
    return obj.spec if isinstance(obj, Task) else obj.spec.task


def _networks(obj: Task | Service) -> set[str]:
    """Networks wished for, in the present and in the older place, and those attached."""
    if isinstance(obj, Task):
        attached = {attachment.network.id for attachment in obj.networks if attachment.network is not None}
        return {wish.target for wish in obj.spec.networks} | attached
    return {wish.target for wish in (*obj.spec.task.networks, *obj.spec.networks)}


def _secrets(spec: TaskSpec) -> set[str]:
    own = {reference.secret_id for reference in spec.container.secrets} if spec.container is not None else set()
    return own | _further(spec, ResourceType.SECRET)


def _configs(spec: TaskSpec) -> set[str]:
    own = {reference.config_id for reference in spec.container.configs} if spec.container is not None else set()
    return own | _further(spec, ResourceType.CONFIG)


def _further(spec: TaskSpec, kind: ResourceType) -> set[str]:
    return {reference.resource_id for reference in spec.resource_references if reference.resource_type == kind}
