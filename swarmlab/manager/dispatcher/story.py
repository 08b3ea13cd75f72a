"""What the event log tells of nodes and tasks, read from the commits."""

from typing import Any

from swarmlab.api import Change, ChangeKind, Node, NodeState, Task, TaskState, node_name
from swarmlab.component import Record


def node_story(change: Change) -> list[Record]:
    """The turn in a node's life that `change` is, if it is one."""
    node, old = change.object, change.old
    assert isinstance(node, Node)
    before = old.status.state if isinstance(old, Node) else NodeState.UNKNOWN
    state = node.status.state
    if change.kind is ChangeKind.REMOVED or state is before:
        return []
    if state is NodeState.READY:
        name = "node-rejoined" if before in (NodeState.DOWN, NodeState.DISCONNECTED) else "node-ready"
    elif state is NodeState.DOWN:
        name = "node-down"
    elif state is NodeState.DISCONNECTED:
        name = "node-disconnected"
    else:
        return []
    fields = {"node": node.id, "hostname": node_name(node), "from": before.name, "message": node.status.message}
    return [Record(name, fields)]


def task_story(change: Change) -> list[Record]:
    """The step of a task's state that `change` is, if it is one.

    A task that runs tells how long that took: from its creation to the manager's knowledge of it, both by the clock of
    the manager, so that the clocks of the workers do not matter.
    """
    task, old = change.object, change.old
    assert isinstance(task, Task)
    before = old.status.state if isinstance(old, Task) else None
    state = task.status.state
    if change.kind is ChangeKind.REMOVED or state is before:
        return []
    fields: dict[str, Any] = {
        "task": task.id,
        "service": task.service_annotations.name or task.service_id,
        "slot": task.slot,
        "node": task.node_id,
        "from": None if before is None else before.name,
        "to": state.name,
        "desired": task.desired_state.name,
    }
    if task.status.err:
        fields["error"] = task.status.err
    if task.status.container is not None and state > TaskState.RUNNING:
        fields["exit_code"] = task.status.container.exit_code
    if state is TaskState.RUNNING and task.status.applied_at is not None and task.meta.created_at is not None:
        fields["delay_ns"] = task.status.applied_at - task.meta.created_at
    return [Record("task-state", fields)]
