"""The control service: a table from the fields of each request to a call of the control API."""

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from swarmlab.api import (
    Annotations,
    AnyValue,
    Changes,
    ClusterId,
    ClusterSpec,
    ConfigId,
    ConfigSpec,
    ExtensionId,
    Filters,
    Instant,
    InvalidSpec,
    KeyRotation,
    ManagerStatus,
    Membership,
    Network,
    NetworkId,
    NetworkSpec,
    NodeId,
    NodeRole,
    NodeSpec,
    NotFound,
    ResourceId,
    Rollback,
    SecretId,
    SecretSpec,
    ServiceId,
    ServiceSpec,
    TaskId,
    TaskState,
    Value,
    VolumeId,
    VolumeSpec,
    Word,
)
from swarmlab.api.proto.control_pb2 import DESCRIPTOR
from swarmlab.api.wire import decode, fill
from swarmlab.edges.grpc.handlers import Unary
from swarmlab.edges.grpc.ports import ControlPlane
from swarmlab.manager import controlapi as api
from swarmlab.store import Snapshot

SERVICE = DESCRIPTOR.services_by_name["Control"]
#: Objects of a list that are written before others get their turn: about 10 ms.
PIECE = 1000

#: Enums in filters, by their names on the wire.
WORDS: Mapping[str, type[Word]] = {"Membership": Membership, "NodeRole": NodeRole, "TaskState": TaskState}

V = TypeVar("V", bound=Value)

#: The managers' group as it is now; None where one manager decides alone.
ManagersNow = Callable[[], Mapping[NodeId, ManagerStatus] | None]
#: A request message; its class is generated and has no static type.
Asked = Any


class Read(NamedTuple):
    """A method that answers from the view."""

    #: Field of the response.
    field: str
    answer: Callable[[Snapshot, Asked], Value | Iterable[Value]]


class Call(NamedTuple):
    """All that a change is made from."""

    view: Snapshot
    asked: Asked
    ids: random.Random
    now: Instant


class Write(NamedTuple):
    """A method that changes something; the answer is read again after the commit."""

    #: Field of the response; empty where it holds nothing.
    field: str
    change: Callable[[Call], tuple[Changes, Any]]
    #: Reads the object of that id.
    read: Callable[[Snapshot, Any], Value] | None = None


READS: Mapping[str, Read] = {
    "GetTask": Read("task", lambda view, r: api.get_task(view, TaskId(r.task_id))),
    "ListTasks": Read("tasks", lambda view, r: api.list_tasks(view, filters_of(r))),
    "GetService": Read("service", lambda view, r: api.get_service(view, ServiceId(r.service_id), r.insert_defaults)),
    "ListServices": Read("services", lambda view, r: api.list_services(view, filters_of(r))),
    "ListServiceStatuses": Read(
        "statuses", lambda view, r: api.list_service_statuses(view, tuple(map(ServiceId, r.services)))
    ),
    "GetNetwork": Read("network", lambda view, r: api.get_network(view, network_id(view, r))),
    "ListNetworks": Read("networks", lambda view, r: api.list_networks(view, filters_of(r))),
    "GetCluster": Read("cluster", lambda view, r: api.get_cluster(view, ClusterId(r.cluster_id))),
    "ListClusters": Read("clusters", lambda view, r: api.list_clusters(view, filters_of(r))),
    "GetSecret": Read("secret", lambda view, r: api.get_secret(view, SecretId(r.secret_id))),
    "ListSecrets": Read("secrets", lambda view, r: api.list_secrets(view, filters_of(r))),
    "GetConfig": Read("config", lambda view, r: api.get_config(view, ConfigId(r.config_id))),
    "ListConfigs": Read("configs", lambda view, r: api.list_configs(view, filters_of(r))),
    "GetExtension": Read("extension", lambda view, r: api.get_extension(view, ExtensionId(r.extension_id))),
    "GetResource": Read("resource", lambda view, r: api.get_resource(view, ResourceId(r.resource_id))),
    "ListResources": Read("resources", lambda view, r: api.list_resources(view, filters_of(r))),
    "GetVolume": Read("volume", lambda view, r: api.get_volume(view, VolumeId(r.volume_id))),
    "ListVolumes": Read("volumes", lambda view, r: api.list_volumes(view, filters_of(r))),
}

