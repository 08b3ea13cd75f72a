"""A cluster of nothing but orchestrators: the real store, virtual time, and a model of all that lies around them.

The model stands for allocator, scheduler, dispatcher and agents. It moves every task on by one step at a time, a little
after each commit; nodes that are down say nothing. Every commit is checked against what must hold at any moment.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from swarmlab.api import (
    MILLISECOND,
    SECOND,
    Action,
    Annotations,
    Availability,
    Change,
    ChangeKind,
    Changes,
    Cluster,
    ClusterId,
    ClusterSpec,
    ContainerSpec,
    Create,
    Delete,
    Duration,
    GlobalJob,
    GlobalService,
    Instant,
    JobStatus,
    Node,
    NodeDescription,
    NodeId,
    NodeSpec,
    NodeState,
    NodeStatus,
    OrchestrationConfig,
    Placement,
    ProposalDropped,
    ReplicatedJob,
    ReplicatedService,
    RestartPolicy,
    Service,
    ServiceId,
    ServiceSpec,
    Task,
    TaskSpec,
    TaskState,
    TaskStatus,
    Update,
    UpdateConfig,
    UpdateState,
    UpdateStatus,
    Version,
    after,
)
from swarmlab.component import Assembly, CancelTimer, Propose, Proposed, Record, SetTimer, TimerFired
from swarmlab.manager.constraint import Constraints
from swarmlab.manager.orchestrator import (
    MOVE_TO,
    ConstraintEnforcer,
    GlobalOrchestrator,
    JobsOrchestrator,
    MovesWished,
    ReplicatedOrchestrator,
    TaskReaper,
)
from swarmlab.manager.orchestrator.charge import Charge
from swarmlab.plugin import Move
from swarmlab.store import EMPTY, Committed, Entry, Led, Outcome, Snapshot, Store

START = Instant(1_000_000 * SECOND)
#: How long after a commit the model looks at the tasks, and how long each of its steps takes.
LATENCY = Duration(10 * MILLISECOND)

LIVE = TaskState.COMPLETE


def a_spec(
    name: str = "web",
    *,
    image: str = "v1",
    replicas: int | None = None,
    restart: RestartPolicy | None = None,
    update: UpdateConfig | None = None,
    rollback: UpdateConfig | None = None,
    constraints: tuple[str, ...] = (),
    labels: dict[str, str] | None = None,
    mode: str = "replicated",
    completions: int = 0,
    concurrent: int = 0,
    force: int = 0,
) -> ServiceSpec:
    return ServiceSpec(
        annotations=Annotations(name, labels or {}),
        task=TaskSpec(
            container=ContainerSpec(image=image),
            restart=restart,
            placement=Placement(constraints=constraints) if constraints else None,
            force_update=force,
        ),
        replicated=ReplicatedService(1 if replicas is None else replicas) if mode == "replicated" else None,
        global_=GlobalService() if mode == "global" else None,
        replicated_job=ReplicatedJob(concurrent, completions) if mode == "replicated-job" else None,
        global_job=GlobalJob() if mode == "global-job" else None,
        update=update,
        rollback=rollback,
    )


def a_node(name: str, *, labels: dict[str, str] | None = None, state: NodeState = NodeState.READY) -> Node:
    return Node(
        id=NodeId(name),
        spec=NodeSpec(annotations=Annotations(labels=labels or {})),
        status=NodeStatus(state=state),
        description=NodeDescription(hostname=name),
    )


class Broken(AssertionError):
    """Something that must hold at any moment did not."""


class SlowProposer:
    """Commits each entry after a while, or drops it and all that follow it."""

    max_entry_bytes = None

    def __init__(self, world: "World") -> None:
        self._world = world
        self._waiting: deque[Callable[[Exception | None], None]] = deque()

    def propose(self, entry: Entry, done: Callable[[Exception | None], None]) -> None:
        world = self._world
        world.writers[entry.version] = world.writer
        if world.latency is None and not self._waiting:
            done(None)
            return
        self._waiting.append(done)
        world.at(after(world.now, world.latency or 0), self._settle)

    def flush(self) -> None:
        """Settle all that is on its way: who leads next knows its end."""
        while self._waiting:
            self._settle()

    def _settle(self) -> None:
        if not self._waiting:
            return
        done = self._waiting.popleft()
        self._world.proposals += 1
        if self._world.drop_every and self._world.proposals % self._world.drop_every == 0:
            self._waiting.clear()
            done(ProposalDropped("no quorum"))
        else:
            done(None)


class World:
    """One cluster in virtual time.

    Args:
        nodes: Names of the first nodes.
        history: The cluster's retention limit.
        seed: For ids.
    """

    def __init__(self, nodes: Iterable[str] = (), *, history: int = 5, seed: int = 1) -> None:
        #: How long a proposal takes; None: no time at all, and nobody can be faster.
        self.latency: Duration | None = None
        #: Each so-manieth slow proposal is dropped.
        self.drop_every = 0
        self.proposals = 0
        self.now = START
        self.log: list[tuple[str, dict[str, Any]]] = []
        #: Task image -> how long after its start a task fails; without an entry it never does.
        self.fails_after: dict[str, Duration] = {}
        #: Task image -> it is rejected by its agent.
        self.rejected: set[str] = set()
        #: Images whose tasks are never placed.
        self.unplaceable: set[str] = set()
        self.start_time = Duration(100 * MILLISECOND)
        self.stop_time = Duration(200 * MILLISECOND)
        self.job_time = Duration(2 * SECOND)
        #: Tasks that do not stop when told to.
        self.stubborn: set[str] = set()
        self.checks = True
        #: Nobody leads: commits are not told to the orchestrators.
        self.deaf = False
        self._events: list[tuple[Instant, int, Callable[[], None]]] = []
        self._count = 0
        self._timers: dict[tuple[str, str], int] = {}
        self._stirring = False
        #: {version: the part that proposed it}
        self.writers: dict[int, str] = {}
        #: Who is proposing now, or proposed what is being checked.
        self.writer = "user"
        self._ids = 0
        #: When each task reached its present state, or was wanted in its present one.
        self._since: dict[str, Instant] = {}
        self._proposer = SlowProposer(self)
        self.store = Store(self._proposer, lambda: self.now, EMPTY, on_commit=self._committed)
        self.seed = seed
        self.refusals = 0
        self._assembly = self._new_assembly()
        cluster = Cluster(
            id=ClusterId("cluster"),
            spec=ClusterSpec(
                annotations=Annotations("default"),
                orchestration=OrchestrationConfig(task_history_retention_limit=history),
            ),
        )
        self.commit(Create(cluster), *(Create(a_node(name)) for name in nodes))
        self.lead()

    # --- leadership

    def _new_assembly(self) -> Assembly:
        ids, term = random.Random(self.seed), self.seed

        def of_term(port: Callable[[str, Any], None]) -> Callable[[str, Any], None]:
            """The port, which does nothing for the parts of an earlier term."""
            return lambda source, effect: port(source, effect) if term == self.seed else None

        components = [
            ReplicatedOrchestrator(ids),
            GlobalOrchestrator(ids),
            JobsOrchestrator(ids),
            ConstraintEnforcer(),
            TaskReaper(),
        ]
        ports = {
            Propose: of_term(self._propose),
            SetTimer: of_term(self._set_timer),
            CancelTimer: of_term(self._cancel_timer),
            Record: of_term(lambda source, effect: self.log.append((effect.name, dict(effect.fields)))),
        }
        return Assembly(components, ports, lambda: self.now)  # type: ignore[arg-type]

    def lead(self) -> None:
        """A new leader: all parts anew, nothing known but the store, and nothing of the old one on its way."""
        self.seed += 1
        self._proposer.flush()
        self._timers.clear()
        self._assembly = self._new_assembly()
        self._assembly.broadcast(Led(self.store.view))
        self.stir()

    def _propose(self, source: str, effect: Propose) -> None:
        term = self.seed

        def done(outcome: Outcome) -> None:
            self.refusals += len(outcome.refused)
            if term == self.seed:
                self._assembly.post(source, Proposed(effect.tag, outcome.version, outcome.refused, outcome.error))

        self.writer = source
        self.store.propose(effect.changes, done)

    def _set_timer(self, source: str, effect: SetTimer) -> None:
        self._count += 1
        self._timers[source, effect.name] = number = self._count
        assembly = self._assembly

        def fire() -> None:
            if self._timers.get((source, effect.name)) == number and assembly is self._assembly:
                del self._timers[source, effect.name]
                assembly.post(source, TimerFired(effect.name))

        heapq.heappush(self._events, (max(self.now, effect.at), number, fire))

    def _cancel_timer(self, source: str, effect: CancelTimer) -> None:
        self._timers.pop((source, effect.name), None)

    # --- time

    def at(self, instant: Instant, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (instant, self._count, action))

    def run(self, seconds: float) -> None:
        """Let that much time pass."""
        end = after(self.now, round(seconds * SECOND))
        steps = 0
        while self._events and self._events[0][0] <= end:
            steps += 1
            assert steps < 200_000, "it never comes to rest"
            self.now, _, action = heapq.heappop(self._events)
            action()
        self.now = end

    # --- users

    @property
    def view(self) -> Snapshot:
        return self.store.view

    def commit(self, *actions: Action) -> None:
        outcomes: list[Outcome] = []
        self.writer = "user"
        self.store.propose(Changes.atomic(*actions), outcomes.append)
        if self.latency is None:
            [outcome] = outcomes
            assert not outcome.refused, outcome.refused

    def create(self, spec: ServiceSpec) -> ServiceId:
        self._ids += 1
        service = Service(
            id=ServiceId(f"s{self._ids}-{spec.annotations.name}"),
            spec=spec,
            spec_version=Version(),
            job_status=JobStatus() if spec.replicated_job is not None or spec.global_job is not None else None,
        )
        self.commit(Create(service))
        return service.id

    def service(self, service_id: ServiceId) -> Service:
        service = self.view.service(service_id)
        assert service is not None
        return service

    def update(self, service_id: ServiceId, spec: ServiceSpec) -> None:
        service = self.service(service_id)
        job = service.job_status or JobStatus()
        is_job = spec.replicated_job is not None or spec.global_job is not None
        self.commit(
            Update(
                replace(
                    service,
                    spec=spec,
                    spec_version=service.meta.version,
                    previous_spec=service.spec,
                    previous_spec_version=service.spec_version,
                    update_status=None,
                    job_status=JobStatus(Version(job.job_iteration.index + 1)) if is_job else None,
                )
            )
        )

    def roll_back(self, service_id: ServiceId) -> None:
        service = self.service(service_id)
        assert service.previous_spec is not None
        job = service.job_status or JobStatus()
        is_job = service.spec.replicated_job is not None or service.spec.global_job is not None
        self.commit(
            Update(
                replace(
                    service,
                    spec=service.previous_spec,
                    spec_version=service.previous_spec_version,
                    previous_spec=service.spec,
                    previous_spec_version=service.spec_version,
                    update_status=UpdateStatus(
                        state=UpdateState.ROLLBACK_STARTED, message="manually requested rollback"
                    ),
                    job_status=JobStatus(Version(job.job_iteration.index + 1)) if is_job else None,
                )
            )
        )

    def scale(self, service_id: ServiceId, replicas: int) -> None:
        self.update(service_id, replace(self.service(service_id).spec, replicated=ReplicatedService(replicas)))

    def remove(self, service_id: ServiceId) -> None:
        self.commit(Delete(Service, service_id))

    def wish(self, *moves: Move) -> None:
        self._assembly.post("replicated", MovesWished(moves))

    def move(self, task: Task, to: str, reason: str = "test") -> None:
        self.wish(Move(task.id, NodeId(to), reason))

    # --- nodes

    def node(self, name: str) -> Node:
        node = self.view.node(NodeId(name))
        assert node is not None
        return node

    def add_node(self, name: str, **fields: Any) -> None:
        self.commit(Create(a_node(name, **fields)))

    def set_node(self, name: str, state: NodeState) -> None:
        self.commit(Update(replace(self.node(name), status=NodeStatus(state=state))))

    def down(self, name: str) -> None:
        self.set_node(name, NodeState.DOWN)

    def up(self, name: str) -> None:
        self.set_node(name, NodeState.READY)

    def availability(self, name: str, availability: Availability) -> None:
        node = self.node(name)
        self.commit(Update(replace(node, spec=replace(node.spec, availability=availability))))

    def drain(self, name: str) -> None:
        self.availability(name, Availability.DRAIN)

    def label(self, name: str, **labels: str) -> None:
        node = self.node(name)
        self.commit(Update(replace(node, spec=replace(node.spec, annotations=Annotations(labels=labels)))))

    def remove_node(self, name: str) -> None:
        orphans = [
            Update(replace(task, status=replace(task.status, state=TaskState.ORPHANED, timestamp=self.now)))
            for task in self.view.tasks_on(NodeId(name))
            if task.status.state < TaskState.COMPLETE
        ]
        self.commit(*orphans, Delete(Node, name))

    # --- tasks

    def tasks(self, service_id: ServiceId) -> list[Task]:
        """All tasks of the service, by slot, node and age."""
        return sorted(self.view.tasks_of(service_id), key=lambda t: (t.slot, t.meta.created_at or 0, t.node_id, t.id))

    def running(self, service_id: ServiceId) -> list[Task]:
        return [
            task
            for task in self.tasks(service_id)
            if task.status.state == TaskState.RUNNING and task.desired_state == TaskState.RUNNING
        ]

    def shape(self, service_id: ServiceId) -> list[tuple[int, str, str, str, str]]:
        """(slot, node, image, state, desired) of every task."""
        return [
            (t.slot, t.node_id, image_of(t), t.status.state.name, t.desired_state.name) for t in self.tasks(service_id)
        ]

    def end(self, task: Task, state: TaskState = TaskState.FAILED, err: str = "exit 1") -> None:
        """The task ends by itself."""
        present = self.view.task(task.id)
        assert present is not None
        self.commit(Update(self._with_state(present, state, err)))

    def records(self, name: str) -> list[dict[str, Any]]:
        return [fields for event, fields in self.log if event == name]

    # --- the model of all else

    def _committed(self, event: Committed) -> None:
        self.writer = self.writers.pop(event.view.version)
        for change in event.changes:
            if isinstance(change.object, Task):
                old = change.old
                if not isinstance(old, Task) or _step(old) != _step(change.object):
                    self._since[change.object.id] = self.now
                if self.checks:
                    self._check(change, change.object, event.view)
        if not self.deaf:
            self._assembly.broadcast(event)
        self.stir()

    def stir(self) -> None:
        """Have the model look at the tasks soon."""
        if not self._stirring:
            self._stirring = True
            self.at(after(self.now, LATENCY), self._move_on)

    def _move_on(self) -> None:
        self._stirring = False
        actions = []
        wake: list[Instant] = []
        placed: dict[NodeId, int] = {}
        view = self.view
        for task in sorted(view.tasks(), key=lambda t: (t.slot, t.meta.created_at or 0, t.id)):
            moved = self._moved_on(task, view, placed, wake)
            if moved is not None:
                actions.append(Update(moved))
        if actions:
            self.writer, self._stirring = "model", True
            self.store.propose(Changes.each(actions), self._moved)
        elif wake:
            self._stirring = True
            self.at(min(wake), self._move_on)

    def _moved(self, outcome: Outcome) -> None:
        self._stirring = False
        self.stir()

    def _moved_on(self, task: Task, view: Snapshot, placed: dict[NodeId, int], wake: list[Instant]) -> Task | None:
        state = task.status.state
        if state > TaskState.RUNNING:
            return None
        if state < TaskState.ASSIGNED:
            return self._before_node(task, view, placed)
        node = view.node(task.node_id)
        if node is None or node.status.state == NodeState.DOWN:
            return None
        return self._on_node(task, wake)

    def _before_node(self, task: Task, view: Snapshot, placed: dict[NodeId, int]) -> Task | None:
        if task.desired_state > LIVE:
            if task.desired_state == TaskState.SHUTDOWN:
                return self._with_state(task, TaskState.SHUTDOWN)
            return None
        if task.status.state == TaskState.NEW:
            return self._with_state(task, TaskState.PENDING)
        if image_of(task) in self.unplaceable:
            return None
        node = self._choice(task, view, placed)
        if node is None:
            if MOVE_TO in task.annotations.labels and task.desired_state < TaskState.REMOVE:
                return replace(task, desired_state=TaskState.REMOVE)
            return None
        placed[node] = placed.get(node, 0) + 1
        return replace(self._with_state(task, TaskState.ASSIGNED), node_id=node)

    def _choice(self, task: Task, view: Snapshot, placed: dict[NodeId, int]) -> NodeId | None:
        constraints = Constraints.parse(task.spec.placement.constraints if task.spec.placement else ())
        fits = [
            node
            for node in view.nodes()
            if node.status.state == NodeState.READY
            and node.spec.availability == Availability.ACTIVE
            and constraints.match(node)
        ]
        if task.node_id:
            return task.node_id if any(node.id == task.node_id for node in fits) else None
        target = task.annotations.labels.get(MOVE_TO)
        if target is not None:
            return NodeId(target) if any(node.id == target for node in fits) else None

        def load(node: Node) -> tuple[int, str]:
            there = sum(t.desired_state <= LIVE and t.status.state <= TaskState.RUNNING for t in view.tasks_on(node.id))
            return there + placed.get(node.id, 0), node.id

        return min(fits, key=load).id if fits else None

    def _on_node(self, task: Task, wake: list[Instant]) -> Task | None:
        state, since = task.status.state, self._since[task.id]

        def when(span: int, result: Callable[[], Task]) -> Task | None:
            due = after(since, span)
            if due <= self.now:
                return result()
            wake.append(due)
            return None

        if task.desired_state > LIVE:
            if task.id in self.stubborn:
                return None
            started = state >= TaskState.STARTING
            return when(self.stop_time if started else LATENCY, lambda: self._with_state(task, TaskState.SHUTDOWN))
        if image_of(task) in self.rejected:
            return self._with_state(task, TaskState.REJECTED, "no such image")
        if state < TaskState.READY:
            return self._with_state(task, TaskState.READY)
        if task.desired_state == TaskState.READY:
            return None
        if state < TaskState.RUNNING:
            return when(self.start_time, lambda: self._with_state(task, TaskState.RUNNING))
        if image_of(task) in self.fails_after:
            span = self.fails_after[image_of(task)]
            return when(span, lambda: self._with_state(task, TaskState.FAILED, "exit 1"))
        if task.desired_state == TaskState.COMPLETE:
            return when(self.job_time, lambda: self._with_state(task, TaskState.COMPLETE))
        return None

    def _with_state(self, task: Task, state: TaskState, err: str = "") -> Task:
        status = TaskStatus(timestamp=self.now, state=state, message=state.name.lower(), err=err, applied_at=self.now)
        return replace(task, status=status)

    # --- what must hold at any moment

    def _check(self, change: Change, task: Task, view: Snapshot) -> None:
        old = change.old
        if change.kind == ChangeKind.REMOVED:
            if self.writer == "reaper" and TaskState.ASSIGNED <= task.status.state <= TaskState.RUNNING:
                raise Broken(f"deleted while it may run: {task.id} {task.status.state!r}")
            return
        if old is None:
            if self.writer not in ("replicated", "global", "jobs", "user"):
                raise Broken(f"{self.writer} created a task")
        else:
            assert isinstance(old, Task)
            self._check_step(task, old)
        service = view.service(task.service_id)
        if service is not None:
            self._check_slot(task, service, view, new=old is None)

    def _check_step(self, task: Task, old: Task) -> None:
        if task.status.state < old.status.state:
            raise Broken(f"{task.id} went back from {old.status.state!r} to {task.status.state!r}")
        if task.desired_state < old.desired_state:
            raise Broken(f"{task.id} is wanted {task.desired_state!r} after {old.desired_state!r}")
        if old.node_id and task.node_id != old.node_id:
            raise Broken(f"{task.id} changed its node")
        written = {name for name in Task.__struct_fields__ if getattr(task, name) != getattr(old, name)} - {"meta"}
        allowed = {
            "replicated": {"desired_state"},
            "global": {"desired_state"},
            "jobs": {"desired_state"},
            "enforcer": {"status"},
            "reaper": {"desired_state", "status"},
        }.get(self.writer)
        if allowed is not None and not written <= allowed:
            raise Broken(f"{self.writer} wrote {sorted(written - allowed)} of a task")
        if self.writer == "reaper" and task.status.state not in (old.status.state, TaskState.ORPHANED):
            raise Broken(f"the reaper wrote {task.status.state!r}")

    def _check_slot(self, task: Task, service: Service, view: Snapshot, *, new: bool) -> None:
        per_node = service.spec.global_ is not None or service.spec.global_job is not None
        slot = [
            other
            for other in view.tasks_in(service.id, task.slot)
            if other.desired_state <= LIVE and (not per_node or other.node_id == task.node_id)
        ]
        if service.spec.replicated_job is not None or service.spec.global_job is not None:
            slot = [other for other in slot if other.job_iteration == task.job_iteration]
        if len(slot) > 2:
            raise Broken(f"{len(slot)} live tasks in slot {task.slot} of {service.id}: {[t.id for t in slot]}")
        moves = any(MOVE_TO in other.annotations.labels for other in slot)
        decided = self.writer != "user" and service.meta.version.index < view.version
        if decided and new and len(slot) == 2 and not moves and not Charge(service, view, self.now).start_first:
            raise Broken(f"a second live task in slot {task.slot} of {service.id}, which is updated stop-first")


def _step(task: Task) -> tuple[TaskState, TaskState]:
    return task.status.state, task.desired_state


def image_of(task: Task) -> str:
    return task.spec.container.image if task.spec.container is not None else ""


__all__ = ["LATENCY", "START", "Broken", "World", "a_node", "a_spec", "image_of"]
