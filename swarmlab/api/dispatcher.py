"""Sessions, heartbeats, assignments and status reports between a worker and its manager."""

from swarmlab.api.enums import AssignmentAction, AssignmentsType
from swarmlab.api.ids import TaskId
from swarmlab.api.moments import Duration
from swarmlab.api.objects import Config, Node, Secret, Task
from swarmlab.api.types import EncryptionKey, NodeDescription, TaskStatus, VolumeAssignment, WeightedPeer
from swarmlab.api.value import Value


class SessionRequest(Value, frozen=True):
    """DOC_SessionRequest"""

    #: REQUIRED in practice; stored on the node.
    description: NodeDescription | None = None
    #: Previous session or empty.
    session_id: str = ""


class SessionMessage(Value, frozen=True, kw_only=True):
    """DOC_SessionMessage"""

    #: To be sent in every later call.
    session_id: str = ""
    #: The node's object.
    node: Node | None = None
    #: Complete list; REQUIRED non-empty in every message.
    managers: tuple[WeightedPeer, ...] = ()
    #: Complete key set, may be empty.
    network_bootstrap_keys: tuple[EncryptionKey, ...] = ()
    #: PEM bundle to trust.
    RootCA: bytes = b""


class HeartbeatRequest(Value, frozen=True):
    """DOC_HeartbeatRequest"""

    #: Session.
    session_id: str = ""


class HeartbeatResponse(Value, frozen=True):
    """DOC_HeartbeatResponse"""

    #: REQUIRED > 0: wait until the next beat.
    period: Duration = Duration(0)


class TaskStatusUpdate(Value, frozen=True):
    """DOC_TaskStatusUpdate"""

    #: Task.
    task_id: TaskId = TaskId("")
    #: New status.
    status: TaskStatus | None = None


class UpdateTaskStatusRequest(Value, frozen=True):
    """DOC_UpdateTaskStatusRequest"""

    #: Session.
    session_id: str = ""
    #: Reports (number 2 unused).
    updates: tuple[TaskStatusUpdate, ...] = ()


class UpdateTaskStatusResponse(Value, frozen=True):
    """DOC_UpdateTaskStatusResponse"""


class VolumeStatusUpdate(Value, frozen=True):
    """DOC_VolumeStatusUpdate"""

    #: Cluster volume ID.
    id: str = ""
    #: Node-side unpublish done.
    unpublished: bool = False


class UpdateVolumeStatusRequest(Value, frozen=True):
    """DOC_UpdateVolumeStatusRequest"""

    #: Session.
    session_id: str = ""
    #: Reports.
    updates: tuple[VolumeStatusUpdate, ...] = ()


class UpdateVolumeStatusResponse(Value, frozen=True):
    """DOC_UpdateVolumeStatusResponse"""


class TasksRequest(Value, frozen=True):
    """DOC_TasksRequest"""

    #: Session.
    session_id: str = ""


class TasksMessage(Value, frozen=True):
    """DOC_TasksMessage"""

    #: Complete set (legacy stream).
    tasks: tuple[Task, ...] = ()


class AssignmentsRequest(Value, frozen=True):
    """DOC_AssignmentsRequest"""

    #: Session.
    session_id: str = ""


class Assignment(Value, frozen=True, kw_only=True):
    """DOC_Assignment"""

    #: Task.
    task: Task | None = None
    #: Secret with data.
    secret: Secret | None = None
    #: Config with data.
    config: Config | None = None
    #: CSI volume.
    volume: VolumeAssignment | None = None


class AssignmentChange(Value, frozen=True):
    """DOC_AssignmentChange"""

    #: Object; for REMOVE only its id matters.
    assignment: Assignment | None = None
    #: Update or remove.
    action: AssignmentAction = AssignmentAction.UPDATE


class AssignmentsMessage(Value, frozen=True, kw_only=True):
    """DOC_AssignmentsMessage"""

    #: Complete or incremental.
    type: AssignmentsType = AssignmentsType.COMPLETE
    #: Results_in of the message before; empty in the first.
    applies_to: str = ""
    #: Own mark.
    results_in: str = ""
    #: Changes.
    changes: tuple[AssignmentChange, ...] = ()