WRITES: Mapping[str, Write] = {
    "RemoveTask": Write("", lambda c: api.remove_task(c.view, TaskId(c.asked.task_id))),
    "CreateService": Write(
        "service",
        lambda c: api.create_service(c.view, spec(ServiceSpec, c.asked), c.ids, c.now),
        api.get_service,
    ),
    "UpdateService": Write(
        "service",
        lambda c: api.update_service(
            c.view,
            ServiceId(c.asked.service_id),
            version(c.asked, "service_version"),
            decode(ServiceSpec, c.asked.spec) if c.asked.HasField("spec") else None,
            Rollback(c.asked.rollback),
            c.now,
        ),
        api.get_service,
    ),
    "RemoveService": Write("", lambda c: api.remove_service(c.view, ServiceId(c.asked.service_id))),
    "CreateNetwork": Write(
        "network", lambda c: api.create_network(c.view, spec(NetworkSpec, c.asked), c.ids), api.get_network
    ),
    "RemoveNetwork": Write("", lambda c: api.remove_network(c.view, network_id(c.view, c.asked))),
    "UpdateCluster": Write(
        "cluster",
        lambda c: api.update_cluster(
            c.view,
            ClusterId(c.asked.cluster_id),
            version(c.asked, "cluster_version"),
            spec(ClusterSpec, c.asked),
            decode(KeyRotation, c.asked.rotation),
            c.ids,
            c.now,
        ),
        api.get_cluster,
    ),
    "CreateSecret": Write(
        "secret", lambda c: api.create_secret(c.view, spec(SecretSpec, c.asked), c.ids), api.get_secret
    ),
    "UpdateSecret": Write(
        "secret",
        lambda c: api.update_secret(
            c.view, SecretId(c.asked.secret_id), version(c.asked, "secret_version"), spec(SecretSpec, c.asked)
        ),
        api.get_secret,
    ),
    "RemoveSecret": Write("", lambda c: api.remove_secret(c.view, SecretId(c.asked.secret_id))),
    "CreateConfig": Write(
        "config", lambda c: api.create_config(c.view, spec(ConfigSpec, c.asked), c.ids), api.get_config
    ),
    "UpdateConfig": Write(
        "config",
        lambda c: api.update_config(
            c.view, ConfigId(c.asked.config_id), version(c.asked, "config_version"), spec(ConfigSpec, c.asked)
        ),
        api.get_config,
    ),
    "RemoveConfig": Write("", lambda c: api.remove_config(c.view, ConfigId(c.asked.config_id))),
    "CreateExtension": Write(
        "extension",
        lambda c: api.create_extension(c.view, decode(Annotations, c.asked.annotations), c.asked.description, c.ids),
        api.get_extension,
    ),
    "RemoveExtension": Write("", lambda c: api.remove_extension(c.view, ExtensionId(c.asked.extension_id))),
    "CreateResource": Write(
        "resource",
        lambda c: api.create_resource(
            c.view, decode(Annotations, c.asked.annotations), c.asked.kind, payload(c.asked), c.ids
        ),
        api.get_resource,
    ),
    "UpdateResource": Write(
        "resource",
        lambda c: api.update_resource(
            c.view,
            ResourceId(c.asked.resource_id),
            version(c.asked, "resource_version"),
            decode(Annotations, c.asked.annotations) if c.asked.HasField("annotations") else None,
            payload(c.asked),
        ),
        api.get_resource,
    ),
    "RemoveResource": Write("", lambda c: api.remove_resource(c.view, ResourceId(c.asked.resource_id))),
    "CreateVolume": Write(
        "volume", lambda c: api.create_volume(c.view, spec(VolumeSpec, c.asked), c.ids), api.get_volume
    ),
    "UpdateVolume": Write(
        "volume",
        lambda c: api.update_volume(
            c.view, VolumeId(c.asked.volume_id), version(c.asked, "volume_version"), spec(VolumeSpec, c.asked)
        ),
        api.get_volume,
    ),
    "RemoveVolume": Write("", lambda c: api.remove_volume(c.view, VolumeId(c.asked.volume_id), c.asked.force)),
}


def methods(control: ControlPlane) -> Mapping[str, Unary]:
    """{method: how it is answered} for the whole service."""
    reads = {**READS, **_node_reads(control.managers)}
    writes = {**WRITES, **_node_writes(control.managers)}
    return {name: _reading(control, name, read) for name, read in reads.items()} | {
        name: _writing(control, name, write) for name, write in writes.items()
    }


