"""What a scenario expects at a moment, against what the cluster then is."""

from collections.abc import Iterator

from swarmlab.api import Node, NotFound, Service, Task, TaskState, UpdateState
from swarmlab.sim.checkers import runs, schedulable
from swarmlab.sim.rest import unrest
from swarmlab.sim.scenario import Expectation
from swarmlab.sim.world import World
from swarmlab.store import Snapshot


def unmet(expected: Expectation, world: World, moves: int, restarts: int) -> Iterator[str]:
    """What does not hold now, one line each."""
    view = world.view
    table = running_by_node(view)
    for name, counts in expected.tasks.items():
        wanted = {node: count for node, count in sorted(counts.items()) if count}
        if table.get(name, {}) != wanted:
            yield f"tasks of {name} run on {table.get(name, {})}, expected {wanted}"
    for name, counts in expected.on.items():
        for node, count in counts.items():
            if table.get(name, {}).get(node, 0) != count:
                yield f"{table.get(name, {}).get(node, 0)} tasks of {name} run on {node}, expected {count}"
    for name, count in expected.running.items():
        if sum(table.get(name, {}).values()) != count:
            yield f"{sum(table.get(name, {}).values())} tasks of {name} run, expected {count}"
    nodes = [hostname(node) for node in view.nodes() if schedulable(node)]
    for name, most in expected.spread.items():
        each = [table.get(name, {}).get(node, 0) for node in nodes]
        if not each:
            yield f"no node may run tasks of {name}, expected max - min <= {most}"
        elif max(each) - min(each) > most:
            yield f"tasks of {name} run as {dict(zip(nodes, each, strict=True))}, expected max - min <= {most}"
    for name, count in expected.pending.items():
        waiting = _waiting(view, name)
        if len(waiting) != count:
            yield f"{len(waiting)} tasks of {name} wait for a node, expected {count}"
    for name, text in expected.reason.items():
        reasons = sorted({task.status.err for task in _waiting(view, name)})
        if not any(text in reason for reason in reasons):
            yield f"tasks of {name} wait because of {reasons}, expected {text!r}"
    for name, count in expected.completed.items():
        completed = [
            task for task in view.tasks_of(named_service(view, name).id) if task.status.state == TaskState.COMPLETE
        ]
        if len(completed) != count:
            yield f"{len(completed)} tasks of {name} completed, expected {count}"
    for name, word in expected.update.items():
        status = named_service(view, name).update_status
        state = (status.state if status is not None else UpdateState.UNKNOWN).name.lower().replace("_", "-")
        if state != word:
            yield f"the update of {name} is {state}, expected {word}"
    if expected.moves is not None and moves != expected.moves:
        yield f"{moves} moves, expected {expected.moves}"
    if expected.moves_at_most is not None and moves > expected.moves_at_most:
        yield f"{moves} moves, expected at most {expected.moves_at_most}"
    if expected.restarts is not None and restarts != expected.restarts:
        yield f"{restarts} restarts, expected {expected.restarts}"
    if expected.at_rest:
        yield from unrest(world)


def running_by_node(view: Snapshot) -> dict[str, dict[str, int]]:
    """{service name: {hostname: running tasks}}, without zeros, sorted."""
    names = {node.id: hostname(node) for node in view.nodes()}
    table: dict[str, dict[str, int]] = {}
    for service in view.services():
        counts: dict[str, int] = {}
        for task in view.tasks_of(service.id):
            if runs(task):
                name = names.get(task.node_id, task.node_id)
                counts[name] = counts.get(name, 0) + 1
        table[service.spec.annotations.name] = dict(sorted(counts.items()))
    return dict(sorted(table.items()))


def hostname(node: Node) -> str:
    """The name that the node reports, or its id."""
    return node.description.hostname if node.description is not None else node.id


def named_service(view: Snapshot, name: str) -> Service:
    """The service of that name.

    Raises:
        NotFound: There is none.
    """
    service = view.by_name(Service, name)
    if service is None:
        raise NotFound(f"service {name!r} not found")
    return service


def _waiting(view: Snapshot, name: str) -> list[Task]:
    return [
        task
        for task in view.tasks_of(named_service(view, name).id)
        if task.status.state <= TaskState.PENDING and task.desired_state <= TaskState.COMPLETE
    ]
