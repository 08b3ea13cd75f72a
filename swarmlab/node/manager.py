"""A manager: the store, and the parts that act on it for as long as it leads."""

import random
from collections.abc import Callable
from typing import Any, TypeVar

from swarmlab.api import Changes, Duration, Explanation, Instant, NotFound, TaskId, Value, seconds
from swarmlab.component import (
    Assembly,
    CancelTimer,
    Component,
    Disconnected,
    Propose,
    Proposed,
    Received,
    Record,
    Send,
    SetTimer,
    TimerFired,
    derived_rng,
)
from swarmlab.manager.allocator import Allocator
from swarmlab.manager.dispatcher import Dispatcher
from swarmlab.manager.orchestrator import (
    ConstraintEnforcer,
    GlobalOrchestrator,
    JobsOrchestrator,
    ReplicatedOrchestrator,
    TaskReaper,
)
from swarmlab.manager.rebalancer import Rebalancer
from swarmlab.manager.rolemanager import LeaveRaft, RaftLeft, RoleManager
from swarmlab.manager.scheduler import Scheduler
from swarmlab.node.ports import MembershipPorts, Ports, effect_port
from swarmlab.plugin import Host
from swarmlab.raft import RaftId
from swarmlab.store import EMPTY, Committed, Led, Outcome, Proposer, Snapshot, Store

T = TypeVar("T")

#: What a request does: from the view, entropy for ids and the time, to changes and the answer.
Request = Callable[[Snapshot, random.Random, Instant], tuple[Changes, T]]


class ManagerConfig(Value, frozen=True, kw_only=True):
    """What a manager is told at its start and cannot be told by the cluster object."""

    manager_id: str = "manager"
    #: All chance of this manager's parts derives from it.
    seed: int = 0
    #: How long the scheduler waits for more after a first commit, and at most.
    debounce: Duration = Duration(50_000_000)
    latency: Duration = seconds(1)
    #: How long the rebalancer lets a burst of joins settle.
    settle: Duration = seconds(1)


class Manager:
    """The deciding half of a cluster: everything is driven by messages, timers and requests from outside.

    `proposer` decides how a change becomes final: at once, or after a disk or a quorum has it. `membership` is its raft
    group, where it has one: without it no node becomes a manager, and none ceases to be one.
    """

    def __init__(
        self,
        config: ManagerConfig,
        host: Host,
        ports: Ports,
        proposer: Proposer,
        snapshot: Snapshot = EMPTY,
        *,
        membership: MembershipPorts | None = None,
    ) -> None:
        def rng(name: str) -> random.Random:
            # A manager that starts again must not give the ids of its last life anew.
            return derived_rng(config.seed, f"{config.manager_id}@{snapshot.version}/{name}")

        self._clock = ports.clock
        self._ids = rng("requests")
        self._scheduler = Scheduler(host, rng("scheduler"), debounce=config.debounce, latency=config.latency)
        components: list[Component] = [
            Allocator(),
            ReplicatedOrchestrator(rng("replicated")),
            GlobalOrchestrator(rng("global")),
            JobsOrchestrator(rng("jobs")),
            ConstraintEnforcer(),
            TaskReaper(),
            self._scheduler,
            Rebalancer(host, rng("rebalancer"), settle=config.settle),
            Dispatcher(rng("dispatcher"), manager_id=config.manager_id),
        ]
        if membership is not None:
            components.append(RoleManager(membership.managers))
        timers = ports.timers(self._fire)

        def propose(source: str, effect: Propose) -> None:
            def done(outcome: Outcome) -> None:
                # A part that hears of commits no more would decide the same again, on a view that stands still.
                if self._leads:
                    answer = Proposed(effect.tag, outcome.version, outcome.refused, outcome.error)
                    self.assembly.post(source, answer)

            ports.proposing(source, effect.changes, self.store.view)
            self.store.propose(effect.changes, done)

        self.assembly = Assembly(
            components,
            dict(
                [
                    *([] if membership is None else [effect_port(LeaveRaft, self._leaver(membership))]),
                    effect_port(Propose, propose),
                    effect_port(SetTimer, lambda source, effect: timers.set(source, effect.name, effect.at)),
                    effect_port(CancelTimer, lambda source, effect: timers.cancel(source, effect.name)),
                    effect_port(Send, lambda _, effect: ports.send(effect.to, effect.message, effect.call)),
                    effect_port(Record, lambda source, effect: ports.record(source, effect.name, effect.fields)),
                ]
            ),
            ports.clock,
        )
        self.store = Store(proposer, ports.clock, snapshot, on_commit=self._committed)
        self._leads = False

    @property
    def view(self) -> Snapshot:
        """The committed state."""
        return self.store.view

    def lead(self) -> None:
        """Begin to act on the store."""
        self._leads = True
        self.assembly.broadcast(Led(self.store.view))

    def resign(self) -> None:
        """Act no more: commits, messages and timers that still come change nothing."""
        self._leads = False

    def mutate(self, request: Request[T], done: Callable[[T | None, Exception | None], None]) -> None:
        """Commit what `request` asks for; `done` gets its answer, or why nothing was (or may have been) committed.

        Errors of the request itself are raised here. A request without changes is answered at once.
        """
        changes, answer = request(self.store.view, self._ids, self._clock())
        if not changes:
            done(answer, None)
            return

        def committed(outcome: Outcome) -> None:
            error = outcome.error or next((refused.error for refused in outcome.refused), None)
            done(None if error else answer, error)

        self.store.propose(changes, committed)

    def receive(self, sender: str, message: Any, call: int) -> None:
        """Take a message of a worker."""
        if self._leads:
            self.assembly.post("dispatcher", Received(sender, message, call))

    def disconnected(self, peer: str) -> None:
        """The connection of a worker is gone."""
        if self._leads:
            self.assembly.post("dispatcher", Disconnected(peer))

    def explain(self, task_id: TaskId) -> Explanation:
        """Why the task is where it is.

        Raises:
            NotFound: No task has that id.
        """
        if self.store.view.task(task_id) is None:
            raise NotFound(f"task {task_id} not found")
        return self._scheduler.explain(task_id, self.store.view, self._clock())

    def _leaver(self, membership: MembershipPorts) -> Callable[[str, LeaveRaft], None]:
        def leave(source: str, effect: LeaveRaft) -> None:
            def done(error: Exception | None) -> None:
                if self._leads:
                    self.assembly.post(source, RaftLeft(effect.node_id, error))

            membership.leave(RaftId(effect.raft_id), done)

        return leave

    def _fire(self, component: str, timer: str) -> None:
        if self._leads:
            self.assembly.post(component, TimerFired(timer))

    def _committed(self, event: Committed) -> None:
        if self._leads:
            self.assembly.broadcast(event)
