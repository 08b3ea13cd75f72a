"""A service in our charge, as one view has it: what its tasks are to be, and by which rules they are replaced."""

from collections.abc import Container, Iterable, Iterator

from swarmlab.api import (
    Instant,
    Node,
    Service,
    ServiceId,
    Task,
    TaskState,
    UpdateOrder,
    UpdateState,
    mode_of,
    rollback_config,
    update_config,
)
from swarmlab.manager.orchestrator.blueprint import Blueprint
from swarmlab.manager.orchestrator.dirty import DirtyCheck
from swarmlab.store import Snapshot

_ROLLING_BACK = (UpdateState.ROLLBACK_STARTED, UpdateState.ROLLBACK_PAUSED)


class Charge:
    """One service, one view, one moment. Made anew for each pass."""

    def __init__(self, service: Service, view: Snapshot, now: Instant) -> None:
        self.service = service
        self.view = view
        self.now = now
        self.mode = mode_of(service.spec)
        self.goal = TaskState.COMPLETE if self.mode.is_job else TaskState.RUNNING
        self._check = DirtyCheck(service, view)
        self._blueprint: Blueprint | None = None
        status = service.update_status
        #: The rules for rollbacks hold, and the service must come to what it was. A job just runs again.
        self.rolling_back = not self.mode.is_job and status is not None and status.state in _ROLLING_BACK
        self.config = (rollback_config if self.rolling_back else update_config)(service.spec)
        self.start_first = self.config.order == UpdateOrder.START_FIRST

    def suits(self, node: Node | None) -> bool:
        """The node meets the constraints of the service."""
        return self._check.suits(node)

    @property
    def blueprint(self) -> Blueprint:
        """What makes new tasks."""
        if self._blueprint is None:
            self._blueprint = Blueprint(self.service, self.view.cluster(), self.now, goal=self.goal)
        return self._blueprint

    def is_dirty(self, task: Task) -> bool:
        """The task is not what the service wants now. The tasks of a job are never changed: an update is a new run."""
        return not self.mode.is_job and self._check(task)

    def is_done(self, task: Task) -> bool:
        """The task of a job that completed: it serves its slot for good."""
        return self.mode.is_job and task.status.state == TaskState.COMPLETE


class Charges:
    """The charges of one pass, each made when first asked for."""

    def __init__(self, view: Snapshot, own: Container[ServiceId], now: Instant) -> None:
        self._view = view
        self._own = own
        self._now = now
        self._made: dict[ServiceId, Charge | None] = {}

    def get(self, service_id: ServiceId) -> Charge | None:
        """The charge of a service; None where it is gone, or none of ours."""
        if service_id not in self._made:
            service = self._view.service(service_id) if service_id in self._own else None
            self._made[service_id] = None if service is None else Charge(service, self._view, self._now)
        return self._made[service_id]

    def of(self, service_ids: Iterable[ServiceId]) -> Iterator[Charge]:
        """The charges of those that are there, by service id."""
        for service_id in sorted(service_ids):
            charge = self.get(service_id)
            if charge is not None:
                yield charge