def _node_reads(managers: ManagersNow) -> Mapping[str, Read]:
    """Nodes are read together with their place among the managers."""
    return {
        "GetNode": Read("node", lambda view, r: api.get_node(view, NodeId(r.node_id), managers())),
        "ListNodes": Read("nodes", lambda view, r: api.list_nodes(view, filters_of(r), managers())),
    }


def _node_writes(managers: ManagersNow) -> Mapping[str, Write]:
    """Whether a manager can be spared depends on the others."""
    return {
        "UpdateNode": Write(
            "node",
            lambda c: api.update_node(
                c.view,
                NodeId(c.asked.node_id),
                version(c.asked, "node_version"),
                spec(NodeSpec, c.asked),
                managers(),
            ),
            lambda view, node_id: api.get_node(view, node_id, managers()),
        ),
        "RemoveNode": Write(
            "", lambda c: api.remove_node(c.view, NodeId(c.asked.node_id), c.asked.force, c.now, managers())
        ),
    }


def _reading(control: ControlPlane, name: str, read: Read) -> Unary:
    response = _response(name)

    async def answer(request: Asked) -> Message:
        message = response()
        found = read.answer(control.view, request)
        if isinstance(found, Value):
            fill(getattr(message, read.field), found)
        else:
            await _fill_all(getattr(message, read.field), found)
        return message

    return answer


def _writing(control: ControlPlane, name: str, write: Write) -> Unary:
    response = _response(name)

    async def answer(request: Asked) -> Message:
        made = await control.mutate(lambda view, ids, now: write.change(Call(view, request, ids, now)))
        message = response()
        if write.read is not None:
            fill(getattr(message, write.field), _again(control.view, write.read, made))
        return message

    return answer


def _again(view: Snapshot, read: Callable[[Snapshot, Any], Value], made: Any) -> Value:
    """The object as it was committed, or as it was asked for if somebody has removed it since."""
    try:
        return read(view, made.id)
    except NotFound:
        assert isinstance(made, Value)
        return made


async def _fill_all(repeated: Any, values: Iterable[Value]) -> None:
    """In pieces: a hundred thousand tasks take a second, in which heartbeats want to be heard."""
    for place, value in enumerate(values, 1):
        fill(repeated.add(), value)
        if place % PIECE == 0:
            await asyncio.sleep(0)


def _response(name: str) -> Callable[[], Message]:
    return GetMessageClass(SERVICE.methods_by_name[name].output_type)


def spec(cls: type[V], request: Asked) -> V:
    """The spec in a request.

    Raises:
        InvalidSpec: There is none.
    """
    if not request.HasField("spec"):
        raise InvalidSpec(f"spec: none, wanted: a {cls.__name__}")
    return decode(cls, request.spec)


def version(request: Asked, field: str) -> int:
    """The version of the object that the caller read.

    Raises:
        InvalidSpec: There is none.
    """
    if not request.HasField(field):
        raise InvalidSpec(f"{field.replace('_', ' ')}: none, wanted: the version of the object as it was read")
    index: int = getattr(request, field).index
    return index


def payload(request: Asked) -> AnyValue | None:
    """The payload of a resource, if there is one."""
    return decode(AnyValue, request.payload) if request.HasField("payload") else None


def network_id(view: Snapshot, request: Asked) -> NetworkId:
    """The network that a request means, by id or else by its whole name."""
    if request.network_id or not request.name:
        return NetworkId(request.network_id)
    network = view.by_name(Network, request.name)
    if network is None:
        raise NotFound(f"network {request.name} not found")
    return network.id


def filters_of(request: Asked) -> Filters:
    """The filters in a request; each kind has some of the fields, by the same names."""
    filters = request.filters
    return Filters(**{wire.name: _filter(wire, getattr(filters, wire.name)) for wire in filters.DESCRIPTOR.fields})


def _filter(wire: FieldDescriptor, value: Any) -> Any:
    if not wire.is_repeated:
        return value
    if wire.enum_type is not None:
        return tuple(WORDS[wire.enum_type.name](number) for number in value)
    return dict(sorted(value.items())) if wire.message_type is not None else tuple(value)
