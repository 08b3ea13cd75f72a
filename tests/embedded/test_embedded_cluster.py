"""A whole cluster in this process: it comes up, works, loses and regains workers, and leaves nothing behind."""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from patience import PATIENCE_SECONDS

from swarmlab.agent import Agent
from swarmlab.api import (
    Annotations,
    ContainerSpec,
    ExecutorError,
    InvalidSpec,
    NetworkAttachmentConfig,
    NetworkSpec,
    NodeState,
    NotFound,
    Precondition,
    ReplicatedService,
    RestartCondition,
    RestartPolicy,
    Service,
    ServiceSpec,
    StateError,
    TaskSpec,
    UnknownPlugin,
    seconds,
)
from swarmlab.component import Received, TimerFired
from swarmlab.edges.driver import Alarm
from swarmlab.edges.grpc import Client
from swarmlab.edges.taskfiles import MEMORY
from swarmlab.embedded import EmbeddedCluster, EmbeddedConfig
from swarmlab.manager.controlapi import create_network, create_service, remove_network, remove_service
from swarmlab.manager.dispatcher import Dispatcher
from swarmlab.sim import running_by_node


@pytest.fixture(params=["sim", "process"])
def executor(request: pytest.FixtureRequest) -> str:
    """Modelled tasks, and real ones."""
    return str(request.param)


def spec(replicas: int = 3, name: str = "web", script: str = "sleep 1000") -> ServiceSpec:
    return ServiceSpec(
        annotations=Annotations(name=name),
        task=TaskSpec(
            container=ContainerSpec(
                image="any", command=("sh", "-c", f"echo hello; {script}"), stop_grace_period=seconds(1)
            ),
            restart=RestartPolicy(condition=RestartCondition.ANY, delay=seconds(0.1)),
        ),
        replicated=ReplicatedService(replicas=replicas),
    )


async def deploy(cluster: EmbeddedCluster, wanted: ServiceSpec) -> Service:
    return await cluster.mutate(lambda view, ids, now: create_service(view, wanted, ids, now))


async def until(cluster: EmbeddedCluster, holds: Callable[[EmbeddedCluster], object], what: str = "") -> None:
    """Wait for a commit after which it holds."""
    reached = asyncio.Event()

    def look(_: object = None) -> None:
        if holds(cluster):
            reached.set()

    watch = cluster.watch(None, look)
    look()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await reached.wait()
    except TimeoutError:
        tasks = [(task.status.state.name, task.status.err, task.node_id) for task in cluster.view.tasks()]
        raise AssertionError(f"{what or 'it'} did not come: {running_by_node(cluster.view)}, {tasks}") from None
    finally:
        watch.cancel()


def runs(count: int, *nodes: str) -> Callable[[EmbeddedCluster], bool]:
    """So many tasks run, on none but these nodes."""

    def holds(cluster: EmbeddedCluster) -> bool:
        tables = running_by_node(cluster.view).values()
        where = {node for table in tables for node in table}
        return sum(sum(table.values()) for table in tables) == count and (not nodes or where <= set(nodes))

    return holds


def node_is(name: str, state: NodeState) -> Callable[[EmbeddedCluster], bool]:
    """The node of that worker is in that state."""

    def holds(cluster: EmbeddedCluster) -> bool:
        return any(
            node.status.state == state
            for node in cluster.view.nodes()
            if node.description is not None and node.description.hostname == name
        )

    return holds


def children() -> set[int]:
    """Processes below this one, however deep."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if fields[0] != "Z":
                parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found: set[int] = set()
    queue = [os.getpid()]
    while queue:
        below = parents.get(queue.pop(), [])
        found.update(below)
        queue += below
    return found


def handles() -> int:
    """How many files, sockets and pipes this process holds."""
    return len(list(Path("/proc/self/fd").iterdir()))


def threads() -> set[str]:
    """Threads that are not those of the loop's own pool, which ends with the loop."""
    return {
        f"{thread.name}/{thread.ident}" for thread in threading.enumerate() if not thread.name.startswith("asyncio")
    }


