"""Both cores on one fake wire: what has to hold whatever breaks, and what once it is healed."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from wired import Weather, Worker, World, config_id, secret_id

from swarmlab.api import (
    SECOND,
    AssignmentsMessage,
    AssignmentsType,
    Config,
    ConfigReference,
    ContainerSpec,
    Create,
    Delete,
    NodeId,
    NodeState,
    Secret,
    SecretReference,
    Task,
    TaskId,
    TaskSpec,
    TaskState,
    TaskStatus,
    Update,
    is_dead,
)
from swarmlab.component import Received
from swarmlab.manager.dispatcher import Dispatcher

SECRETS = 3


def assign(world: World, name: str, node: NodeId, *, secret: int = 0, config: int = 0) -> None:
    """Create a task of that node, with one secret and one config."""
    spec = TaskSpec(
        container=ContainerSpec(
            image="web",
            secrets=(SecretReference(secret_id(secret)),),
            configs=(ConfigReference(config_id=config_id(config)),),
        )
    )
    status = TaskStatus(state=TaskState.ASSIGNED, timestamp=world.time.now)
    world.write(Create(Task(id=TaskId(name), node_id=node, spec=spec, status=status, desired_state=TaskState.RUNNING)))


def wish(world: World, name: str, desired: TaskState) -> None:
    task = world.store.view.task(TaskId(name))
    if task is not None and task.desired_state < desired:
        world.write(Update(replace(task, desired_state=desired)))


def a_world(seed: int = 1, nodes: int = 1) -> World:
    world = World(seed, nodes)
    for number in range(SECRETS):
        world.write(Create(Secret(id=secret_id(number))))
        world.write(Create(Config(id=config_id(number))))
    world.run(1)
    return world


def the_worker(world: World) -> Worker:
    return world.workers[NodeId("n1")]


def story(world: World, name: str) -> list[str]:
    return [str(record.fields["to"]) for record in world.records if record.fields.get("task") == name]


def test_a_task_from_its_assignment_to_its_end() -> None:
    """The store hears of every state that lasts, in order, and in the end nothing is left on the node."""
    world = a_world()
    assign(world, "t1", NodeId("n1"))
    world.run(3)
    world.assert_at_peace()
    assert the_worker(world).executor.seen["t1"] == ("s0", "c0")
    wish(world, "t1", TaskState.SHUTDOWN)
    world.run(3)
    assert story(world, "t1")[0] == "ASSIGNED"
    assert story(world, "t1")[-2:] == ["RUNNING", "SHUTDOWN"]
    assert not the_worker(world).executor.running
    world.write(Delete(Task, "t1"))
    world.run(3)
    world.assert_at_peace()
    assert not the_worker(world).executor.there
    assert not the_worker(world).disk


def test_defect_17_scheduling_delay_is_measured_by_the_managers_clock() -> None:
    """The original measures from a time stamp that agents leave empty; here both ends are of the manager's clock."""
    world = a_world()
    before = world.time.now
    assign(world, "t1", NodeId("n1"))
    world.run(3)
    task = world.store.view.task(TaskId("t1"))
    assert task is not None
    assert task.status.applied_by == "m1"
    assert task.status.applied_at is not None
    assert task.meta.created_at is not None
    delay = task.status.applied_at - task.meta.created_at
    assert 0 < delay < 2 * SECOND
    assert before <= task.meta.created_at
    assert [record.fields["delay_ns"] for record in world.records if record.fields.get("to") == "RUNNING"] == [delay]
    # The agent fills in the time of the change by its own clock.
    assert task.status.timestamp is not None
    assert task.status.timestamp < task.status.applied_at


def test_defect_18_a_cut_node_is_disconnected_at_once_and_its_tasks_stay() -> None:
    """DISCONNECTED when the connection breaks, DOWN when the pulse stays away; the worker runs on all the time."""
    world = a_world()
    assign(world, "t1", NodeId("n1"))
    world.run(3)
    world.cut(NodeId("n1"), heal=False, notice=0.1)
    world.run(0.3)
    node = world.store.view.node(NodeId("n1"))
    assert node is not None
    assert node.status.state is NodeState.DISCONNECTED
    world.run(4)
    node = world.store.view.node(NodeId("n1"))
    assert node is not None
    assert node.status.state is NodeState.DOWN
    task = world.store.view.task(TaskId("t1"))
    assert task is not None
    assert (task.status.state, task.desired_state) == (TaskState.RUNNING, TaskState.RUNNING)
    assert the_worker(world).executor.running == {"t1"}
    world.heal()
    world.run(15)
    world.assert_at_peace()
    assert story(world, "t1")[-1] == "RUNNING"


