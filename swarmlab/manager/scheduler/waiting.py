"""The tasks that wait for a node, in groups."""

from collections.abc import Iterator, Sequence

import msgspec

from swarmlab.api import NodeId, ServiceId, Task, TaskId, TaskState, Value
from swarmlab.manager.orchestrator.moves import MOVE_TO
from swarmlab.manager.scheduler.demand import cluster_mounts, drivers, group_id
from swarmlab.plugin import Instant
from swarmlab.store import Snapshot

#: What makes tasks equal: service and spec version; or, without one (-1), all that the filters look at, as bytes.
Key = tuple[ServiceId, int, bytes]


class Members:
    """The waiting tasks of one key."""

    __slots__ = ("created", "groups", "key")

    def __init__(self, groups: "Groups", key: Key) -> None:
        self.groups = groups
        self.key = key
        #: {task: when it was created}
        self.created: dict[TaskId, Instant] = {}


Groups = dict[Key, Members]


class Batch(Value, frozen=True):
    """Equal tasks, the oldest first."""

    id: str
    tasks: tuple[Task, ...]


class Waiting:
    """Who waits for what; kept up from changes, so a look at it costs what waits and not what runs.

    A task waits while it is PENDING: for any node (`free`), for a word on the node that it was bound to (`bound`), for
    the node that somebody wished it to (`moving`), or, told to stop before it had a node, for its end (`ending`).
    """

    def __init__(self) -> None:
        self.free: Groups = {}
        self.bound: Groups = {}
        self.moving: dict[TaskId, NodeId] = {}
        self.ending: dict[TaskId, None] = {}
        self._members: dict[TaskId, Members] = {}

    def __len__(self) -> int:
        return len(self._members) + len(self.moving) + len(self.ending)

    def see(self, task: Task) -> None:
        """Put a PENDING task where it belongs."""
        if task.desired_state > TaskState.COMPLETE:
            self.forget(task.id)
            # What is to be removed needs no end: it is deleted as it is.
            if task.desired_state < TaskState.REMOVE:
                self.ending[task.id] = None
        elif task.annotations.labels and not task.node_id and MOVE_TO in task.annotations.labels:
            self.forget(task.id)
            self.moving[task.id] = NodeId(task.annotations.labels[MOVE_TO])
        else:
            self._join(task, self.bound if task.node_id else self.free)

    def _join(self, task: Task, groups: Groups) -> None:
        key = key_of(task)
        present = self._members.get(task.id)
        if present is not None:
            if present.groups is groups and present.key == key:
                return
            self.forget(task.id)
        elif self.moving or self.ending:
            self.forget(task.id)
        members = groups.get(key)
        if members is None:
            members = groups[key] = Members(groups, key)
        members.created[task.id] = task.meta.created_at or Instant(0)
        self._members[task.id] = members

    def forget(self, task: TaskId) -> None:
        """It does not wait any more."""
        members = self._members.pop(task, None)
        if members is None:
            self.moving.pop(task, None)
            self.ending.pop(task, None)
            return
        del members.created[task]
        if not members.created:
            del members.groups[members.key]


def batches(groups: Groups, view: Snapshot) -> list[Batch]:
    """The groups, the one with the oldest task first, and the tasks in each."""
    found = []
    for members in groups.values():
        oldest_first = sorted(zip(members.created.values(), members.created, strict=True))
        tasks = tuple(task for _, name in oldest_first if (task := view.task(name)) is not None)
        if tasks:
            found += [(oldest_first[0], batch) for batch in _parted(members.key, tasks)]
    found.sort(key=lambda entry: (entry[0], entry[1].id))
    return [batch for _, batch in found]


def key_of(task: Task) -> Key:
    """The group of a task."""
    if task.service_id and task.spec_version is not None:
        return task.service_id, task.spec_version.index, b""
    content = (task.spec, task.endpoint, drivers(task.spec, task.networks))
    return task.service_id, -1, msgspec.msgpack.encode(content)


def _parted(key: Key, tasks: Sequence[Task]) -> Iterator[Batch]:
    service, version, _ = key
    name = group_id(service, version) if version >= 0 else f"one-off:{tasks[0].id}"
    if not cluster_mounts(tasks[0].spec):
        yield Batch(name, tuple(tasks))
        return
    # Which volumes are left depends on where the task before went, so these are placed one by one.
    for task in tasks:
        yield Batch(f"{name}#{task.id}", (task,))
