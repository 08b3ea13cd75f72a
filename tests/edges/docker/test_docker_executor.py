"""What the docker executor does beside the contract, on a real engine."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import docker
import pytest
from docker_engine import TEST_CLUSTER, TEST_IMAGE, import_test_image
from executor_ground import (
    FOREVER,
    LiveGround,
    a_config,
    a_secret,
    config_reference,
    docker_ground,
    secret_reference,
)
from patience import PATIENCE_SECONDS, wait_until

from swarmlab.agent.exec import Executed, Interrupt, Operation
from swarmlab.api import (
    Mount,
    MountType,
    NodeId,
    Privileges,
    ResourceRequirements,
    Resources,
    Task,
    TmpfsOptions,
    Ulimit,
)
from swarmlab.edges.docker import DockerExecutor, Engine, containers, engine_answers
from swarmlab.edges.execution import Execution
from swarmlab.edges.nodefacts import NodeFacts

pytestmark = pytest.mark.docker

PREPARE, START, WAIT = Operation.PREPARE, Operation.START, Operation.WAIT
SHUTDOWN, REMOVE = Operation.SHUTDOWN, Operation.REMOVE


@pytest.fixture
async def node(engine: Engine) -> AsyncIterator[LiveGround]:
    async for made in docker_ground(engine):
        yield made


def refused(answer: Executed) -> str:
    assert answer.error is not None
    assert not answer.error.temporary
    return str(answer.error)


async def inspected(engine: Engine, task: Task) -> dict:
    return await engine.call(lambda api: api.inspect_container(f"web.3.{task.id}"))


async def test_a_spec_arrives_in_the_container(node: LiveGround) -> None:
    task = node.task(
        "id -u; id -G; pwd; hostname; ulimit -n; grep -c db.internal /etc/hosts; touch /x 2>/dev/null || echo ro;"
        " touch /scratch/x && stat -c %a /scratch; cat /proc/sys/net/core/somaxconn; echo $SHLVL-$A",
        env=("A=b",),
        user="7:8",
        groups=("9",),
        dir="/tmp",
        hostname="box",
        hosts=("10.9.8.7 db.internal",),
        ulimits=(Ulimit("nofile", 77, 88),),
        read_only=True,
        mounts=(Mount(type=MountType.TMPFS, target="/scratch", tmpfs_options=TmpfsOptions(1 << 20, 0o777 | 1 << 20)),),
        sysctls={"net.core.somaxconn": "99"},
        privileges=Privileges(no_new_privileges=True),
        task_spec={"resources": ResourceRequirements(limits=Resources(500_000_000, 64 << 20))},
    )
    assert await node.output(task) == ["7", "8 9", "/tmp", "box", "77", "1", "ro", "1777", "99", "1-b"]


async def test_binds_and_volumes(node: LiveGround, tmp_path: Path) -> None:
    (tmp_path / "hello").write_text("hello\n")
    mounts = (
        Mount(source=str(tmp_path), target="/data", readonly=True),
        Mount(type=MountType.VOLUME, target="/anonymous"),
    )
    task = node.task("cat /data/hello; touch /data/x 2>/dev/null || echo ro; touch /anonymous/x", mounts=mounts)
    assert await node.output(task) == ["hello", "ro"]
    engine = node.executor.engine
    (volume,) = [
        mount["Name"] for mount in (await inspected(engine, task))["Mounts"] if mount["Destination"] == "/anonymous"
    ]
    await node.do(REMOVE, task)
    with pytest.raises(Exception, match="no such volume"):
        await engine.call(lambda api: api.inspect_volume(volume))


async def test_a_bind_of_nothing_is_the_engines_error(node: LiveGround) -> None:
    task = node.task("true", mounts=(Mount(source="/no/such/place", target="/x"),))
    assert "/no/such/place" in refused(await node.do(PREPARE, task))


async def test_secrets_have_owner_and_mode_and_are_in_no_inspection(node: LiveGround, caplog) -> None:
    password, motd = a_secret("password", b"hunter2-of-all"), a_config("motd", b"hello-config")
    task = node.task(
        "stat -c '%u:%g %a' /run/secrets/pw /etc/motd; cat /run/secrets/pw /etc/motd; echo;"
        " mount | grep -q ' /run/secrets/pw .*ro,' && echo ro",
        secrets=(secret_reference(password, name="pw", uid="7", gid="8", mode=0o440),),
        configs=(config_reference(motd, name="/etc/motd"),),
    )
    lines = await node.output(task, [password], [motd])
    assert lines == ["7:8 440", "0:0 444", "hunter2-of-allhello-config", "ro"]
    known = json.dumps(await inspected(node.executor.engine, task))
    assert "hunter2" not in known
    assert "hello-config" not in known
    assert "hunter2" not in caplog.text
    place = node.executor.files.root
    assert place.is_relative_to("/dev/shm")
    assert stat.S_IMODE(place.lstat().st_mode) == 0o711


async def test_secrets_work_in_a_read_only_container(node: LiveGround) -> None:
    password = a_secret("password", b"hunter2")
    task = node.task("cat /run/secrets/password", read_only=True, secrets=(secret_reference(password),))
    assert await node.output(task, [password]) == ["hunter2"]


async def test_an_image_that_is_nowhere_is_named_with_the_reason(node: LiveGround) -> None:
    error = refused(await node.do(PREPARE, node.bare_task(image="127.0.0.1:1/nobody/nothing:1")))
    assert error.startswith("image '127.0.0.1:1/nobody/nothing:1' is not on this node; pull failed: ")
    assert "connection refused" in error
    task = node.bare_task(image="127.0.0.1:1/nobody/nothing:1", labels={"swarmlab.pull": "never"})
    assert refused(await node.do(PREPARE, task)) == "image '127.0.0.1:1/nobody/nothing:1' is not on this node"


async def test_a_pull_policy_of_no_known_word_is_an_error(node: LiveGround) -> None:
    error = refused(await node.do(PREPARE, node.task("true", labels={"swarmlab.pull": "sometimes"})))
    assert error == "swarmlab.pull='sometimes', wanted: always, missing, never"


async def test_a_container_of_that_name_that_is_not_ours_is_left_alone(node: LiveGround) -> None:
    engine = node.executor.engine
    task = node.task(FOREVER)
    name = f"web.3.{task.id}"
    labels = {"swarmlab.cluster": TEST_CLUSTER, "swarmlab.node": "another"}
    await engine.call(lambda api: api.create_container(TEST_IMAGE, "true", name=name, labels=labels))
    for operation in (PREPARE, START, REMOVE):
        assert refused(await node.do(operation, task)) == f"container {name!r} is there and not ours"
    assert (await inspected(engine, task))["Config"]["Labels"]["swarmlab.node"] == "another"


async def test_a_running_container_is_adopted_and_not_restarted(node: LiveGround) -> None:
    task = node.task(FOREVER)
    await node.run(task)
    before = await inspected(node.executor.engine, task)
    await node.reborn([task])
    for operation in (PREPARE, START):
        assert (await node.do(operation, task)).error is None
    after = await inspected(node.executor.engine, task)
    assert (after["Id"], after["State"]["StartedAt"]) == (before["Id"], before["State"]["StartedAt"])
    waiting = node.begin(WAIT, task)
    await node.executor.engine.call(lambda api: api.kill(after["Id"], "SIGKILL"))
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert refused(await waiting) == "task: non-zero exit (137)"


async def test_nodes_that_share_an_engine_do_not_touch_each_other(node: LiveGround, engine: Engine) -> None:
    async for other in docker_ground(engine):
        mine, theirs = node.task(FOREVER), other.task(FOREVER)
        await node.run(mine)
        await other.run(theirs)
        await other.executor.adopt([])
        assert [task for _, task in await containers(engine, TEST_CLUSTER)] == [mine.id]
        await other.executor.kill_all()
        assert [task for _, task in await containers(engine, TEST_CLUSTER)] == [mine.id]


async def test_a_container_that_was_removed_under_us_ends_the_task(node: LiveGround) -> None:
    task = node.task(FOREVER)
    await node.run(task)
    waiting = node.begin(WAIT, task)
    await asyncio.sleep(0)
    await node.executor.engine.call(lambda api: api.remove_container(f"web.3.{task.id}", force=True))
    async with asyncio.timeout(PATIENCE_SECONDS):
        error = refused(await waiting)
    assert error in ("task: non-zero exit (137)", f"no such container: web.3.{task.id}")


async def test_running_out_of_memory_is_said(node: LiveGround) -> None:
    task = node.task(
        "tail /dev/zero",
        task_spec={"resources": ResourceRequirements(limits=Resources(memory_bytes=8 << 20), swap_bytes=0)},
    )
    await node.run(task)
    assert refused(await node.do(WAIT, task)) == "task: non-zero exit (137): out of memory"


async def test_a_terminal_has_one_stream(node: LiveGround) -> None:
    task = node.task("echo one; echo two >&2", tty=True)
    await node.output(task)
    assert [one.data for one in await node.logs(task)] == [b"one\r\n", b"two\r\n"]


async def test_the_host_port_answers(node: LiveGround) -> None:
    from swarmlab.api import PortConfig, PublishMode

    port = PortConfig(target_port=80, publish_mode=PublishMode.HOST)
    task = node.task("echo hello > /tmp/index.html; exec httpd -f -p 80 -h /tmp", ports=[port])
    await node.run(task)
    status = node.answers[-1].ports
    assert status is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        answer = await fetched(status.ports[0].published_port)
    assert answer.endswith(b"hello\n")


async def fetched(port: int) -> bytes:
    """The answer of whoever serves there, once it is up."""
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
        except OSError:
            answer = b""
        if answer:
            return answer
        await asyncio.sleep(0.02)


async def test_describe_tells_the_plugins_in_order(node: LiveGround) -> None:
    description = await node.executor.describe()
    assert description.engine is not None
    plugins = [(plugin.type, plugin.name) for plugin in description.engine.plugins]
    assert ("Network", "bridge") in plugins
    assert [name for kind, name in plugins if kind == "Network"] == ["bridge", "host", "null"]
    assert ("Volume", "local") in plugins
    assert plugins == sorted(plugins)
    assert description.engine.engine_version.count(".") >= 1


async def test_a_task_costs_four_calls_to_run(node: LiveGround, monkeypatch: pytest.MonkeyPatch) -> None:
    """Image, create, start, inspect; a stock swarm needs twice the time of bare runs for its many."""
    first = node.task(FOREVER)
    await node.run(first)  # asks for the platform and looks at the image
    asked = []
    sent = docker.APIClient.send

    def send(self, request, **options):
        asked.append((request.method, request.url.rpartition("/v1.")[2].partition("/")[2].split("?")[0]))
        return sent(self, request, **options)

    monkeypatch.setattr(docker.APIClient, "send", send)
    task = node.task("trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done")
    await node.run(task)
    name = f"web.3.{task.id}"
    assert asked == [
        ("POST", "containers/create"),
        ("POST", f"containers/{name}/start"),
        ("GET", f"containers/{name}/json"),
    ]
    waiting = node.begin(WAIT, task)
    await node.line(task, b"ready")
    node.interrupt(Interrupt(task.id))
    await waiting
    assert len(asked) == 3  # what was seen after the start still holds
    await node.do(SHUTDOWN, task)
    assert asked[3] == ("POST", f"containers/{name}/kill")


class Wire:
    """A way to the engine that can be cut: what an engine that stops looks like from here."""

    def __init__(self, behind: str, path: str) -> None:
        self._behind = behind.removeprefix("unix://")
        self.path = path
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()

    async def mend(self) -> None:
        """Carry connections."""
        self._server = await asyncio.start_unix_server(self._carry, self.path)

    async def cut(self) -> None:
        """Break all connections and take no new ones."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._ends):
            writer.transport.abort()
        await asyncio.to_thread(os.unlink, self.path)
        while self._ends:  # noqa: ASYNC110 - each connection ends in a task of its own
            await asyncio.sleep(0)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, out = await asyncio.open_unix_connection(self._behind)
        ends = {writer, out}
        self._ends |= ends
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, out))
                group.create_task(_copy(there, writer))
        finally:
            for end in ends:
                end.transport.abort()
            self._ends -= ends


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.transport.abort()
    except ConnectionError:
        writer.transport.abort()