def entries(folder: Path) -> list[Path]:
    """What lies in it."""
    return sorted(folder.iterdir())


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory for temporary files, for this test alone."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


# Start and stop


async def test_start_and_stop_leave_nothing(executor: str, tmp_path: Path, temporary: Path) -> None:
    """Neither process nor thread, file, socket or directory; the first round only warms the libraries up."""
    path = tmp_path / "run" / "s.sock"
    left = []
    for _ in range(2):
        async with EmbeddedCluster(EmbeddedConfig(workers=2, executor=executor, socket=path)) as cluster:
            async with Client(path) as client:
                await client.create_service(spec(4))
                await until(cluster, runs(4))
                assert {worker.running for worker in (await client.status()).workers} == {True}
            assert bool(children()) is (executor == "process")
            assert entries(temporary)
        shared = [*MEMORY.glob(f"swarmlab-*/*{cluster.cluster_id}*")]
        left.append((children(), threads(), handles(), entries(temporary), shared, path.exists()))
    assert left[0] == left[1]
    assert left[1][0] == set()
    assert left[1][3:] == ([], [], False)


async def test_every_worker_is_ready_when_the_cluster_is_entered(executor: str) -> None:
    async with EmbeddedCluster(EmbeddedConfig(workers=3, executor=executor)) as cluster:
        assert [node.status.state for node in cluster.view.nodes()] == [NodeState.READY] * 3
        assert cluster.executor == executor
        status = cluster.status()
        assert [worker.name for worker in status.workers] == ["w1", "w2", "w3"]
        assert (status.strategy, status.state_dir) == ("spread", "")


async def test_tasks_that_do_not_stop_are_killed_at_the_end() -> None:
    """Their grace period is over long before the cluster's patience."""
    async with EmbeddedCluster(EmbeddedConfig(workers=1, executor="process")) as cluster:
        await deploy(cluster, spec(2, script="trap '' TERM; while :; do sleep 0.1; done"))
        await until(cluster, runs(2))
    assert children() == set()


async def test_an_error_in_the_body_stops_the_cluster_and_comes_through(temporary: Path) -> None:
    async def body() -> None:
        async with EmbeddedCluster(EmbeddedConfig(workers=1, executor="process")) as cluster:
            await deploy(cluster, spec(1))
            await until(cluster, runs(1))
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await body()
    assert children() == set()
    assert entries(temporary) == []


# Workers


async def test_a_lost_worker_is_made_up_for_and_comes_back(executor: str) -> None:
    async with EmbeddedCluster(EmbeddedConfig(workers=3, executor=executor)) as cluster:
        await deploy(cluster, spec(6))
        await until(cluster, runs(6))
        before = children()
        await cluster.stop_worker("w3")
        if executor == "process":
            assert len(before) > len(children()), "its tasks died with it"
        assert not cluster.status().workers[2].running
        await until(cluster, node_is("w3", NodeState.DOWN))
        await until(cluster, runs(6, "w1", "w2"))
        await cluster.start_worker("w3")
        await until(cluster, node_is("w3", NodeState.READY))
        await deploy(cluster, spec(3, "late"))
        await until(cluster, lambda cluster: "w3" in running_by_node(cluster.view)["late"], "a task on w3")


async def test_a_worker_that_is_back_at_once_is_not_taken_for_lost() -> None:
    """Its tasks died all the same, and are replaced."""
    async with EmbeddedCluster(EmbeddedConfig(workers=2, executor="sim")) as cluster:
        await deploy(cluster, spec(4))
        await until(cluster, runs(4))
        first = {task.id for task in cluster.view.tasks()}
        await cluster.stop_worker("w2")
        await cluster.start_worker("w2")
        await until(cluster, lambda cluster: runs(4)(cluster) and {task.id for task in cluster.view.tasks()} != first)
        assert not [event for event in cluster.events() if event.name == "node-down"]


