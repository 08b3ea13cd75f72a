"""What must hold at every moment of every run, checked from outside the code that it judges."""

from collections.abc import Iterator

from swarmlab.api import (
    Availability,
    Change,
    ChangeKind,
    Node,
    NodeId,
    NodeState,
    Resources,
    Service,
    Task,
    TaskState,
)
from swarmlab.store import Committed, Snapshot


class InvariantBroken(AssertionError):
    """A run did what no cluster may do; the message says what, with ids and version."""


def check_commit(event: Committed) -> None:
    """Look at one commit.

    Raises:
        InvariantBroken: With all that is wrong.
    """
    wrong = [text for change in event.changes if isinstance(change.object, Task) for text in _task(change, event.view)]
    placed = sorted({node for node in map(_placed_on, event.changes) if node is not None})
    for node_id in placed:
        wrong += _overcommit(node_id, event.view)
    if wrong:
        raise InvariantBroken(f"at version {event.view.version}: " + "; ".join(wrong))


def check_converged(view: Snapshot, unplaceable: dict[str, int] | None = None) -> None:
    """Look at a cluster that was left alone for long enough: each replicated service runs what it should.

    `unplaceable` says how many tasks of a service have no room, by name.

    Raises:
        InvariantBroken: With all that is wrong.
    """
    wrong = []
    for service in view.services():
        if service.spec.replicated is None:
            continue
        name = service.spec.annotations.name
        wanted = service.spec.replicated.replicas - (unplaceable or {}).get(name, 0)
        running = [task for task in view.tasks_of(service.id) if runs(task)]
        slots = {task.slot for task in running}
        if len(running) != wanted or len(slots) != wanted:
            wrong.append(f"service {name}: {len(running)} tasks in {len(slots)} slots run, wanted {wanted}")
        wrong += [
            f"task {task.id} of {name} runs on node {task.node_id}, which is {reason}"
            for task in running
            if (reason := _unfit(view.node(task.node_id)))
        ]
    if wrong:
        raise InvariantBroken("; ".join(wrong))


def runs(task: Task) -> bool:
    """The task is running and is to go on."""
    return task.status.state == TaskState.RUNNING and task.desired_state <= TaskState.COMPLETE


def schedulable(node: Node) -> bool:
    """The node may get new tasks."""
    return node.status.state == NodeState.READY and node.spec.availability == Availability.ACTIVE


def _task(change: Change, view: Snapshot) -> Iterator[str]:
    kind, task, old = change.kind, change.object, change.old
    assert isinstance(task, Task)
    assert old is None or isinstance(old, Task)
    if kind == ChangeKind.REMOVED:
        return
    if task.service_id and view.get(Service, task.service_id) is None and task.desired_state < TaskState.SHUTDOWN:
        yield f"task {task.id} is wanted, and its service {task.service_id} is gone"
    if TaskState.ASSIGNED <= task.status.state <= TaskState.RUNNING and not task.node_id:
        yield f"task {task.id} is {task.status.state.name} on no node"
    if task.node_id and view.node(task.node_id) is None and task.status.state <= TaskState.RUNNING:
        yield f"task {task.id} is {task.status.state.name} on node {task.node_id}, which does not exist"
    if task.status.state == TaskState.REMOVE:
        yield f"task {task.id} is observed as REMOVE, which is only ever desired"
    if old is None:
        return
    if task.status.state < old.status.state:
        yield f"task {task.id} fell from {old.status.state.name} to {task.status.state.name}"
    if task.desired_state < old.desired_state:
        yield f"task {task.id}: desired state fell from {old.desired_state.name} to {task.desired_state.name}"
    if old.node_id and task.node_id != old.node_id:
        yield f"task {task.id} went from node {old.node_id} to {task.node_id}"
    if (task.service_id, task.slot, task.spec) != (old.service_id, old.slot, old.spec):
        yield f"task {task.id} changed its service, slot or spec"


def _placed_on(change: Change) -> NodeId | None:
    task, old = change.object, change.old
    if not isinstance(task, Task) or not (old is None or isinstance(old, Task)):
        return None
    if task.status.state != TaskState.ASSIGNED:
        return None
    return task.node_id if old is None or old.status.state < TaskState.ASSIGNED else None


def _overcommit(node_id: NodeId, view: Snapshot) -> Iterator[str]:
    node = view.node(node_id)
    if node is None or node.description is None or node.description.resources is None:
        return
    total = node.description.resources
    taken = [
        task.spec.resources.reservations
        for task in view.tasks_on(node_id)
        if TaskState.ASSIGNED <= task.status.state <= TaskState.RUNNING
        and task.spec.resources is not None
        and task.spec.resources.reservations is not None
    ]
    for what, have, need in (
        ("nano-CPUs", total.nano_cpus, sum(reserved.nano_cpus for reserved in taken)),
        ("bytes of memory", total.memory_bytes, sum(reserved.memory_bytes for reserved in taken)),
        *(
            (kind, _amount(total, kind), sum(_amount(reserved, kind) for reserved in taken))
            for kind in sorted({kind for reserved in taken for kind in _kinds(reserved)})
        ),
    ):
        if need > have:
            yield f"node {node_id} was given {need} {what} of {have}"


def _kinds(resources: Resources) -> Iterator[str]:
    for resource in resources.generic:
        if resource.discrete_resource_spec is not None:
            yield resource.discrete_resource_spec.kind
        if resource.named_resource_spec is not None:
            yield resource.named_resource_spec.kind


def _amount(resources: Resources, kind: str) -> int:
    amount = 0
    for resource in resources.generic:
        discrete, named = resource.discrete_resource_spec, resource.named_resource_spec
        if discrete is not None and discrete.kind == kind:
            amount += discrete.value
        if named is not None and named.kind == kind:
            amount += 1
    return amount


def _unfit(node: Node | None) -> str:
    if node is None:
        return "gone"
    if node.status.state == NodeState.DOWN:
        return "down"
    return "drained" if node.spec.availability == Availability.DRAIN else ""
