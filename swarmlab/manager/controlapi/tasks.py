"""Tasks: to be looked at, and to be cleared away once nothing runs any more."""

from collections.abc import Iterable

from msgspec.structs import replace

from swarmlab.api import Changes, Delete, Filters, NodeId, Precondition, ServiceId, Task, TaskId, TaskState, Update
from swarmlab.api.naming import runtime_of, task_name
from swarmlab.manager.controlapi.filters import EVERYTHING, among, narrowed
from swarmlab.manager.controlapi.stored import stored
from swarmlab.manager.orchestrator.dirty import DirtyCheck
from swarmlab.store import Snapshot


def get_task(view: Snapshot, task_id: TaskId) -> Task:
    """The task of that id.

    Raises:
        NotFound: There is none.
    """
    return stored(view, Task, task_id)


def list_tasks(view: Snapshot, filters: Filters = EVERYTHING) -> tuple[Task, ...]:
    """The tasks that match, sorted by id. Names are display names, labels those of the service.

    Costs a walk over all tasks, except with `service_ids` or `node_ids`: then over theirs.
    """
    current = _Current(view)
    return narrowed(
        _candidates(view, filters),
        filters,
        name=task_name,
        labels=lambda task: task.service_annotations.labels,
        also=lambda task: (
            among(task.service_id, filters.service_ids)
            and among(task.node_id, filters.node_ids)
            and among(task.desired_state, filters.desired_states)
            and among(runtime_of(task.spec), filters.runtimes)
            and (not filters.up_to_date or current(task))
        ),
    )


def remove_task(view: Snapshot, task_id: TaskId) -> tuple[Changes, None]:
    """Nothing of the task left, at once where nothing can run, else as soon as its node has stopped it.

    A task that a node may still run is not deleted behind the node's back: it is told to stop, and the reaper deletes
    it afterwards.

    Raises:
        NotFound: No such task.
        Precondition: The task has not ended and its service wants it, so another would take its place.
    """
    task = stored(view, Task, task_id)
    if task.status.state > TaskState.RUNNING:
        return Changes.atomic(Delete(Task, task_id)), None
    service = view.service(task.service_id) if task.service_id else None
    if service is not None and task.desired_state <= TaskState.COMPLETE:
        raise Precondition(
            f"task {task_id} of service {service.spec.annotations.name} is {task.status.state.name.lower()} and "
            "would be replaced at once; scale the service down, or update it with force, to be rid of the task"
        )
    if task.status.state < TaskState.ASSIGNED or view.node(task.node_id) is None:
        return Changes.atomic(Delete(Task, task_id)), None
    if task.desired_state >= TaskState.REMOVE:
        return Changes(), None
    return Changes.atomic(Update(replace(task, desired_state=TaskState.REMOVE))), None


def _candidates(view: Snapshot, filters: Filters) -> Iterable[Task]:
    if filters.service_ids:
        return (task for owner in sorted(set(filters.service_ids)) for task in view.tasks_of(ServiceId(owner)))
    if filters.node_ids:
        return (task for node in sorted(set(filters.node_ids)) for task in view.tasks_on(NodeId(node)))
    return view.tasks()


class _Current:
    """Whether tasks follow the present specs of their services; each service is looked at once."""

    def __init__(self, view: Snapshot) -> None:
        self._view = view
        self._checks: dict[ServiceId, DirtyCheck | None] = {}

    def __call__(self, task: Task) -> bool:
        """No for a task of no service."""
        if task.service_id not in self._checks:
            service = self._view.service(task.service_id)
            self._checks[task.service_id] = None if service is None else DirtyCheck(service, self._view)
        check = self._checks[task.service_id]
        return check is not None and not check(task)
