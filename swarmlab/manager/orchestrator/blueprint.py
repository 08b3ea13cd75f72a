"""The task that a service wants, before it has a slot."""

import random
from collections.abc import Mapping

from msgspec.structs import replace

from swarmlab.api import (
    Annotations,
    Cluster,
    Driver,
    Endpoint,
    Instant,
    NodeId,
    Service,
    Task,
    TaskId,
    TaskState,
    TaskStatus,
    new_id,
)
from swarmlab.manager.orchestrator.slots import SlotKey


class Blueprint:
    """Makes tasks of one service as it is now; they share its spec."""

    def __init__(self, service: Service, cluster: Cluster | None, now: Instant, *, goal: TaskState) -> None:
        #: What its tasks are to become: RUNNING, or COMPLETE for jobs.
        self.goal = goal
        self._pattern = Task(
            spec=service.spec.task,
            spec_version=service.spec_version,
            service_id=service.id,
            service_annotations=service.spec.annotations,
            status=TaskStatus(timestamp=now, state=TaskState.NEW, message="created"),
            endpoint=Endpoint(spec=service.spec.endpoint),
            log_driver=_log_driver(service, cluster),
            job_iteration=service.job_status.job_iteration if service.job_status is not None else None,
        )

    def task(
        self,
        ids: random.Random,
        key: SlotKey,
        desired: TaskState | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Task:
        """A new task for the slot, wanted in the goal or, while it is to wait, in READY."""
        return replace(
            self._pattern,
            id=TaskId(new_id(ids)),
            slot=key.number,
            node_id=NodeId(key.node),
            desired_state=self.goal if desired is None else desired,
            annotations=Annotations(labels=labels) if labels else self._pattern.annotations,
        )


def _log_driver(service: Service, cluster: Cluster | None) -> Driver | None:
    if service.spec.task.log_driver is not None or cluster is None:
        return service.spec.task.log_driver
    return cluster.spec.task_defaults.log_driver


def raised(task: Task, desired: TaskState) -> Task:
    """The task, wanted in a later state; wishes never go back."""
    assert desired > task.desired_state, f"task {task.id} is wanted {task.desired_state!r}, not {desired!r} any more"
    return replace(task, desired_state=desired)
