"""Jobs: tasks that are meant to end, a number of times or once on each node."""

import heapq
from collections.abc import Iterator, Sequence
from enum import Enum

from swarmlab.api import (
    Action,
    Change,
    Create,
    Delete,
    Instant,
    Mode,
    Node,
    ReplicatedJob,
    Service,
    ServiceId,
    Task,
    TaskState,
    Update,
    Version,
)
from swarmlab.manager.orchestrator.blueprint import raised
from swarmlab.manager.orchestrator.charge import Charge
from swarmlab.manager.orchestrator.desk import Entry
from swarmlab.manager.orchestrator.keeper import EVERYTHING, Keeper, recorded
from swarmlab.manager.orchestrator.slots import SlotKey, is_live, is_over, node_takes_tasks, slot_of, tasks_at
from swarmlab.manager.orchestrator.tending import Tended, is_at_rest, tend
from swarmlab.manager.orchestrator.update import completed, is_in_progress
from swarmlab.store import Snapshot


class JobsOrchestrator(Keeper):
    """Creates and restarts the tasks of jobs. Lives for one leader term.

    A replicated job has the slots 0 to `total_completions` - 1, each of which completes once; a global job has a slot
    for each node that suits. Each update of the service is a new run, an *iteration*; what is left of older ones is
    removed.
    """

    name = "jobs"
    modes = frozenset({Mode.REPLICATED_JOB, Mode.GLOBAL_JOB})

    def _reset(self, view: Snapshot) -> None:
        super()._reset(view)
        self._books: dict[ServiceId, Book] = {}
        #: {service: tasks that this pass makes for slots that had none}
        self._fresh: dict[ServiceId, list[Task]] = {}

    # --- what commits say

    def _hear_task(self, change: Change, task: Task, mode: Mode, now: Instant) -> None:
        super()._hear_task(change, task, mode, now)
        old = change.old
        assert old is None or isinstance(old, Task)
        if task.status.state == TaskState.COMPLETE and (old is None or not is_over(old)):
            # Done, even if it was told to stop: what was made in its place is not needed.
            self._slots.add(slot_of(task, mode))
        book = self._books.get(task.service_id)
        if book is None:
            return
        if old is None or is_over(task) != is_over(old) or is_live(task) != is_live(old):
            book.stale.add(task.slot)
            self._services.add(task.service_id)

    def _hear_node(self, change: Change, node: Node) -> None:
        """Mark the node's slot of every global job too: it may be a new one, or one that takes tasks again."""
        super()._hear_node(change, node)
        self._slots.update(
            SlotKey(service_id, 0, node.id) for service_id, mode in self._own.items() if mode is Mode.GLOBAL_JOB
        )

    def _forget(self, service_id: ServiceId) -> None:
        super()._forget(service_id)
        self._books.pop(service_id, None)

    # --- what is done about it

    def _pass(self, now: Instant) -> list[Entry[SlotKey]]:
        entries = super()._pass(now)
        return recorded(entries, self._fresh, self._view)

    def _reconcile(self, charge: Charge) -> list[Entry[SlotKey]]:
        job = charge.service.spec.replicated_job
        entries: list[Entry[SlotKey]] = []
        if is_in_progress(charge.service):
            # A new run is all that the rollback of a job is.
            done = Update(completed(charge.service, charge.now))
            entries.append(Entry(SlotKey(charge.service.id, EVERYTHING), (done,)))
        if job is None:
            self._reconcile_global(charge)
            return entries
        service_id = charge.service.id
        book = self._books.get(service_id)
        if book is None or not book.is_about(charge.service, job):
            tasks = self._view.tasks_of(service_id)
            book = self._books[service_id] = Book(charge.service, job)
            book.stale.update(task.slot for task in tasks)
            self._slots.update(slot_of(task, charge.mode) for task in tasks if _needs_look(task, charge))
        for number in sorted(book.stale):
            book.enter(number, _standing(self._tasks_at(SlotKey(service_id, number), charge), charge))
        book.stale.clear()
        new = [charge.blueprint.task(self._ids, SlotKey(service_id, number)) for number in book.missing()]
        if new:
            self._fresh[service_id] = new
        return entries + [Entry(SlotKey(service_id, EVERYTHING), (Create(task),)) for task in new]

    def _reconcile_global(self, charge: Charge) -> None:
        service_id = charge.service.id
        tasks = self._view.tasks_of(service_id)
        self._slots.update(slot_of(task, charge.mode) for task in tasks)
        self._slots.update(SlotKey(service_id, 0, node.id) for node in self._view.nodes())

    def _tasks_at(self, key: SlotKey, charge: Charge) -> tuple[Task, ...]:
        return tuple(task for task in tasks_at(self._view, key) if _is_current(task, charge.service))

    def _look(self, key: SlotKey, slot: Sequence[Task], charge: Charge) -> Tended:
        tended = self._look_at_run(key, slot, charge)
        if len(tasks_at(self._view, key)) == len(slot) or any(isinstance(done, Delete) for done in tended.actions):
            return tended
        return tended._replace(actions=(*tended.actions, *self._removals(key, charge)))

    def _removals(self, key: SlotKey, charge: Charge) -> Iterator[Action]:
        """Have what still runs of older runs removed."""
        for task in tasks_at(self._view, key):
            if not _is_current(task, charge.service) and not is_over(task) and task.desired_state < TaskState.REMOVE:
                yield Update(raised(task, TaskState.REMOVE))

    def _look_at_run(self, key: SlotKey, slot: Sequence[Task], charge: Charge) -> Tended:
        if charge.mode is Mode.REPLICATED_JOB:
            return tend(key, slot, charge, self._ids)
        node = self._view.node(key.node)
        if node is None:
            return Tended(tuple(Delete(Task, task.id) for task in tasks_at(self._view, key)))
        if not charge.suits(node):
            # The node changed while its task was made, which will never run. Those that do are the enforcer's concern.
            lost = [task for task in slot if is_live(task) and task.status.state < TaskState.ASSIGNED]
            if lost:
                return Tended(tuple(Update(raised(task, TaskState.SHUTDOWN)) for task in lost))
        takes = node_takes_tasks(node) and charge.suits(node)
        tended = tend(key, slot, charge, self._ids, replaceable=takes)
        if takes and tended.vacant and not tended.actions and not is_at_rest(slot, charge):
            task = charge.blueprint.task(self._ids, key)
            self._fresh.setdefault(key.service, []).append(task)
            return Tended((Create(task),))
        return tended


