"""Restarts: whether a task that ended is replaced, and when its replacement may start.

All of it follows from the tasks of a slot as the store holds them. So a new leader decides as the old one would have.
"""

from collections.abc import Sequence

from swarmlab.api import (
    MINUTE,
    Availability,
    Duration,
    Instant,
    Node,
    RestartCondition,
    RestartPolicy,
    Task,
    TaskState,
    after,
    restart_policy,
)
from swarmlab.manager.orchestrator.slots import (
    age,
    created_at,
    ended_at,
    is_live,
    is_over,
    newest,
    node_is_lost,
)
from swarmlab.store import Snapshot

#: How long a replacement waits for the old task to stop, counted from its own creation. SwarmKit `restart.go`.
OLD_TASK_TIMEOUT = MINUTE

#: States in which a task ended without being told to.
_BY_ITSELF = (TaskState.COMPLETE, TaskState.FAILED, TaskState.REJECTED)


def ended_by_itself(task: Task) -> bool:
    """The task exited or failed; nobody shut it down, and its node was not given up."""
    return task.status.state in _BY_ITSELF


def may_restart(task: Task, slot: Sequence[Task], *, job: bool = False) -> bool:
    """Whether the task's restart policy has it replaced, now that it ended or cannot stay where it is.

    Args:
        task: One of `slot`.
        slot: The tasks of its slot, oldest first.
        job: It belongs to a job, where a completed task is never restarted.
    """
    policy = restart_policy(task.spec)
    match policy.condition:
        case RestartCondition.NONE:
            return False
        case RestartCondition.ON_FAILURE if task.status.state == TaskState.COMPLETE:
            return False
        case _ if job and task.status.state == TaskState.COMPLETE:
            return False
    return policy.max_attempts == 0 or attempts(task, slot, policy) < policy.max_attempts


def attempts(task: Task, slot: Sequence[Task], policy: RestartPolicy) -> int:
    """How many restarts led to `task`, within the policy's window before its end.

    A restart is a task that followed one of the same spec version that had ended by itself. What replaced a task
    because of its node, an update or a move is none; nor are tasks that were to be removed.
    """
    start = -1
    if policy.window:
        start = ended_at(task) - policy.window
    count = 0
    before: Task | None = None
    for other in slot:
        if (
            other.spec_version != task.spec_version
            or other.job_iteration != task.job_iteration
            or other.desired_state == TaskState.REMOVE
        ):
            continue
        if age(other) > age(task):
            break
        if before is not None and ended_by_itself(before) and created_at(other) > start:
            count += 1
        before = other
    return count


def starts_at(task: Task, slot: Sequence[Task], view: Snapshot) -> Instant:
    """When a task wanted in READY may go on: after its delay, and when the tasks before it in the slot have stopped.

    It waits for those a minute at most from its own creation, and not for what a lost node runs.
    """
    others = [other for other in slot if other.id != task.id]
    born = created_at(task)
    earliest = after(born, start_delay(task, newest(others), view))
    if any(_is_stopping(other, view) for other in others):
        return max(earliest, after(born, OLD_TASK_TIMEOUT))
    return earliest


def start_delay(task: Task, before: Task | None, view: Snapshot) -> Duration:
    """How long after its creation the task waits, apart from the stop of `before`, the newest other one of its slot.

    It is the delay of the restart policy when that one had ended already or its node was lost. Nothing, when it was
    alive: then an update or a drained node is why it was replaced. A replacement without a predecessor waits too, so
    that a failing task without history does not run in a tight loop.
    """
    delay = restart_policy(task.spec).delay or Duration(0)
    if before is None:
        return delay
    node: Node | None = view.node(before.node_id) if before.node_id else None
    if node is not None and node.spec.availability == Availability.DRAIN:
        return Duration(0)
    ended = ended_by_itself(before) or before.status.state == TaskState.ORPHANED
    if ended and ended_at(before) <= created_at(task):
        return delay
    return delay if before.node_id and node_is_lost(node) else Duration(0)


def _is_stopping(task: Task, view: Snapshot) -> bool:
    """The task is told to stop, may still run, and its node will say when it does not."""
    return (
        not is_live(task)
        and not is_over(task)
        and task.status.state >= TaskState.ASSIGNED
        and not node_is_lost(view.node(task.node_id))
    )
