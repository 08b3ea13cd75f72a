"""The whole cluster at one version."""

from typing import Any, TypeVar, cast

from swarmlab.api import (
    KINDS,
    Cluster,
    Config,
    ConfigId,
    Network,
    NetworkId,
    Node,
    NodeId,
    Resource,
    Secret,
    SecretId,
    Service,
    ServiceId,
    StoreObject,
    Task,
    TaskId,
    Volume,
    VolumeId,
)
from swarmlab.store.find import By, ByName, found
from swarmlab.store.table import EMPTY_INDEX, Index, Table, ordered, rows_of

T = TypeVar("T", bound=StoreObject)

#: {kind: its table}; all kinds are there.
Tables = dict[type[Any], Table[Any]]

#: Name of the one cluster object.
DEFAULT_CLUSTER = "default"


class Snapshot:
    """Every object of the cluster as one version has them.

    Immutable: it may be kept, compared with a later one, read from another thread. A commit shares with the one before
    all that it did not touch. What comes out in a tuple is sorted by id; that order and the tuples are worked out when
    first asked for, and kept until the store has gone on.
    """

    __slots__ = ("_by_node", "_by_service", "_by_slot", "_hostnames", "_tables", "version")

    def __init__(
        self,
        version: int = 0,
        tables: Tables | None = None,
        by_service: Index = EMPTY_INDEX,
        by_node: Index = EMPTY_INDEX,
        by_slot: Index = EMPTY_INDEX,
        hostnames: Index = EMPTY_INDEX,
    ) -> None:
        #: Number of the commit that made it; 0 for the empty store.
        self.version = version
        self._tables = tables if tables is not None else {kind: Table() for kind in KINDS}
        #: {service id: task ids}, without tasks of no service.
        self._by_service = by_service
        #: {node id: task ids}, without tasks of no node.
        self._by_node = by_node
        #: {(service id, slot): task ids}, without tasks of no service.
        self._by_slot = by_slot
        #: {lower-case host name: node ids}
        self._hostnames = hostnames

    def get(self, kind: type[T], object_id: str) -> T | None:
        """The object of that kind and id."""
        return cast("T | None", self._tables[kind].objects.get(object_id))

    def node(self, node_id: NodeId) -> Node | None:
        """The node of that id."""
        return cast("Node | None", self._tables[Node].objects.get(node_id))

    def service(self, service_id: ServiceId) -> Service | None:
        """The service of that id."""
        return cast("Service | None", self._tables[Service].objects.get(service_id))

    def task(self, task_id: TaskId) -> Task | None:
        """The task of that id."""
        return cast("Task | None", self._tables[Task].objects.get(task_id))

    def network(self, network_id: NetworkId) -> Network | None:
        """The network of that id."""
        return cast("Network | None", self._tables[Network].objects.get(network_id))

    def secret(self, secret_id: SecretId) -> Secret | None:
        """The secret of that id."""
        return cast("Secret | None", self._tables[Secret].objects.get(secret_id))

    def config(self, config_id: ConfigId) -> Config | None:
        """The config of that id."""
        return cast("Config | None", self._tables[Config].objects.get(config_id))

    def volume(self, volume_id: VolumeId) -> Volume | None:
        """The cluster volume of that id."""
        return cast("Volume | None", self._tables[Volume].objects.get(volume_id))

    def cluster(self) -> Cluster | None:
        """The one cluster object; None before the cluster is founded."""
        return self.by_name(Cluster, DEFAULT_CLUSTER)

    def all(self, kind: type[T]) -> tuple[T, ...]:
        """All objects of that kind."""
        return cast("tuple[T, ...]", self._tables[kind].rows())

    def nodes(self) -> tuple[Node, ...]:
        """All nodes."""
        return self.all(Node)

    def services(self) -> tuple[Service, ...]:
        """All services."""
        return self.all(Service)

    def tasks(self) -> tuple[Task, ...]:
        """All tasks."""
        return self.all(Task)

    def networks(self) -> tuple[Network, ...]:
        """All networks."""
        return self.all(Network)

    def secrets(self) -> tuple[Secret, ...]:
        """All secrets."""
        return self.all(Secret)

    def configs(self) -> tuple[Config, ...]:
        """All configs."""
        return self.all(Config)

    def volumes(self) -> tuple[Volume, ...]:
        """All cluster volumes."""
        return self.all(Volume)

    def count(self, kind: type[StoreObject]) -> int:
        """How many objects of that kind there are."""
        return len(self._tables[kind].objects)

    def tasks_of(self, service_id: ServiceId) -> tuple[Task, ...]:
        """All tasks of the service, dead ones too; none for the empty id."""
        return rows_of(self._tables[Task].objects, ordered(self._by_service.get(service_id)))

    def tasks_on(self, node_id: NodeId) -> tuple[Task, ...]:
        """All tasks that the node was given, dead ones too; none for the empty id."""
        return rows_of(self._tables[Task].objects, ordered(self._by_node.get(node_id)))

    def tasks_in(self, service_id: ServiceId, slot: int) -> tuple[Task, ...]:
        """All tasks of that slot of the service; slot 0 holds all tasks of a global service."""
        return rows_of(self._tables[Task].objects, ordered(self._by_slot.get((service_id, slot))))

    def by_name(self, kind: type[T], name: str) -> T | None:
        """The object of that kind and name, whatever the case; a node by its host name, a task by its display name.

        Names of nodes and tasks are not unique, those of resources only among resources of one extension: of several
        the first by id; `find` gives them all.
        """
        if kind in (Node, Task, Resource):
            return next(iter(found(self, kind, ByName(name))), None)
        table = self._tables[kind]
        holder = table.names.get(name.lower())
        return None if holder is None else cast(T, table.objects[holder])

    def find(self, kind: type[T], *by: By) -> tuple[T, ...]:
        """The objects of that kind that any of the finders names, each once; none where there is no finder.

        Raises:
            InvalidSpec: A finder does not fit the kind.
        """
        if len(by) == 1:
            return found(self, kind, by[0])
        union = {obj.id: obj for finder in by for obj in found(self, kind, finder)}
        return tuple(union[key] for key in sorted(union))

    def nodes_called(self, hostname: str) -> tuple[Node, ...]:
        """All nodes of that host name, whatever the case."""
        return rows_of(self._tables[Node].objects, ordered(self._hostnames.get(hostname.lower())))

    def forget(self, successor: "Snapshot") -> None:
        """Let go of the tuples that `successor` does not share, so that old snapshots stay small; nothing is lost."""
        for kind, table in self._tables.items():
            if successor._tables[kind] is not table:
                table.forget()

    def table(self, kind: type[T]) -> Table[T]:
        """The inner form of one kind, for those that make the next snapshot or write this one down."""
        return self._tables[kind]

    def indexes(self) -> tuple[Index, Index, Index, Index]:
        """The inner form of the indexes: tasks by service, by node, by slot, nodes by host name."""
        return self._by_service, self._by_node, self._by_slot, self._hostnames

    def __repr__(self) -> str:
        counts = ", ".join(f"{self.count(kind)} {word}s" for kind, word in KINDS.items() if self.count(kind))
        return f"Snapshot(version={self.version}, {counts or 'empty'})"


#: The store before its first commit.
EMPTY = Snapshot()
