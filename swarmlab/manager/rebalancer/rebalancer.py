"""The component that keeps a cluster balanced when nodes come."""

import random
from collections.abc import Iterator, Sequence

from swarmlab.api import (
    SECOND,
    Change,
    ChangeKind,
    Duration,
    Instant,
    Node,
    NodeId,
    Service,
    ServiceId,
    Task,
    UpdateState,
    after,
)
from swarmlab.component import CancelTimer, Effect, Event, Record, SetTimer, Tell, TimerFired
from swarmlab.manager.orchestrator import MovesWished
from swarmlab.manager.orchestrator.slots import is_over
from swarmlab.manager.rebalancer.arrivals import Arrivals
from swarmlab.manager.rebalancer.progress import Progress
from swarmlab.manager.rebalancer.vetting import Vetted, is_in_play, vetted
from swarmlab.manager.scheduler.columns import LOSSES
from swarmlab.manager.scheduler.view import ClusterColumns
from swarmlab.plugin import Host, Moves, Strategy, Trigger
from swarmlab.store import EMPTY, Committed, Led, Snapshot

#: The orchestrator answers a wish by then, with a task or not at all.
ANSWER = Duration(5 * SECOND)
#: A burst of arrivals is waited out, but for no more than so many settle times; nor is a plan made again for reasons
#: other than arrivals before so many have passed.
PATIENCE = 10

_SETTLE, _STABLE, _ANSWER = "settle", "stable", "answer"
_UPDATING = (UpdateState.UPDATING, UpdateState.ROLLBACK_STARTED)


