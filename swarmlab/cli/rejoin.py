"""The story of the node that dies and returns, told on a real cluster in this process."""

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from swarmlab.api import (
    Annotations,
    ContainerSpec,
    Duration,
    Node,
    NodeState,
    ReplicatedService,
    RestartCondition,
    RestartPolicy,
    ServiceSpec,
    Task,
    TaskId,
    TaskSpec,
    TaskState,
    Value,
    name_of,
)
from swarmlab.api.moments import MILLISECOND
from swarmlab.cli.exits import CommandError
from swarmlab.cli.idle import idle_container, make_image
from swarmlab.manager.orchestrator import MOVE_FROM

if TYPE_CHECKING:
    from swarmlab.embedded import EmbeddedCluster
    from swarmlab.store import Committed, Snapshot

#: {service: replicas}
SERVICES = {"web": 4, "api": 6}
WORKERS = 4
LOST = "w4"
#: Short, so that a loss shows within a second: three silent periods make a node DOWN.
_HEARTBEAT = Duration(300 * MILLISECOND)
_RESTART_DELAY = Duration(100 * MILLISECOND)
_SETTLE = Duration(500 * MILLISECOND)
#: One step of the story takes no longer, even where images are slow to start.
_STEP_SECONDS = 60.0
_LOOK_SECONDS = 0.05
#: At rest: nothing under way, and so many looks in a row without a commit, which is longer than any timer above. They
#: are counted, since in a process that gets no time the timers stand still as well.
_QUIET_LOOKS = 30

#: {service: {node: running tasks}}
Counts = dict[str, dict[str, int]]
Say = Callable[[str], None]


class Story(Value, frozen=True, kw_only=True):
    """How it went with one strategy."""

    strategy: str
    #: {service: {node: running tasks}}, every node named, also those without any.
    before: Counts
    after_loss: Counts
    after_return: Counts
    #: Tasks that were moved.
    moves: int
    #: Tasks that ended or were replaced, other than those of the lost node and those that were moved.
    restarts_outside_moves: int
    seconds: float


async def tell(strategy: str, *, executor: str, image: str, seed: int | None, say: Say) -> Story:
    """Start a cluster, tell the story, stop the cluster.

    Raises:
        CommandError: A step was not over in time.
    """
    from swarmlab.embedded import EmbeddedCluster, EmbeddedConfig

    start = time.monotonic()
    config = EmbeddedConfig(
        strategy=strategy,
        workers=WORKERS,
        executor=executor,
        seed=seed,
        heartbeat=_HEARTBEAT,
        settle=_SETTLE,
    )
    async with EmbeddedCluster(config) as cluster:
        say(f"{WORKERS} workers, executor {cluster.executor}")
        await prepare(cluster.executor, image)
        ledger = Ledger()
        watch = cluster.watch(None, ledger.note)
        try:
            before = await _start(cluster, idle_container(cluster.executor, image), say)
            after_loss = await _lose(cluster, ledger, say)
            after_return = await _return(cluster, ledger, say)
        finally:
            watch.cancel()
    return Story(
        strategy=strategy,
        before=before,
        after_loss=after_loss,
        after_return=after_return,
        moves=ledger.moves,
        restarts_outside_moves=len(ledger.restarts),
        seconds=round(time.monotonic() - start, 3),
    )


async def prepare(executor: str, image: str) -> None:
    """Make the idle image where tasks run as containers and no other image was named."""
    if executor != "docker" or image:
        return
    from swarmlab.edges.docker import Engine

    engine = Engine()
    try:
        await make_image(engine)
    finally:
        await engine.close()


def idle_service(name: str, replicas: int, container: ContainerSpec) -> ServiceSpec:
    """A replicated service of tasks that do nothing, replaced soon when they are lost."""
    restart = RestartPolicy(condition=RestartCondition.ANY, delay=_RESTART_DELAY)
    return ServiceSpec(
        annotations=Annotations(name),
        task=TaskSpec(container=container, restart=restart),
        replicated=ReplicatedService(replicas),
    )


async def _start(cluster: "EmbeddedCluster", container: ContainerSpec, say: Say) -> Counts:
    from swarmlab.manager.controlapi import create_service

    await until(cluster, "every worker is ready", lambda view: sum(map(is_ready, view.nodes())) == WORKERS)
    for name, replicas in SERVICES.items():
        spec = idle_service(name, replicas, container)
        await cluster.mutate(lambda view, ids, now, spec=spec: create_service(view, spec, ids, now))  # type: ignore[misc]
    await until(cluster, "every task runs", all_run)
    await quiet(cluster)
    say(f"running: {described(counts(cluster.view))}")
    return counts(cluster.view)


async def _lose(cluster: "EmbeddedCluster", ledger: "Ledger", say: Say) -> Counts:
    say(f"{LOST} dies")
    ledger.lost = frozenset(task.id for task in cluster.view.tasks() if _node(cluster.view, task) == LOST)
    await cluster.stop_worker(LOST)
    await until(cluster, f"{LOST} is down and every task runs elsewhere", lambda view: is_lost(view) and all_run(view))
    await quiet(cluster)
    say(f"after the loss: {described(counts(cluster.view))}")
    return counts(cluster.view)