@pytest.fixture
async def wire(engine_at: str) -> AsyncIterator[Wire]:
    directory = tempfile.mkdtemp(prefix="swarmlab-")
    made = Wire(engine_at, f"{directory}/engine.sock")
    await made.mend()
    yield made
    await made.cut()
    await asyncio.to_thread(shutil.rmtree, directory)


@pytest.fixture
async def cuttable(engine: Engine, wire: Wire) -> AsyncIterator[LiveGround]:
    far = Engine(f"unix://{wire.path}")
    async for made in docker_ground(far):
        yield made
    await far.close()


async def test_a_silent_engine_is_a_temporary_error_that_names_it(cuttable: LiveGround, wire: Wire) -> None:
    task = cuttable.task(FOREVER)
    await cuttable.run(task)
    await wire.cut()
    for operation in (PREPARE, START, SHUTDOWN, REMOVE):
        error = (await cuttable.do(operation, task)).error
        assert error is not None
        assert error.temporary
        assert str(error).startswith(f"engine not reachable at unix://{wire.path}: ")
    assert not await engine_answers(f"unix://{wire.path}")
    await wire.mend()
    assert await engine_answers(f"unix://{wire.path}")
    assert (await cuttable.do(SHUTDOWN, task)).error is None


async def test_a_task_keeps_its_state_while_the_engine_is_silent(cuttable: LiveGround, wire: Wire) -> None:
    task = cuttable.task(FOREVER)
    await cuttable.run(task)
    waiting = cuttable.begin(WAIT, task)
    await wire.cut()
    await wire.mend()
    other = cuttable.task("exit 0")
    await cuttable.run(other)
    assert not waiting.done()
    cuttable.interrupt(Interrupt(task.id))
    error = (await waiting).error
    assert error is not None
    assert error.temporary


