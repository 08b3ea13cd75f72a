"""From any state that can be reached the orchestrators come to what is wanted, by permitted steps alone.

The world checks each commit. Here random things happen to it, then all causes of trouble end, and after a while there
must be exactly the tasks that are wanted.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, given, settings
from msgspec.structs import replace
from orchestrator_world import LIVE, World, a_spec, image_of

from swarmlab.api import (
    SECOND,
    Availability,
    Delete,
    Duration,
    FailureAction,
    NodeId,
    ReplicatedService,
    RestartCondition,
    RestartPolicy,
    Service,
    Task,
    TaskState,
    UpdateConfig,
    UpdateOrder,
    UpdateState,
)
from swarmlab.manager.orchestrator.slots import node_keeps_tasks

EXAMPLES = int(os.environ.get("SWARMLAB_EXAMPLES", "40"))
#: Without the search for an explanation, which takes long here.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
IMAGES = ("v1", "v2", "v3", "fails", "fails-late", "rejected", "nowhere")
MODES = ("replicated", "replicated", "replicated", "global", "replicated-job", "global-job")
PAUSED = (UpdateState.PAUSED, UpdateState.ROLLBACK_PAUSED)

S = SECOND
#: {word: how a service is updated, and rolled back}
UPDATES = {
    "default": (None, None),
    "all": (UpdateConfig(parallelism=0), None),
    "start-first": (UpdateConfig(parallelism=1, order=UpdateOrder.START_FIRST), None),
    "start-first-2": (
        UpdateConfig(parallelism=2, delay=Duration(2 * S), order=UpdateOrder.START_FIRST, max_failure_ratio=0.4),
        UpdateConfig(parallelism=0),
    ),
    "continue": (UpdateConfig(parallelism=2, failure_action=FailureAction.CONTINUE), None),
    "rollback": (
        UpdateConfig(parallelism=1, failure_action=FailureAction.ROLLBACK, monitor=Duration(S)),
        UpdateConfig(parallelism=1, failure_action=FailureAction.ROLLBACK, order=UpdateOrder.START_FIRST),
    ),
    "rollback-start-first": (
        UpdateConfig(
            parallelism=2,
            delay=Duration(2 * S),
            failure_action=FailureAction.ROLLBACK,
            max_failure_ratio=0.4,
            order=UpdateOrder.START_FIRST,
        ),
        UpdateConfig(parallelism=2, failure_action=FailureAction.CONTINUE),
    ),
}
#: {word: how its tasks are restarted}
RESTARTS = {
    "default": None,
    "at-once": RestartPolicy(condition=RestartCondition.ANY, delay=Duration(0)),
    "slow": RestartPolicy(condition=RestartCondition.ANY, delay=Duration(7 * S)),
    "on-failure": RestartPolicy(condition=RestartCondition.ON_FAILURE, delay=Duration(S)),
    "none": RestartPolicy(condition=RestartCondition.NONE),
    "twice": RestartPolicy(condition=RestartCondition.ANY, delay=Duration(S), max_attempts=2),
    "windowed": RestartPolicy(
        condition=RestartCondition.ON_FAILURE, delay=Duration(S), max_attempts=1, window=Duration(20 * S)
    ),
}

number = st.integers(0, 5)
spans = st.sampled_from([0.0, 0.005, 0.02, 0.15, 0.4, 1.0, 3.0, 9.0, 70.0])
creations = st.tuples(
    st.just("create"),
    st.sampled_from(MODES),
    number,
    st.sampled_from(sorted(RESTARTS)),
    st.sampled_from(sorted(UPDATES)),
)
to_tasks = st.tuples(st.sampled_from(["fail", "fail", "complete", "delete-task", "stubborn"]), number)
to_nodes = st.tuples(
    st.sampled_from(["down", "down", "up", "up", "drain", "pause", "activate", "remove-node", "add-node"]), number
)
to_services = st.one_of(
    st.tuples(st.just("scale"), number, number),
    st.tuples(st.just("update"), number, st.sampled_from(IMAGES)),
    st.tuples(st.just("update"), number, st.sampled_from(IMAGES)),
    st.tuples(st.just("constrain"), number, st.booleans()),
    st.tuples(st.sampled_from(["rollback", "rollback", "remove"]), number),
)
passing = st.tuples(st.just("run"), spans)
events = st.one_of(
    to_services,
    to_services,
    to_nodes,
    st.tuples(st.just("label"), number, st.booleans()),
    to_tasks,
    st.tuples(st.just("move"), number, number),
    st.one_of(creations, st.tuples(st.just("lead"))),
)
#: A history: services, then things that happen with some time between them.
histories = st.tuples(
    st.lists(creations, min_size=1, max_size=3),
    st.lists(st.tuples(events, passing), min_size=3, max_size=30),
).map(lambda parts: [*parts[0], *(event for pair in parts[1] for event in pair)])


def a_world(history: int) -> World:
    world = World(["n1", "n2", "n3"], history=history)
    world.fails_after = {"fails": Duration(SECOND // 2), "fails-late": Duration(4 * SECOND)}
    world.rejected = {"rejected"}
    world.unplaceable = {"nowhere"}
    return world


def happen(world: World, event: tuple[Any, ...]) -> None:
    """One event; what does not fit the state of the world does nothing."""
    kind, *arguments = event
    services = world.view.services()
    nodes = world.view.nodes()
    match kind:
        case "create" if len(services) < 4:
            mode, count, restart, update = arguments
            world.create(
                a_spec(
                    f"service-{world.seed}-{len(world.log)}-{world.view.version}",
                    mode=mode,
                    replicas=count,
                    completions=count,
                    concurrent=2,
                    restart=RESTARTS[restart],
                    update=UPDATES[update][0],
                    rollback=UPDATES[update][1],
                )
            )
        case "create":
            pass
        case "run":
            world.run(arguments[0])
        case "lead":
            world.lead()
        case "add-node":
            name = f"n{arguments[0]}"
            if world.view.node(NodeId(name)) is None:
                world.add_node(name)
        case "scale" | "update" | "rollback" | "remove" | "constrain":
            if services:
                happen_to_service(world, kind, services[arguments[0] % len(services)], arguments)
        case "down" | "up" | "drain" | "pause" | "activate" | "remove-node" | "label":
            if nodes:
                happen_to_node(world, kind, nodes[arguments[0] % len(nodes)].id, arguments)
        case _:
            happen_to_task(world, kind, arguments)


def happen_to_service(world: World, kind: str, service: Service, arguments: list[Any]) -> None:
    spec = service.spec
    match kind:
        case "scale" if spec.replicated is not None:
            world.update(service.id, replace(spec, replicated=ReplicatedService(arguments[1])))
        case "update":
            assert spec.task.container is not None
            container = replace(spec.task.container, image=arguments[1])
            world.update(service.id, replace(spec, task=replace(spec.task, container=container)))
        case "rollback" if service.previous_spec is not None:
            world.roll_back(service.id)
        case "constrain":
            placement = a_spec(constraints=("node.labels.on == yes",) if arguments[1] else ()).task.placement
            world.update(service.id, replace(spec, task=replace(spec.task, placement=placement)))
        case "remove":
            world.remove(service.id)


def happen_to_node(world: World, kind: str, node: NodeId, arguments: list[Any]) -> None:
    match kind:
        case "down":
            world.down(node)
        case "up":
            world.up(node)
        case "drain":
            world.drain(node)
        case "pause":
            world.availability(node, Availability.PAUSE)
        case "activate":
            world.availability(node, Availability.ACTIVE)
        case "remove-node":
            world.remove_node(node)
        case "label":
            world.label(node, on="yes" if arguments[1] else "no")


def happen_to_task(world: World, kind: str, arguments: list[Any]) -> None:
    tasks = [task for task in world.view.tasks() if task.status.state == TaskState.RUNNING]
    if not tasks:
        return
    task = tasks[arguments[0] * 7 % len(tasks)]
    match kind:
        case "fail":
            world.end(task)
        case "complete":
            world.end(task, TaskState.COMPLETE)
        case "delete-task":
            world.commit(Delete(Task, task.id))
        case "stubborn":
            world.stubborn.add(task.id)
        case "move":
            world.move(task, f"n{arguments[1]}")


def heal(world: World) -> None:
    """All causes of trouble end."""
    world.fails_after.clear()
    world.rejected.clear()
    world.unplaceable.clear()
    world.stubborn.clear()
    if not world.view.nodes():
        world.add_node("n1")
    for node in world.view.nodes():
        world.availability(node.id, Availability.ACTIVE)
        world.up(node.id)
        world.label(node.id, on="yes")


def wrongs(world: World, history: int) -> list[str]:
    """What is not as it should be once the world has come to rest."""
    found = []
    for task in world.view.tasks():
        if world.view.service(task.service_id) is None:
            found.append(f"{task.id} has no service")
        if task.desired_state == TaskState.REMOVE:
            found.append(f"{task.id} was not deleted")
    for service in world.view.services():
        tasks = world.view.tasks_of(service.id)
        status = service.update_status
        paused = status is not None and status.state in PAUSED
        if status is not None and status.state in (UpdateState.UPDATING, UpdateState.ROLLBACK_STARTED):
            found.append(f"{service.id} is updating still: {status}")
        run = service.job_status.job_iteration if service.job_status is not None else None
        live = [
            task
            for task in tasks
            if task.job_iteration == run
            and (task.desired_state <= LIVE or (run is not None and task.status.state == TaskState.COMPLETE))
        ]
        places: dict[Any, list[Task]] = {}
        slots: dict[Any, list[Task]] = {}
        bound = service.spec.global_ is not None or service.spec.global_job is not None
        for task in tasks:
            slots.setdefault(task.node_id if bound else task.slot, []).append(task)
        for task in sorted(live, key=lambda task: task.desired_state > LIVE):
            # A lost node may report completion after all, of what was done again elsewhere meanwhile.
            again = run is not None and task.status.state == TaskState.COMPLETE and task.desired_state > LIVE
            if not again or (task.node_id if bound else task.slot) not in places:
                places.setdefault(task.node_id if bound else task.slot, []).append(task)
        live = [task for here in places.values() for task in here]
        found += [f"{service.id}: {len(here)} live in {place}" for place, here in places.items() if len(here) != 1]
        image = service.spec.task.container.image if service.spec.task.container else ""
        restart = service.spec.task.restart
        forgiving = restart is None or (restart.condition != RestartCondition.NONE and not restart.max_attempts)
        attempts = restart.max_attempts if restart is not None else 0
        limit = max(1, attempts + 1 if attempts else history)
        for place, here in slots.items():
            if len(here) > limit + 1:
                found.append(f"{service.id}: {len(here)} tasks kept in {place}, limit {limit}")
        found += wrong_tasks(world, service, live, forgiving, paused, image)
    return found


def wrong_tasks(
    world: World, service: Service, live: list[Task], forgiving: bool, paused: bool, image: str
) -> list[str]:
    found = []
    job = service.spec.replicated_job is not None or service.spec.global_job is not None
    for task in live:
        state = task.status.state
        if state != (TaskState.COMPLETE if job else TaskState.RUNNING):
            found.append(f"{service.id}: {task.id} is {state!r} desired {task.desired_state!r} in slot {task.slot}")
        if not paused and image_of(task) != image:
            found.append(f"{service.id}: {task.id} has the image {image_of(task)}")
    if service.spec.replicated is not None:
        wanted: set[Any] = set()
        count = service.spec.replicated.replicas
        if len(live) > count or (forgiving and completed_none(world, service) and len(live) != count):
            found.append(f"{service.id}: {len(live)} tasks, wanted {count}")
    elif service.spec.replicated_job is not None:
        count = service.spec.replicated_job.total_completions
        if len(live) > count or (forgiving and len(live) != count):
            found.append(f"{service.id}: {len(live)} completed, wanted {count}")
    elif forgiving and completed_none(world, service):
        wanted = {node.id for node in world.view.nodes() if node_keeps_tasks(node)}
        if {task.node_id for task in live} != wanted:
            found.append(f"{service.id}: on {sorted(t.node_id for t in live)}, wanted {sorted(wanted)}")
    return found


def completed_none(world: World, service: Service) -> bool:
    """No task ended well, after which a restart on failure alone leaves a slot empty."""
    restart = service.spec.task.restart
    if restart is None or restart.condition == RestartCondition.ANY:
        return True
    return all(task.status.state != TaskState.COMPLETE for task in world.view.tasks_of(service.id))


def live(world: World, history: int, happenings: list[tuple[Any, ...]]) -> None:
    """Let all of it happen, end all trouble, and look at what became of it."""
    for event in happenings:
        happen(world, event)
    world.latency = None
    world.run(2)
    heal(world)
    world.run(3000)
    assert wrongs(world, history) == []
    version = world.view.version
    world.run(3000)
    assert world.view.version == version, "it changes things without end"


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
@given(st.sampled_from([0, 1, 2, 5]), histories)
def test_orchestrators_converge_from_any_reachable_state(history: int, happenings: list[tuple[Any, ...]]) -> None:
    live(a_world(history), history, happenings)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
@given(st.sampled_from([1, 5]), histories, st.sampled_from([0.004, 0.03, 0.3]), st.sampled_from([0, 3, 7]))
def test_they_converge_when_commits_take_time_and_fail(
    history: int, happenings: list[tuple[Any, ...]], latency: float, drop_every: int
) -> None:
    """Others are faster now and then, and a leader may change while a proposal of the last one is on its way."""
    world = a_world(history)
    world.latency = Duration(round(latency * SECOND))
    world.drop_every = drop_every
    live(world, history, happenings)


def test_the_same_history_gives_the_same_decisions_whatever_the_hash_seed() -> None:
    """Nothing is decided by the order of a set."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_orchestrator_properties as properties; "
        "print(properties.digest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", script, str(Path(__file__).parent)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "77")
    }
    assert len(digests) == 1


def digest() -> str:
    """All that was decided in one busy history."""
    world = a_world(2)
    for mode in sorted(set(MODES)):
        happen(world, ("create", mode, 5, "at-once", "start-first-2"))
    for number in range(200):
        for kind, *more in (
            ("update", IMAGES[number % len(IMAGES)]),
            ("move", number % 4),
            ("fail",),
            ("scale", number % 9),
            ("label", number % 3 == 0),
            (("down", "up", "drain", "activate", "add-node", "lead")[number % 6],),
        ):
            happen(world, (kind, number * 5 % 11, *more) if kind != "lead" else (kind,))
            world.run(0.07 * (number % 7))
    return hashlib.sha256(repr((world.log, world.view.tasks())).encode()).hexdigest()
