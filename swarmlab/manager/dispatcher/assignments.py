"""What one node is to run, as a chain of messages."""

from collections.abc import Iterable
from typing import Protocol

from msgspec.structs import replace

from swarmlab.api import (
    MILLISECOND,
    SECOND,
    Assignment,
    AssignmentAction,
    AssignmentChange,
    AssignmentsMessage,
    AssignmentsType,
    Change,
    ChangeKind,
    Config,
    ConfigId,
    Duration,
    Instant,
    NodeId,
    Secret,
    SecretId,
    Task,
    TaskId,
    TasksMessage,
    TaskState,
    after,
    configs_of,
    is_dead,
    secrets_of,
)
from swarmlab.store import Snapshot

#: Changes that are sent without waiting for more.
BATCH_CHANGES = 100
#: A message waits until no change has come for so long.
BATCH_QUIET = Duration(100 * MILLISECOND)
#: A change waits no longer than this.
BATCH_LONGEST = Duration(1 * SECOND)

#: A secret or a config; secrets sort first, as the agent applies them.
_Need = tuple[int, str]
_SECRET, _CONFIG = 0, 1


def concerns_agent(change: Change) -> bool:
    """Whether the agent of the task has to hear of `change`: not of what it reported itself."""
    new, old = change.object, change.old
    assert isinstance(new, Task)
    if change.kind is ChangeKind.REMOVED or not isinstance(old, Task):
        return _is_assigned(new)
    if old.node_id != new.node_id or _is_assigned(old) != _is_assigned(new):
        return True
    if not _is_assigned(new):
        return False
    # A task that ended lets go of its secrets and configs, though nothing else about it changed.
    return is_dead(old.status.state) != is_dead(new.status.state) or not _same_wish(old, new)


def _is_assigned(task: Task) -> bool:
    return task.status.state >= TaskState.ASSIGNED


def _same_wish(old: Task, new: Task) -> bool:
    """The two differ at most in what the node itself reported, and in version and times."""
    return old.desired_state == new.desired_state and replace(new, status=old.status, meta=old.meta) == old


class Stream(Protocol):
    """An open stream of assignments to one node."""

    @property
    def call(self) -> int:
        """The number of the call that every message answers."""

    @property
    def pace(self) -> "Pace":
        """When the next message is due."""

    def first(self, view: Snapshot) -> AssignmentsMessage | TasksMessage:
        """Everything that is assigned in `view`."""

    def following(self, view: Snapshot, tasks: Iterable[TaskId]) -> AssignmentsMessage | TasksMessage | None:
        """What changed about `tasks` since the last message; None if the agent need not know."""


class Pace:
    """Gathers the changes of one stream.

    After a time of quiet a change is sent at once. Those that follow wait for 100 changes or for 100 ms without one,
    and never longer than a second.
    """

    def __init__(self, now: Instant) -> None:
        self._sent = now
        self._since: Instant | None = None
        #: Tasks that changed since the last message, in order of arrival; a dict for its order.
        self._marked: dict[TaskId, None] = {}

    def mark(self, task_id: TaskId) -> None:
        """That task changed."""
        self._marked[task_id] = None

    def due(self, now: Instant) -> Instant | None:
        """When the marked changes are to be sent, the newest one having come `now`; None without any."""
        if not self._marked:
            return None
        if self._since is None:
            self._since = now
        quiet = self._since == now and now >= after(self._sent, BATCH_QUIET)
        if quiet or len(self._marked) >= BATCH_CHANGES:
            return now
        return min(after(now, BATCH_QUIET), after(self._since, BATCH_LONGEST))

    def take(self) -> tuple[TaskId, ...]:
        """The marked tasks, sorted, and none is marked any more."""
        marked = tuple(sorted(self._marked))
        self._marked, self._since = {}, None
        return marked

    def sent(self, now: Instant) -> None:
        """A message was sent."""
        self._sent = now