async def test_an_end_in_the_silence_is_noticed_after_it(cuttable: LiveGround, wire: Wire, engine: Engine) -> None:
    exits, gone = cuttable.task(FOREVER), cuttable.task(FOREVER)
    waiting = []
    for task in (exits, gone):
        await cuttable.run(task)
        waiting.append(cuttable.begin(WAIT, task))
    await wire.cut()
    await engine.call(lambda api: api.kill(f"web.3.{exits.id}", "SIGKILL"))
    await engine.call(lambda api: api.remove_container(f"web.3.{gone.id}", force=True))
    await wire.mend()
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert refused(await waiting[0]) == "task: non-zero exit (137)"
        assert refused(await waiting[1]) == f"no such container: web.3.{gone.id}"


async def test_a_worker_may_start_before_its_engine(engine_at: str, engine: Engine, caplog) -> None:
    directory = tempfile.mkdtemp(prefix="swarmlab-")
    wire = Wire(engine_at, f"{directory}/engine.sock")
    far = Engine(f"unix://{wire.path}")
    facts = NodeFacts(node_id=NodeId("early"), cluster=TEST_CLUSTER, hostname="h")
    executor = DockerExecutor(far, facts)
    async with Execution(executor, lambda event: None) as execution:
        adopting = asyncio.create_task(execution.adopt([]))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while "adopt_waits" not in caplog.text:  # noqa: ASYNC110 - a log has no event
                await asyncio.sleep(0.01)
            await wire.mend()
            await adopting
    await executor.close()
    await far.close()
    await wire.cut()
    await asyncio.to_thread(shutil.rmtree, directory)


