"""Slots: the places that a service has tasks for, and the tasks in them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from swarmlab.api import (
    Availability,
    Instant,
    InvalidSpec,
    Mode,
    Node,
    NodeId,
    NodeState,
    Service,
    ServiceId,
    Task,
    TaskState,
    mode_of,
)
from swarmlab.store import Snapshot


class SlotKey(NamedTuple):
    """The name of a slot: a number for replicated services and jobs, a node for global ones."""

    service: ServiceId
    number: int = 0
    node: NodeId = NodeId("")


def slot_of(task: Task, mode: Mode) -> SlotKey:
    """The slot that the task of a service of that mode is in."""
    if mode.is_global:
        return SlotKey(task.service_id, 0, task.node_id)
    return SlotKey(task.service_id, task.slot)


def tasks_at(view: Snapshot, key: SlotKey) -> tuple[Task, ...]:
    """All tasks in the slot, dead ones too, oldest first."""
    if key.node:
        found: Iterable[Task] = (task for task in view.tasks_on(key.node) if task.service_id == key.service)
    else:
        found = view.tasks_in(key.service, key.number)
    tasks = tuple(found)
    return tasks if len(tasks) < 2 else tuple(sorted(tasks, key=age))


def age(task: Task) -> tuple[int, str]:
    """Sorts tasks oldest first; those of one instant by id."""
    return task.meta.created_at or 0, task.id


def is_live(task: Task) -> bool:
    """The task is still wanted: it is, or is to be, the one that serves its slot."""
    return task.desired_state <= TaskState.COMPLETE


def is_over(task: Task) -> bool:
    """The task stopped, in whatever way, or was given up."""
    return task.status.state > TaskState.RUNNING


def ended_at(task: Task) -> Instant:
    """When a task that is over ended, by the manager's clock where it wrote it down."""
    status = task.status
    return status.applied_at or status.timestamp or Instant(0)


def created_at(task: Task) -> Instant:
    """When the task was stored first."""
    return task.meta.created_at or Instant(0)


def node_keeps_tasks(node: Node | None) -> bool:
    """The node may go on running what it has: it exists, is not DOWN and not DRAIN. A paused or silent one may."""
    return node is not None and node.status.state != NodeState.DOWN and node.spec.availability != Availability.DRAIN


def node_is_lost(node: Node | None) -> bool:
    """Nothing will be heard from the node's tasks: it was removed, or it is DOWN."""
    return node is None or node.status.state == NodeState.DOWN


def node_takes_tasks(node: Node | None) -> bool:
    """The node may get new tasks: it is READY and ACTIVE."""
    return node is not None and node.status.state == NodeState.READY and node.spec.availability == Availability.ACTIVE


def is_displaced(view: Snapshot, task: Task) -> bool:
    """The task has a node, and must not stay on it."""
    return bool(task.node_id) and not node_keeps_tasks(view.node(task.node_id))


def newest(tasks: Sequence[Task]) -> Task | None:
    """The task created last, if there is one."""
    return max(tasks, key=age, default=None)


def mode_if_any(service: Service) -> Mode | None:
    """The service's mode; None where its spec has none, or more than one."""
    try:
        return mode_of(service.spec)
    except InvalidSpec:
        return None