class Assignments:
    """The stream of assignments of one node: a complete message, then changes that build on one another.

    Holds the tasks as they were sent. Of the secrets and configs it holds the number of living tasks that use each: one
    is sent when the first user comes, and taken back when the last has ended.
    """

    def __init__(self, node_id: NodeId, call: int, now: Instant) -> None:
        self.call = call
        self.pace = Pace(now)
        #: Secrets and configs that a task wanted and the store did not have, since they were last asked for.
        self.missing: list[tuple[TaskId, str, str]] = []
        self._node_id = node_id
        self._sequence = 0
        self._sent: dict[TaskId, Task] = {}
        self._users: dict[_Need, int] = {}

    def first(self, view: Snapshot) -> AssignmentsMessage:
        """Everything of the node, the secrets and configs of its living tasks first."""
        self._sent, self._users = {}, {}
        changes = self._changes(view, (task.id for task in view.tasks_on(self._node_id)))
        return self._message(AssignmentsType.COMPLETE, changes)

    def following(self, view: Snapshot, tasks: Iterable[TaskId]) -> AssignmentsMessage | None:
        """What changed about `tasks`; None if the agent need not know."""
        changes = self._changes(view, tasks)
        return self._message(AssignmentsType.INCREMENTAL, changes) if changes else None

    def _message(self, kind: AssignmentsType, changes: tuple[AssignmentChange, ...]) -> AssignmentsMessage:
        before = str(self._sequence) if kind is AssignmentsType.INCREMENTAL else ""
        self._sequence += 1
        return AssignmentsMessage(type=kind, applies_to=before, results_in=str(self._sequence), changes=changes)

    def _changes(self, view: Snapshot, tasks: Iterable[TaskId]) -> tuple[AssignmentChange, ...]:
        """The way from what was sent to `view`, for `tasks`: secrets, configs, tasks, each sorted by id."""
        changes = []
        used_before: dict[_Need, int] = {}
        wanted_by: dict[_Need, TaskId] = {}
        for task_id in sorted(tasks):
            old, new = self._sent.get(task_id), self._visible(view, task_id)
            for need in _needs(old):
                used_before.setdefault(need, self._users.get(need, 0))
                self._users[need] -= 1
            for need in _needs(new):
                used_before.setdefault(need, self._users.get(need, 0))
                self._users[need] = self._users.get(need, 0) + 1
                wanted_by.setdefault(need, task_id)
            if new is not None:
                self._sent[task_id] = new
                if old is None or not _same_wish(old, new):
                    changes.append(AssignmentChange(Assignment(task=new), AssignmentAction.UPDATE))
            elif old is not None:
                del self._sent[task_id]
                changes.append(AssignmentChange(Assignment(task=Task(id=task_id)), AssignmentAction.REMOVE))
        needs = []
        for need, before in sorted(used_before.items()):
            users = self._users[need]
            if users == 0:
                del self._users[need]
            if before == 0 and users > 0:
                needs += self._give(view, need, wanted_by[need])
            elif before > 0 and users == 0:
                needs.append(AssignmentChange(_named(need), AssignmentAction.REMOVE))
        return (*needs, *changes)

    def _visible(self, view: Snapshot, task_id: TaskId) -> Task | None:
        task = view.task(task_id)
        return task if task is not None and task.node_id == self._node_id and _is_assigned(task) else None

    def _give(self, view: Snapshot, need: _Need, task_id: TaskId) -> list[AssignmentChange]:
        kind, key = need
        if kind == _SECRET:
            secret = view.secret(SecretId(key))
            if secret is not None:
                return [AssignmentChange(Assignment(secret=secret))]
        else:
            config = view.config(ConfigId(key))
            if config is not None:
                return [AssignmentChange(Assignment(config=config))]
        self.missing.append((task_id, "secret" if kind == _SECRET else "config", key))
        return []


class TaskList:
    """The stream of an old agent: the full list of its tasks each time, without secrets and configs."""

    def __init__(self, node_id: NodeId, call: int, now: Instant) -> None:
        self.call = call
        self.pace = Pace(now)
        self._node_id = node_id

    def first(self, view: Snapshot) -> TasksMessage:
        """The tasks of the node, sorted by id."""
        return TasksMessage(tuple(task for task in view.tasks_on(self._node_id) if _is_assigned(task)))

    def following(self, view: Snapshot, tasks: Iterable[TaskId]) -> TasksMessage:  # noqa: ARG002 - it is always all
        """The tasks of the node again."""
        return self.first(view)


def _needs(task: Task | None) -> tuple[_Need, ...]:
    """What a living task uses; an ended one uses nothing."""
    if task is None or is_dead(task.status.state):
        return ()
    secrets = tuple((_SECRET, str(key)) for key in secrets_of(task.spec))
    return secrets + tuple((_CONFIG, str(key)) for key in configs_of(task.spec))


def _named(need: _Need) -> Assignment:
    """A secret or config of which only the id is told."""
    kind, key = need
    if kind == _SECRET:
        return Assignment(secret=Secret(id=SecretId(key)))
    return Assignment(config=Config(id=ConfigId(key)))
