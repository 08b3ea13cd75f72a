"""The nodes as columns."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from msgspec import field

from swarmlab.api import Availability, Duration, NodeId, NodeRole, NodeState, ServiceId, Value
from swarmlab.plugin.arrays import Counts, Flags, Floats, Ints, Texts
from swarmlab.plugin.groups import Group


class NodeView(Value, frozen=True, kw_only=True):
    """One node, for those who look at few of them."""

    id: NodeId
    hostname: str = ""
    #: Labels that the users gave (`node.labels.*`).
    labels: Mapping[str, str] = field(default_factory=dict)
    #: Labels that the engine reported (`engine.labels.*`).
    engine_labels: Mapping[str, str] = field(default_factory=dict)
    role: NodeRole = NodeRole.WORKER
    state: NodeState = NodeState.UNKNOWN
    availability: Availability = Availability.ACTIVE
    #: READY and ACTIVE: new tasks may come.
    ready: bool = False
    #: As the managers see it, no port.
    address: str = ""
    #: Since the node was created.
    age: Duration = Duration(0)
    #: Lost three times or more within the last ten minutes.
    suspect: bool = False


class NodeTable(ABC):
    """n nodes sorted by id, as columns of length n. Every array is read-only and shared: copy before changing.

    All known nodes are here, those that are down or drained too (`ready` is False). Free amounts count the reservations
    of all tasks between ASSIGNED and RUNNING, those told to stop included, and may be negative.
    """

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> NodeView: ...

    @property
    @abstractmethod
    def ids(self) -> Sequence[NodeId]:
        """Ascending."""

    @property
    @abstractmethod
    def hostnames(self) -> Sequence[str]: ...

    @abstractmethod
    def index(self, node: NodeId) -> int | None:
        """The place of that node in every column, or None."""

    @property
    @abstractmethod
    def cpu_total(self) -> Ints:
        """Nano-CPUs that the node reports."""

    @property
    @abstractmethod
    def cpu_free(self) -> Ints:
        """Nano-CPUs not reserved."""

    @property
    @abstractmethod
    def memory_total(self) -> Ints:
        """Bytes that the node reports."""

    @property
    @abstractmethod
    def memory_free(self) -> Ints:
        """Bytes not reserved."""

    @property
    @abstractmethod
    def tasks(self) -> Counts:
        """Active tasks: on the node, and not told to stop."""

    @property
    @abstractmethod
    def ready(self) -> Flags:
        """READY and ACTIVE: new tasks may come."""

    @property
    @abstractmethod
    def suspect(self) -> Flags:
        """Lost three times or more within the last ten minutes."""

    @abstractmethod
    def tasks_of(self, service: ServiceId) -> Counts:
        """Active tasks of that service on each node; zeros for an unknown one."""

    @abstractmethod
    def failures_of(self, group: Group) -> Counts:
        """Tasks of this service and spec version that failed or were rejected there in the last five minutes."""

    @abstractmethod
    def label(self, key: str) -> Texts:
        """The text of each node under `key`, "" where it has none.

        Keys are those of constraints: `node.id`, `node.hostname`, `node.ip`, `node.role`, `node.platform.os`,
        `node.platform.arch`, `node.labels.<name>`, `engine.labels.<name>`. An unknown key gives "" everywhere.
        """

    @abstractmethod
    def domain(self, key: str) -> tuple[Counts, tuple[str, ...]]:
        """The nodes parted by their text under `key`: the code of each node, and the text of each code, ascending."""

    @property
    @abstractmethod
    def generic_kinds(self) -> tuple[str, ...]:
        """Kinds of generic resources that any node reports, ascending."""

    @abstractmethod
    def generic_total(self, kind: str) -> Ints:
        """Units of that kind that the node reports."""

    @abstractmethod
    def generic_free(self, kind: str) -> Ints:
        """Units of that kind not claimed."""

    @abstractmethod
    def usage(self, kind: str) -> Floats:
        """Reserved share of "cpu", "memory" or a generic kind: 0.0 empty, 1.0 full, 1.0 where there is none of it."""