async def _return(cluster: "EmbeddedCluster", ledger: "Ledger", say: Say) -> Counts:
    say(f"{LOST} returns")
    await cluster.start_worker(LOST)
    await until(cluster, f"{LOST} is ready", lambda view: not is_lost(view))
    await quiet(cluster)
    await until(cluster, "every task runs", all_run)
    say(f"after the return: {described(counts(cluster.view))}; {ledger.moves} moves")
    return counts(cluster.view)


class Ledger:
    """Which tasks ended or were moved, from the commits."""

    def __init__(self) -> None:
        #: Tasks on the lost node when it died: their end is the story, not a restart.
        self.lost: frozenset[TaskId] = frozenset()
        self._ended: set[TaskId] = set()
        #: {task that was to be replaced by a move: the task that replaces it}
        self._moved: dict[str, TaskId] = {}
        self._arrived: set[TaskId] = set()

    def note(self, commit: "Committed") -> None:
        """Take in one commit."""
        for change in commit.changes:
            task = change.object
            if not isinstance(task, Task):
                continue
            origin = task.annotations.labels.get(MOVE_FROM)
            if origin is not None:
                self._moved[origin] = task.id
                if task.status.state is TaskState.RUNNING:
                    self._arrived.add(task.id)
            if task.status.state > TaskState.RUNNING or task.desired_state > TaskState.COMPLETE:
                self._ended.add(task.id)

    @property
    def moves(self) -> int:
        """Moves whose new task came to run."""
        return len(self._arrived)

    @property
    def restarts(self) -> frozenset[TaskId]:
        """Tasks that ended for another reason than the loss or a move."""
        moved = {TaskId(origin) for origin, task in self._moved.items() if task in self._arrived}
        return frozenset(self._ended - self.lost - moved)


def is_ready(node: Node) -> bool:
    """The node is heard of."""
    return node.status.state is NodeState.READY


def is_lost(view: "Snapshot") -> bool:
    """The node of the story is not heard of."""
    return any(name_of(node) == LOST and not is_ready(node) for node in view.nodes())


def runs(view: "Snapshot", task: Task) -> bool:
    """The task runs, is meant to, and its node is heard of."""
    node = view.node(task.node_id)
    return (
        task.status.state is TaskState.RUNNING
        and task.desired_state is TaskState.RUNNING
        and node is not None
        and is_ready(node)
    )


def all_run(view: "Snapshot") -> bool:
    """Every service has as many running tasks as it wants, and none too many."""
    return bool(view.services()) and all(
        sum(runs(view, task) for task in view.tasks_of(service.id))
        == (service.spec.replicated.replicas if service.spec.replicated else 0)
        for service in view.services()
    )


def counts(view: "Snapshot") -> Counts:
    """{service: {node: running tasks}}, services and nodes by name."""
    names = sorted(name_of(node) for node in view.nodes())
    found = {}
    for service in sorted(view.services(), key=name_of):
        numbers = dict.fromkeys(names, 0)
        for task in view.tasks_of(service.id):
            if runs(view, task):
                numbers[_node(view, task)] += 1
        found[name_of(service)] = numbers
    return found


def described(found: Counts) -> str:
    """`api 2 2 1 1, web 1 1 1 1`."""
    rows = (f"{service} {' '.join(str(nodes[node]) for node in sorted(nodes))}" for service, nodes in found.items())
    return ", ".join(rows)


def _node(view: "Snapshot", task: Task) -> str:
    node = view.node(task.node_id)
    return name_of(node) if node is not None else ""


async def until(cluster: "EmbeddedCluster", what: str, holds: Callable[["Snapshot"], bool]) -> None:
    """Wait for a state of the cluster.

    Raises:
        CommandError: It did not come about in a minute.
    """
    deadline = time.monotonic() + _STEP_SECONDS
    while not holds(cluster.view):
        if time.monotonic() > deadline:
            errors = sorted({task.status.err for task in cluster.view.tasks() if task.status.err})
            why = f": {'; '.join(errors)}" if errors else ""
            raise CommandError(f"not so after {_STEP_SECONDS:.0f} s: {what}{why}")
        await asyncio.sleep(_LOOK_SECONDS)


def under_way(view: "Snapshot") -> bool:
    """Some task is not yet as it is meant to be, on a node that is heard of or on none."""
    return any(
        (node := view.node(task.node_id)) is None or is_ready(node)
        for task in view.tasks()
        if task.status.state <= TaskState.RUNNING and not runs(view, task)
    )


async def quiet(cluster: "EmbeddedCluster") -> None:
    """Wait until nothing is under way and nothing was committed for a while: whoever had something to do has done it.

    Raises:
        CommandError: It never came to rest.
    """
    deadline = time.monotonic() + _STEP_SECONDS
    version, looks = cluster.view.version, 0
    while looks < _QUIET_LOOKS:
        if time.monotonic() > deadline:
            raise CommandError(f"the cluster did not come to rest in {_STEP_SECONDS:.0f} s")
        await asyncio.sleep(_LOOK_SECONDS)
        looks += 1
        if cluster.view.version != version or under_way(cluster.view):
            version, looks = cluster.view.version, 0