def test_defect_21_a_gap_is_not_applied_and_is_closed_by_a_complete_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """One message is lost without a broken connection; what follows it waits for the next complete one."""
    world = a_world()
    worker = the_worker(world)
    heard: list[AssignmentsMessage] = []

    def lossy(message: object, call: int) -> None:
        if isinstance(message, AssignmentsMessage):
            heard.append(message)
            if len(heard) == 1:
                return
            if len(heard) == 2:
                # Past the checks of the wire, which has no gaps.
                worker.post(Received("manager", message, call))
                assert not worker.disk, "applied in spite of the gap"
                return
        Worker.hear(worker, message, call)

    monkeypatch.setattr(worker, "hear", lossy)
    assign(world, "t1", NodeId("n1"))
    world.run(0.5)
    assign(world, "t2", NodeId("n1"))
    world.run(5)
    assert [message.type for message in heard] == [AssignmentsType.INCREMENTAL] * 2 + [AssignmentsType.COMPLETE]
    lost = [str(record.fields["error"]) for record in world.records if record.name == "session-lost"]
    assert lost == ["OutOfSequence: assignments apply to '2', here is '1'"]
    assert worker.executor.running == {"t1", "t2"}
    world.assert_at_peace()


def test_a_killed_worker_adopts_its_running_tasks() -> None:
    """Where tasks outlive the worker, as containers do, none is started again."""
    world = a_world()
    assign(world, "t1", NodeId("n1"))
    world.run(3)
    the_worker(world).kill(processes=False)
    world.run(10)
    the_worker(world).start()
    world.run(10)
    world.assert_at_peace()
    assert the_worker(world).executor.starts == {"t1": 1}
    assert story(world, "t1").count("RUNNING") == 1


def test_tasks_that_die_with_the_worker_fail_once() -> None:
    """Where tasks die with the worker, as processes do, each is reported FAILED, once."""
    world = a_world()
    assign(world, "t1", NodeId("n1"))
    world.run(3)
    the_worker(world).kill(processes=True)
    the_worker(world).start()
    world.run(10)
    world.assert_at_peace()
    assert the_worker(world).executor.starts == {"t1": 1}
    assert story(world, "t1")[-1] == "FAILED"
    assert story(world, "t1").count("FAILED") == 1


def test_a_change_of_leader_restarts_nothing() -> None:
    """Fifty leaders: every node returns within its double grace, and no task is touched."""
    world = a_world(nodes=3)
    for number in range(9):
        assign(world, f"t{number}", NodeId(f"n{1 + number % 3}"))
    world.run(3)
    before = world.store.view.tasks()
    for _ in range(50):
        world.lead()
        world.run(world.chance.random() * 4)
    world.run(10)
    world.assert_at_peace()
    assert [task.status for task in world.store.view.tasks()] == [task.status for task in before]
    assert not [record for record in world.records if record.name == "node-down"]


def test_a_worker_that_leaves_is_empty_and_then_down() -> None:
    world = a_world()
    assign(world, "t1", NodeId("n1"))
    world.run(3)
    the_worker(world).leave()
    world.run(30)
    assert the_worker(world).retired
    assert not the_worker(world).executor.there
    assert not the_worker(world).disk
    node = world.store.view.node(NodeId("n1"))
    assert node is not None
    assert node.status.state is NodeState.DOWN


def test_a_leader_elsewhere_is_asked_again() -> None:
    """Until there is a leader, every call is refused; nothing of the worker is disturbed by it."""
    world = a_world()
    assign(world, "t1", NodeId("n1"))
    world.run(3)
    idle = Dispatcher(world.chance, manager_id="m0")
    world.assembly._components["dispatcher"] = idle
    world.cut(NodeId("n1"), heal=True)
    world.run(20)
    assert the_worker(world).executor.running == {"t1"}
    lost = [str(record.fields["error"]) for record in world.records if record.name == "session-lost"]
    assert lost[-1] == "NotLeader: this manager does not lead"
    world.lead()
    world.run(20)
    world.assert_at_peace()