async def test_a_process_that_stood_still_loses_no_node() -> None:
    """A suspended machine, or one without time for it: every beat is late then, and none of the nodes is dead."""
    config = EmbeddedConfig(workers=3, executor="sim", heartbeat=seconds(0.1))
    async with EmbeddedCluster(config) as cluster:
        await deploy(cluster, spec(4))
        await until(cluster, runs(4))
        first = {task.id for task in cluster.view.tasks()}
        time.sleep(1)  # noqa: ASYNC251 - this is what it is about
        await deploy(cluster, spec(3, "late"))
        await until(cluster, runs(7))
        assert first < {task.id for task in cluster.view.tasks()}
        assert len(cluster.view.tasks()) == 7
        assert not [event for event in cluster.events() if event.name == "node-down"]


async def test_workers_that_are_not_there_or_not_so() -> None:
    async with EmbeddedCluster(EmbeddedConfig(workers=2, executor="sim")) as cluster:
        for act in (cluster.stop_worker, cluster.start_worker):
            with pytest.raises(NotFound, match="worker 'w9' not found here; there are w1, w2"):
                await act("w9")
        with pytest.raises(Precondition, match="worker w1 runs already"):
            await cluster.start_worker("w1")
        await cluster.stop_worker("w1")
        with pytest.raises(Precondition, match="worker w1 does not run"):
            await cluster.stop_worker("w1")


# State


async def test_a_state_directory_keeps_the_cluster(executor: str, tmp_path: Path) -> None:
    """Nodes, services and tasks are those of the last run; with one seed for both lives no id is given twice."""
    config = EmbeddedConfig(workers=2, executor=executor, state_dir=tmp_path / "state", seed=7)
    async with EmbeddedCluster(config) as cluster:
        await deploy(cluster, spec(4))
        await until(cluster, runs(4))
        await cluster.mutate(lambda view, ids, now: create_service(view, spec(1, "gone"), ids, now))
        gone = cluster.view.by_name(Service, "gone")
        assert gone is not None
        await cluster.mutate(lambda view, _, __: remove_service(view, gone.id))
        kept = (cluster.cluster_id, [node.id for node in cluster.view.nodes()], cluster.view.by_name(Service, "web"))
        version = cluster.view.version
    assert children() == set()
    async with EmbeddedCluster(config) as cluster:
        assert cluster.view.version >= version
        again = (cluster.cluster_id, [node.id for node in cluster.view.nodes()], cluster.view.by_name(Service, "web"))
        assert again == kept
        assert cluster.view.by_name(Service, "gone") is None
        await deploy(cluster, spec(3, "new"))
        await until(cluster, runs(7))
        assert cluster.status().state_dir == str(tmp_path / "state")


async def test_a_state_directory_in_use_is_named_with_the_process(tmp_path: Path) -> None:
    config = EmbeddedConfig(workers=1, executor="sim", state_dir=tmp_path / "state")
    async with EmbeddedCluster(config):
        with pytest.raises(StateError) as refusal:
            async with EmbeddedCluster(config):
                raise AssertionError("the second one is entered")
        assert str(refusal.value) == f"{tmp_path}/state/manager is in use by process {os.getpid()}"
    async with EmbeddedCluster(config):
        pass


@pytest.mark.parametrize("place", ["state", "state/manager", "state/workers", "state/workers/w1"])
async def test_a_file_where_a_directory_is_wanted(tmp_path: Path, place: str) -> None:
    file = tmp_path / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("in the way")
    with pytest.raises(StateError) as refusal:
        async with EmbeddedCluster(EmbeddedConfig(workers=1, executor="sim", state_dir=tmp_path / "state")):
            raise AssertionError("it is entered")
    assert f"{file} is not a directory" in str(refusal.value)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"../../etc", b"two words"])
