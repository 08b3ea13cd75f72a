"""A simulated cluster: its workers, its manager, what a client may ask, and when it is at rest."""

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from swarmlab.api import (
    Annotations,
    Availability,
    Changes,
    ContainerSpec,
    EngineDescription,
    Instant,
    InvalidSpec,
    Node,
    NodeDescription,
    NotFound,
    NotLeader,
    OutOfSequence,
    Precondition,
    ReplicatedService,
    ResourceRequirements,
    Resources,
    RestartCondition,
    RestartPolicy,
    Rollback,
    Service,
    ServiceSpec,
    TaskSpec,
    Update,
    seconds,
)
from swarmlab.component import Effect, Propose
from swarmlab.manager.controlapi import create_service, remove_service, update_node, update_service
from swarmlab.plugin import Host
from swarmlab.sim import CommitModel, InvariantBroken, NetworkModel, World, WorldConfig, running_by_node, unrest
from swarmlab.sim.chance import Spread
from swarmlab.store import Committed, Snapshot

SLOW = CommitModel(delay=Spread(median=seconds(0.05), sigma=1.0))
MACHINE = Resources(nano_cpus=4 * 10**9, memory_bytes=2**32)


def make(nodes: int = 3, **config: object) -> World:
    world = World(WorldConfig(**config), Host.load("spread", strict=True))  # type: ignore[arg-type]
    for number in range(1, nodes + 1):
        name = f"w{number}"
        world.add_worker(
            name, NodeDescription(hostname=name, resources=MACHINE, engine=EngineDescription(engine_version="sim"))
        )
    world.run_for(seconds(1))
    return world


def spec(replicas: int = 3, name: str = "web", delay: float = 1) -> ServiceSpec:
    return ServiceSpec(
        annotations=Annotations(name=name),
        task=TaskSpec(
            container=ContainerSpec(image="app:1"),
            restart=RestartPolicy(condition=RestartCondition.ANY, delay=seconds(delay)),
        ),
        replicated=ReplicatedService(replicas=replicas),
    )


def deploy(world: World, replicas: int = 3, name: str = "web") -> Service:
    service = world.ask(lambda view, ids, now: create_service(view, spec(replicas, name), ids, now))
    world.run_for(seconds(5))
    return service


@pytest.fixture(params=["at once", "slow"])
def world(request: pytest.FixtureRequest) -> World:
    """A cluster at which nothing was done yet, with commits of either kind."""
    return make(commits=CommitModel() if request.param == "at once" else SLOW)


def _version(obj: Node | Service | None) -> int:
    assert obj is not None
    return obj.meta.version.index


def nodes(world: World) -> dict[str, str]:
    """{hostname: state}"""
    return {
        node.description.hostname: node.status.state.name for node in world.view.nodes() if node.description is not None
    }


def test_workers_join_and_run_what_is_asked_for(world: World) -> None:
    assert nodes(world) == {"w1": "READY", "w2": "READY", "w3": "READY"}
    deploy(world, 6)
    assert running_by_node(world.view) == {"web": {"w1": 2, "w2": 2, "w3": 2}}
    assert [len(worker.executor.running) for worker in world.workers] == [2, 2, 2]
    world.run_for(seconds(60))
    assert list(unrest(world)) == []


def test_a_client_gets_the_error_of_its_request(world: World) -> None:
    service = deploy(world)
    with pytest.raises(InvalidSpec, match="replicas"):
        world.request(lambda view, ids, now: create_service(view, spec(-1, "api"), ids, now))
    with pytest.raises(NotFound):
        world.request(lambda view, _, __: remove_service(view, type(service.id)("nobody")))
    assert len(world.view.services()) == 1


