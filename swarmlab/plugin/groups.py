"""What is to be placed: groups of equal tasks."""

from collections.abc import Mapping

from msgspec import field

from swarmlab.api import ServiceId, TaskSpec, Value


class Reservation(Value, frozen=True):
    """What one task books on its node. Limits are not booked."""

    #: 1e9 is one core.
    nano_cpus: int = 0
    memory_bytes: int = 0
    #: {kind: units}, counted and named kinds alike.
    generic: Mapping[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.nano_cpus > 0 or self.memory_bytes > 0 or self.generic)


class Group(Value, frozen=True, kw_only=True):
    """Equal tasks that are placed together: those of one service and one version of its spec.

    Tasks without a service form groups of equal specs. All that the filters need is here, read out of `spec` once.
    """

    #: Unique in a view: "<service id>@<spec version>", or "one-off:<first task id>".
    id: str
    #: Empty for tasks without a service.
    service: ServiceId = ServiceId("")
    service_name: str = ""
    #: Labels of the service.
    labels: Mapping[str, str] = field(default_factory=dict)
    spec: TaskSpec = TaskSpec()
    #: Version of the service's spec that the tasks follow, 0 for those without.
    spec_version: int = 0
    #: Tasks still to place.
    count: int = 1
    reservation: Reservation = Reservation()
    #: Expressions such as "node.labels.zone == a"; all must hold.
    constraints: tuple[str, ...] = ()
    #: Descriptors to spread over, outermost first: "node.labels.zone".
    preferences: tuple[str, ...] = ()
    #: (os, architecture) pairs that will do; an empty text will do for any; no pair at all: every platform.
    platforms: tuple[tuple[str, str], ...] = ()
    #: Most tasks of the service on one node, 0: no limit.
    max_replicas: int = 0
    #: (protocol, port) pairs taken on the host: ("tcp", 8080).
    host_ports: tuple[tuple[str, int], ...] = ()
    #: (type, name) pairs of drivers that the node must have: ("Network", "weave").
    drivers: tuple[tuple[str, str], ...] = ()
    #: Higher ones are placed first.
    priority: int = 0
