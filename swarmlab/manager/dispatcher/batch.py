"""What the nodes reported, gathered on its way into the store."""

from typing import NamedTuple

from msgspec.structs import replace

from swarmlab.api import (
    Changes,
    Instant,
    Node,
    NodeDescription,
    NodeId,
    NodeState,
    OutOfSequence,
    Refused,
    Task,
    TaskId,
    TaskStatus,
    Update,
    Value,
)
from swarmlab.component import Proposed, Record
from swarmlab.store import Snapshot


class NodeWish(Value, frozen=True):
    """What a node's status is to become. No description and no address mean that the stored ones stay."""

    state: NodeState
    message: str = ""
    description: NodeDescription | None = None
    addr: str = ""


class _Group(NamedTuple):
    """One group of a proposal: of a node or of a task."""

    node_id: NodeId | None
    task_id: TaskId | None


class Batch:
    """The newest wish for each node and the newest status of each task that are not in the store yet.

    One proposal is under way at a time. A wish is held against the newest view each time, so one that was refused
    because its object changed meanwhile, or may have been committed already, is simply tried again.
    """

    def __init__(self, manager_id: str) -> None:
        self._manager_id = manager_id
        self._nodes: dict[NodeId, NodeWish] = {}
        self._tasks: dict[TaskId, TaskStatus] = {}
        self._groups: tuple[_Group, ...] = ()
        self._flying_nodes: dict[NodeId, NodeWish] = {}
        self._flying_tasks: dict[TaskId, TaskStatus] = {}
        self.under_way = False

    def __len__(self) -> int:
        return len(self._nodes) + len(self._tasks)

    def want_node(self, node_id: NodeId, wish: NodeWish) -> None:
        """Have the node's status become `wish`; what it leaves open comes from the wish that waits."""
        waiting = self._nodes.get(node_id)
        self._nodes[node_id] = wish if waiting is None else _completed(wish, waiting)

    def want_status(self, task_id: TaskId, status: TaskStatus) -> None:
        """Have the task's status become `status`, unless a higher one waits."""
        waiting = self._tasks.get(task_id)
        if waiting is None or waiting.state <= status.state:
            self._tasks[task_id] = status

    def has_node(self, node_id: NodeId) -> bool:
        """Whether a wish for that node waits."""
        return node_id in self._nodes

    def forget_node(self, node_id: NodeId) -> None:
        """The node is gone."""
        self._nodes.pop(node_id, None)

    def clear(self) -> None:
        """Forget everything; the answer to a proposal under way is not waited for."""
        self._nodes, self._tasks, self._groups = {}, {}, ()
        self._flying_nodes, self._flying_tasks = {}, {}
        self.under_way = False

    def flush(self, view: Snapshot, now: Instant) -> tuple[Changes, tuple[NodeId, ...]]:
        """What has to be proposed, and the nodes that are as wished already.

        With changes, `settle` is to be called with their end.
        """
        updates: list[Node | Task] = []
        groups: list[_Group] = []
        as_wished = []
        for node_id, wish in sorted(self._nodes.items()):
            node = view.node(node_id)
            changed = None if node is None else _wished(node, wish)
            if changed is None:
                as_wished.append(node_id)
                continue
            updates.append(changed)
            groups.append(_Group(node_id, None))
            self._flying_nodes[node_id] = wish
        for task_id, status in sorted(self._tasks.items()):
            task = view.task(task_id)
            if task is None or not _is_news(task.status, status):
                continue
            applied = replace(status, applied_by=self._manager_id, applied_at=now)
            updates.append(replace(task, status=applied))
            groups.append(_Group(None, task_id))
            self._flying_tasks[task_id] = status
        self._nodes, self._tasks, self._groups = {}, {}, tuple(groups)
        self.under_way = bool(updates)
        return Changes.each(Update(obj) for obj in updates), tuple(as_wished)

    def settle(self, proposed: Proposed) -> tuple[tuple[NodeId, ...], list[Record]]:
        """Take the end of the proposal: the nodes that are as wished now, and what could not be written for good."""
        nodes, tasks, groups = self._flying_nodes, self._flying_tasks, self._groups
        self._flying_nodes, self._flying_tasks, self._groups = {}, {}, ()
        self.under_way = False
        if proposed.error is not None:
            for group in groups:
                self._again(group, nodes, tasks)
            return (), []
        records = []
        refused = {refusal.group: refusal for refusal in proposed.refused}
        for number, group in enumerate(groups):
            if number not in refused:
                continue
            if isinstance(refused[number].error, OutOfSequence):
                self._again(group, nodes, tasks)
            else:
                records.append(_given_up(group, refused[number]))
        written = [group.node_id for number, group in enumerate(groups) if number not in refused]
        return tuple(node_id for node_id in written if node_id is not None), records

    def _again(self, group: _Group, nodes: dict[NodeId, NodeWish], tasks: dict[TaskId, TaskStatus]) -> None:
        """Put a wish back that was not written, behind what was wished since."""
        if group.node_id is not None:
            wish, newer = nodes[group.node_id], self._nodes.get(group.node_id)
            self._nodes[group.node_id] = wish if newer is None else _completed(newer, wish)
        if group.task_id is not None:
            newest = self._tasks.get(group.task_id)
            if newest is None or newest.state < tasks[group.task_id].state:
                self._tasks[group.task_id] = tasks[group.task_id]


def _completed(wish: NodeWish, older: NodeWish) -> NodeWish:
    """`wish` with the description and address of `older` where it has none."""
    return replace(wish, description=wish.description or older.description, addr=wish.addr or older.addr)


def _wished(node: Node, wish: NodeWish) -> Node | None:
    """The node as wished; None if it is so already."""
    addr = wish.addr or node.status.addr
    status = replace(node.status, state=wish.state, message=wish.message, addr=addr)
    changed = replace(node, status=status, description=wish.description or node.description)
    return None if changed == node else changed


def _is_news(stored: TaskStatus, reported: TaskStatus) -> bool:
    """Whether `reported` takes the place of `stored`: states never fall, and what is the same is not written again."""
    if reported.state < stored.state:
        return False
    return replace(reported, applied_by=stored.applied_by, applied_at=stored.applied_at) != stored


def _given_up(group: _Group, refusal: Refused) -> Record:
    """A wish that will never be taken."""
    fields = {"node": group.node_id, "task": group.task_id, "error": str(refusal.error)}
    return Record("report-refused", fields)