def test_a_patient_client_reads_again() -> None:
    """Two write at once; the one who comes second is refused, and has it by its next try."""
    world = make(commits=SLOW)
    node_id = world.worker("w1").node_id
    node = world.view.node(node_id)
    assert node is not None
    stale = node.meta.version.index
    spec_now = node.spec
    world.request(
        lambda view, _, __: update_node(view, node_id, stale, replace(spec_now, availability=Availability.PAUSE))
    )
    with pytest.raises(OutOfSequence):
        world.request(lambda view, _, __: update_node(view, node_id, stale, spec_now))
    tries = []

    def drain(view: Snapshot, _: Any, __: Any) -> Any:
        tries.append(view.version)
        version = stale if len(tries) == 1 else _version(view.node(node_id))
        return update_node(view, node_id, version, replace(spec_now, availability=Availability.DRAIN))

    world.ask(drain)
    assert len(tries) == 2


def test_a_worker_without_power_is_found_out_by_its_silence(world: World) -> None:
    deploy(world, 6)
    world.kill_worker("w3")
    assert world.worker("w3").executor.running == ()
    world.run_for(seconds(10))
    assert nodes(world)["w3"] == "READY", "two of three heartbeats may stay out"
    world.run_for(seconds(20))
    assert nodes(world)["w3"] == "DOWN"
    assert running_by_node(world.view) == {"web": {"w1": 3, "w2": 3}}
    world.start_worker("w3")
    world.run_for(seconds(90))
    assert nodes(world)["w3"] == "READY"
    assert list(unrest(world)) == []


def test_tasks_outlive_their_agent(world: World) -> None:
    deploy(world)
    before = world.worker("w1").executor.running
    world.kill_worker("w1", tasks_too=False)
    world.run_for(seconds(2))
    assert nodes(world)["w1"] == "DISCONNECTED"
    world.start_worker("w1")
    world.run_for(seconds(90))
    assert world.worker("w1").executor.running == before
    assert list(unrest(world)) == []


def test_a_worker_is_started_once() -> None:
    world = make(1)
    with pytest.raises(Precondition, match="worker w1 runs already"):
        world.start_worker("w1")
    with pytest.raises(NotFound, match="worker 'w9' not found; there are w1"):
        world.kill_worker("w9")


def test_a_cut_wire_leaves_the_tasks_alone_until_it_is_healed(world: World) -> None:
    deploy(world)
    world.network.cut(world.worker("w2").node_id)
    world.run_for(seconds(60))
    assert len(world.worker("w2").executor.running) == 1
    assert nodes(world)["w2"] == "DOWN"
    world.network.heal(world.worker("w2").node_id)
    world.run_for(seconds(90))
    assert world.worker("w2").executor.running == (), "its task was replaced meanwhile"
    assert list(unrest(world)) == []


def test_a_manager_that_restarts_goes_on_where_the_last_one_was(world: World) -> None:
    service = deploy(world, 6)
    tasks = [task.id for task in world.view.tasks()]
    running = [worker.executor.running for worker in world.workers]
    world.stop_manager()
    with pytest.raises(NotLeader):
        world.request(lambda view, ids, now: create_service(view, spec(1, "api"), ids, now))
    world.run_for(seconds(30))
    world.start_manager()
    world.run_for(seconds(90))
    assert [task.id for task in world.view.tasks()] == tasks, "nothing was restarted"
    assert [worker.executor.running for worker in world.workers] == running
    assert list(unrest(world)) == []

    def scaled(view: Snapshot, _: Any, now: Instant) -> Any:
        return update_service(view, service.id, _version(view.service(service.id)), spec(9), Rollback.NONE, now)

    world.ask(scaled)
    world.run_for(seconds(90))
    assert sum(running_by_node(world.view)["web"].values()) == 9
    assert list(unrest(world)) == []


def test_a_manager_that_restarts_gives_no_id_twice() -> None:
    """Both lives draw from one seed; the ids of the second are others all the same."""
    world = make(1)
    first = deploy(world, 1, "first")
    world.stop_manager()
    world.start_manager()
    second = deploy(world, 1, "second")
    assert second.id != first.id
    assert len({task.id for task in world.view.tasks()}) == 2


def test_followers_hear_every_commit_under_whichever_manager() -> None:
    world = make(1)
    heard: list[int] = []
    world.follow(lambda event: heard.append(event.view.version))
    deploy(world, 2)
    world.stop_manager()
    world.start_manager()
    world.run_for(seconds(30))
    assert heard == list(range(heard[0], world.view.version + 1))
    assert len(heard) > 5


