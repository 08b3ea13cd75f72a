"""What must hold at every moment of every run, checked from outside the code that it judges."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from swarmlab.api import (
    Availability,
    Change,
    ChangeKind,
    Node,
    NodeId,
    NodeState,
    Placement,
    PublishMode,
    Resources,
    RestartCondition,
    Service,
    Task,
    TaskState,
    UpdateState,
    restart_policy,
)
from swarmlab.sim.broken import InvariantBroken
from swarmlab.store import Committed, Snapshot

_PAUSED = (UpdateState.PAUSED, UpdateState.ROLLBACK_PAUSED)


def check_commit(event: Committed, *, at_once: bool = True) -> None:
    """Look at one commit.

    Proposals that take a while may rest on what has changed meanwhile, which is then mended; with `at_once`, no such
    excuse is taken.

    Raises:
        InvariantBroken: With all that is wrong.
    """
    wrong = [text for change in event.changes if isinstance(change.object, Task) for text in _task(change)]
    placed = [task for task in map(_placed, event.changes) if task is not None]
    for node_id in sorted({task.node_id for task in placed}):
        wrong += [*_overcommit(node_id, event.view), *_contested(node_id, event.view)]
    wrong += [text for task in placed for text in _crowded(task, placed, event.view)]
    if at_once:
        wrong += [text for change in event.changes for text in _outdated(change, event.view)]
    if wrong:
        raise InvariantBroken(f"at version {event.view.version}: " + "; ".join(wrong))


def check_converged(view: Snapshot, unplaceable: Mapping[str, int] | None = None) -> None:
    """Look at a cluster that was left alone for long enough: each service runs what it should.

    `unplaceable` says how many tasks of a replicated service have no room, by name.

    Raises:
        InvariantBroken: With all that is wrong.
    """
    wrong = list(unconverged(view, unplaceable))
    if wrong:
        raise InvariantBroken("; ".join(wrong))


def unconverged(view: Snapshot, unplaceable: Mapping[str, int] | None = None) -> Iterator[str]:
    """What each service lacks or has too much of. A service whose tasks may end for good lacks nothing."""
    for task in view.tasks():
        if task.service_id and view.service(task.service_id) is None:
            yield f"task {task.id} is there, and its service {task.service_id} is gone"
        if task.node_id and view.node(task.node_id) is None and task.status.state <= TaskState.RUNNING:
            yield f"task {task.id} is {task.status.state.name} on node {task.node_id}, which is gone"
    for service in view.services():
        name, spec = service.spec.annotations.name, service.spec
        tasks = view.tasks_of(service.id)
        running = [task for task in tasks if runs(task)]
        if spec.replicated is not None:
            wanted = spec.replicated.replicas - (unplaceable or {}).get(name, 0)
            slots = len({task.slot for task in running})
            if not (len(running) == slots == wanted or (_may_end(service) and len(running) == slots <= wanted)):
                yield f"service {name}: {len(running)} tasks in {slots} slots run, wanted {wanted}"
        elif spec.global_ is not None:
            nodes = sorted(task.node_id for task in running)
            eligible = [node.id for node in view.nodes() if schedulable(node) and suits(spec.task.placement, node)]
            if not (nodes == eligible or (_may_end(service) and set(nodes) <= set(eligible))):
                yield f"service {name} runs on {nodes}, wanted once on each of {eligible}"
        elif spec.replicated_job is not None:
            iteration = service.job_status.job_iteration if service.job_status is not None else None
            done = {
                task.slot
                for task in tasks
                if task.status.state == TaskState.COMPLETE and task.job_iteration == iteration
            }
            if len(done) != spec.replicated_job.total_completions and not _may_end(service):
                yield f"job {name}: {len(done)} slots completed, wanted {spec.replicated_job.total_completions}"
        for task in running:
            node = view.node(task.node_id)
            reason = _unfit(node) or ("" if node is None or suits(spec.task.placement, node) else "unsuitable")
            if reason:
                yield f"task {task.id} of {name} runs on node {task.node_id}, which is {reason}"


def suits(placement: Placement | None, node: Node) -> bool:
    """The node meets the constraints on its labels; others are not looked at."""
    for constraint in placement.constraints if placement is not None else ():
        key, operator, value = re.split(r"\s*(==|!=)\s*", constraint)
        if key.startswith("node.labels."):
            label = node.spec.annotations.labels.get(key.removeprefix("node.labels."), "")
            if (label == value) is not (operator == "=="):
                return False
    return True


def _may_end(service: Service) -> bool:
    """Its tasks are not restarted without end."""
    if service.update_status is not None and service.update_status.state in _PAUSED:
        return True  # tasks of the old spec, whose rules may have been others
    policy = restart_policy(service.spec.task)
    job = service.spec.replicated_job is not None
    steady = (RestartCondition.ANY, RestartCondition.ON_FAILURE) if job else (RestartCondition.ANY,)
    return policy.condition not in steady or policy.max_attempts > 0


def runs(task: Task) -> bool:
    """The task is running and is to go on."""
    return task.status.state == TaskState.RUNNING and task.desired_state <= TaskState.COMPLETE


def schedulable(node: Node) -> bool:
    """The node may get new tasks."""
    return node.status.state == NodeState.READY and node.spec.availability == Availability.ACTIVE


def _task(change: Change) -> Iterator[str]:
    kind, task, old = change.kind, change.object, change.old
    assert isinstance(task, Task)
    assert old is None or isinstance(old, Task)
    if kind == ChangeKind.REMOVED:
        return
    if TaskState.ASSIGNED <= task.status.state <= TaskState.RUNNING and not task.node_id:
        yield f"task {task.id} is {task.status.state.name} on no node"
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


def _placed(change: Change) -> Task | None:
    """The task that this change puts on a node."""
    task, old = change.object, change.old
    if not isinstance(task, Task) or not (old is None or isinstance(old, Task)):
        return None
    if task.status.state != TaskState.ASSIGNED:
        return None
    return task if old is None or old.status.state < TaskState.ASSIGNED else None


def _outdated(change: Change, view: Snapshot) -> Iterator[str]:
    """What nobody would do who knows this view."""
    task = change.object
    if not isinstance(task, Task) or change.kind == ChangeKind.REMOVED:
        return
    if task.service_id and view.service(task.service_id) is None and task.desired_state < TaskState.SHUTDOWN:
        yield f"task {task.id} is wanted, and its service {task.service_id} is gone"
    node = view.node(task.node_id)
    if task.node_id and node is None and task.status.state <= TaskState.RUNNING:
        yield f"task {task.id} is {task.status.state.name} on node {task.node_id}, which does not exist"
    if _placed(change) is not None and node is not None:
        if not schedulable(node):
            yield f"task {task.id} was put on node {node.id}, which gets no tasks"
        if not suits(task.spec.placement, node):
            yield f"task {task.id} was put on node {node.id}, which is unsuitable"


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


def _contested(node_id: NodeId, view: Snapshot) -> Iterator[str]:
    """Host ports that two tasks on the node have."""
    ports: Counter[tuple[str, int]] = Counter()
    for task in view.tasks_on(node_id):
        if TaskState.ASSIGNED <= task.status.state <= TaskState.RUNNING and task.endpoint is not None:
            ports.update(
                (port.protocol.name.lower(), port.published_port)
                for port in task.endpoint.ports
                if port.publish_mode == PublishMode.HOST and port.published_port
            )
    for (protocol, number), count in sorted(ports.items()):
        if count > 1:
            yield f"node {node_id} has {count} tasks with host port {number}/{protocol}"


def _crowded(new: Task, placed: Sequence[Task], view: Snapshot) -> Iterator[str]:
    """Too many tasks of a service on the node of a new one.

    Of those `placed` with it, only such as allow no more: another spec of the service may have come after this one.
    """
    most = _most(new)
    more = {task.id for task in placed if not 0 < _most(task) <= most}
    count = sum(
        TaskState.ASSIGNED <= task.status.state <= TaskState.RUNNING and task.desired_state <= TaskState.COMPLETE
        for task in view.tasks_on(new.node_id)
        if task.service_id == new.service_id and task.id not in more
    )
    if 0 < most < count:
        yield f"node {new.node_id} has {count} tasks of service {new.service_id}, at most {most} may be there"


def _most(task: Task) -> int:
    return task.spec.placement.max_replicas if task.spec.placement is not None else 0


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
