"""What every executor keeps: the same steps give the same answers on process, docker and sim.

The simulated executor runs models, not programs; what needs a real program is asked of the live two alone.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from executor_ground import (
    FOREVER,
    STUBBORN,
    Ground,
    LiveGround,
    SimGround,
    a_config,
    a_secret,
    config_reference,
    docker_ground,
    process_ground,
    secret_reference,
    span,
)
from msgspec.structs import replace
from patience import PATIENCE_SECONDS

from swarmlab.agent.exec import Executed, Interrupt, Operation
from swarmlab.api import (
    ContainerStatus,
    Driver,
    ExecutorError,
    HealthConfig,
    LogStream,
    PortConfig,
    PublishMode,
    Task,
)
from swarmlab.edges.docker import Engine

PREPARE, START, WAIT = Operation.PREPARE, Operation.START, Operation.WAIT
SHUTDOWN, TERMINATE, REMOVE = Operation.SHUTDOWN, Operation.TERMINATE, Operation.REMOVE


@pytest.fixture
async def process_node(tmp_path: Path) -> AsyncIterator[LiveGround]:
    async for made in process_ground(tmp_path):
        yield made


@pytest.fixture
async def docker_node(engine: Engine) -> AsyncIterator[LiveGround]:
    async for made in docker_ground(engine):
        yield made


@pytest.fixture
async def sim_node() -> SimGround:
    return SimGround()


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def live(request: pytest.FixtureRequest) -> LiveGround:
    """A node that runs real programs."""
    made = request.getfixturevalue(f"{request.param}_node")
    assert isinstance(made, LiveGround)
    return made


@pytest.fixture(params=["sim", "process", pytest.param("docker", marks=pytest.mark.docker)])
def ground(request: pytest.FixtureRequest) -> Ground:
    """A node of any kind."""
    made = request.getfixturevalue(f"{request.param}_node")
    assert isinstance(made, Ground)
    return made


def is_there(pid: int) -> bool:
    """Whether that process exists."""
    return Path(f"/proc/{pid}").exists()


def running_pid(live: LiveGround) -> int:
    """The pid of the task that was started last."""
    container = live.answers[-1].container
    assert container is not None
    return container.pid


def failed(answer: Executed) -> ExecutorError:
    """The final error of that answer."""
    assert answer.error is not None
    assert not answer.error.temporary, answer.error
    return answer.error


async def test_a_task_that_ends_well_is_waited_for(ground: Ground) -> None:
    task = ground.task("exit 0")
    await ground.run(task)
    assert (await ground.do(WAIT, task)).error is None


async def test_an_exit_code_comes_with_the_error_and_the_container(ground: Ground) -> None:
    task = ground.task("exit 7")
    await ground.run(task)
    answer = await ground.do(WAIT, task)
    assert failed(answer).exit_code == 7
    assert str(failed(answer)) == "task: non-zero exit (7)"
    assert answer.container is not None
    assert answer.container.exit_code == 7


async def test_the_end_is_told_again_to_who_asks_again(ground: Ground) -> None:
    task = ground.task("exit 7")
    await ground.run(task)
    assert failed(await ground.do(WAIT, task)).exit_code == 7
    assert failed(await ground.do(WAIT, task)).exit_code == 7


async def test_start_without_prepare_fails_for_good(ground: Ground) -> None:
    assert "not prepared" in str(failed(await ground.do(START, ground.task(FOREVER))))


async def test_wait_without_start_fails_for_good(ground: Ground) -> None:
    task = ground.task(FOREVER)
    await ground.do(PREPARE, task)
    assert "nothing runs" in str(failed(await ground.do(WAIT, task)))


async def test_each_step_may_be_done_twice(ground: Ground) -> None:
    task = ground.task(FOREVER)
    for operation in (PREPARE, START, SHUTDOWN, TERMINATE, REMOVE):
        for _ in range(2):
            assert (await ground.do(operation, task)).error is None, operation


async def test_a_task_that_ended_is_not_started_again(ground: Ground) -> None:
    task = ground.task("exit 7")
    await ground.run(task)
    await ground.do(WAIT, task)
    assert (await ground.do(START, task)).error is None
    assert failed(await ground.do(WAIT, task)).exit_code == 7


async def test_what_was_never_made_can_be_stopped_and_removed(ground: Ground) -> None:
    task = ground.task(FOREVER)
    for operation in (SHUTDOWN, TERMINATE, REMOVE):
        assert (await ground.do(operation, task)).error is None


async def test_an_interrupted_wait_is_temporary_and_the_task_goes_on(ground: Ground) -> None:
    task = ground.task(FOREVER)
    await ground.run(task)
    answer = ground.begin(WAIT, task)
    await asyncio.sleep(0)
    ground.interrupt(Interrupt(task.id))
    error = (await answer).error
    assert error is not None
    assert error.temporary
    answer = ground.begin(WAIT, task)
    ground.interrupt(Interrupt(task.id))  # before it ever ran
    error = (await answer).error
    assert error is not None
    assert error.temporary
    assert (await ground.do(SHUTDOWN, task)).error is None
    assert len(ground.answers) == 5


async def test_an_interrupt_without_a_step_gives_no_answer(ground: Ground) -> None:
    task = ground.task(FOREVER)
    await ground.run(task)
    ground.interrupt(Interrupt(task.id))
    assert [answer.operation for answer in ground.answers] == [PREPARE, START]


async def test_after_removal_nothing_is_known(ground: Ground) -> None:
    task = ground.task(FOREVER)
    await ground.run(task)
    assert (await ground.do(REMOVE, task)).error is None
    assert "not prepared" in str(failed(await ground.do(START, task)))


async def test_a_new_life_finds_how_a_task_ended(ground: Ground) -> None:
    task = ground.task("exit 7")
    await ground.run(task)
    await ground.do(WAIT, task)
    await ground.reborn([task])
    assert (await ground.do(PREPARE, task)).error is None
    assert (await ground.do(START, task)).error is None
    assert failed(await ground.do(WAIT, task)).exit_code == 7


async def test_a_new_life_clears_away_what_is_not_its_own(ground: Ground) -> None:
    kept, dropped = ground.task(FOREVER), ground.task(FOREVER)
    await ground.run(kept)
    await ground.run(dropped)
    await ground.reborn([kept])
    assert "not prepared" in str(failed(await ground.do(START, dropped)))
    assert (await ground.do(START, kept)).error is None


async def test_start_tells_container_and_pid(live: LiveGround) -> None:
    task = live.task(FOREVER)
    await live.run(task)
    container = live.answers[-1].container
    assert isinstance(container, ContainerStatus)
    assert container.container_id
    assert is_there(container.pid)
    await live.do(SHUTDOWN, task)
    assert not is_there(container.pid)


async def test_the_stop_signal_is_the_one_of_the_spec(live: LiveGround) -> None:
    script = "trap 'echo USR1; exit 3' USR1; echo ready; while :; do sleep 0.05; done"
    task = live.task(script, stop_signal="SIGUSR1")
    await live.run(task)
    await live.line(task, b"ready")
    assert (await live.do(SHUTDOWN, task)).error is None
    assert (await live.line(task, b"USR1")).stream is LogStream.LOG_STREAM_STDOUT
    assert failed(await live.do(WAIT, task)).exit_code == 3


async def test_after_the_grace_period_it_is_killed(live: LiveGround) -> None:
    task = live.task(STUBBORN, stop_grace_period=span(0.3))
    await live.run(task)
    await live.line(task, b"ready")
    answer = await live.do(SHUTDOWN, task)
    assert answer.error is None
    assert answer.container is not None
    assert answer.container.exit_code == 137
    assert failed(await live.do(WAIT, task)).exit_code == 137


async def test_terminate_does_not_wait_for_the_grace_period(live: LiveGround) -> None:
    task = live.task(STUBBORN, stop_grace_period=span(3600))
    await live.run(task)
    await live.line(task, b"ready")
    assert (await live.do(TERMINATE, task)).error is None
    assert failed(await live.do(WAIT, task)).exit_code == 137


async def test_an_interrupted_shutdown_leaves_the_rest_to_the_next_step(live: LiveGround) -> None:
    task = live.task(STUBBORN, stop_grace_period=span(3600))
    await live.run(task)
    await live.line(task, b"ready")
    answer = live.begin(SHUTDOWN, task)
    await asyncio.sleep(0)
    live.interrupt(Interrupt(task.id))
    assert (await answer).error is not None
    assert (await live.do(REMOVE, live_again(task))).error is None


def live_again(task: Task) -> Task:
    """The same task with a grace period that a test can wait for."""
    assert task.spec.container is not None
    container = replace(task.spec.container, stop_grace_period=span(0.1))
    return replace(task, spec=replace(task.spec, container=container))


async def test_environment_with_templates(live: LiveGround) -> None:
    task = live.task(
        "echo $WHO; echo $KEEP; echo $HOSTNAME",
        env=("WHO={{.Service.Name}}-{{.Task.Slot}} on {{.Node.Hostname}}", "KEEP=a=b c"),
        hostname="{{.Service.Name}}{{.Task.Slot}}",
    )
    assert await live.output(task) == ["web-3 on host1", "a=b c", "web3"]


async def test_a_template_that_cannot_be_expanded_names_its_field(live: LiveGround) -> None:
    task = live.task("exit 0", env=("WHO={{.Service.Owner}}",))
    error = failed(await live.do(PREPARE, task))
    assert (
        str(error) == "env WHO: template {{.Service.Owner}}: no 'Owner' in .Service.Owner; there is: ID, Labels, Name"
    )


async def test_args_follow_the_command(live: LiveGround) -> None:
    task = live.bare_task(
        image="swarmlab-test/busybox:latest",
        command=("sh", "-c", 'printf "%s\\n" "$@"', "x"),
        args=("one two", "$three"),
    )
    assert await live.output(task) == ["one two", "$three"]


async def test_output_keeps_its_streams_and_order(live: LiveGround) -> None:
    script = "trap 'echo two >&2' USR1; trap 'printf three; exit 0' USR2; echo one; while :; do sleep 0.05; done"
    task = live.task(script)
    await live.run(task)
    pid = running_pid(live)
    # Both streams are pipes: in which order two lines were printed that come at once, nobody can tell.
    await live.line(task, b"one")
    os.kill(pid, signal.SIGUSR1)
    await live.line(task, b"two")
    os.kill(pid, signal.SIGUSR2)
    assert (await live.do(WAIT, task)).error is None
    messages = await live.logs(task)
    out, err = LogStream.LOG_STREAM_STDOUT, LogStream.LOG_STREAM_STDERR
    assert [(one.stream, one.data) for one in messages] == [(out, b"one\n"), (err, b"two\n"), (out, b"three")]
    assert sorted(one.timestamp for one in messages) == [one.timestamp for one in messages]
    assert [one.data for one in await live.logs(task, streams=(err,))] == [b"two\n"]
    assert [one.data for one in await live.logs(task, tail=1)] == [b"three"]
    assert [one.data for one in await live.logs(task, tail=0)] == []
    assert [one.data for one in await live.logs(task, since=messages[0].timestamp)] == [b"two\n", b"three"]


async def test_followed_output_ends_with_the_task(live: LiveGround) -> None:
    task = live.task("echo one; read line < /dev/null; sleep 0.2; echo two")
    await live.run(task)
    assert [one.data for one in await live.logs(task, follow=True)] == [b"one\n", b"two\n"]


async def test_a_task_that_never_ran_has_no_output(live: LiveGround) -> None:
    task = live.task("echo one")
    await live.do(PREPARE, task)
    assert await live.logs(task) == []


async def test_output_outlives_the_worker(live: LiveGround) -> None:
    task = live.task("echo one")
    await live.output(task)
    await live.reborn([task])
    assert [one.data for one in await live.logs(task)] == [b"one\n"]


async def test_secrets_and_configs_are_files(live: LiveGround) -> None:
    password, motd = a_secret("password", b"hunter2\n"), a_config("motd", b"hello\n")
    task = live.task(
        'cat "${SWARMLAB_SECRETS_DIR:-/run/secrets}/password" "${SWARMLAB_CONFIGS_DIR:-}/etc/motd"',
        secrets=(secret_reference(password),),
        configs=(config_reference(motd, name="/etc/motd"),),
    )
    assert await live.output(task, [password], [motd]) == ["hunter2", "hello"]


async def test_payload_templates(live: LiveGround) -> None:
    password = a_secret("password", b"hunter2")
    url = a_config(
        "url", b'db://{{env "DB_USER"}}:{{secret "password"}}@{{.Node.Hostname}}\n', templating=Driver("golang")
    )
    task = live.task(
        'cat "${SWARMLAB_CONFIGS_DIR:-}/url"',
        env=("DB_USER=ann",),
        secrets=(secret_reference(password),),
        configs=(config_reference(url),),
    )
    assert await live.output(task, [password], [url]) == ["db://ann:hunter2@host1"]


async def test_files_go_with_the_task(live: LiveGround) -> None:
    password = a_secret("password", b"hunter2")
    task = live.task(FOREVER, secrets=(secret_reference(password),))
    await live.run(task, [password])
    files = live.executor.files  # type: ignore[attr-defined]
    held = [path.read_bytes() for path in files.directory(task.id).rglob("*") if path.is_file()]
    assert held == [b"hunter2"]
    assert files.directory(task.id).stat().st_mode & 0o077 == 0
    await live.do(REMOVE, task)
    assert not files.directory(task.id).exists()


async def test_a_secret_that_was_not_sent_fails_for_good(live: LiveGround) -> None:
    password = a_secret("password", b"hunter2")
    task = live.task("exit 0", secrets=(secret_reference(password),))
    assert str(failed(await live.do(PREPARE, task))).startswith("secret password: not on this node")


async def test_a_file_name_cannot_leave_its_place(live: LiveGround) -> None:
    password = a_secret("password", b"hunter2")
    task = live.task("exit 0", secrets=(secret_reference(password, name="../../etc/shadow"),))
    assert "'../../etc/shadow', wanted: a name or a path without '..'" in str(
        failed(await live.do(PREPARE, task, [password]))
    )


async def test_a_missing_program_is_named(live: LiveGround) -> None:
    task = live.bare_task(image="swarmlab-test/busybox:latest", command=("no-such-program",))
    answer = await live.do(PREPARE, task)
    if answer.error is None:
        answer = await live.do(START, task)
    assert "no-such-program" in str(failed(answer))


async def test_a_healthy_task_runs_once_its_check_passes(live: LiveGround) -> None:
    check = HealthConfig(test=("CMD-SHELL", "test -e /tmp/ok-$ID"), interval=span(0.1), retries=100, timeout=span(60))
    task = live.task(
        "sleep 0.3; touch /tmp/ok-$ID; trap 'rm /tmp/ok-$ID; exit 0' TERM; while :; do sleep 0.05; done",
        healthcheck=check,
        env=(f"ID={live.node}",),
    )
    began = asyncio.get_running_loop().time()
    await live.run(task)
    assert asyncio.get_running_loop().time() - began >= 0.3
    await live.do(SHUTDOWN, task)


async def test_a_task_that_never_gets_healthy_fails_its_start(live: LiveGround) -> None:
    check = HealthConfig(test=("CMD-SHELL", "echo not yet; exit 1"), interval=span(0.05), retries=2, timeout=span(60))
    task = live.task(FOREVER, healthcheck=check)
    await live.do(PREPARE, task)
    error = failed(await live.do(START, task))
    assert str(error) == "unhealthy: health check exited with 1: not yet"


async def test_a_task_that_ends_before_it_is_healthy_fails_its_start(live: LiveGround) -> None:
    check = HealthConfig(test=("CMD-SHELL", "exit 1"), interval=span(60), retries=2)
    task = live.task("exit 9", healthcheck=check)
    await live.do(PREPARE, task)
    error = failed(await live.do(START, task))
    assert str(error) == "ended before it was healthy (9)"
    assert error.exit_code == 9


async def test_a_task_that_turns_unhealthy_is_stopped(live: LiveGround) -> None:
    check = HealthConfig(test=("CMD-SHELL", "test ! -e /tmp/ill-$ID"), interval=span(0.1), retries=1, timeout=span(60))
    script = (
        "trap 'touch /tmp/ill-$ID' USR1; trap 'rm /tmp/ill-$ID; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    )
    task = live.task(script, healthcheck=check, env=(f"ID={live.node}",))
    await live.run(task)
    pid = running_pid(live)
    await live.line(task, b"ready")
    os.kill(pid, signal.SIGUSR1)
    assert str(failed(await live.do(WAIT, task))) == "unhealthy: health check exited with 1"


async def test_a_check_that_hangs_is_a_failure(live: LiveGround) -> None:
    check = HealthConfig(test=("CMD", "sleep", "60"), interval=span(0.05), retries=1, timeout=span(0.2))
    task = live.task(FOREVER, healthcheck=check)
    await live.do(PREPARE, task)
    assert str(failed(await live.do(START, task))).startswith("unhealthy: health check")


async def test_host_ports_are_reported(live: LiveGround) -> None:
    port = PortConfig(target_port=8080, published_port=0, publish_mode=PublishMode.HOST)
    task = live.task(FOREVER, ports=[port])
    await live.run(task)
    status = live.answers[-1].ports
    assert status is not None
    assert [(one.target_port, one.publish_mode) for one in status.ports] == [(8080, PublishMode.HOST)]
    assert status.ports[0].published_port > 0


async def test_a_task_without_a_container_is_refused(live: LiveGround) -> None:
    task = live.task("exit 0")
    task = replace(task, spec=replace(task.spec, container=None))
    assert "has no container spec" in str(failed(await live.do(PREPARE, task)))


async def test_describe_gives_equal_descriptions(live: LiveGround) -> None:
    first, second = await live.executor.describe(), await live.executor.describe()
    assert first == second
    assert first.hostname == "host1"
    assert first.resources is not None
    assert first.resources.nano_cpus > 0
    assert first.resources.memory_bytes > 0
    assert first.engine is not None
    assert first.engine.labels["disk"] == "ssd"
    assert first.platform is not None
    assert (first.platform.os, first.platform.architecture) == ("linux", "x86_64")


async def test_a_dead_node_has_nothing(live: LiveGround) -> None:
    tasks = [live.task(FOREVER), live.task(STUBBORN)]
    for task in tasks:
        await live.run(task)
    pids = [answer.container.pid for answer in live.answers if answer.container is not None]
    assert len(pids) == 2
    async with asyncio.timeout(PATIENCE_SECONDS):
        await live.executor.kill_all()  # type: ignore[attr-defined]
    assert not [pid for pid in pids if is_there(pid)]
    for task in tasks:
        assert "not prepared" in str(failed(await live.do(START, task)))
