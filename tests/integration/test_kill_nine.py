"""A cluster that is killed with SIGKILL at any moment comes back with everything that it acknowledged."""

import asyncio
import contextlib
import random
import signal
import sys
import time
from collections.abc import Collection
from pathlib import Path

import pytest
from patience import PATIENCE_SECONDS

from swarmlab.api import (
    MILLISECOND,
    Annotations,
    ContainerSpec,
    Duration,
    ReplicatedService,
    RestartCondition,
    RestartPolicy,
    ServiceSpec,
    SwarmlabError,
    Task,
    TaskSpec,
    TaskState,
)
from swarmlab.edges.grpc.client import Client

ROUNDS = 20
SEED = 20


def _end_of(log: Path) -> str:
    return log.read_text()[-4000:]


async def _start(state_dir: Path, socket: Path, executor: str, log: Path) -> asyncio.subprocess.Process:
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "swarmlab", "--strategy", "spread", "--plain", "--workers", "2"),
            *("--executor", executor, "--state-dir", str(state_dir), "--socket", str(socket)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            assert process.returncode is None, _end_of(log)
            with contextlib.suppress(SwarmlabError, OSError):
                async with Client(socket) as client:
                    await client.status()
                    return process
            await asyncio.sleep(0.05)


def _spec(name: str, command: tuple[str, ...]) -> ServiceSpec:
    return ServiceSpec(
        annotations=Annotations(name=name),
        replicated=ReplicatedService(replicas=1),
        task=TaskSpec(
            # As process 1 of a container `sleep` hears no gentler signal.
            container=ContainerSpec(image="swarmlab-test/busybox:latest", command=command, stop_signal="SIGKILL"),
            restart=RestartPolicy(condition=RestartCondition.ANY, delay=Duration(100 * MILLISECOND)),
        ),
    )


async def _create_until_killed(socket: Path, acknowledged: dict[str, str], first: int) -> None:
    """Create services one after the other, noting each that was acknowledged, until the cluster is gone."""
    with contextlib.suppress(SwarmlabError, OSError):
        async with Client(socket) as client:
            for number in range(first, first + 1000):
                service = await client.create_service(_spec(f"s{number}", ("sleep", "10000")))
                acknowledged[service.id] = service.spec.annotations.name


async def _running(client: Client, service_ids: set[str], besides: Collection[str] = ()) -> dict[str, Task]:
    """The running task of each of those services, once all have one; those of the ids `besides` do not count."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        tasks = {
            task.service_id: task
            for task in await client.list_tasks()
            if task.status.state == TaskState.RUNNING and task.desired_state == TaskState.RUNNING
            if task.id not in besides
        }
        if service_ids <= tasks.keys():
            return {service: tasks[service] for service in service_ids}
        assert time.monotonic() < deadline, f"no running task of {sorted(service_ids - tasks.keys())[:5]}"
        await asyncio.sleep(0.05)


@pytest.mark.timeout(1200)
async def test_twenty_kills_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Services created in a loop, SIGKILL at a random moment, restart: all acknowledged ones are there, 20 times.

    The tasks are plain processes, which end with their worker: each is restarted, once.
    """
    rng = random.Random(SEED)
    state_dir, socket, log = tmp_path / "state", tmp_path / "run" / "s.sock", tmp_path / "log"
    socket.parent.mkdir(mode=0o700)
    acknowledged: dict[str, str] = {}
    removed: set[str] = set()
    for round_number in range(ROUNDS):
        recipe = f"seed {SEED}, round {round_number}"
        process = await _start(state_dir, socket, "process", log)
        async with Client(socket) as client:
            present = {service.id: service.spec.annotations.name for service in await client.list_services()}
            lost = {name for service, name in acknowledged.items() if service not in removed | present.keys()}
            assert not lost, f"{recipe}: lost {sorted(lost)}"
            assert not removed & present.keys(), f"{recipe}: removed services came back"
            # One service stays to the end; the others go, so that a round does not grow longer than the last.
            for service in sorted(present)[1:]:
                await client.remove_service(service)
                removed.add(service)
            before = await _running(client, set(sorted(present)[:1]))
        # So many answers after the first request, and a moment more: not by the clock, which a busy machine outruns.
        enough = len(acknowledged) + rng.randrange(30)
        creating = asyncio.create_task(_create_until_killed(socket, acknowledged, round_number * 1000))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(acknowledged) < enough and not creating.done():  # noqa: ASYNC110 - another task fills it
                await asyncio.sleep(0.001)
        await asyncio.sleep(rng.uniform(0.0, 0.05))
        assert not creating.done(), f"{recipe}: the cluster ended by itself\n{_end_of(log)}"
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await creating
        assert len(before) <= 1
    process = await _start(state_dir, socket, "process", log)
    async with Client(socket) as client:
        living = acknowledged.keys() - removed
        tasks = await _running(client, set(living))
        assert len(tasks) == len(living)
        for service in living:
            history = [task for task in await client.list_tasks() if task.service_id == service]
            assert len({task.slot for task in history}) == 1
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), PATIENCE_SECONDS) == 0, log.read_text()[-4000:]
    assert not socket.exists()
    assert len(acknowledged) > ROUNDS


async def _restarts_over_a_kill(
    executor: str, tmp_path: Path, *, replaced: bool
) -> tuple[list[Task], list[Task], set[int]]:
    """The tasks of three services before a SIGKILL and after the restart, and the pids or containers that ran.

    `replaced`: whether each of them has to be replaced by another one.
    """
    state_dir, socket, log = tmp_path / "state", tmp_path / "run" / "s.sock", tmp_path / "log"
    socket.parent.mkdir(mode=0o700)
    process = await _start(state_dir, socket, executor, log)
    async with Client(socket) as client:
        services = {(await client.create_service(_spec(f"s{number}", ("sleep", "10000")))).id for number in range(3)}
        before = await _running(client, set(services))
    pids = {task.status.container.pid for task in before.values() if task.status.container is not None}
    process.send_signal(signal.SIGKILL)
    await process.wait()
    process = await _start(state_dir, socket, executor, log)
    try:
        async with Client(socket) as client:
            await _running(client, set(services), {task.id for task in before.values()} if replaced else ())
            # A heartbeat's grace and a restart delay pass: whatever would be restarted once more has been.
            await asyncio.sleep(4)
            after = await _running(client, set(services))
            everything = await client.list_tasks()
    finally:
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), PATIENCE_SECONDS) == 0, log.read_text()[-4000:]
    assert before.keys() == after.keys()
    return list(before.values()), list(everything), pids


async def test_processes_are_restarted_once(tmp_path: Path) -> None:
    """Each service has its ended task and one new one, and no process of the first life is left."""
    before, after, pids = await _restarts_over_a_kill("process", tmp_path, replaced=True)
    assert len(after) == 2 * len(before)
    for pid in pids:
        assert not (Path("/proc") / str(pid)).exists()


@pytest.mark.docker
async def test_containers_are_adopted_and_not_restarted(tmp_path: Path, engine_at: str) -> None:
    """The same tasks run in the same containers as before."""
    before, after, _ = await _restarts_over_a_kill("docker", tmp_path, replaced=False)

    def containers(tasks: list[Task]) -> dict[str, str]:
        return {task.id: task.status.container.container_id for task in tasks if task.status.container is not None}

    assert containers(after) == containers(before)