class Standing(Enum):
    """What a slot of a replicated job is to it."""

    #: A task is to complete there.
    ACTIVE = "active"
    DONE = "done"
    #: Its task failed, and its restart policy leaves it at that.
    GIVEN_UP = "given-up"


class Book:
    """How far one run of a replicated job is, slot by slot, kept up at the cost of what changes."""

    def __init__(self, service: Service, job: ReplicatedJob) -> None:
        self._run = _iteration(service)
        self._job = job
        self._standings: dict[int, Standing] = {}
        self._active = 0
        #: All numbers from this one on are free, and of those below it these.
        self._fresh = 0
        self._freed: list[int] = []
        #: Slots to be entered anew.
        self.stale: set[int] = set()

    def is_about(self, service: Service, job: ReplicatedJob) -> bool:
        """It is about this run of the job."""
        return self._run == _iteration(service) and self._job == job

    def enter(self, number: int, standing: Standing | None) -> None:
        """Note what a slot is now; None: free."""
        before = self._standings.pop(number, None)
        if standing is not None:
            self._standings[number] = standing
        self._active += (standing is Standing.ACTIVE) - (before is Standing.ACTIVE)
        while self._fresh <= number:
            if self._fresh < number:
                heapq.heappush(self._freed, self._fresh)
            self._fresh += 1
        if standing is None:
            heapq.heappush(self._freed, number)

    def missing(self) -> list[int]:
        """The slots that get a task now, lowest first: as many as may run at once and are not done or given up."""
        total = self._job.total_completions
        room = (self._job.max_concurrent or total) - self._active
        room = min(room, total - len(self._standings))
        numbers: list[int] = []
        while len(numbers) < room and self._freed:
            number = heapq.heappop(self._freed)
            if number < total and number not in self._standings and (not numbers or numbers[-1] != number):
                numbers.append(number)
        # What is given out counts as free until a commit says otherwise; what was taken off the heap goes back.
        for number in numbers:
            heapq.heappush(self._freed, number)
        fresh = range(self._fresh, min(total, self._fresh + max(0, room - len(numbers))))
        return [*numbers, *fresh]


def _standing(slot: Sequence[Task], charge: Charge) -> Standing | None:
    if any(charge.is_done(task) for task in slot):
        return Standing.DONE
    if any(is_live(task) for task in slot):
        return Standing.ACTIVE
    return Standing.GIVEN_UP if is_at_rest(slot, charge) else None


def _needs_look(task: Task, charge: Charge) -> bool:
    """A task that may have to be restarted, released or removed."""
    return is_live(task) and not (charge.is_done(task) and _is_current(task, charge.service))


def _iteration(service: Service) -> Version:
    return service.job_status.job_iteration if service.job_status is not None else Version()


def _is_current(task: Task, service: Service) -> bool:
    """The task belongs to the present run of the job."""
    return (task.job_iteration or Version()) == _iteration(service)
