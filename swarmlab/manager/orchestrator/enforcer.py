"""Nodes that stopped to suit their tasks: the tasks are rejected, so that their owners replace them."""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from swarmlab.api import (
    Availability,
    Change,
    ChangeKind,
    GenericResource,
    Instant,
    InvalidSpec,
    Node,
    NodeId,
    Resources,
    Task,
    TaskState,
    Update,
)
from swarmlab.component import Effect, Event, Proposed, Record, TimerFired
from swarmlab.manager.constraint import Constraints
from swarmlab.manager.orchestrator.desk import RETRY, Desk, Entry
from swarmlab.manager.orchestrator.slots import age
from swarmlab.store import EMPTY, Committed, Led, Snapshot

MESSAGE = "task rejected by constraint enforcer"


class ConstraintEnforcer:
    """Rejects tasks whose node does not suit them any more. Lives for one leader term.

    An ACTIVE node is looked at when it changes, and when it gets a task that was placed on an older version of it. Of
    tasks that do not fit together the newest are rejected.
    """

    name = "enforcer"

    def __init__(self) -> None:
        self._view = EMPTY
        self._desk: Desk[NodeId] = Desk()
        #: Nodes to look at.
        self._nodes: set[NodeId] = set()

    def step(self, event: Event, now: Instant) -> Sequence[Effect]:
        """React to a commit, or to the answer to a proposal."""
        effects: list[Effect] = []
        match event:
            case Committed(view=view, changes=changes):
                self._view = view
                self._hear(changes)
            case Led(view=view):
                self._view = view
                self._desk.reset()
                self._nodes = {node.id for node in view.nodes()}
            case Proposed():
                settled = self._desk.settle(event, now)
                effects += settled.effects
                self._nodes.update(settled.again)
            case TimerFired(name=name) if name == RETRY:
                self._desk.resume()
            case _:
                return ()
        if not self._desk.busy and self._nodes:
            nodes, self._nodes = self._nodes, set()
            entries = [entry for node_id in sorted(nodes) for entry in self._enforce(node_id, now)]
            if entries:
                effects += self._desk.propose(entries)
        return effects

    def _hear(self, changes: Iterable[Change]) -> None:
        for change in changes:
            obj, old = change.object, change.old
            if change.kind != ChangeKind.UPDATED:
                continue
            if type(obj) is Node:
                assert isinstance(old, Node)
                if _decides(obj, old):
                    self._nodes.add(obj.id)
            elif type(obj) is Task and obj.status.state == TaskState.ASSIGNED:
                assert isinstance(old, Task)
                node = self._view.node(obj.node_id)
                if node is not None and node.meta.version.index > old.meta.version.index:
                    self._nodes.add(node.id)

    def _enforce(self, node_id: NodeId, now: Instant) -> list[Entry[NodeId]]:
        node = self._view.node(node_id)
        if node is None or node.spec.availability != Availability.ACTIVE:
            return []
        entries = []
        for task, why in violators(node, self._view):
            status = replace(
                task.status, state=TaskState.REJECTED, message=MESSAGE, err=why, timestamp=now, applied_at=now
            )
            fields = {"service": task.service_id, "slot": task.slot, "task": task.id, "node": node_id, "why": why}
            record = Record("rejected", fields)
            entries.append(Entry(node_id, (Update(replace(task, status=status)),), (record,)))
        return entries


def violators(node: Node, view: Snapshot) -> list[tuple[Task, str]]:
    """The tasks that the node does not suit any more, each with the reason, oldest first.

    The constraints are those of the service as it is now, or those of a task without one. Tasks that are ASSIGNED or
    further claim their reservations in the order of their age; who finds too little left has to go, and leaves what
    there is to the others.
    """
    room = _Room(node)
    found: list[tuple[Task, str]] = []
    for task in sorted(view.tasks_on(node.id), key=age):
        wanted = TaskState.ASSIGNED <= task.desired_state <= TaskState.COMPLETE
        if not wanted or task.status.state >= TaskState.COMPLETE:
            continue
        why = _unsuitable(task, node, view)
        if why is None and task.status.state >= TaskState.ASSIGNED:
            why = room.claim(task)
        if why is not None:
            found.append((task, why))
    return found


def _unsuitable(task: Task, node: Node, view: Snapshot) -> str | None:
    """Why the constraints that hold for the task speak against the node."""
    spec = task.spec
    if task.service_id:
        service = view.service(task.service_id)
        if service is None:
            return None
        spec = service.spec.task
    if spec.placement is None or not spec.placement.constraints:
        return None
    try:
        constraints = Constraints.parse(spec.placement.constraints)
    except InvalidSpec:
        return None
    return None if constraints.match(node) else "assigned node no longer meets constraints"


class _Room:
    """What is left on a node; nothing is known of one that reported no resources."""

    def __init__(self, node: Node) -> None:
        total = node.description.resources if node.description is not None else None
        self._known = total is not None
        total = total or Resources()
        self._cpus = total.nano_cpus
        self._memory = total.memory_bytes
        self._named: set[tuple[str, str]] = set()
        self._counted: dict[str, int] = {}
        for item in total.generic:
            self._add(item)

    def _add(self, item: GenericResource) -> None:
        if item.named_resource_spec is not None:
            self._named.add((item.named_resource_spec.kind, item.named_resource_spec.value))
        if item.discrete_resource_spec is not None:
            kind = item.discrete_resource_spec.kind
            self._counted[kind] = self._counted.get(kind, 0) + item.discrete_resource_spec.value

    def claim(self, task: Task) -> str | None:
        """Take what the task holds, or say what there is too little of and take nothing."""
        reserved = (task.spec.resources.reservations if task.spec.resources is not None else None) or Resources()
        if not self._known:
            return None
        if reserved.nano_cpus > self._cpus:
            return "assigned node no longer has the CPUs that the task reserves"
        if reserved.memory_bytes > self._memory:
            return "assigned node no longer has the memory that the task reserves"
        missing = self._missing(task.assigned_generic_resources)
        if missing is not None:
            return f"assigned node no longer has the {missing} that the task holds"
        self._cpus -= reserved.nano_cpus
        self._memory -= reserved.memory_bytes
        for item in task.assigned_generic_resources:
            if item.named_resource_spec is not None:
                self._named.discard((item.named_resource_spec.kind, item.named_resource_spec.value))
            if item.discrete_resource_spec is not None:
                self._counted[item.discrete_resource_spec.kind] -= item.discrete_resource_spec.value
        return None

    def _missing(self, items: Iterable[GenericResource]) -> str | None:
        wanted: dict[str, int] = {}
        for item in items:
            if item.named_resource_spec is not None:
                kind, value = item.named_resource_spec.kind, item.named_resource_spec.value
                if (kind, value) not in self._named:
                    return f"{kind} {value}"
            if item.discrete_resource_spec is not None:
                kind = item.discrete_resource_spec.kind
                wanted[kind] = wanted.get(kind, 0) + item.discrete_resource_spec.value
                if wanted[kind] > self._counted.get(kind, 0):
                    return kind
        return None


def _decides(node: Node, old: Node) -> bool:
    """Something changed from which a task could suffer."""
    return (
        node.spec != old.spec
        or node.role != old.role
        or node.description != old.description
        or node.status.addr != old.status.addr
    )
