"""The component that gives waiting tasks their nodes."""

import random
from collections.abc import Sequence

from msgspec.structs import replace

from swarmlab.api import (
    MILLISECOND,
    SECOND,
    Change,
    ChangeKind,
    Changes,
    Duration,
    Explanation,
    Instant,
    Node,
    Service,
    Task,
    TaskId,
    TaskState,
    Violation,
    Volume,
    after,
)
from swarmlab.component import CancelTimer, Effect, Event, Propose, Proposed, Record, SetTimer, TimerFired
from swarmlab.manager.scheduler.columns import Faulty
from swarmlab.manager.scheduler.demand import active, on_node
from swarmlab.manager.scheduler.explain import explanation
from swarmlab.manager.scheduler.journal import Journal
from swarmlab.manager.scheduler.round import Round
from swarmlab.manager.scheduler.view import ClusterColumns, View
from swarmlab.manager.scheduler.violations import violations
from swarmlab.manager.scheduler.waiting import Waiting
from swarmlab.plugin import Decision, Host
from swarmlab.store import Committed, Led, Snapshot

TICK = "tick"


class Scheduler:
    """Looks at what waits whenever something that could help has changed, and not at once: changes come in bursts.

    After the first such commit it waits until nothing of the kind has come for `debounce`, but no longer than `latency`
    in all. One proposal is under way at a time; what changes meanwhile is looked at when it has ended. A decision that
    the store refuses was never counted anywhere: the task waits still, and is decided anew.

    Source: SwarmKit `manager/scheduler/scheduler.go`.
    """

    name = "scheduler"

    def __init__(
        self,
        host: Host,
        rng: random.Random,
        *,
        debounce: Duration = Duration(50 * MILLISECOND),  # noqa: B008 - an integer
        latency: Duration = SECOND,
    ) -> None:
        self._host = host
        self._rng = rng
        self._debounce = debounce
        self._latency = latency
        self._begin()

    def _begin(self) -> None:
        self._columns = ClusterColumns()
        self._waiting = Waiting()
        self._journal = Journal()
        self._view: Snapshot | None = None
        #: Something has changed that could help those who wait.
        self._stirred = False
        #: When the round must begin at the latest; None while no timer is set.
        self._deadline: Instant | None = None
        self._proposed = False
        self._decisions: list[Decision] = []

    def step(self, event: Event, now: Instant) -> Sequence[Effect]:
        """Follow the store; decide when it is time."""
        match event:
            case Committed(view, changes):
                return self._follow(view, changes, now)
            case TimerFired(name) if name == TICK:
                self._deadline = None
                return self._round(now)
            case Proposed():
                return self._end(event, now)
            case Led(view):
                return self._lead(view, now)
        return ()

    def explain(self, task_id: TaskId, view: Snapshot, now: Instant) -> Explanation:
        """Why the task is where it is, or why it is nowhere yet. Raises NotFound."""
        return explanation(task_id, self._seen(view, now), self._journal.of(task_id))

    def violations(self, view: Snapshot, now: Instant) -> tuple[Violation, ...]:
        """The tasks that break a hard term where they are."""
        return violations(self._seen(view, now))

    def _seen(self, view: Snapshot, now: Instant) -> View:
        columns = self._columns
        if columns.version != view.version:
            columns = ClusterColumns()
            columns.led(view)
        # Chance is for decisions; an explanation must not change the next one.
        return columns.cluster_view(view, now, random.Random(0), self._host)

    def _lead(self, view: Snapshot, now: Instant) -> Sequence[Effect]:
        self._begin()
        self._columns.led(view)
        for task in view.tasks():
            if task.status.state == TaskState.PENDING:
                self._waiting.see(task)
        self._view = view
        self._stirred = True
        return [CancelTimer(TICK), *self._round(now)]

    def _follow(self, view: Snapshot, changes: Sequence[Change], now: Instant) -> Sequence[Effect]:
        if self._view is None:
            return ()
        for change in changes:
            self._stirred |= self._see(change)
        effects: list[Effect] = [_record(faulty) for faulty in self._columns.committed(view, changes)]
        self._view = view
        return [*effects, *self._wait(now)]

    def _see(self, change: Change) -> bool:
        """Bring the queue up to date; gives whether the change could help anybody who waits."""
        new, old = change.object, change.old
        if isinstance(new, Task):
            if change.kind is ChangeKind.REMOVED:
                self._waiting.forget(new.id)
                self._journal.forget(new.id)
                return on_node(new)
            was = old if isinstance(old, Task) else None
            if new.status.state == TaskState.PENDING:
                self._waiting.see(new)
                return was is None or was.status.state != TaskState.PENDING or not _equal_but_status(was, new)
            if was is not None and was.status.state == TaskState.PENDING:
                self._waiting.forget(new.id)
            if was is None or not on_node(was):
                # Some may wait to be near it.
                return self._columns.wishes.draws and on_node(new)
            # One that is told to stop keeps its resources, but makes room under a limit of replicas.
            return not on_node(new) or (active(was) and not active(new))
        return isinstance(new, Node | Volume) or (isinstance(new, Service) and change.kind is not ChangeKind.CREATED)

    def _wait(self, now: Instant) -> Sequence[Effect]:
        """Begin a round soon, where there is need of one."""
        if not self._stirred or self._proposed or not len(self._waiting):
            return ()
        if self._debounce <= 0:
            return self._round(now)
        if self._deadline is None:
            self._deadline = after(now, self._latency)
        return [SetTimer(TICK, min(after(now, self._debounce), self._deadline))]

    def _round(self, now: Instant) -> Sequence[Effect]:
        if self._view is None or self._proposed or not self._stirred:
            return ()
        self._stirred = False
        if not len(self._waiting):
            return ()
        seen = self._columns.cluster_view(self._view, now, self._rng, self._host)
        decided = Round(self._columns, seen, self._host, self._journal)
        decided.decide(self._waiting)
        effects: list[Effect] = [
            Record("plugin-failed", {"plugin": fault.plugin, "hook": fault.hook, "error": str(fault)})
            for fault in self._host.take_faults()
        ]
        effects += decided.records
        if decided.actions:
            self._proposed = True
            self._decisions = decided.decisions
            effects.append(Propose(Changes(tuple(decided.actions)), TICK))
        return effects

    def _end(self, event: Proposed, now: Instant) -> Sequence[Effect]:
        """The proposal of a round has ended."""
        self._proposed = False
        decisions, self._decisions = self._decisions, []
        effects: list[Effect] = []
        if event.error is not None:
            effects.append(Record("undecided", {"error": str(event.error)}))
        elif event.refused:
            effects.append(
                Record("refused", {"tasks": len(event.refused), "error": str(event.refused[0].error)}),
            )
        if event.error is None and len(decisions):
            for decision in decisions:
                self._host.observe(_taken(decision, self._view))
            effects += [
                Record("plugin-failed", {"plugin": fault.plugin, "hook": fault.hook, "error": str(fault)})
                for fault in self._host.take_faults()
            ]
        if event.error is None and not event.refused:
            return [*effects, *self._wait(now)]
        # What stood in the way is on its way to us as a commit, or nothing can be committed now; do not spin.
        self._stirred = True
        self._deadline = after(now, self._latency)
        return [*effects, SetTimer(TICK, self._deadline)]


def _equal_but_status(old: Task, new: Task) -> bool:
    """They ask for the same."""
    return (
        old.desired_state == new.desired_state
        and old.node_id == new.node_id
        and old.spec == new.spec
        and old.endpoint == new.endpoint
        and old.networks == new.networks
        and old.annotations == new.annotations
    )


def _taken(decision: Decision, view: Snapshot | None) -> Decision:
    """The decision without what the store refused."""
    assert view is not None, "nothing is proposed before leadership"

    def kept(name: TaskId, node: str) -> bool:
        task = view.task(name)
        return task is not None and task.node_id == node

    return replace(decision, placed=tuple(pair for pair in decision.placed if kept(*pair)))


def _record(faulty: Faulty) -> Record:
    return Record("faulty", {"service": faulty.service, "version": faulty.spec_version, "node": faulty.node})