class Rebalancer:
    """Asks the strategy for moves when a node became schedulable, and has them made.

    One plan at a time: while its moves are under way no other is made. When they have ended, and any of them came to
    something, the strategy is asked again, as it is when room came free that a plan had lacked. With a strategy that
    does not move tasks it does nothing at all.

    A commit costs its changes; a plan costs the cluster.

    Args:
        host: The strategy in use.
        rng: The generator that the strategy sees.
        settle: How long arrivals are collected before the strategy is asked.
    """

    name = "rebalancer"

    def __init__(self, host: Host, rng: random.Random, *, settle: Duration = SECOND) -> None:
        self._host = host
        self._rng = rng
        self._settle = settle
        self._moves_tasks = type(host.strategy).rebalance is not Strategy.rebalance
        self._reset(EMPTY)

    def _reset(self, view: Snapshot) -> None:
        self._view = view
        self._arrivals = Arrivals(view)
        self._progress = Progress(view)
        #: Whether the strategy is to be asked although no node came.
        self._again = False
        #: When the first arrival came that was not answered yet.
        self._since: Instant | None = None
        self._planned_at: Instant | None = None
        #: What the last plan lacked room on, or could not touch: when a task ends there, it is worth asking again.
        self._lacking: frozenset[NodeId | ServiceId] = frozenset()

    def step(self, event: Event, now: Instant) -> Sequence[Effect]:
        if not self._moves_tasks:
            return []
        match event:
            case Led(view):
                self._reset(view)
                self._again = True
                return [SetTimer(_SETTLE, after(now, self._settle))]
            case Committed(view, changes):
                self._view = view
                return list(self._follow(changes, now))
            case TimerFired(name=timer) if timer == _SETTLE:
                return list(self._plan(now))
            case TimerFired(name=timer) if timer == _ANSWER:
                self._progress.give_up_unanswered()
                return list(self._ended(now))
            case TimerFired(name=timer) if timer == _STABLE:
                self._arrivals.trust(now)
                return [*self._await_trust(), *self._collect(now)]
        return []

    def _follow(self, changes: Sequence[Change], now: Instant) -> Iterator[Effect]:
        busy = self._progress.busy
        nodes = moves = False
        flapping, due = self._arrivals.flapping, self._arrivals.due
        for change in changes:
            match change.object:
                case Node():
                    nodes = True
                    self._arrivals.note(change, now)
                case Task() as task:
                    moves |= self._progress.note(change)
                    if self._lacking and _ended(change) and {task.node_id, task.service_id} & self._lacking:
                        yield from self._ask_again(now)
                case Service() as service if service.id in self._lacking and _update_ended(change):
                    yield from self._ask_again(now)
        if nodes:
            yield from self._await_trust()
            for node in self._arrivals.flapping:
                if node not in flapping:
                    yield Record("node-flapping", {"node": node, "reason": "it came and went too often lately"})
            if self._arrivals.due:
                yield from self._collect(now)
            elif due and not self._again:
                self._since = None
                yield CancelTimer(_SETTLE)
        if moves or (nodes and busy):
            self._progress.review(self._view)
        if busy:
            yield from self._ended(now)

    def _collect(self, now: Instant) -> Iterator[Effect]:
        """Wait for more arrivals, within reason."""
        if self._arrivals.due or self._again:
            self._since = now if self._since is None else self._since
            yield SetTimer(_SETTLE, min(after(now, self._settle), after(self._since, PATIENCE * self._settle)))

    def _ask_again(self, now: Instant) -> Iterator[Effect]:
        """Ask the strategy although no node came; soon, but not all the time."""
        if self._again:
            return
        self._again = True
        at = after(now, self._settle)
        if self._planned_at is not None:
            at = max(at, after(self._planned_at, PATIENCE * self._settle))
        yield SetTimer(_SETTLE, at)

    def _await_trust(self) -> Iterator[Effect]:
        at = self._arrivals.next_trust
        yield CancelTimer(_STABLE) if at is None else SetTimer(_STABLE, at)

    def _ended(self, now: Instant) -> Iterator[Effect]:
        """Close the plan when its last move has ended; when any came to something, ask again."""
        if self._progress.busy:
            return
        tally = self._progress.tally()
        yield CancelTimer(_ANSWER)
        yield Record("rebalance-done", {"moved": tally.moved, "failed": tally.failed})
        self._again = self._again or tally.moved > 0
        yield from self._collect(now)

    def _plan(self, now: Instant) -> Iterator[Effect]:
        if self._progress.busy or not (self._arrivals.due or self._again):
            return
        trigger = self._arrivals.take() or Trigger("drift")
        self._again, self._since, self._planned_at = False, None, now
        columns = ClusterColumns()
        columns.led(self._view)
        for node in self._arrivals.flapping:
            columns.losses.own()[columns.rows[node]] = LOSSES
        view = columns.cluster_view(self._view, now, self._rng, self._host)
        wanted = self._host.rebalance(view, trigger)
        for fault in self._host.take_faults():
            yield Record("plugin-failed", {"plugin": fault.plugin, "hook": fault.hook, "error": str(fault)})
        plan = vetted(wanted.moves, self._view, view, trigger, self._arrivals.flapping, now)
        self._lacking = self._lacked(wanted, plan, trigger)
        if wanted.moves or wanted.kept or trigger.kind != "drift":
            yield Record("rebalance-plan", self._account(trigger, wanted, plan))
        if plan.moves:
            self._progress.begin(plan.moves)
            yield Tell("replicated", MovesWished(plan.moves))
            yield SetTimer(_ANSWER, after(now, ANSWER))

    def _lacked(self, wanted: Moves, plan: Vetted, trigger: Trigger) -> frozenset[NodeId | ServiceId]:
        services = {kept.service for kept in wanted.kept} | {refusal.service for refusal in plan.refused}
        found = ((each, self._view.service(each)) for each in services)
        waiting = {each for each, service in found if service is not None and is_in_play(service, trigger)}
        if not waiting:
            return frozenset()
        return frozenset(waiting | set(trigger.nodes) | {refusal.move.to for refusal in plan.refused})

    def _account(self, trigger: Trigger, wanted: Moves, plan: Vetted) -> dict[str, object]:
        """The fields of the record of a plan."""
        moves = []
        for move in plan.moves:
            task = self._view.task(move.task)
            assert task is not None
            moves.append(
                {
                    "task": move.task,
                    "service": task.service_id,
                    "from": task.node_id,
                    "to": move.to,
                    "reason": move.reason,
                }
            )
        return {
            "trigger": trigger.kind,
            "nodes": list(trigger.nodes),
            "version": self._view.version,
            "strategy": self._host.strategy.name,
            "moves": moves,
            "bound": wanted.bound,
            "before": wanted.imbalance_before,
            "after": wanted.imbalance_after,
            "kept": [{"service": kept.service, "reason": kept.reason} for kept in wanted.kept],
            "refused": [
                {"task": refusal.move.task, "to": refusal.move.to, "why": refusal.why} for refusal in plan.refused
            ],
        }


def _ended(change: Change) -> bool:
    """Whether a task ended, or went away before it had."""
    task, old = change.object, change.old
    assert isinstance(task, Task)
    if change.kind == ChangeKind.REMOVED:
        return not is_over(task)
    return is_over(task) and isinstance(old, Task) and not is_over(old)


def _update_ended(change: Change) -> bool:
    """Whether the service is not being updated any more."""
    service, old = change.object, change.old
    assert isinstance(service, Service)
    status = service.update_status
    return isinstance(old, Service) and old.update_status != status and not (status and status.state in _UPDATING)
