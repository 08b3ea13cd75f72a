"""How long a service takes from create to all tasks running, beside the bare runtime in the same run."""

import asyncio
import shutil
import time
import uuid
from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING, Any

from swarmlab.api import ServiceId, TaskState, Value
from swarmlab.bench.arrivals import Arrivals
from swarmlab.cli.exits import CommandError
from swarmlab.cli.idle import idle_container
from swarmlab.cli.rejoin import all_run, idle_service, is_ready, prepare, until

if TYPE_CHECKING:
    from swarmlab.embedded import EmbeddedCluster


class StartBench(Value, frozen=True, kw_only=True):
    """What is measured."""

    executor: str
    replicas: int
    workers: int
    rounds: int
    strategy: str
    image: str = ""


async def measure(bench: StartBench, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the rounds, the bare runtime and the cluster in turn, so that both see the same machine; medians over them.

    `ratio` is that of the medians. For the `sim` executor there is no bare runtime.
    """
    from swarmlab.embedded import EmbeddedCluster, EmbeddedConfig

    await prepare(bench.executor, bench.image)
    config = EmbeddedConfig(strategy=bench.strategy, workers=bench.workers, executor=bench.executor)
    bare: list[float] = []
    rounds: list[dict[str, float]] = []
    async with EmbeddedCluster(config) as cluster:
        await until(cluster, "every worker is ready", lambda view: sum(map(is_ready, view.nodes())) == bench.workers)
        for number in range(1, bench.rounds + 1):
            if bench.executor != "sim":
                bare.append(await _bare(bench))
                say(f"round {number}: {bench.replicas} bare in {bare[-1]:.2f} s")
            rounds.append(await _service(cluster, bench))
            say(f"round {number}: {bench.replicas} tasks run after {rounds[-1]['seconds_total']:.2f} s")
    parts = {name: round(median(one[name] for one in rounds), 4) for name in rounds[0]}
    found: dict[str, Any] = {"bench": "start", **_parameters(bench), **parts}
    if bare:
        found["bare_seconds"] = round(median(bare), 4)
        found["ratio"] = round(parts["seconds_total"] / median(bare), 3)
        found["bare_seconds_of_rounds"] = [round(one, 4) for one in bare]
    found["seconds_of_rounds"] = [round(one["seconds_total"], 4) for one in rounds]
    return found


def _parameters(bench: StartBench) -> dict[str, Any]:
    return {
        "executor": bench.executor,
        "replicas": bench.replicas,
        "workers": bench.workers,
        "rounds": bench.rounds,
        "strategy": bench.strategy,
    }


async def _service(cluster: "EmbeddedCluster", bench: StartBench) -> dict[str, float]:
    """One service, created, timed and removed."""
    from swarmlab.manager.controlapi import create_service, remove_service

    arrivals = Arrivals(bench.replicas)
    watch = cluster.watch(None, arrivals.note)
    spec = idle_service("bench", bench.replicas, idle_container(bench.executor, bench.image))
    try:
        start = time.monotonic()
        service = await cluster.mutate(lambda view, ids, now: create_service(view, spec, ids, now))
        await until(cluster, "every task runs", lambda view: arrivals.complete.is_set() and all_run(view))
    finally:
        watch.cancel()
    service_id = ServiceId(service.id)
    await cluster.mutate(lambda view, *_: remove_service(view, service_id))
    await until(cluster, "the tasks are gone", lambda view: not view.tasks())
    return {
        "seconds_total": arrivals.at[TaskState.RUNNING] - start,
        "seconds_to_assigned": arrivals.at[TaskState.ASSIGNED] - start,
        "seconds_to_ready": arrivals.at[TaskState.READY] - start,
        "seconds_ready_to_running": arrivals.at[TaskState.RUNNING] - arrivals.at[TaskState.READY],
    }


async def _bare(bench: StartBench) -> float:
    """Seconds until as many bare containers, or processes, have started, all at once."""
    return await (_bare_containers(bench) if bench.executor == "docker" else _bare_processes(bench))


async def _bare_containers(bench: StartBench) -> float:
    docker = shutil.which("docker")
    if docker is None:
        raise CommandError("no docker command on this machine: the bare runs are `docker run -d`")
    container = idle_container("docker", bench.image)
    prefix = f"swarmlab-bench-{uuid.uuid4().hex[:8]}"
    names = [f"{prefix}-{number}" for number in range(bench.replicas)]
    start = time.monotonic()
    try:
        await asyncio.gather(
            *(_call(docker, "run", "-d", "--name", name, container.image, *container.command) for name in names)
        )
        return time.monotonic() - start
    finally:
        await _call(docker, "rm", "-f", *names)


async def _bare_processes(bench: StartBench) -> float:
    command = idle_container("process", bench.image).command
    start = time.monotonic()
    processes = await asyncio.gather(*(asyncio.create_subprocess_exec(*command) for _ in range(bench.replicas)))
    seconds = time.monotonic() - start
    for process in processes:
        process.kill()
        await process.wait()
    return seconds


async def _call(*words: str) -> None:
    """Run a command to its end; its complaint is the error."""
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, complaint = await process.communicate()
    if process.returncode:
        raise CommandError(f"{' '.join(words[:3])}: {complaint.decode(errors='replace').strip()}")
