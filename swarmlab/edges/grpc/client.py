"""A client of the control server, in values: what the command line speaks through."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Self, TypeVar

from google.protobuf.message import Message

from swarmlab.api import (
    KINDS,
    Annotations,
    AnyValue,
    Cluster,
    ClusterSpec,
    Config,
    ConfigSpec,
    DaemonStatus,
    Explanation,
    Extension,
    Filters,
    KeyRotation,
    LabEvent,
    LabStatus,
    LogMessage,
    LogSelector,
    LogSubscriptionOptions,
    Network,
    NetworkSpec,
    Node,
    NodeSpec,
    Resource,
    Secret,
    SecretSpec,
    Service,
    ServiceSpec,
    ServiceStatus,
    StoreObject,
    StrategyInfo,
    SwarmInitRequest,
    SwarmInitResponse,
    SwarmJoinRequest,
    SwarmJoinResponse,
    Task,
    Value,
    Version,
    Violation,
    Volume,
    VolumeSpec,
    WatchActionKind,
    WatchEntry,
    WatchEvent,
    WatchMessage,
    WatchRequest,
    WorkerInfo,
)
from swarmlab.api.proto import ca_pb2, control_pb2, daemon_pb2, health_pb2, lab_pb2, logbroker_pb2, watch_pb2
from swarmlab.api.wire import decode, encode, fill
from swarmlab.edges.grpc.caller import Caller

V = TypeVar("V", bound=Value)

_CA = ca_pb2.DESCRIPTOR.services_by_name["CA"]
_CONTROL = control_pb2.DESCRIPTOR.services_by_name["Control"]
_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"]
_LAB = lab_pb2.DESCRIPTOR.services_by_name["Lab"]
_LOGS = logbroker_pb2.DESCRIPTOR.services_by_name["Logs"]
_NODE = daemon_pb2.DESCRIPTOR.services_by_name["Node"]
_WATCH = watch_pb2.DESCRIPTOR.services_by_name["Watch"]
_KINDS: dict[str, type[StoreObject]] = {word: kind for kind, word in KINDS.items()}
#: Methods of the control service that change nothing.
_READING = ("Get", "List")
EVERYTHING = Filters()
NO_ROTATION = KeyRotation()
ALL_LINES = LogSubscriptionOptions()


class Client:
    """Speaks with the cluster behind a control socket.

    As a context: entered, it is known that somebody answers there. Ids are whole ids, versions those of the object as
    it was read (`object.meta.version.index`). Lists are sorted by id.

    Args:
        path: Of the socket.
        timeout: Seconds until a request without an answer is given up; streams may last.

    Raises, from every method, what the request raised on the other side, and:
        StateError: Nobody answers, or not in time.
        ProposalUnknown: The answer to a request that changes something did not come: it may have been done.
    """

    def __init__(self, path: Path, timeout: float = 30.0) -> None:
        self.path = path
        self._caller = Caller(path, timeout)

    async def __aenter__(self) -> Self:
        self._caller.open()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._caller.close()

    async def _control(self, method: str, **fields: Any) -> Any:
        """The answer to a control request; values become messages, None is left out."""
        request = getattr(control_pb2, f"{method}Request")()
        _fill(request, fields)
        return await self._caller.unary(_CONTROL, method, request, changes=not method.startswith(_READING))

    async def _get(self, cls: type[V], method: str, **fields: Any) -> V:
        answer = await self._control(method, **fields)
        return decode(cls, getattr(answer, answer.DESCRIPTOR.fields[0].name))

    async def _list(self, cls: type[V], method: str, **fields: Any) -> tuple[V, ...]:
        answer = await self._control(method, **fields)
        return tuple(decode(cls, found) for found in getattr(answer, answer.DESCRIPTOR.fields[0].name))

    # Services

    async def create_service(self, spec: ServiceSpec) -> Service:
        return await self._get(Service, "CreateService", spec=spec)

    async def get_service(self, service_id: str, *, insert_defaults: bool = False) -> Service:
        return await self._get(Service, "GetService", service_id=service_id, insert_defaults=insert_defaults)

    async def list_services(self, filters: Filters = EVERYTHING) -> tuple[Service, ...]:
        return await self._list(Service, "ListServices", filters=filters)

    async def update_service(
        self, service_id: str, version: int, spec: ServiceSpec | None = None, *, rollback: bool = False
    ) -> Service:
        """The service with another spec, or with `rollback` with its previous one."""
        return await self._get(
            Service,
            "UpdateService",
            service_id=service_id,
            service_version=Version(version),
            spec=spec,
            rollback=int(rollback),
        )

    async def remove_service(self, service_id: str) -> None:
        await self._control("RemoveService", service_id=service_id)

    async def list_service_statuses(self, service_ids: Sequence[str]) -> tuple[ServiceStatus, ...]:
        return await self._list(ServiceStatus, "ListServiceStatuses", services=service_ids)

    # Nodes and tasks

    async def get_node(self, node_id: str) -> Node:
        return await self._get(Node, "GetNode", node_id=node_id)

    async def list_nodes(self, filters: Filters = EVERYTHING) -> tuple[Node, ...]:
        return await self._list(Node, "ListNodes", filters=filters)

    async def update_node(self, node_id: str, version: int, spec: NodeSpec) -> Node:
        return await self._get(Node, "UpdateNode", node_id=node_id, node_version=Version(version), spec=spec)

    async def remove_node(self, node_id: str, *, force: bool = False) -> None:
        await self._control("RemoveNode", node_id=node_id, force=force)

    async def get_task(self, task_id: str) -> Task:
        return await self._get(Task, "GetTask", task_id=task_id)

    async def list_tasks(self, filters: Filters = EVERYTHING) -> tuple[Task, ...]:
        return await self._list(Task, "ListTasks", filters=filters)

    async def remove_task(self, task_id: str) -> None:
        await self._control("RemoveTask", task_id=task_id)

    # Networks and the cluster

    async def create_network(self, spec: NetworkSpec) -> Network:
        return await self._get(Network, "CreateNetwork", spec=spec)

    async def get_network(self, network_id: str) -> Network:
        return await self._get(Network, "GetNetwork", network_id=network_id)

    async def list_networks(self, filters: Filters = EVERYTHING) -> tuple[Network, ...]:
        return await self._list(Network, "ListNetworks", filters=filters)

    async def remove_network(self, network_id: str) -> None:
        await self._control("RemoveNetwork", network_id=network_id)

    async def get_cluster(self, cluster_id: str) -> Cluster:
        return await self._get(Cluster, "GetCluster", cluster_id=cluster_id)

    async def list_clusters(self, filters: Filters = EVERYTHING) -> tuple[Cluster, ...]:
        return await self._list(Cluster, "ListClusters", filters=filters)

    async def update_cluster(
        self, cluster_id: str, version: int, spec: ClusterSpec, rotation: KeyRotation = NO_ROTATION
    ) -> Cluster:
        return await self._get(
            Cluster,
            "UpdateCluster",
            cluster_id=cluster_id,
            cluster_version=Version(version),
            spec=spec,
            rotation=rotation,
        )

    # Secrets and configs

    async def create_secret(self, spec: SecretSpec) -> Secret:
        return await self._get(Secret, "CreateSecret", spec=spec)

    async def get_secret(self, secret_id: str) -> Secret:
        """The secret, without its data."""
        return await self._get(Secret, "GetSecret", secret_id=secret_id)

    async def list_secrets(self, filters: Filters = EVERYTHING) -> tuple[Secret, ...]:
        """The secrets, without their data."""
        return await self._list(Secret, "ListSecrets", filters=filters)

    async def update_secret(self, secret_id: str, version: int, spec: SecretSpec) -> Secret:
        return await self._get(Secret, "UpdateSecret", secret_id=secret_id, secret_version=Version(version), spec=spec)

    async def remove_secret(self, secret_id: str) -> None:
        await self._control("RemoveSecret", secret_id=secret_id)

    async def create_config(self, spec: ConfigSpec) -> Config:
        return await self._get(Config, "CreateConfig", spec=spec)

    async def get_config(self, config_id: str) -> Config:
        return await self._get(Config, "GetConfig", config_id=config_id)

    async def list_configs(self, filters: Filters = EVERYTHING) -> tuple[Config, ...]:
        return await self._list(Config, "ListConfigs", filters=filters)

    async def update_config(self, config_id: str, version: int, spec: ConfigSpec) -> Config:
        return await self._get(Config, "UpdateConfig", config_id=config_id, config_version=Version(version), spec=spec)

    async def remove_config(self, config_id: str) -> None:
        await self._control("RemoveConfig", config_id=config_id)

    # Volumes, extensions, resources

    async def create_volume(self, spec: VolumeSpec) -> Volume:
        return await self._get(Volume, "CreateVolume", spec=spec)

    async def get_volume(self, volume_id: str) -> Volume:
        return await self._get(Volume, "GetVolume", volume_id=volume_id)

    async def list_volumes(self, filters: Filters = EVERYTHING) -> tuple[Volume, ...]:
        return await self._list(Volume, "ListVolumes", filters=filters)

    async def update_volume(self, volume_id: str, version: int, spec: VolumeSpec) -> Volume:
        return await self._get(Volume, "UpdateVolume", volume_id=volume_id, volume_version=Version(version), spec=spec)

    async def remove_volume(self, volume_id: str, *, force: bool = False) -> None:
        await self._control("RemoveVolume", volume_id=volume_id, force=force)

    async def create_extension(self, annotations: Annotations, description: str = "") -> Extension:
        return await self._get(Extension, "CreateExtension", annotations=annotations, description=description)

    async def get_extension(self, extension_id: str) -> Extension:
        return await self._get(Extension, "GetExtension", extension_id=extension_id)

    async def remove_extension(self, extension_id: str) -> None:
        await self._control("RemoveExtension", extension_id=extension_id)

    async def create_resource(self, annotations: Annotations, kind: str, payload: AnyValue | None = None) -> Resource:
        return await self._get(Resource, "CreateResource", annotations=annotations, kind=kind, payload=payload)

    async def get_resource(self, resource_id: str) -> Resource:
        return await self._get(Resource, "GetResource", resource_id=resource_id)

    async def list_resources(self, filters: Filters = EVERYTHING) -> tuple[Resource, ...]:
        return await self._list(Resource, "ListResources", filters=filters)

    async def update_resource(
        self,
        resource_id: str,
        version: int,
        annotations: Annotations | None = None,
        payload: AnyValue | None = None,
    ) -> Resource:
        """The resource with other labels, another payload, or both; None keeps what there is."""
        return await self._get(
            Resource,
            "UpdateResource",
            resource_id=resource_id,
            resource_version=Version(version),
            annotations=annotations,
            payload=payload,
        )

    async def remove_resource(self, resource_id: str) -> None:
        await self._control("RemoveResource", resource_id=resource_id)

    # Streams

    async def watch(
        self,
        entries: Iterable[WatchEntry] = (),
        *,
        since: int | None = None,
        include_old: bool = False,
    ) -> AsyncGenerator[WatchMessage, None]:
        """Each commit with the events that match an entry, or with all; after version `since`, or from now on.

        The first message is empty and has version 0: what is committed after it was sent will be told.
        """
        request = WatchRequest(
            entries=tuple(entries),
            resume_from=Version(since) if since is not None else None,
            include_old_object=include_old,
        )
        async with aclosing(self._caller.stream(_WATCH, "Watch", encode(request))) as messages:
            async for message in messages:
                yield WatchMessage(message.version.index, tuple(_event(event) for event in message.events))

    async def subscribe_logs(
        self, selector: LogSelector, options: LogSubscriptionOptions = ALL_LINES
    ) -> AsyncGenerator[LogMessage, None]:
        """The wanted lines. Raises `Precondition` at the end when some are missing, and says which."""
        request = logbroker_pb2.SubscribeLogsRequest()
        _fill(request, {"selector": selector, "options": options})
        async with aclosing(self._caller.stream(_LOGS, "SubscribeLogs", request)) as messages:
            async for message in messages:
                for line in message.messages:
                    yield decode(LogMessage, line)

    async def events(self, since: int = 0, *, follow: bool = False) -> AsyncGenerator[LabEvent, None]:
        """The cluster's story after that index, and with `follow` as it goes on."""
        request = lab_pb2.EventsRequest(since=since, follow=follow)
        async with aclosing(self._caller.stream(_LAB, "Events", request)) as messages:
            async for message in messages:
                for event in message.events:
                    yield decode(LabEvent, event)

    # The laboratory

    async def serves(self, part: str = "ControlAPI") -> bool:
        """Whether that part of the server serves. Raises `NotFound` for a part that it does not have."""
        answer = await self._caller.unary(_HEALTH, "Check", health_pb2.HealthCheckRequest(service=part), changes=False)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def explain(self, task: str) -> Explanation:
        """Why the task of that id, or with an id that alone begins so, is where it is."""
        answer = await self._lab("Explain", task=task)
        return decode(Explanation, answer.explanation)

    async def violations(self) -> tuple[Violation, ...]:
        """The tasks that break a hard affinity term where they are now."""
        return tuple(decode(Violation, found) for found in (await self._lab("ListViolations")).violations)

    async def status(self) -> LabStatus:
        """The cluster at a glance."""
        return decode(LabStatus, (await self._lab("Status")).status)

    async def strategies(self) -> tuple[StrategyInfo, ...]:
        """The strategies that can be chosen."""
        return tuple(decode(StrategyInfo, found) for found in (await self._lab("ListStrategies")).strategies)

    async def service_warnings(self, spec: ServiceSpec) -> tuple[str, ...]:
        """What is odd about a spec that is acceptable, such as a constraint that no node meets now."""
        return tuple((await self._lab("CheckService", spec=spec)).warnings)

    async def stop_worker(self, name: str) -> WorkerInfo:
        """Kill a worker as a loss of power does."""
        return decode(WorkerInfo, (await self._lab("StopWorker", changes=True, name=name)).worker)

    async def start_worker(self, name: str) -> WorkerInfo:
        """Revive a worker that was stopped."""
        return decode(WorkerInfo, (await self._lab("StartWorker", changes=True, name=name)).worker)

    # The node process

    async def swarm_init(self, request: SwarmInitRequest) -> SwarmInitResponse:
        """Found a swarm on this node."""
        answer = await self._caller.unary(_NODE, "Init", encode(request), changes=True)
        return decode(SwarmInitResponse, answer)

    async def swarm_join(self, request: SwarmJoinRequest) -> SwarmJoinResponse:
        """Let this node join a swarm."""
        answer = await self._caller.unary(_NODE, "Join", encode(request), changes=True)
        return decode(SwarmJoinResponse, answer)

    async def swarm_leave(self, *, force: bool = False) -> None:
        """Let this node leave its swarm."""
        await self._caller.unary(_NODE, "Leave", daemon_pb2.SwarmLeaveRequest(force=force), changes=True)

    async def swarm_unlock(self, key: str) -> None:
        """Let a locked manager go on with its start."""
        await self._caller.unary(_NODE, "Unlock", daemon_pb2.SwarmUnlockRequest(key=key), changes=True)

    async def node_process(self) -> DaemonStatus:
        """What the node process is at. Raises `Unsupported` where the other side is none."""
        answer = await self._caller.unary(_NODE, "Status", daemon_pb2.DaemonStatusRequest(), changes=False)
        return decode(DaemonStatus, answer.status)

    async def get_unlock_key(self) -> bytes:
        """The key that unlocks managers; empty where they are not locked."""
        answer = await self._caller.unary(_CA, "GetUnlockKey", ca_pb2.GetUnlockKeyRequest(), changes=False)
        return bytes(answer.unlock_key)

    async def _lab(self, method: str, *, changes: bool = False, **fields: Any) -> Any:
        request = getattr(lab_pb2, f"{method}Request")()
        _fill(request, fields)
        return await self._caller.unary(_LAB, method, request, changes=changes)


def _fill(request: Message, fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        match value:
            case None:
                continue
            case Filters():
                _fill_filters(getattr(request, name), value)
            case Value():
                fill(getattr(request, name), value)
            case str() | int():
                setattr(request, name, value)
            case _:
                getattr(request, name).extend(value)


def _fill_filters(message: Any, filters: Filters) -> None:
    """Each kind has some of the filters, by the same names."""
    for wire in message.DESCRIPTOR.fields:
        value = getattr(filters, wire.name)
        if not wire.is_repeated:
            setattr(message, wire.name, value)
        elif wire.message_type is not None:
            getattr(message, wire.name).update(value)
        else:
            getattr(message, wire.name).extend(value)


def _event(event: Any) -> WatchEvent:
    obj = _object(event.object)
    assert obj is not None, "the server sent an event without its object"
    old = _object(event.old_object) if event.HasField("old_object") else None
    return WatchEvent(action=WatchActionKind(event.action), object=obj, old_object=old)


def _object(message: Any) -> StoreObject | None:
    word = message.WhichOneof("Object")
    return decode(_KINDS[word], getattr(message, word)) if word is not None else None
