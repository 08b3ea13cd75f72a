"""What the process executor does beside the contract: its environment, what it cannot do, and that nothing stays."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
from executor_ground import FOREVER, LiveGround, process_ground, span
from msgspec.structs import replace
from patience import PATIENCE_SECONDS

from swarmlab.agent.exec import Dependencies, Executed, Operation
from swarmlab.api import (
    DiscreteGenericResource,
    ExecutorError,
    GenericResource,
    HealthConfig,
    Mount,
    MountType,
    NamedGenericResource,
    NodeId,
    PortConfig,
    PortProtocol,
    PublishMode,
    ResourceRequirements,
    Resources,
    TaskId,
    Ulimit,
)
from swarmlab.edges.driver import LiveClock
from swarmlab.edges.nodefacts import NodeFacts
from swarmlab.edges.process import ProcessExecutor
from swarmlab.edges.process.proctable import kill_all_of, stat_of

PREPARE, START, WAIT = Operation.PREPARE, Operation.START, Operation.WAIT
SHUTDOWN, REMOVE = Operation.SHUTDOWN, Operation.REMOVE


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[LiveGround]:
    async for made in process_ground(tmp_path):
        yield made


@pytest.fixture
async def stranger() -> AsyncIterator[int]:
    """The pid of a process that is none of ours, leader of a session like those of tasks."""
    process = await asyncio.create_subprocess_exec("sleep", "1000", start_new_session=True)
    yield process.pid
    process.kill()
    await process.wait()


@pytest.fixture
async def killed_later() -> AsyncIterator[Callable[[asyncio.subprocess.Process, Path], None]]:
    """Takes workers and their directories; whatever becomes of the test, nothing of them runs after it."""
    workers: list[tuple[asyncio.subprocess.Process, Path]] = []
    yield lambda worker, base: workers.append((worker, base))
    for worker, base in workers:
        if worker.returncode is None:
            worker.kill()
            await worker.wait()
        await asyncio.to_thread(kill_all_of, [base])


def refused(answer: Executed) -> str:
    assert answer.error is not None
    assert not answer.error.temporary
    return str(answer.error)


def living(pid: int) -> bool:
    found = stat_of(pid)
    return found is not None and found.state != "Z"


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def content(path: Path) -> str:
    return path.read_text()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what comes by itself, from outside this process."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0.01)


async def test_an_image_alone_is_a_clear_error(node: LiveGround) -> None:
    error = refused(await node.do(PREPARE, node.bare_task(image="nginx:latest")))
    assert error.startswith("image 'nginx:latest' without a command: the process executor has no images")


async def test_arguments_alone_are_the_command(node: LiveGround) -> None:
    """`service create IMAGE sleep 1000` gives arguments only; there is no image to have an entry point."""
    assert await node.output(node.bare_task(image="alpine", args=("echo", "hello"))) == ["hello"]


async def test_a_task_sees_its_own_environment_and_little_of_the_workers(
    node: LiveGround, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKER_PASSWORD", "hunter2")
    ports = [
        PortConfig(name="web", target_port=80, published_port=8080),
        PortConfig(target_port=53, published_port=5300, protocol=PortProtocol.UDP, publish_mode=PublishMode.HOST),
    ]
    task = node.bare_task(image="none", command=("env",), env=("A=1", "LANG"), ports=ports)
    task = replace(
        task,
        assigned_generic_resources=(
            GenericResource(named_resource_spec=NamedGenericResource("gpu", "b")),
            GenericResource(named_resource_spec=NamedGenericResource("gpu", "a")),
            GenericResource(discrete_resource_spec=DiscreteGenericResource("fpga", 3)),
        ),
    )
    env = dict(line.partition("=")[::2] for line in await node.output(task))
    assert "WORKER_PASSWORD" not in env
    assert "LANG" not in env
    assert {name: env[name] for name in env if name.startswith(("PORT", "DOCKER", "A"))} == {
        "A": "1",
        "PORT": "8080",
        "PORT_80": "8080",
        "PORT_WEB": "8080",
        "PORT_53_UDP": "5300",
        "DOCKER_RESOURCE_GPU": "a,b",
        "DOCKER_RESOURCE_FPGA": "3",
    }
    assert env["SWARMLAB_TASK_ID"] == task.id
    assert env["SWARMLAB_TASK_NAME"] == f"web.3.{task.id}"
    assert env["TMPDIR"] == env["SWARMLAB_SCRATCH_DIR"]


async def test_scratch_is_private_and_goes_with_the_task(node: LiveGround, tmp_path: Path) -> None:
    task = node.task("cd $SWARMLAB_SCRATCH_DIR && stat -c %a . && pwd")
    mode, scratch = await node.output(task)
    assert mode == "700"
    await node.do(REMOVE, task)
    assert names(tmp_path / "tasks") == []
    assert names(Path(scratch).parent.parent) == []


async def test_relative_directories_begin_where_the_node_was_started(node: LiveGround, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    assert await node.output(node.task("pwd")) == [str(tmp_path)]
    assert await node.output(node.task("pwd", dir="code")) == [str(tmp_path / "code")]
    assert await node.output(node.task("pwd", dir="/")) == ["/"]
    error = refused(await node.do(PREPARE, node.task("pwd", dir="nowhere")))
    assert error == f"working directory {tmp_path}/nowhere does not exist on this node"


async def test_a_program_may_lie_beside_the_node(node: LiveGround, tmp_path: Path) -> None:
    (tmp_path / "hello").write_text("#!/bin/sh\necho hello\n")
    error = refused(await node.do(PREPARE, node.bare_task(image="none", command=("./hello",))))
    assert error == f"program './hello' is not an executable file on this node (looked at {tmp_path}/hello)"
    (tmp_path / "hello").chmod(0o755)
    assert await node.output(node.bare_task(image="none", command=("./hello",))) == ["hello"]


async def test_a_file_that_is_no_program_fails_the_start(node: LiveGround, tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(b"\x7fELF but not really")
    (tmp_path / "noise").chmod(0o755)
    task = node.bare_task(image="none", command=("./noise",))
    assert (await node.do(PREPARE, task)).error is None
    assert refused(await node.do(START, task)).startswith("cannot start './noise'")


async def test_mounts_appear_below_the_tasks_mounts(node: LiveGround, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/greeting").write_text("hello\n")
    mounts = (
        Mount(type=MountType.BIND, source=str(tmp_path / "data"), target="/srv/data"),
        Mount(type=MountType.VOLUME, source="keep-{{.Service.Name}}", target="/var/keep"),
        Mount(type=MountType.VOLUME, target="/var/own"),
        Mount(type=MountType.TMPFS, target="/cache"),
    )
    script = (
        "cd $SWARMLAB_MOUNTS_DIR; cat srv/data/greeting; echo x >> var/keep/n; wc -l < var/keep/n; ls var/own cache"
    )
    for count in ("1", "2"):
        task = node.task(script, mounts=mounts)
        assert [line.strip() for line in await node.output(task) if line] == ["hello", count, "cache:", "var/own:"]
        await node.do(REMOVE, task)
    assert content(tmp_path / "volumes/keep-web/n") == "x\nx\n"


async def test_a_bind_of_nothing_is_an_error(node: LiveGround) -> None:
    task = node.task("true", mounts=(Mount(type=MountType.BIND, source="/no/such", target="/x"),))
    assert refused(await node.do(PREPARE, task)) == "mount source /no/such does not exist on this node"


async def test_a_cluster_volume_is_an_error(node: LiveGround) -> None:
    task = node.task("true", mounts=(Mount(type=MountType.CLUSTER, source="v", target="/x"),))
    assert refused(await node.do(PREPARE, task)).startswith("mount cluster 'v':")


async def test_ulimits_and_the_memory_limit_hold(node: LiveGround) -> None:
    limits = ResourceRequirements(limits=Resources(memory_bytes=64 << 20))
    script = "import resource as r; print(r.getrlimit(r.RLIMIT_NOFILE)); bytearray(256 << 20)"
    waiting = 'until [ "$(ulimit -d)" != unlimited ]; do sleep 0.05; done; exec "$@"'
    task = node.bare_task(
        image="none",
        # The limits are set a moment after the start, that of memory last.
        command=("sh", "-c", waiting, "sh", sys.executable, "-c", script),
        ulimits=(Ulimit("nofile", 100, 200),),
        task_spec={"resources": limits},
    )
    await node.run(task)
    assert refused(await node.do(WAIT, task)) == "task: non-zero exit (1)"
    printed = b"".join(one.data for one in await node.logs(task))
    assert b"(100, 200)" in printed
    assert b"MemoryError" in printed


async def test_an_unknown_ulimit_is_named(node: LiveGround) -> None:
    task = node.task("true", ulimits=(Ulimit("patience", 1, 1),))
    assert refused(await node.do(PREPARE, task)) == "ulimit 'patience' is not known on this node"


@pytest.mark.parametrize(("user", "seen"), [("12345:54321", "12345 54321"), ("nobody", "65534 65534")])
async def test_root_can_run_a_task_as_somebody_else(node: LiveGround, user: str, seen: str) -> None:
    task = node.task("echo $(id -u) $(id -g)", user=user, dir="/")
    if os.getuid() == 0:
        assert await node.output(task) == [seen]
    else:
        assert "only root can become another" in refused(await node.do(PREPARE, task))


async def test_an_unknown_user_is_named(node: LiveGround) -> None:
    error = refused(await node.do(PREPARE, node.task("true", user="nobody-of-that-name")))
    assert error == "user 'nobody-of-that-name' is not known on this node"


async def test_an_unknown_stop_signal_is_named(node: LiveGround) -> None:
    error = refused(await node.do(PREPARE, node.task("true", stop_signal="SIGWHATEVER")))
    assert error.startswith("stop signal 'SIGWHATEVER', wanted:")


async def test_an_unknown_kind_of_health_check_is_named(node: LiveGround) -> None:
    check = HealthConfig(test=("PRAY",))
    error = refused(await node.do(PREPARE, node.task("true", healthcheck=check)))
    assert error.startswith("health check 'PRAY', wanted:")


async def test_the_children_of_an_ended_task_are_ended(node: LiveGround) -> None:
    task = node.task("sleep 1000 & echo $!; setsid sleep 1000 & echo $!; sleep 0.1")
    lines = await node.output(task)
    assert len(lines) == 2
    assert not [line for line in lines if living(int(line))]


async def test_stop_reaches_the_children(node: LiveGround) -> None:
    """A shell does not pass a signal on; the group hears it itself."""
    task = node.task("sh -c \"trap 'echo child; exit 0' TERM; echo ready; while :; do sleep 0.05; done\"; true")
    await node.run(task)
    await node.line(task, b"ready")
    await node.do(SHUTDOWN, task)
    assert b"child\n" in [one.data for one in await node.logs(task)]


async def test_no_zombie_is_left(node: LiveGround) -> None:
    for _ in range(5):
        await node.output(node.task("true"))
    mine = [pid for pid in names(Path("/proc")) if pid.isdecimal() and parent_and_state(int(pid)) == (os.getpid(), "Z")]
    assert mine == []


def parent_and_state(pid: int) -> tuple[int, str] | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[1]), fields[0]


async def test_a_flood_of_output_does_not_stop_the_node(node: LiveGround) -> None:
    flood, quiet = node.task("yes"), node.task("echo quiet")
    await node.run(flood)
    assert await node.output(quiet) == ["quiet"]
    assert (await node.do(SHUTDOWN, flood)).error is None


async def test_describe_takes_the_shares_that_it_is_told() -> None:
    facts = NodeFacts(
        node_id=NodeId("n"),
        cluster="c",
        hostname="h",
        resources=Resources(nano_cpus=500_000_000),
        labels={"b": "2", "a": "1"},
    )
    executor = ProcessExecutor(Path("/nonexistent"), facts, LiveClock())
    description = await executor.describe()
    assert description.resources is not None
    assert description.resources.nano_cpus == 500_000_000
    assert description.resources.memory_bytes == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert description.engine is not None
    assert list(description.engine.labels) == ["a", "b"]


async def test_a_base_that_cannot_be_made_is_an_executor_error() -> None:
    executor = ProcessExecutor(
        Path("/proc/nowhere"), NodeFacts(node_id=NodeId("n"), cluster="c", hostname="h"), LiveClock()
    )
    with pytest.raises(ExecutorError, match="cannot clear up /proc/nowhere"):
        await executor.adopt([])


async def test_closing_stops_what_runs_and_lets_a_later_life_say_so(node: LiveGround) -> None:
    task = node.task("trap '' TERM; echo ready; while :; do sleep 0.05; done", stop_grace_period=span(0.2))
    await node.run(task)
    await node.line(task, b"ready")
    await node.reborn([task])
    assert refused(await node.do(WAIT, task)) == "task: non-zero exit (137)"


async def test_a_killed_worker_leaves_nothing_that_its_next_life_does_not_end(
    node: LiveGround, tmp_path: Path, stranger: int, killed_later: Callable[[asyncio.subprocess.Process, Path], None]
) -> None:
    """kill -9: plain tasks, children of the session, one that left it, and one that cleared its environment."""
    base = tmp_path / "killed"
    lines = (
        "plain=echo $$ > %s/plain; sleep 1000",
        "family=sleep 1000 & echo $! > %s/child; setsid sleep 1000 & echo $! > %s/runaway; sleep 1000",
        "bare=echo $$ > %s/bare; exec env -i /bin/sleep 1000",
        "ended=exit 0",
    )
    place = str(tmp_path)
    arguments = [str(base), node.facts.cluster, f"{node.node}killed", *(line.replace("%s", place) for line in lines)]
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).parent / "worker_for_kill.py"),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
    )
    killed_later(worker, base)
    written = ("plain", "child", "runaway", "bare")
    assert worker.stdout is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await worker.stdout.readline() == b"started\n"
    await until(lambda: all(path_has_number(tmp_path / name) for name in written))
    worker.send_signal(signal.SIGKILL)
    await worker.wait()
    pids = {name: int(content(tmp_path / name)) for name in written}
    await until(lambda: content(Path(f"/proc/{pids['bare']}/comm")) == "sleep\n")
    assert all(living(pid) for pid in pids.values())

    executor = ProcessExecutor(base, replace(node.facts, node_id=NodeId(f"{node.node}killed")), LiveClock())
    await executor.adopt([TaskId("plain")])
    assert [name for name, pid in pids.items() if living(pid)] == []
    assert living(stranger)
    assert names(base / "tasks") == ["plain"]
    task = replace(node.task(FOREVER), id=TaskId("plain"))
    controller = executor.controller(task, Dependencies())
    await controller.prepare()
    await controller.start()
    with pytest.raises(ExecutorError, match="its process ended with the worker"):
        await controller.wait()
    await executor.close()


def path_has_number(path: Path) -> bool:
    return path.exists() and path.read_text().strip().isdecimal()


async def test_a_pid_that_passed_to_somebody_else_is_left_alone(
    node: LiveGround, tmp_path: Path, stranger: int
) -> None:
    """A record whose pid now names a foreign process: the time of its start tells them apart."""
    task = node.task("exit 0")
    await node.run(task)
    await node.do(WAIT, task)
    record = tmp_path / "tasks" / task.id / "record.json"
    fields = msgspec.json.decode(record.read_bytes())
    fields |= {"pid": stranger, "started": fields["started"] - 100}  # a second earlier
    record.write_bytes(msgspec.json.encode(fields))
    await node.reborn([])
    assert living(stranger)