@pytest.fixture
async def own_engine() -> AsyncIterator["OwnEngine"]:
    if os.getuid() != 0 or shutil.which("dockerd") is None or shutil.which("unshare") is None:
        pytest.skip("no root, dockerd or unshare: the test that kills an engine was skipped")
    made = OwnEngine()
    await made.start()
    import_test_image(made.url)
    yield made
    await made.kill()
    await asyncio.to_thread(made.clear)


class OwnEngine:
    """A dockerd that may be killed, in a network namespace of its own: it deletes the bridge of another otherwise."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="swarmlab-"))
        self.url = f"unix://{self.root}/docker.sock"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Come up, as after a crash where it was killed before."""
        for name in ("dockerd.pid", "exec/containerd/containerd.pid", "docker.sock"):
            (self.root / name).unlink(missing_ok=True)
        options = ("--bridge", "none", "--iptables=false", "--shutdown-timeout", "1")
        self._process = await asyncio.create_subprocess_exec(
            "unshare",
            "--net",
            "dockerd",
            *("--data-root", f"{self.root}/data", "--exec-root", f"{self.root}/exec"),
            *("--pidfile", f"{self.root}/dockerd.pid", "--host", self.url),
            *options,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await engine_answers(self.url):
                assert self._process.returncode is None, "dockerd does not come up"
                await asyncio.sleep(0.05)

    async def kill(self) -> None:
        """As a crash does."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    def clear(self) -> None:
        """End what the killed engine left, and delete its directory."""
        wait_until(self._all_gone, lambda: f"processes of {self.root} do not end")
        for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
            if line.split()[4].startswith(str(self.root)):
                subprocess.run(["umount", "-l", line.split()[4]], check=True)
        shutil.rmtree(self.root)

    def _all_gone(self) -> bool:
        """Kill what is left; whether nothing was."""
        left = [
            int(path.name)
            for path in Path("/proc").iterdir()
            if path.name.isdecimal() and str(self.root).encode() in _command_line(path)
        ]
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left


def _command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


async def test_an_engine_that_crashes_and_comes_back(own_engine: OwnEngine) -> None:
    engine = Engine(own_engine.url)
    async for node in docker_ground(engine):
        task = node.task("trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done")
        await node.run(task)
        await node.line(task, b"ready")
        waiting = node.begin(WAIT, task)
        await own_engine.kill()
        error = (await node.do(PREPARE, node.task(FOREVER))).error
        assert error is not None
        assert error.temporary
        assert not waiting.done()
        await own_engine.start()
        async with asyncio.timeout(PATIENCE_SECONDS):
            answer = await waiting
        # Without live restore an engine ends what its earlier life left running.
        assert refused(answer) in ("task: non-zero exit (3)", "task: non-zero exit (137)")
        again = node.task("exit 0")
        await node.run(again)
        assert (await node.do(WAIT, again)).error is None
    await engine.close()
