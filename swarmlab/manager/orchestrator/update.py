"""Updates and rollbacks: the slots of a service replaced a few at a time, watched, and stopped when too many fail.

A `Rollout` knows which slots are to be replaced, which are under way and how the new tasks fared. It learns all of it
from commits, and `resume` reads from the store what a new leader can know: the slots done, those under way, the
failures of new tasks that are still in their slot's history.

Two bounds that SwarmKit lacks: a paused rollback stays paused, and a new task that does not run `monitor` plus ten
minutes after its creation counts as failed. The service label `swarmlab.update.timeout` sets another time than ten
minutes.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from msgspec.structs import replace

from swarmlab.api import (
    MINUTE,
    SECOND,
    Duration,
    FailureAction,
    Instant,
    InvalidSpec,
    Service,
    Task,
    TaskId,
    TaskState,
    UpdateConfig,
    UpdateState,
    UpdateStatus,
    after,
    format_duration,
    parse_duration,
)
from swarmlab.manager.orchestrator.charge import Charge
from swarmlab.manager.orchestrator.restart import ended_by_itself
from swarmlab.manager.orchestrator.slots import SlotKey, created_at, ended_at, is_live, is_over

#: How long a new task may take to run, beyond the monitor time, before it counts as failed.
UPDATE_TIMEOUT = Duration(10 * MINUTE)
#: Service label with another span: "90s", "1h".
TIMEOUT_LABEL = "swarmlab.update.timeout"

IN_PROGRESS = (UpdateState.UPDATING, UpdateState.ROLLBACK_STARTED)
PAUSED = (UpdateState.PAUSED, UpdateState.ROLLBACK_PAUSED)


class Verdict(NamedTuple):
    """What is to become of the service, as an update stands."""

    service: Service
    #: No further slot is to begin.
    stops: bool


class Rollout:
    """One update or rollback of one service.

    Args:
        charge: The service, as it wants its tasks.
    """

    def __init__(self, charge: Charge) -> None:
        status = charge.service.update_status
        #: What the status says; a new leader goes by it.
        self.started_at = status.started_at if status is not None else None
        self._begun_at = self.started_at or charge.now
        self._wish = _wish(charge)
        self._configure(charge)
        #: Slots still to begin, in order.
        self._waiting: dict[SlotKey, None] = {}
        #: {slot under way: the task that is to run there}
        self._active: dict[SlotKey, TaskId] = {}
        #: {slot that is done but holds its place: until when}
        self._cooling: dict[SlotKey, Instant] = {}
        #: {task made here: since when it runs, None for not yet}
        self._made: dict[TaskId, Instant | None] = {}
        #: Slots that this is or was about; what the failure ratio is a share of.
        self._slots: set[SlotKey] = set()
        #: {new task that failed: the words for it}, in the order in which that was noticed
        self._failures: dict[TaskId, str] = {}
        #: (instant, slot, task): limits of what is under way, ends of cooling. Void where the slot went on.
        self._limits: list[tuple[Instant, SlotKey, TaskId]] = []
        self._last_done: Instant | None = None

    def _configure(self, charge: Charge) -> None:
        config = charge.config
        self._config = config
        self._version = charge.service.spec_version
        self._monitor = monitor_time(config)
        self._timeout = Duration(self._monitor + timeout_of(charge.service))
        self._rollback = charge.rolling_back

    def continues(self, charge: Charge) -> bool:
        """It is about the same wish still; how it goes about it may have changed."""
        return self._wish == _wish(charge)

    @property
    def is_moving(self) -> bool:
        """Slots are under way or still to begin."""
        return bool(self._waiting or self._active)

    def sync(
        self, charge: Charge, dirty: Iterable[SlotKey], halfway: Mapping[SlotKey, Task], kept: Iterable[SlotKey]
    ) -> None:
        """Take the slots that are to be replaced as the store shows them now.

        Args:
            charge: The service.
            dirty: Slots whose tasks are all dirty.
            halfway: Slots in which a new task is to take over from an old one.
            kept: The slots that the service has still.
        """
        self._configure(charge)
        self._waiting = dict.fromkeys(sorted(dirty))
        staying = set(kept)
        self._active = {key: task for key, task in self._active.items() if key in staying and key not in self._waiting}
        self._slots = (self._slots & staying) | self._waiting.keys()
        for key, task in halfway.items():
            if key not in self._active:
                self._begin(key, task)

    def admit(self, key: SlotKey) -> None:
        """One more slot turned out to be dirty."""
        if key not in self._active and key not in self._waiting:
            self._waiting = dict.fromkeys(sorted([*self._waiting, key]))
            self._slots.add(key)

    def leave(self, key: SlotKey) -> None:
        """The slot needs nothing any more."""
        self._waiting.pop(key, None)

    def resume(self, slots: Mapping[SlotKey, Sequence[Task]], charge: Charge) -> None:
        """Learn from the store how far an update came that began before this leader's term.

        Args:
            slots: The tasks of each slot, oldest first.
            charge: The service.
        """
        start = self.started_at
        if start is None:
            return
        version = charge.service.spec_version
        for key in sorted(slots):
            tasks = slots[key]
            mine = [t for t in tasks if t.spec_version == version and created_at(t) >= start]
            if not mine or all(task.spec_version == version for task in tasks):
                continue
            self._slots.add(key)
            first = mine[0]
            self._made[first.id] = ended_at(first) if first.status.state == TaskState.RUNNING else None
            if self._failed_before(first):
                self._fail(first.id)
            last = mine[-1]
            if last.status.state < TaskState.RUNNING and is_live(last):
                self._begin(key, last)
            elif last.status.state == TaskState.RUNNING:
                self._end(key, ended_at(last))

    def _failed_before(self, task: Task) -> bool:
        """Whether a task that ended failed as far as the store can tell: rejected, or over within the monitor time."""
        if not is_over(task) or not ended_by_itself(task):
            return False
        return task.status.state == TaskState.REJECTED or ended_at(task) <= created_at(task) + self._monitor

    def concerns(self, key: SlotKey, task: Task, old: Task | None) -> bool:
        """Whether `hear` would learn anything from this change."""
        if old is None:
            return key in self._waiting
        if task.status.state == old.status.state and task.desired_state == old.desired_state:
            return False
        return task.id in self._made and (task.status.state >= TaskState.RUNNING or not is_live(task))

    def hear(self, key: SlotKey, task: Task, old: Task | None, slot: Sequence[Task], now: Instant) -> None:
        """Learn from a change that concerns it.

        Args:
            key: The slot of the task.
            task: As it is now.
            old: As it was; None for a new one.
            slot: All tasks in the slot now, oldest first.
            now: The time.
        """
        if old is None:
            self._hear_new(key, task)
        else:
            self._hear_made(key, task, old, slot, now)

    def hear_gone(self, key: SlotKey, task: Task, slot: Sequence[Task]) -> None:
        """Learn that a task was deleted."""
        if self._active.get(key) == task.id:
            self._follow(key, slot)

    def _hear_new(self, key: SlotKey, task: Task) -> None:
        del self._waiting[key]
        self._begin(key, task)

    def _hear_made(self, key: SlotKey, task: Task, old: Task, slot: Sequence[Task], now: Instant) -> None:
        state = task.status.state
        if state == TaskState.RUNNING and old.status.state < TaskState.RUNNING:
            self._made[task.id] = now
            if self._active.get(key) == task.id:
                self._end(key, now)
        elif is_over(task) and not is_over(old):
            since = self._made[task.id]
            early = since is None or now - since <= self._monitor
            if early and is_live(old) and is_live(task) and state != TaskState.ORPHANED:
                self._fail(task.id)
            if self._active.get(key) == task.id:
                self._end(key, now)
        elif not is_live(task) and self._active.get(key) == task.id:
            self._follow(key, slot)

    def _follow(self, key: SlotKey, slot: Sequence[Task]) -> None:
        """The task under way was given up for no fault of its own: its successor takes its place, if there is one.

        If only old tasks are left, the slot begins anew.
        """
        del self._active[key]
        live = [task for task in slot if is_live(task)]
        new = [task for task in live if task.spec_version == self._version]
        if not new:
            if live:
                self.admit(key)
        elif new[-1].status.state < TaskState.RUNNING:
            self._begin(key, new[-1])

    def _begin(self, key: SlotKey, task: Task) -> None:
        self._active[key] = task.id
        self._made.setdefault(task.id, None)
        self._slots.add(key)
        start = max(created_at(task), self._begun_at)
        heapq.heappush(self._limits, (after(start, self._timeout), key, task.id))

    def _end(self, key: SlotKey, at: Instant) -> None:
        self._active.pop(key, None)
        self._last_done = at if self._last_done is None else max(at, self._last_done)
        if self._config.delay > 0:
            self._cooling[key] = after(at, self._config.delay)
            heapq.heappush(self._limits, (self._cooling[key], key, TaskId("")))

    def _fail(self, task: TaskId, why: str = "failure or early termination of task") -> None:
        self._failures.setdefault(task, f"{why} {task}")

    def tick(self, now: Instant) -> None:
        """Let time pass: places get free, and what took too long counts as failed."""
        while self._limits and self._limits[0][0] <= now:
            _, key, task = heapq.heappop(self._limits)
            if not task:
                if self._cooling.get(key, now + 1) <= now:
                    del self._cooling[key]
            elif self._active.get(key) == task:
                self._fail(task, f"no start within {format_duration(self._timeout)} of task")
                self._end(key, now)

    def next_at(self) -> Instant | None:
        """When `tick` has something to do next, or the watch over the last new task ends."""
        while self._limits and not self._is_due(*self._limits[0]):
            heapq.heappop(self._limits)
        first = self._limits[0][0] if self._limits else None
        if self.is_moving or self._last_done is None:
            return first
        end = after(self._last_done, self._monitor)
        return end if first is None else min(first, end)

    def _is_due(self, at: Instant, key: SlotKey, task: TaskId) -> bool:
        return self._active.get(key) == task if task else self._cooling.get(key) == at

    def startable(self) -> list[SlotKey]:
        """The slots to begin now, in order."""
        if self._config.parallelism == 0:
            return list(self._waiting)
        room = self._config.parallelism - len(self._active) - len(self._cooling)
        return list(islice(self._waiting, max(0, room)))

    def verdict(self, service: Service, now: Instant) -> Verdict | None:
        """The service with its next status, or with its previous spec, when it is time for that."""
        failure = self._decisive_failure()
        if failure is not None:
            return Verdict(self._stopped(service, failure, now), stops=True)
        status = service.update_status
        if status is None or status.state == UpdateState.UNKNOWN:
            self.started_at = self.started_at or now
            return Verdict(_started(service, self.started_at), stops=False) if self.is_moving else None
        if status.state not in IN_PROGRESS:
            return None
        if self.is_finished(now):
            return Verdict(completed(service, now), stops=True)
        if status.started_at is None:
            return Verdict(replace(service, update_status=replace(status, started_at=now)), stops=False)
        return None

    def is_finished(self, now: Instant) -> bool:
        """All slots are done, and the last one was watched long enough."""
        return not self.is_moving and (self._last_done is None or now >= self._last_done + self._monitor)

    def _decisive_failure(self) -> str | None:
        """The latest failure, where there are too many of them and that is to stop the update."""
        if not self._failures or self._config.failure_action == FailureAction.CONTINUE:
            return None
        if len(self._failures) <= self._config.max_failure_ratio * max(1, len(self._slots)):
            return None
        return next(reversed(self._failures.values()))

    def _stopped(self, service: Service, failure: str, now: Instant) -> Service:
        status = service.update_status or UpdateStatus(started_at=self.started_at or now)
        if self._rollback:
            message = f"rollback paused due to {failure}"
            return replace(service, update_status=replace(status, state=UpdateState.ROLLBACK_PAUSED, message=message))
        if self._config.failure_action == FailureAction.ROLLBACK and service.previous_spec is not None:
            return replace(
                service,
                spec=service.previous_spec,
                spec_version=service.previous_spec_version,
                previous_spec=None,
                previous_spec_version=None,
                update_status=UpdateStatus(
                    state=UpdateState.ROLLBACK_STARTED,
                    started_at=now,
                    message=f"update rolled back due to {failure}",
                ),
            )
        message = f"update paused due to {failure}"
        return replace(service, update_status=replace(status, state=UpdateState.PAUSED, message=message))


def is_in_progress(service: Service) -> bool:
    """The service says that an update or rollback is under way."""
    return service.update_status is not None and service.update_status.state in IN_PROGRESS


def monitor_time(config: UpdateConfig) -> Duration:
    """How long a new task is watched: longer than the pause between slots, so that a failure can stop the next one."""
    monitor = config.monitor if config.monitor is not None else Duration(0)
    return Duration(config.delay + SECOND) if config.delay >= monitor else monitor


def timeout_of(service: Service) -> Duration:
    """How long a new task of the service may take to run, apart from the monitor time."""
    text = service.spec.annotations.labels.get(TIMEOUT_LABEL)
    if text is None:
        return UPDATE_TIMEOUT
    try:
        span = parse_duration(text)
    except InvalidSpec:
        return UPDATE_TIMEOUT
    return span if span > 0 else UPDATE_TIMEOUT


def _wish(charge: Charge) -> tuple[object, ...]:
    spec = charge.service.spec
    return spec.task, spec.endpoint, charge.rolling_back


def _started(service: Service, now: Instant) -> Service:
    status = UpdateStatus(state=UpdateState.UPDATING, started_at=now, message="update in progress")
    return replace(service, update_status=status)


def completed(service: Service, now: Instant) -> Service:
    """The service with the update or rollback that is in progress marked as complete."""
    status = service.update_status
    assert status is not None
    state, message = UpdateState.COMPLETED, "update completed"
    if status.state == UpdateState.ROLLBACK_STARTED:
        state, message = UpdateState.ROLLBACK_COMPLETED, "rollback completed"
    return replace(service, update_status=replace(status, state=state, message=message, completed_at=now))
