"""What requests carry besides specs, and what they answer besides objects."""

from collections.abc import Mapping

from msgspec import field

from swarmlab.api.enums import Membership, NodeRole, TaskState
from swarmlab.api.ids import ServiceId
from swarmlab.api.value import Value


class Filters(Value, frozen=True, kw_only=True):
    """What an object must match to be listed; the default matches all.

    The values of one filter are alternatives, the filters themselves must all match. A filter that a kind has no field
    for is not looked at.
    """

    #: Whole names, in any case; of nodes the host names, of tasks the display names.
    names: tuple[str, ...] = ()
    #: Starts of names, in any case.
    name_prefixes: tuple[str, ...] = ()
    id_prefixes: tuple[str, ...] = ()
    #: {key: value}: all keys must be there, an empty value stands for any. Of nodes the engine's labels, of tasks the
    #: labels of their service.
    labels: Mapping[str, str] = field(default_factory=dict)
    #: As `labels`, for the labels that users give to nodes.
    node_labels: Mapping[str, str] = field(default_factory=dict)
    roles: tuple[NodeRole, ...] = ()
    memberships: tuple[Membership, ...] = ()
    service_ids: tuple[str, ...] = ()
    node_ids: tuple[str, ...] = ()
    desired_states: tuple[TaskState, ...] = ()
    #: "container", "attachment", or the kind of a generic runtime.
    runtimes: tuple[str, ...] = ()
    #: Only tasks that follow the present spec of their service.
    up_to_date: bool = False
    #: The kind of a resource, empty for any.
    kind: str = ""
    groups: tuple[str, ...] = ()
    drivers: tuple[str, ...] = ()


class ServiceStatus(Value, frozen=True, kw_only=True):
    """How far a service is; all zero where it does not exist."""

    service_id: ServiceId
    #: Wanted at once: replicas; the tasks of a global service that are to run; the parallel limit of a replicated job.
    desired_tasks: int = 0
    running_tasks: int = 0
    #: Of jobs, in the present iteration.
    completed_tasks: int = 0


class KeyRotation(Value, frozen=True, kw_only=True):
    """Which of the cluster's secrets are to be made anew."""

    worker_join_token: bool = False
    manager_join_token: bool = False
    manager_unlock_key: bool = False