async def test_a_damaged_node_id_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "state" / "workers" / "w1" / "node-id"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    with pytest.raises(StateError) as refusal:
        async with EmbeddedCluster(EmbeddedConfig(workers=1, executor="sim", state_dir=tmp_path / "state")):
            raise AssertionError("it is entered")
    assert str(file) in str(refusal.value)


async def test_a_damaged_file_of_a_worker_is_named(tmp_path: Path) -> None:
    config = EmbeddedConfig(workers=2, executor="sim", state_dir=tmp_path / "state")
    async with EmbeddedCluster(config):
        pass
    file = tmp_path / "state" / "workers" / "w2" / "tasks.db"
    file.write_bytes(b"this is no database" * 400)
    with pytest.raises(StateError, match=str(file)):
        async with EmbeddedCluster(config):
            raise AssertionError("it is entered")


# What cannot be


async def test_a_socket_path_that_is_too_long(tmp_path: Path, temporary: Path) -> None:
    path = tmp_path / ("x" * 120)
    with pytest.raises(StateError, match="wanted: at most 107") as refusal:
        async with EmbeddedCluster(EmbeddedConfig(workers=1, executor="process", socket=path)):
            raise AssertionError("it is entered")
    assert str(path) in str(refusal.value)
    assert entries(temporary) == []
    assert children() == set()


