"""How long a live cluster takes from a new service to all of its tasks running, and what it costs at rest."""

import asyncio
import time
from typing import Any

from swarmlab.api import Value
from swarmlab.bench.cluster import BenchCluster, Say, model_service
from swarmlab.bench.orders import FollowTasks
from swarmlab.bench.processes import BenchProcess, Processes
from swarmlab.edges.grpc import Client
from swarmlab.embedded.scratch import scratch_directory

#: What managers tick at by default.
TICK_MS = 1000


class LiveBench(Value, frozen=True, kw_only=True):
    """What is measured."""

    workers: int = 100
    #: Of all services together.
    tasks: int = 1000
    services: int = 1
    #: Of the workers.
    processes: int = 2
    #: How long the manager is watched once all tasks run.
    idle_seconds: float = 5.0


async def live_bench(bench: LiveBench, say: Say) -> dict[str, Any]:
    """Measure, on processes that are gone afterwards.

    Raises:
        StateError: A process ended or did not come up; the message has the end of its log.
        SwarmlabError: A manager refused what nothing should have refused.
    """
    started = time.monotonic()
    with scratch_directory() as folder:
        async with Processes(folder) as processes:
            cluster = BenchCluster(processes, TICK_MS, say)
            await cluster.start(1, bench.workers, bench.processes)
            found = await _measured(cluster, bench, say)
            peak = (await cluster.first.process.usage())["peak_rss_bytes"]
    return {
        "bench": "live",
        "workers": bench.workers,
        "tasks": bench.tasks,
        "services": bench.services,
        "processes": bench.processes,
        "idle_seconds": bench.idle_seconds,
        **found,
        "seconds_total": round(time.monotonic() - started, 2),
        "peak_rss_bytes": peak,
    }


async def _measured(cluster: BenchCluster, bench: LiveBench, say: Say) -> dict[str, Any]:
    manager = cluster.first.process
    following = asyncio.ensure_future(manager.ask(FollowTasks(bench.tasks)))
    before, workers_before = await _cpu(manager), await _cpu(*cluster.workers)
    say(f"creating {bench.services} service{'s' if bench.services > 1 else ''} of {bench.tasks} tasks together")
    async with Client(cluster.first.socket) as client:
        start = time.monotonic()
        for number in range(bench.services):
            share = bench.tasks * (number + 1) // bench.services - bench.tasks * number // bench.services
            await client.create_service(model_service(f"live-{number}", share))
        at = await following
    running, workers_running = await _cpu(manager), await _cpu(*cluster.workers)
    say(f"all run after {at['RUNNING'] - start:.2f} s; watching the manager for {bench.idle_seconds:g} s")
    await asyncio.sleep(bench.idle_seconds)
    after = await _cpu(manager)
    return {
        "seconds_to_running": round(at["RUNNING"] - start, 3),
        "seconds_to_assigned": round(at["ASSIGNED"] - start, 3),
        "seconds_to_ready": round(at["READY"] - start, 3),
        "cpu_seconds_running": round(running - before, 3),
        "cpu_seconds_workers": round(workers_running - workers_before, 3),
        "cpu_seconds_idle": round(after - running, 3),
    }


async def _cpu(*processes: BenchProcess) -> float:
    used = await asyncio.gather(*(process.usage() for process in processes))
    return float(sum(one["cpu_seconds"] for one in used))
