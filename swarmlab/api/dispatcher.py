"""Sessions, heartbeats, assignments and status reports between a worker and its manager."""

from swarmlab.api.certificates import EncryptionKey
from swarmlab.api.enums import AssignmentAction, AssignmentsType
from swarmlab.api.ids import TaskId
from swarmlab.api.moments import Duration
from swarmlab.api.nodes import NodeDescription, WeightedPeer
from swarmlab.api.objects import Config, Node, Secret, Task
from swarmlab.api.tasks import TaskStatus
from swarmlab.api.value import Value
from swarmlab.api.volumes import VolumeAssignment


class SessionRequest(Value, frozen=True):
    """A worker's first call: who it is, and which session it had."""

    #: Always set; stored on the node.
    description: NodeDescription | None = None
    #: The session before, or empty.
    session_id: str = ""


class SessionMessage(Value, frozen=True, kw_only=True):
    """What a worker has to know: its node object, the managers, the keys and the root."""

    #: To be sent with every later call.
    session_id: str = ""
    node: Node | None = None
    #: All of them, never none.
    managers: tuple[WeightedPeer, ...] = ()
    #: All of them.
    network_bootstrap_keys: tuple[EncryptionKey, ...] = ()
    #: PEM bundle to trust.
    RootCA: bytes = b""


class HeartbeatRequest(Value, frozen=True):
    """A sign of life."""

    session_id: str = ""


class HeartbeatResponse(Value, frozen=True):
    """How long to wait until the next sign of life."""

    #: More than 0.
    period: Duration = Duration(0)


class TaskStatusUpdate(Value, frozen=True):
    """A task's new status."""

    task_id: TaskId = TaskId("")
    #: Always set.
    status: TaskStatus | None = None


class UpdateTaskStatusRequest(Value, frozen=True):
    """Reports of a worker, the newest of each task."""

    session_id: str = ""
    updates: tuple[TaskStatusUpdate, ...] = ()


class UpdateTaskStatusResponse(Value, frozen=True):
    """The reports were taken."""


class VolumeStatusUpdate(Value, frozen=True):
    """A volume's new status on the node."""

    id: str = ""
    #: The node has let go of it.
    unpublished: bool = False


class UpdateVolumeStatusRequest(Value, frozen=True):
    """Volume reports of a worker."""

    session_id: str = ""
    updates: tuple[VolumeStatusUpdate, ...] = ()


class UpdateVolumeStatusResponse(Value, frozen=True):
    """The volume reports were taken."""


class TasksRequest(Value, frozen=True):
    """Asks for the tasks of the node, in the manner of old workers."""

    session_id: str = ""


class TasksMessage(Value, frozen=True):
    """All the tasks of the node, in the manner of old managers."""

    tasks: tuple[Task, ...] = ()


class AssignmentsRequest(Value, frozen=True):
    """Asks for what the node has to run."""

    session_id: str = ""


class Assignment(Value, frozen=True, kw_only=True):
    """One object for a node; exactly one field is set."""

    task: Task | None = None
    #: With its data.
    secret: Secret | None = None
    #: With its data.
    config: Config | None = None
    volume: VolumeAssignment | None = None


class AssignmentChange(Value, frozen=True):
    """An object to take, or one to drop."""

    #: For REMOVE only the id matters.
    assignment: Assignment | None = None
    action: AssignmentAction = AssignmentAction.UPDATE


class AssignmentsMessage(Value, frozen=True, kw_only=True):
    """What a node has to run: all of it, or what changed since the message before."""

    type: AssignmentsType = AssignmentsType.COMPLETE
    #: `results_in` of the message before; empty in the first.
    applies_to: str = ""
    #: Mark of this message.
    results_in: str = ""
    changes: tuple[AssignmentChange, ...] = ()
