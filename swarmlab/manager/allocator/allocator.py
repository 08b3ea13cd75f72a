"""The component that allocates: services first, then the tasks that waited for them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from swarmlab.api import (
    SECOND,
    Change,
    ChangeKind,
    Changes,
    Endpoint,
    Instant,
    Network,
    PortConfig,
    PortProtocol,
    Service,
    ServiceId,
    Task,
    TaskId,
    TaskState,
    TaskStatus,
    Update,
    after,
)
from swarmlab.component import Effect, Event, Propose, Proposed, Record, SetTimer, TimerFired
from swarmlab.manager.allocator.networks import unallocated
from swarmlab.manager.allocator.ports import PortSpace, PortTaken
from swarmlab.store import EMPTY, Committed, Led, Snapshot

#: Pause after a proposal that failed as a whole.
RETRY = SECOND
_RETRY = "retry"


class _Proposed(NamedTuple):
    """The proposal under way: a group for each of these, services first."""

    tag: str
    services: tuple[ServiceId, ...]
    tasks: tuple[TaskId, ...]

    @property
    def groups(self) -> range:
        return range(len(self.services) + len(self.tasks))


class Allocator:
    """Gives ports to services and lets tasks go from NEW to PENDING.

    A service whose ports cannot be had keeps what it has, and its tasks stay NEW with the reason; it is tried again
    when a service gives up a port. One proposal is under way at a time and holds all that one commit made necessary, so
    what is given out is always decided against everything given out before.

    Every step costs what changed, and the tasks that wait for it.
    """

    name = "allocator"

    def __init__(self) -> None:
        #: Proposals made so far, over all terms, so that a late answer is not taken for another.
        self._turn = 0
        self._reset(EMPTY)

    def _reset(self, view: Snapshot) -> None:
        self._view = view
        self._ports = PortSpace()
        #: Services and tasks to look at when no proposal is under way. Dictionaries as sets that keep their order.
        self._services: dict[ServiceId, None] = {}
        self._tasks: dict[TaskId, None] = {}
        #: {service without the ports that it wants: why}
        self._failed: dict[ServiceId, str] = {}
        #: {service: its tasks that are NEW}; the empty id stands for tasks of no service.
        self._waiting: dict[ServiceId, dict[TaskId, None]] = {}
        #: None when no proposal is under way.
        self._proposed: _Proposed | None = None

    def step(self, event: Event, now: Instant) -> Sequence[Effect]:
        match event:
            case Led(view):
                self._restore(view)
            case Committed(view, changes):
                self._view = view
                for change in changes:
                    self._note(change)
            case Proposed(tag=tag, refused=refused, error=error) if self._proposed and tag == self._proposed.tag:
                proposed, self._proposed = self._proposed, None
                if error is not None:
                    self._look_again(proposed, proposed.groups)
                    return [SetTimer(_RETRY, after(now, RETRY))]
                self._look_again(proposed, (each.group for each in refused))
            case TimerFired(name) if name == _RETRY:
                pass
            case _:
                return []
        return self._allocate(now)

    def _restore(self, view: Snapshot) -> None:
        """Take over what is allocated, all of it, before anything new is given out."""
        self._reset(view)
        for service in view.services():
            self._ports.hold(service.id, _ports(service))
        for service in view.services():
            if not is_allocated(service):
                self._services[service.id] = None
        for task in view.tasks():
            if task.status.state == TaskState.NEW:
                self._expect(task)

    def _note(self, change: Change) -> None:
        match change.object:
            case Service() as service:
                self._note_service(service, removed=change.kind == ChangeKind.REMOVED)
            case Task() as task:
                if change.kind != ChangeKind.REMOVED and task.status.state == TaskState.NEW:
                    if change.kind == ChangeKind.CREATED or task.desired_state > TaskState.COMPLETE:
                        self._expect(task)
                else:
                    self._forget(task)
            case Network():
                for tasks in self._waiting.values():
                    self._tasks.update(tasks)

    def _note_service(self, service: Service, *, removed: bool) -> None:
        gave_up = self._ports.hold(service.id, () if removed else _ports(service))
        if gave_up:
            self._services.update(dict.fromkeys(self._failed))
        if removed:
            self._failed.pop(service.id, None)
        elif is_allocated(service):
            self._failed.pop(service.id, None)
            self._tasks.update(self._waiting.get(service.id, {}))
        else:
            self._services[service.id] = None

    def _expect(self, task: Task) -> None:
        self._waiting.setdefault(task.service_id, {})[task.id] = None
        self._tasks[task.id] = None

    def _forget(self, task: Task) -> None:
        waiting = self._waiting.get(task.service_id)
        if waiting is not None:
            waiting.pop(task.id, None)
            if not waiting:
                del self._waiting[task.service_id]
        self._tasks.pop(task.id, None)

    def _allocate(self, now: Instant) -> Sequence[Effect]:
        """Propose all that can be done now, unless a proposal is under way."""
        if self._proposed is not None:
            return []
        records: list[Effect] = []
        services = self._allocated_services(records)
        tasks = self._advanced_tasks(now)
        if not services and not tasks:
            return records
        self._turn += 1
        self._proposed = _Proposed(
            f"allocate-{self._turn}", tuple(service.id for service in services), tuple(task.id for task in tasks)
        )
        changed: tuple[Service | Task, ...] = (*services, *tasks)
        return [*records, Propose(Changes.each(Update(each) for each in changed), self._proposed.tag)]

    def _allocated_services(self, records: list[Effect]) -> list[Service]:
        """Services with their new endpoints; those that fail are noted, and their tasks looked at."""
        allocated = []
        taken: dict[tuple[PortProtocol, int], ServiceId] = {}
        queue, self._services = self._services, {}
        for service_id in queue:
            service = self._view.service(service_id)
            if service is None or is_allocated(service):
                continue
            wish = service.spec.endpoint
            try:
                ports = () if wish is None else self._ports.ports_for(service, wish, taken)
            except PortTaken as error:
                reason = self._explained(error)
                if self._failed.get(service_id) != reason:
                    self._failed[service_id] = reason
                    self._tasks.update(self._waiting.get(service_id, {}))
                    records.append(Record("allocation-failed", {"service": service_id, "reason": reason}))
                continue
            self._failed.pop(service_id, None)
            allocated.append(replace(service, endpoint=None if wish is None else Endpoint(spec=wish, ports=ports)))
            if ports:
                numbers = [f"{port.published_port}/{port.protocol.name.lower()}" for port in ports]
                records.append(Record("ports-allocated", {"service": service_id, "ports": numbers}))
        return allocated

    def _advanced_tasks(self, now: Instant) -> list[Task]:
        """Tasks that have all they need, now PENDING; those that lack something for a reason not noted yet.

        Those that were told to stop end here: nobody else would end them.
        """
        advanced = []
        queue, self._tasks = self._tasks, {}
        for task_id in queue:
            task = self._view.task(task_id)
            if task is None or task.status.state != TaskState.NEW:
                continue
            if task.desired_state > TaskState.COMPLETE:
                advanced.append(_ended(task, now))
                continue
            service = self._view.service(task.service_id) if task.service_id else None
            if task.service_id and service is None:
                continue
            reason = self._lack(task, service)
            if reason is None:
                advanced.append(_pending(task, service, now))
            elif reason and reason != task.status.err:
                advanced.append(replace(task, status=replace(task.status, err=reason, timestamp=now)))
        return advanced

    def _lack(self, task: Task, service: Service | None) -> str | None:
        """What the task waits for, as a reason for users; empty while it is only a matter of the next commit."""
        targets = [attachment.target for attachment in task.spec.networks]
        if service is not None:
            if not is_allocated(service):
                return self._failed.get(service.id, "")
            targets += [attachment.target for attachment in service.spec.networks]
        reasons = (unallocated(self._view, target) for target in targets)
        return next((reason for reason in reasons if reason is not None), None)

    def _explained(self, error: PortTaken) -> str:
        owner = self._view.service(error.owner) if error.owner is not None else None
        return str(error) if owner is None else f"{error} by service {owner.spec.annotations.name} ({owner.id})"

    def _look_again(self, proposed: _Proposed, groups: Iterable[int]) -> None:
        for group in groups:
            if group < len(proposed.services):
                self._services[proposed.services[group]] = None
            else:
                self._tasks[proposed.tasks[group - len(proposed.services)]] = None


def is_allocated(service: Service) -> bool:
    """Whether the service has what its spec asks of the cluster."""
    if service.spec.endpoint is None:
        return service.endpoint is None
    return service.endpoint is not None and service.endpoint.spec == service.spec.endpoint


def _ports(service: Service) -> tuple[PortConfig, ...]:
    return service.endpoint.ports if service.endpoint is not None else ()


def _pending(task: Task, service: Service | None, now: Instant) -> Task:
    status = TaskStatus(timestamp=now, state=TaskState.PENDING, message="pending task scheduling")
    return replace(task, status=status, endpoint=task.endpoint if service is None else service.endpoint)


def _ended(task: Task, now: Instant) -> Task:
    status = TaskStatus(timestamp=now, state=TaskState.SHUTDOWN, message="task was told to stop before it had a node")
    return replace(task, status=status)