STEPS = st.one_of(
    st.tuples(st.just("assign"), st.integers(0, 1), st.integers(0, SECRETS - 1), st.integers(0, SECRETS - 1)),
    st.tuples(st.just("shutdown"), st.integers(0, 30)),
    st.tuples(st.just("remove"), st.integers(0, 30)),
    st.tuples(st.just("delete"), st.integers(0, 30)),
    st.tuples(st.just("blip"), st.integers(0, 1)),
    st.tuples(st.just("cut"), st.integers(0, 1)),
    st.tuples(st.just("heal")),
    st.tuples(st.just("kill"), st.integers(0, 1), st.booleans()),
    st.tuples(st.just("revive"), st.integers(0, 1)),
    st.tuples(st.just("lead")),
    st.tuples(st.just("run"), st.integers(1, 4_000)),
)
WEATHERS = st.builds(
    Weather,
    temporary=st.sampled_from([0.0, 0.1, 0.5]),
    final=st.sampled_from([0.0, 0.2]),
    exits=st.sampled_from([0.0, 0.3]),
    drops=st.sampled_from([0.0, 0.1, 0.4]),
    stalls=st.sampled_from([0.0, 0.0, 0.02]),
)


def take(world: World, step: tuple[object, ...], assigned: list[str]) -> None:
    """Do one of `STEPS`."""
    kind, *numbers = step
    nodes = list(world.workers)
    picked = str(assigned[int(str(numbers[0])) % len(assigned)]) if numbers and assigned else ""
    match step:
        case ("assign", int(node), int(secret), int(config)):
            name = f"t{len(assigned):02}"
            assigned.append(name)
            assign(world, name, nodes[node], secret=secret, config=config)
        case ("shutdown", _) if picked:
            wish(world, picked, TaskState.SHUTDOWN)
        case ("remove", _) if picked:
            wish(world, picked, TaskState.REMOVE)
        case ("delete", _) if picked and world.store.view.task(TaskId(picked)):
            world.write(Delete(Task, picked))
        case ("blip", int(node)):
            world.cut(nodes[node], heal=True)
        case ("cut", int(node)):
            world.cut(nodes[node], heal=False)
        case ("heal",):
            world.heal()
        case ("kill", int(node), bool(processes)):
            world.workers[nodes[node]].kill(processes=processes)
        case ("revive", int(node)) if not world.workers[nodes[node]].alive:
            world.workers[nodes[node]].start()
        case ("lead",):
            world.lead()
        case ("run", int(span)):
            world.run(span / 1000)
    assert kind


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), WEATHERS, st.lists(STEPS, max_size=40))
def test_whatever_breaks_the_workers_and_the_store_agree_once_it_is_healed(
    seed: int, weather: Weather, steps: list[tuple[object, ...]]
) -> None:
    """Act one: connections break, workers are killed, steps fail, proposals are dropped, leaders change.

    All the time states only rise, each task has one operation in hand, every stream of assignments is a chain without a
    gap, and no secret is sent twice or taken back unsent. Act two: all is well again, and within a minute every worker
    runs exactly what it is assigned, has no trace of anything else, and the store knows what each task is at.
    """
    world = a_world(seed, nodes=2)
    world.weather = weather
    assigned: list[str] = []
    for step in steps:
        take(world, step, assigned)
    world.weather = Weather()
    world.heal()
    for worker in world.workers.values():
        if not worker.alive:
            worker.start()
    world.run(60)
    world.assert_at_peace()


def test_no_living_task_is_ever_without_its_dependencies() -> None:
    """A task is prepared with its secret, though the secret's other user ended while the task was on its way."""
    world = a_world()
    assign(world, "t1", NodeId("n1"), secret=1, config=1)
    world.run(2)
    wish(world, "t1", TaskState.SHUTDOWN)
    world.run(0.05)
    assign(world, "t2", NodeId("n1"), secret=1, config=1)
    world.run(5)
    world.assert_at_peace()
    tasks = {task.id: is_dead(task.status.state) for task in world.store.view.tasks()}
    assert tasks == {"t1": True, "t2": False}
    assert the_worker(world).executor.seen["t2"] == ("s1", "c1")