def test_a_follower_that_raises_ends_the_run() -> None:
    world = make(1)

    def never(event: Committed) -> None:
        raise InvariantBroken("no commit is good enough")

    world.follow(never)
    with pytest.raises(InvariantBroken, match="no commit is good enough"):
        deploy(world)


def test_proposals_and_commits_are_checked_from_the_beginning() -> None:
    """A scheduler that scales services is caught in the act."""
    world = make(1)
    deploy(world)
    scheduler = world.manager._scheduler
    honest = scheduler._round

    def forged(effect: Effect) -> Effect:
        if not isinstance(effect, Propose):
            return effect
        [[update]] = effect.changes.groups
        assert isinstance(update, Update)
        return replace(effect, changes=Changes.atomic(Update(replace(update.object, slot=99))))

    def greedy(now: Instant) -> Sequence[Effect]:
        return [forged(effect) for effect in honest(now)]

    scheduler._round = greedy  # type: ignore[method-assign]
    with pytest.raises(InvariantBroken, match="scheduler writes slot of Task"):
        deploy(world, 1, "api")


def test_the_same_seed_gives_the_same_log() -> None:
    def log(seed: int) -> list[bytes]:
        world = make(seed=seed, network=NetworkModel(breaks=0.05), commits=SLOW)
        deploy(world, 4)
        world.run_for(seconds(60))
        return [line.encode() for line in world.log]

    assert log(1) == log(1)
    assert log(1) != log(2)


# Rest


def test_a_cluster_with_something_to_do_is_not_at_rest() -> None:
    world = make()
    deploy(world)
    assert [text for text in unrest(world) if "the last commit was" in text]
    world.run_for(seconds(60))
    assert list(unrest(world)) == []


def test_a_node_that_does_not_run_what_it_should_is_found() -> None:
    world = make()
    deploy(world)
    world.run_for(seconds(60))
    executor = world.worker("w1").executor
    [lost] = executor.running
    executor._runs[lost].exit(world.heap.now, 1)
    assert list(unrest(world)) == [f"task {lost} is RUNNING on node w1, which does not run it"]
    del executor._runs[lost]
    assert list(unrest(world)) == [f"task {lost} is RUNNING on node w1, which does not run it"]


def test_a_node_that_runs_what_nobody_knows_is_found() -> None:
    world = make()
    deploy(world)
    world.run_for(seconds(60))
    first, second = world.worker("w1").executor, world.worker("w2").executor
    [task] = first.running
    second._runs[task] = first._runs[task]
    assert list(unrest(world)) == [
        f"node w2 runs task {task}, which the store does not know to run there",
        f"node w2 keeps something of task {task}, which is no more",
    ]


def test_a_service_without_room_is_not_at_rest() -> None:
    world = make(1)
    deploy(world)
    world.change_description("w1", NodeDescription(hostname="w1"))
    world.ask(lambda view, ids, now: create_service(view, replace(spec(1, "api"), task=insatiable()), ids, now))
    world.run_for(seconds(120))
    texts = list(unrest(world))
    assert texts[0] == "service api: 0 tasks in 0 slots run, wanted 1"
    assert texts[1].endswith("is only PENDING, and was to be RUNNING")


def insatiable() -> TaskSpec:
    """A task that asks for more than any node has."""
    return TaskSpec(
        container=ContainerSpec(image="app:1"),
        resources=ResourceRequirements(reservations=Resources(nano_cpus=10**12)),
    )


def test_history_is_bounded() -> None:
    world = make(1, history=1)
    deploy(world, 1)
    for _ in range(4):
        [task] = world.worker("w1").executor.running
        run = world.worker("w1").executor._runs[task]
        run.exit(world.heap.now, 1)
        world.kill_worker("w1", tasks_too=False)
        world.start_worker("w1")
        world.run_for(seconds(20))
    world.run_for(seconds(60))
    assert list(unrest(world)) == []
    cluster = world.view.cluster()
    assert cluster is not None
    assert len(world.view.tasks()) == 1, "the one that runs, and no dead one beside it with a history of one"
