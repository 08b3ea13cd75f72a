"""What an agent reports of a task."""

from swarmlab.api.enums import TaskState
from swarmlab.api.moments import Instant
from swarmlab.api.networks import PortStatus
from swarmlab.api.value import Value


class ContainerStatus(Value, frozen=True):
    """The container behind a task."""

    #: As the runtime names it.
    container_id: str = ""
    #: On the host.
    pid: int = 0
    #: -1 was seen while stopping.
    exit_code: int = 0


class TaskStatus(Value, frozen=True, kw_only=True):
    """How far a task came, and why."""

    #: Clock of the worker at the change.
    timestamp: Instant | None = None
    state: TaskState = TaskState.NEW
    #: What was done, for a person.
    message: str = ""
    #: What went wrong; empty when nothing did.
    err: str = ""
    #: From STARTING on.
    container: ContainerStatus | None = None
    #: From RUNNING on.
    port_status: PortStatus | None = None
    #: Node id of the manager that stored it.
    applied_by: str = ""
    #: Clock of that manager.
    applied_at: Instant | None = None
