"""Tasks that are over: they go."""

from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from swarmlab.api import (
    MILLISECOND,
    Action,
    Change,
    ChangeKind,
    Cluster,
    Delete,
    Duration,
    Instant,
    Node,
    NodeId,
    Service,
    ServiceId,
    Task,
    TaskId,
    TaskState,
    Update,
    Version,
    after,
    restart_policy,
    task_history_limit,
)
from swarmlab.component import Effect, Event, Proposed, Record, SetTimer, TimerFired
from swarmlab.manager.orchestrator.blueprint import raised
from swarmlab.manager.orchestrator.desk import RETRY, Desk, Entry
from swarmlab.manager.orchestrator.slots import SlotKey, is_live, is_over, mode_if_any, slot_of, tasks_at
from swarmlab.manager.orchestrator.tending import last_served
from swarmlab.store import EMPTY, Committed, Led, Snapshot

#: Deletions wait so long for more of them, unless there are many. SwarmKit `taskreaper`.
BATCH_DELAY = Duration(250 * MILLISECOND)
BATCH_SIZE = 1000
BATCH = "batch"


class TaskReaper:
    """Deletes tasks that nobody needs any more. Lives for one leader term.

    * Tasks of a service that is gone are to be removed.
    * Tasks on a node that is gone become ORPHANED: nobody will report their end.
    * Tasks to be removed are deleted once they cannot run any more, tasks without a service once ORPHANED.
    * Of each slot the cluster's retention limit of tasks is kept, or one more than a service's `max_attempts`, from
      which restarts are counted. What else is decided from stays too: the last task of a slot, what a delayed task
      waits for, and the completed tasks of a job's present run.
    """

    name = "reaper"

    def __init__(self) -> None:
        self._desk: Desk[TaskId] = Desk()
        self._reset(EMPTY)

    def _reset(self, view: Snapshot) -> None:
        """Know nothing but the view."""
        self._view = view
        self._desk.reset()
        #: Tasks to be looked at without delay: their service or their node may be gone.
        self._lost: set[TaskId] = set()
        #: Tasks to be deleted, and slots to be pruned, with the next batch.
        self._doomed: set[TaskId] = set()
        self._slots: set[SlotKey] = set()
        #: The timer of the batch is set.
        self._waits = False
        #: The batch is due.
        self._due = False

    def step(self, event: Event, now: Instant) -> Sequence[Effect]:
        """React to a commit, the answer to a proposal, or the end of a wait."""
        effects: list[Effect] = []
        match event:
            case Committed(view=view, changes=changes):
                self._view = view
                self._hear(changes)
            case Led(view=view):
                self._reset(view)
                self._note_everything()
                self._due = True
            case Proposed():
                settled = self._desk.settle(event, now)
                effects += settled.effects
                self._note_again(settled.again)
            case TimerFired(name=name) if name == RETRY:
                self._desk.resume()
            case TimerFired(name=name) if name == BATCH:
                self._waits, self._due = False, True
            case _:
                return ()
        return effects + self._work(now)

    # --- what commits say

    def _hear(self, changes: Iterable[Change]) -> None:
        for change in changes:
            obj, old = change.object, change.old
            if type(obj) is Task:
                if change.kind != ChangeKind.REMOVED:
                    assert old is None or isinstance(old, Task)
                    self._hear_task(obj, old)
            elif type(obj) is Service:
                if change.kind == ChangeKind.REMOVED:
                    self._lost.update(task.id for task in self._view.tasks_of(obj.id))
                elif isinstance(old, Service) and self._limit(obj) != self._limit(old):
                    for task in self._view.tasks_of(obj.id):
                        self._note_slot(task)
            elif type(obj) is Node:
                if change.kind == ChangeKind.REMOVED:
                    self._lost.update(task.id for task in self._view.tasks_on(obj.id))
            elif type(obj) is Cluster:
                assert old is None or isinstance(old, Cluster)
                if task_history_limit(obj) != task_history_limit(old):
                    self._note_everything()

    def _hear_task(self, task: Task, old: Task | None) -> None:
        if old is None:
            if task.service_id and self._view.service(task.service_id) is None:
                self._lost.add(task.id)
            self._note_slot(task)
        elif is_over(task) and not is_over(old) and (not is_live(task) or task.desired_state == TaskState.COMPLETE):
            self._note_slot(task)
        elif old.desired_state == TaskState.READY != task.desired_state:
            # It waits no more, so what it waited for is history now.
            self._note_slot(task)
        if _is_disposable(task):
            self._doomed.add(task.id)
        if task.node_id and (old is None or task.node_id != old.node_id) and self._view.node(task.node_id) is None:
            self._lost.add(task.id)

    def _note_again(self, task_ids: Iterable[TaskId]) -> None:
        for task_id in task_ids:
            task = self._view.task(task_id)
            if task is not None:
                self._lost.add(task_id)
                self._note_slot(task)
                if _is_disposable(task):
                    self._doomed.add(task_id)

    def _note_everything(self) -> None:
        """Note all that there is to do, in one walk over the tasks."""
        nodes = {node.id for node in self._view.nodes()} | {NodeId("")}
        services = {service.id: (mode_if_any(service), self._limit(service)) for service in self._view.services()}
        counts: dict[SlotKey, int] = {}
        for task in self._view.tasks():
            mode, limit = services.get(task.service_id, (None, -1))
            if task.node_id not in nodes or (task.service_id and task.service_id not in services):
                self._lost.add(task.id)
            if _is_disposable(task):
                self._doomed.add(task.id)
            if mode is not None and limit >= 0:
                key = slot_of(task, mode)
                counts[key] = count = counts.get(key, 0) + 1
                if count > limit:
                    self._slots.add(key)

    def _note_slot(self, task: Task) -> None:
        service = self._view.service(task.service_id)
        mode = mode_if_any(service) if service is not None else None
        if mode is not None:
            self._slots.add(slot_of(task, mode))

    # --- what is done about it

    def _work(self, now: Instant) -> list[Effect]:
        if self._desk.busy:
            return []
        entries = self._entries_for_lost(now)
        effects: list[Effect] = []
        pending = len(self._doomed) + len(self._slots)
        if self._due or pending > BATCH_SIZE:
            taken = {entry.about for entry in entries}
            entries += [Entry(task, (Delete(Task, task),)) for task in self._take_batch() if task not in taken]
            self._due = False
        elif pending and not self._waits:
            self._waits = True
            effects.append(SetTimer(BATCH, after(now, BATCH_DELAY)))
        return self._desk.propose(entries) + effects if entries else effects

    def _entries_for_lost(self, now: Instant) -> list[Entry[TaskId]]:
        lost, self._lost = self._lost, set()
        entries: list[Entry[TaskId]] = []
        gone: dict[ServiceId, int] = {}
        for task_id in sorted(lost):
            task = self._view.task(task_id)
            if task is None:
                continue
            fate = self._fate(task, now)
            if fate is task:
                continue
            records: tuple[Record, ...] = ()
            if fate.status is not task.status:
                fields = {"service": task.service_id, "slot": task.slot, "task": task.id, "node": task.node_id}
                records = (Record("orphaned", fields),)
            if fate.desired_state != task.desired_state:
                gone[task.service_id] = gone.get(task.service_id, 0) + 1
            action: Action = Update(fate)
            entries.append(Entry(task_id, (action,), records))
        if gone:
            records = tuple(Record("removed", {"service": key, "tasks": gone[key]}) for key in sorted(gone))
            entries[0] = entries[0]._replace(records=entries[0].records + records)
        return entries

    def _fate(self, task: Task, now: Instant) -> Task:
        """The task, to be removed if its service is gone, ORPHANED if its node is; itself if both are there."""
        fate = task
        if task.service_id and self._view.service(task.service_id) is None and task.desired_state < TaskState.REMOVE:
            fate = raised(fate, TaskState.REMOVE)
        if task.node_id and not is_over(task) and self._view.node(task.node_id) is None:
            message = "task orphaned: its node was removed"
            status = replace(task.status, state=TaskState.ORPHANED, timestamp=now, applied_at=now, message=message)
            fate = replace(fate, status=status)
        return fate

    def _take_batch(self) -> list[TaskId]:
        """The tasks to delete now, sorted."""
        doomed, self._doomed = self._doomed, set()
        slots, self._slots = self._slots, set()
        found = {task_id for task_id in doomed if self._view.task(task_id) is not None}
        limits: dict[ServiceId, int] = {}
        for key in sorted(slots):
            service = self._view.service(key.service)
            if service is None:
                continue
            if key.service not in limits:
                limits[key.service] = self._limit(service)
            slot = tasks_at(self._view, key)
            if len(slot) > limits[key.service]:
                found.update(superfluous(slot, service, limits[key.service]))
        return sorted(found)

    def _limit(self, service: Service) -> int:
        attempts = restart_policy(service.spec.task).max_attempts
        return attempts + 1 if attempts > 0 else task_history_limit(self._view.cluster())


