"""What is asked of the store, and what it did."""

from collections.abc import Iterable
from enum import IntEnum

from swarmlab.api.objects import Cluster, Config, Extension, Network, Node, Resource, Secret, Service, Task, Volume
from swarmlab.api.value import Value

StoreObject = Node | Service | Task | Network | Cluster | Secret | Config | Volume | Extension | Resource

#: {class: word for it}; the words are those of the watch API, and the order is that in which tables are written.
KINDS: dict[type[StoreObject], str] = {
    Cluster: "cluster",
    Node: "node",
    Service: "service",
    Network: "network",
    Secret: "secret",
    Config: "config",
    Volume: "volume",
    Extension: "extension",
    Resource: "resource",
    Task: "task",
}


class Create(Value, frozen=True):
    """Add `object`; its id and name must be free. The store sets version and times."""

    object: StoreObject


class Update(Value, frozen=True):
    """Replace the object of that id. `object.meta.version` is the version that was read, else it is refused."""

    object: StoreObject


class Delete(Value, frozen=True):
    """Remove the object of that kind and id, whatever its version."""

    kind: type[StoreObject]
    id: str


Action = Create | Update | Delete


class Changes(Value, frozen=True):
    """What a part wants done to the store.

    Each group of actions is taken whole or not at all; one refused group does not hold up the others. A group is never
    split over two proposals.
    """

    groups: tuple[tuple[Action, ...], ...] = ()

    @classmethod
    def atomic(cls, *actions: Action) -> "Changes":
        """All of `actions`, or none."""
        return cls((actions,)) if actions else cls()

    @classmethod
    def each(cls, actions: Iterable[Action]) -> "Changes":
        """Each of `actions` for itself."""
        return cls(tuple((action,) for action in actions))

    def __add__(self, other: "Changes") -> "Changes":
        return Changes(self.groups + other.groups)

    def __bool__(self) -> bool:
        return bool(self.groups)


class ChangeKind(IntEnum):
    """What happened to an object; the numbers are those of the watch API."""

    CREATED = 1
    UPDATED = 2
    REMOVED = 4


class Change(Value, frozen=True):
    """One object in one commit: `old` is None for a created one; for a removed one `object` is its last state."""

    kind: ChangeKind
    object: StoreObject
    old: StoreObject | None = None


class Refused(Value, frozen=True, gc=True):
    """A group of a proposal that the store did not take: its place among the groups, and why."""

    group: int
    error: Exception
