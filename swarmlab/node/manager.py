"""A manager: the store, and the parts that act on it for as long as it leads."""

import random
from collections.abc import Callable
from typing import Any, TypeVar

from swarmlab.api import (
    Changes,
    Duration,
    Explanation,
    Instant,
    NotFound,
    NotLeader,
    TaskId,
    Unsupported,
    Value,
    Violation,
    seconds,
)
from swarmlab.ca import Asked, CertificateAuthority, MakeRoot, RootMade, Sign, Signed
from swarmlab.component import (
    Assembly,
    CancelTimer,
    Component,
    Disconnected,
    Effect,
    Port,
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
from swarmlab.manager.keymanager import KeyManager
from swarmlab.manager.logbroker import LogBroker
from swarmlab.manager.orchestrator import (
    ConstraintEnforcer,
    GlobalOrchestrator,
    JobsOrchestrator,
    ReplicatedOrchestrator,
    TaskReaper,
)
from swarmlab.manager.rebalancer import Rebalancer
from swarmlab.manager.resourceapi import ResourceAllocator
from swarmlab.manager.rolemanager import LeaveRaft, RaftLeft, RoleManager
from swarmlab.manager.scheduler import Scheduler
from swarmlab.node.ports import ALONE, AuthorityPorts, MembershipPorts, Neighbours, Ports, effect_port
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

    `proposer` decides how a change becomes final: at once, or after a disk or a quorum has it. With `authority`, it
    issues certificates, and draws what must not be foretold from its entropy. `membership` is its raft group, where it
    has one: without it no node becomes a manager, and none ceases to be one. `neighbours` are the machines around it.
    """

    def __init__(
        self,
        config: ManagerConfig,
        host: Host,
        ports: Ports,
        proposer: Proposer,
        snapshot: Snapshot = EMPTY,
        *,
        authority: AuthorityPorts | None = None,
        membership: MembershipPorts | None = None,
        neighbours: Neighbours = ALONE,
    ) -> None:
        def rng(name: str) -> random.Random:
            # A manager that starts again must not give the ids of its last life anew.
            return derived_rng(config.seed, f"{config.manager_id}@{snapshot.version}/{name}")

        self._clock = ports.clock
        self._send = ports.send
        self._ids = rng("requests") if authority is None else authority.entropy
        self._scheduler = Scheduler(host, rng("scheduler"), debounce=config.debounce, latency=config.latency)
        components: list[Component] = [
            Allocator(),
            KeyManager(ports.entropy),
            ReplicatedOrchestrator(rng("replicated")),
            GlobalOrchestrator(rng("global")),
            JobsOrchestrator(rng("jobs")),
            ConstraintEnforcer(),
            TaskReaper(),
            self._scheduler,
            Rebalancer(host, rng("rebalancer"), settle=config.settle),
            Dispatcher(
                rng("dispatcher"),
                managers=neighbours.managers,
                manager_id=config.manager_id,
                address_of=neighbours.address_of,
            ),
            ResourceAllocator(rng("resourceapi")),
            LogBroker(rng("logbroker")),
        ]
        if authority is not None:
            components.append(CertificateAuthority(authority.entropy))
        if membership is not None:
            components.append(RoleManager(membership.managers))
        #: {class of message: the component that takes it}; a component names those that it takes.
        self._takers: dict[type[Any], str] = {
            kind: component.name for component in components for kind in getattr(component, "takes", ())
        }
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
                    *([] if authority is None else self._authority_ports(authority)),
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
        """Take a message of a node or of a client.

        What no part takes, and all while this manager does not lead, ends its call with an error.
        """
        if not self._leads:
            self._send(sender, NotLeader(), call)
        elif type(message) not in self._takers:
            asked = message.message if isinstance(message, Asked) else message
            self._send(sender, Unsupported(f"{type(asked).__name__} is not a call that this manager takes"), call)
        else:
            self.assembly.post(self._takers[type(message)], Received(sender, message, call))

    def disconnected(self, peer: str) -> None:
        """The connection of a node or of a client is gone: every part that takes messages hears it."""
        if self._leads:
            for component in sorted(set(self._takers.values())):
                self.assembly.post(component, Disconnected(peer))

    def explain(self, task_id: TaskId) -> Explanation:
        """Why the task is where it is.

        Raises:
            NotFound: No task has that id.
        """
        if self.store.view.task(task_id) is None:
            raise NotFound(f"task {task_id} not found")
        return self._scheduler.explain(task_id, self.store.view, self._clock())

    def violations(self) -> tuple[Violation, ...]:
        """The tasks that break a hard affinity term where they are now."""
        return self._scheduler.violations(self.store.view, self._clock())

    def _authority_ports(self, authority: AuthorityPorts) -> list[tuple[type[Effect], Port]]:
        def answer(event: Signed | RootMade) -> None:
            if self._leads:
                self.assembly.post(CertificateAuthority.name, event)

        return [
            effect_port(Sign, lambda _, effect: authority.sign(effect, answer)),
            effect_port(MakeRoot, lambda _, effect: authority.make_root(effect, answer)),
        ]

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