def superfluous(slot: Sequence[Task], service: Service, limit: int) -> Iterator[TaskId]:
    """The tasks of a slot to delete so that `limit` are left, oldest first, as far as they may go.

    Args:
        slot: All its tasks, oldest first.
        service: Their service.
        limit: How many may stay; negative: all.
    """
    excess = len(slot) - limit
    if limit < 0 or excess <= 0:
        return
    needed = _needed(slot, service)
    for task in slot:
        if excess <= 0:
            return
        if task.id not in needed and _cannot_run(task):
            excess -= 1
            yield task.id


def _needed(slot: Sequence[Task], service: Service) -> set[TaskId]:
    """The tasks of a slot from which something is still to be decided."""
    needed: set[TaskId] = set()
    last = last_served(slot)
    if last is not None:
        needed.add(last.id)
    for place, task in enumerate(slot):
        if place and task.desired_state == TaskState.READY:
            needed.add(slot[place - 1].id)
    if service.job_status is not None or service.spec.replicated_job is not None or service.spec.global_job is not None:
        run = service.job_status.job_iteration if service.job_status is not None else Version()
        needed.update(
            task.id
            for task in slot
            if task.status.state == TaskState.COMPLETE and (task.job_iteration or Version()) == run
        )
    return needed


def _cannot_run(task: Task) -> bool:
    """The task is over, or was given up before any node had it."""
    return is_over(task) or (task.status.state < TaskState.ASSIGNED and not is_live(task))


def _is_disposable(task: Task) -> bool:
    """The task can be deleted, whatever the history of its slot."""
    if task.desired_state == TaskState.REMOVE:
        return _cannot_run(task)
    return not task.service_id and task.status.state == TaskState.ORPHANED