async def test_a_socket_that_another_cluster_serves(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    config = EmbeddedConfig(workers=1, executor="sim", socket=path)
    async with EmbeddedCluster(config):
        with pytest.raises(StateError, match="another server answers there"):
            async with EmbeddedCluster(config):
                raise AssertionError("the second one is entered")
        async with Client(path) as client:
            assert len(await client.list_nodes()) == 1


async def test_no_engine_for_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(ExecutorError, match="executor docker: no Engine answers at") as refusal:
        async with EmbeddedCluster(EmbeddedConfig(executor="docker")):
            raise AssertionError("it is entered")
    assert "none.sock" in str(refusal.value)
    async with EmbeddedCluster(EmbeddedConfig(workers=1, executor="auto")) as cluster:
        assert cluster.executor == "process"


async def test_unknown_names() -> None:
    with pytest.raises(UnknownPlugin, match="sprad"):
        EmbeddedCluster(EmbeddedConfig(strategy="sprad"))
    with pytest.raises(InvalidSpec, match="executor 'podman': wanted one of auto, docker, process, sim"):
        async with EmbeddedCluster(EmbeddedConfig(executor="podman")):
            raise AssertionError("it is entered")


# What breaks


async def broken(cluster: EmbeddedCluster) -> list[BaseException]:
    """Why the cluster ended, which it has to do by itself."""

    async def body() -> None:
        async with asyncio.timeout(PATIENCE_SECONDS), cluster:
            await deploy(cluster, spec(2))
            await asyncio.Event().wait()

    with pytest.raises(Exception) as failure:
        await body()
    found: list[BaseException] = []
    queue: list[BaseException] = [failure.value]
    while queue:
        error = queue.pop()
        if isinstance(error, BaseExceptionGroup):
            queue += error.exceptions
        else:
            found.append(error)
    return found


def failing(original: Callable[..., Any], when: Callable[[Any], bool]) -> Callable[..., Any]:
    """The step of a part that raises at such an event."""

    def step(self: Any, event: Any, now: Any) -> Any:
        if when(event):
            raise ZeroDivisionError("made for this test")
        return original(self, event, now)

    return step


@pytest.mark.parametrize(
    ("part", "when"),
    [
        (Agent, lambda event: isinstance(event, TimerFired)),
        (Agent, lambda event: isinstance(event, Received)),
        (Agent, lambda event: type(event).__name__ == "Executed"),
        (Dispatcher, lambda event: isinstance(event, TimerFired)),
        (Dispatcher, lambda event: isinstance(event, Received) and type(event.message).__name__ == "HeartbeatRequest"),
    ],
    ids=["agent-timer", "agent-message", "agent-executor", "manager-timer", "manager-message"],
)
async def test_a_part_that_fails_ends_the_cluster_loudly(
    executor: str, part: type[Any], when: Callable[[Any], bool], monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    """Not a line in a log, and a cluster that goes on without it."""
    cluster = EmbeddedCluster(EmbeddedConfig(workers=2, executor=executor))
    monkeypatch.setattr(part, "step", failing(part.step, when))
    errors = await broken(cluster)
    assert "made for this test" in {str(error) for error in errors}
    assert children() == set()
    assert entries(temporary) == []


async def test_a_disk_that_fails_ends_the_cluster_loudly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that cannot write down what it accepted must not go on."""
    from swarmlab.edges.disk import WorkerState

    def full(self: WorkerState, *_: object) -> None:
        raise StateError("tasks.db cannot be written: no space left on device")

    monkeypatch.setattr(WorkerState, "write", full)
    errors = await broken(EmbeddedCluster(EmbeddedConfig(workers=2, executor="sim", state_dir=tmp_path / "state")))
    assert {str(error) for error in errors} == {"tasks.db cannot be written: no space left on device"}


async def test_the_first_alarm_is_the_one_that_is_raised() -> None:
    alarm = Alarm()

    def fail(text: str) -> None:
        raise ValueError(text)

    ring = alarm.guard(fail)
    ring("first")
    ring("second")
    with pytest.raises(ValueError, match="first"):
        await alarm.raised()


async def test_an_alarm_that_nothing_sets_off_is_silent() -> None:
    alarm = Alarm()
    heard: list[str] = []
    alarm.guard(heard.append)("fine")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(alarm.raised(), 0.01)
    assert heard == ["fine"]


# Networks


def on(network: str, replicas: int = 2) -> ServiceSpec:
    """A service whose tasks are on that network."""
    held = spec(replicas)
    return replace(held, task=replace(held.task, networks=(NetworkAttachmentConfig(target=network),)))


async def test_tasks_run_on_an_overlay_with_addresses_of_their_own() -> None:
    """Modelled nodes have every driver: the service, its tasks and their nodes each get a place."""
    async with EmbeddedCluster(EmbeddedConfig(workers=2, executor="sim")) as cluster:
        network = await cluster.mutate(
            lambda view, ids, _: create_network(view, NetworkSpec(annotations=Annotations("back")), ids)
        )
        await deploy(cluster, on("back"))
        await until(cluster, runs(2, "w1", "w2"))
        await until(cluster, lambda cluster: all(node.attachments for node in cluster.view.nodes()))
        view = cluster.view
        [service] = view.services()
        assert service.endpoint is not None
        found = [vip.addr for vip in service.endpoint.virtual_ips]
        found += [each.addresses[0] for task in view.tasks() for each in task.networks]
        found += [each.addresses[0] for node in view.nodes() for each in node.attachments]
        assert sorted(found) == [f"10.0.0.{number}/24" for number in range(2, 7)]
        assert len(view.cluster().network_bootstrap_keys) == 6  # type: ignore[union-attr]  # it was founded
        with pytest.raises(Precondition, match="is in use by service"):
            await cluster.mutate(lambda view, *_: remove_network(view, network.id))


async def test_a_node_without_the_driver_of_a_network_is_not_chosen() -> None:
    """Plain processes have the network of their machine and no other."""
    async with EmbeddedCluster(EmbeddedConfig(workers=1, executor="process")) as cluster:
        await cluster.mutate(
            lambda view, ids, _: create_network(view, NetworkSpec(annotations=Annotations("back")), ids)
        )
        await deploy(cluster, on("back", 1))
        await until(cluster, lambda cluster: any(task.status.err for task in cluster.view.tasks()))
        [task] = cluster.view.tasks()
        assert task.status.err == "no suitable node (missing plugin on 1 node)"
        assert cluster.explain(task.id).nodes[0].refusals == {"drivers": "lacks Network overlay"}
        await deploy(cluster, replace(on("host", 1), annotations=Annotations("own")))
        await until(cluster, runs(1))
