"""How a service restarts and updates its tasks, and how far an update came."""

from swarmlab.api.annotations import Version
from swarmlab.api.enums import FailureAction, RestartCondition, UpdateOrder, UpdateState
from swarmlab.api.moments import Duration, Instant
from swarmlab.api.value import Value


class RestartPolicy(Value, frozen=True, kw_only=True):
    """Whether, when and how often a task that ended is replaced."""

    condition: RestartCondition = RestartCondition.NONE
    #: Wait before the replacement starts; None: 5 s.
    delay: Duration | None = None
    #: Within `window`; 0: no limit.
    max_attempts: int = 0
    #: How far back attempts count; None or 0: for ever.
    window: Duration | None = None


class UpdateConfig(Value, frozen=True, kw_only=True):
    """How tasks are replaced by those of a new spec, or of the previous one in a rollback."""

    #: Tasks at once; 0: all.
    parallelism: int = 0
    #: Pause between batches.
    delay: Duration = Duration(0)
    #: When more than `max_failure_ratio` failed.
    failure_action: FailureAction = FailureAction.PAUSE
    #: How long a new task is watched for failure; None: 5 s.
    monitor: Duration | None = None
    #: In [0.0, 1.0]; a 32-bit float on the wire.
    max_failure_ratio: float = 0.0
    order: UpdateOrder = UpdateOrder.STOP_FIRST


class UpdateStatus(Value, frozen=True, kw_only=True):
    """How far the replacement of tasks came."""

    state: UpdateState = UpdateState.UNKNOWN
    started_at: Instant | None = None
    completed_at: Instant | None = None
    #: For a person.
    message: str = ""


class JobStatus(Value, frozen=True):
    """Which run of a job is under way, and since when."""

    #: Grows with each update of the service.
    job_iteration: Version = Version()
    #: When this iteration began.
    last_execution: Instant | None = None
