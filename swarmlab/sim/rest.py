"""A simulated cluster at rest: all parts of it agree, on every node, and nothing goes on."""

from collections import Counter
from collections.abc import Iterator

from swarmlab.api import (
    SECOND,
    Duration,
    NodeId,
    ServiceId,
    Task,
    TaskState,
    between,
    restart_policy,
    task_history_limit,
)
from swarmlab.api.quantities import format_duration
from swarmlab.sim.checkers import unconverged
from swarmlab.sim.world import SimWorker, World
from swarmlab.store import Snapshot

#: Nothing is committed for so long in a cluster at rest.
QUIET = Duration(60 * SECOND)


def unrest(world: World) -> Iterator[str]:
    """Why the cluster is not at rest, one line each; nothing where it is."""
    view = world.view
    yield from unconverged(view)
    quiet = between(world.last_commit, world.heap.now)
    if quiet < QUIET:
        yield f"the last commit was {format_duration(quiet)} ago, at rest there is none for {format_duration(QUIET)}"
    for worker in world.workers:
        if view.node(worker.node_id) is not None:
            yield from _disagreement(worker, view)
    for task in view.tasks():
        yield from _unfinished(task)
    yield from _hoarded(view)
    if world.managers is not None:
        yield from world.managers.unrest()


def _disagreement(worker: SimWorker, view: Snapshot) -> Iterator[str]:
    """Where a node does not run what the store says, or keeps what the store has forgotten."""
    on_node = view.tasks_on(worker.node_id)
    stored = {task.id for task in on_node if task.status.state == TaskState.RUNNING}
    running = set(worker.executor.running)
    for task in sorted(stored - running):
        yield f"task {task} is RUNNING on node {worker.name}, which does not run it"
    for task in sorted(running - stored):
        yield f"node {worker.name} runs task {task}, which the store does not know to run there"
    for task in sorted(set(worker.executor.kept) - {task.id for task in on_node}):
        yield f"node {worker.name} keeps something of task {task}, which is no more"


def _unfinished(task: Task) -> Iterator[str]:
    state, desired = task.status.state, task.desired_state
    if state <= TaskState.RUNNING and desired > TaskState.COMPLETE:
        yield f"task {task.id} is {state.name}, and was to be {desired.name}"
    elif state < min(desired, TaskState.RUNNING):
        yield f"task {task.id} is only {state.name}, and was to be {desired.name}"


def _hoarded(view: Snapshot) -> Iterator[str]:
    """Slots that keep more dead tasks than the cluster's history is to hold."""
    dead: Counter[tuple[ServiceId, int, NodeId]] = Counter()
    for task in view.tasks():
        service = view.service(task.service_id)
        if service is None or task.status.state <= TaskState.RUNNING:
            continue
        if service.job_status is not None and task.status.state == TaskState.COMPLETE:
            continue  # what a job has done is its result
        of_nodes = service.spec.global_ is not None or service.spec.global_job is not None
        dead[service.id, task.slot, task.node_id if of_nodes else NodeId("")] += 1
    for (service_id, slot, node_id), count in sorted(dead.items()):
        service = view.service(service_id)
        assert service is not None
        attempts = restart_policy(service.spec.task).max_attempts
        limit = attempts + 1 if attempts else task_history_limit(view.cluster())
        if limit >= 0 and count > max(limit, 1):
            name = service.spec.annotations.name
            yield f"slot {node_id or slot} of {name} keeps {count} dead tasks, the history is {limit}"
