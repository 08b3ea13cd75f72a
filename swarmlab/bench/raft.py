"""How many changes a second managers agree on, and what the loss of their leader costs."""

import asyncio
import time
from collections.abc import Mapping
from statistics import median
from typing import Any

from swarmlab.api import ServiceId, Task, TaskState, Value
from swarmlab.bench.cluster import BenchCluster, BenchManager, Say, model_service
from swarmlab.bench.orders import AwaitLead, AwaitNodes, AwaitVoters, FollowTasks, Propose
from swarmlab.bench.processes import Processes
from swarmlab.bench.writers import Writers, control_calls
from swarmlab.edges.grpc import Client
from swarmlab.embedded.scratch import scratch_directory

#: How long clients write before a leader is killed, and after its successor leads.
BEFORE_SECONDS, AFTER_SECONDS = 1.0, 2.0


class RaftBench(Value, frozen=True, kw_only=True):
    """What is measured."""

    managers: int = 3
    clients: int = 64
    #: How long each of the two figures is taken.
    seconds: float = 10.0
    #: Of raft.
    tick_ms: int = 100
    #: How often the leader is killed.
    kills: int = 0
    #: Run while leaders are killed.
    workers: int = 4
    tasks: int = 40


async def raft_bench(bench: RaftBench, say: Say) -> dict[str, Any]:
    """Measure, on processes that are gone afterwards.

    Raises:
        StateError: A process ended or did not come up; the message has the end of its log.
        SwarmlabError: A manager refused what nothing should have refused.
    """
    started = time.monotonic()
    with scratch_directory() as folder:
        async with Processes(folder) as processes:
            cluster = BenchCluster(processes, bench.tick_ms, say)
            await cluster.start(bench.managers, bench.workers if bench.kills else 0)
            found = await _throughput(cluster, bench, say)
            if bench.kills:
                found |= await _kills(cluster, bench, say)
            peak = await processes.peak_rss_bytes()
    return {
        "bench": "raft",
        "managers": bench.managers,
        "clients": bench.clients,
        "seconds": bench.seconds,
        "tick_ms": bench.tick_ms,
        **({"kills": bench.kills, "workers": bench.workers, "tasks": bench.tasks} if bench.kills else {}),
        **found,
        "seconds_total": round(time.monotonic() - started, 2),
        "peak_rss_bytes": peak,
    }


async def _throughput(cluster: BenchCluster, bench: RaftBench, say: Say) -> dict[str, Any]:
    leader, *followers = cluster.managers
    say(f"{bench.clients} clients propose in the leader's process")
    before = await _cpu(followers)
    proposed = await leader.process.ask(Propose(clients=bench.clients, seconds=bench.seconds))
    after = await _cpu(followers)
    rate = proposed["proposals"] / bench.seconds
    say(f"{rate:.0f} proposals/s; {bench.clients} clients call the Control API")
    called = await control_calls(leader.socket, bench.clients, bench.seconds)
    calls = called["calls"] / bench.seconds
    say(f"{calls:.0f} control calls/s")
    return {
        "proposals_per_second": round(rate, 1),
        "latency_p50_ms": proposed["latency_p50_ms"],
        "latency_p99_ms": proposed["latency_p99_ms"],
        "cpu_seconds_leader": round(proposed["cpu_seconds"], 2),
        "cpu_seconds_followers": round(after - before, 2),
        "control_calls_per_second": round(calls, 1),
        "control_latency_p50_ms": called["latency_p50_ms"],
        "control_latency_p99_ms": called["latency_p99_ms"],
    }


async def _cpu(managers: list[BenchManager]) -> float:
    used = await asyncio.gather(*(manager.process.usage() for manager in managers))
    return float(sum(one["cpu_seconds"] for one in used))


async def _kills(cluster: BenchCluster, bench: RaftBench, say: Say) -> dict[str, Any]:
    """Kill the leader under load, so often; what was lost, restarted and waited for."""
    leader = cluster.first
    service = await _tasks_running(leader, bench.tasks)
    before = await _tasks(leader, service)
    ledger = _Ledger()
    for number in range(1, bench.kills + 1):
        async with Writers([one.socket for one in cluster.managers], bench.clients, f"kill-{number}") as writers:
            await writers.another()
            await asyncio.sleep(BEFORE_SECONDS)
            say(f"killing the leader, {leader.name}, after {len(writers.acknowledged)} writes")
            killed_at = time.monotonic()
            dead, leader, led_at = await _killed(cluster, leader)
            await writers.another()
            await asyncio.sleep(AFTER_SECONDS)
        lost = writers.lost(await _config_names(leader))
        ledger.note(led_at - killed_at, writers, len(lost))
        say(
            f"{leader.name} leads after {led_at - killed_at:.2f} s; of {len(writers.acknowledged)} acknowledged writes "
            f"{len(lost)} are lost"
        )
        dead.process = await cluster.start_manager(dead.name)
        await leader.process.ask(AwaitVoters(bench.managers))
        await leader.process.ask(AwaitNodes(bench.managers + bench.workers))
    return ledger.values() | {"task_restarts": _restarts(before, await _tasks(leader, service))}


async def _killed(cluster: BenchCluster, leader: BenchManager) -> tuple[BenchManager, BenchManager, float]:
    """The leader, killed; who leads in its place, and since when."""
    others = [manager for manager in cluster.managers if manager is not leader]
    waiting = {asyncio.ensure_future(other.process.ask(AwaitLead())): other for other in others}
    await asyncio.gather(*(other.process.usage() for other in others))  # They have taken the order.
    await leader.process.kill()
    done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for one in pending:
        one.cancel()
    first = done.pop()
    return leader, waiting[first], float((await first)["at"])


class _Ledger:
    """What the kills cost."""

    def __init__(self) -> None:
        self._seconds: list[float] = []
        self._gaps: list[float] = []
        self._acknowledged = self._failures = self._lost = 0

    def note(self, seconds: float, writers: Writers, lost: int) -> None:
        """Add one kill."""
        self._seconds.append(seconds)
        self._gaps.append(writers.longest_gap())
        self._acknowledged += len(writers.acknowledged)
        self._failures += writers.failures
        self._lost += lost

    def values(self) -> dict[str, Any]:
        """Medians and sums, and each kill's own."""
        return {
            "seconds_to_new_leader": round(median(self._seconds), 3),
            "seconds_without_writes": round(median(self._gaps), 3),
            "acknowledged_writes": self._acknowledged,
            "failed_calls": self._failures,
            "lost_writes": self._lost,
            "seconds_to_new_leader_of_kills": [round(one, 3) for one in self._seconds],
        }


async def _tasks_running(leader: BenchManager, tasks: int) -> ServiceId:
    """A service of so many tasks, all of which run."""
    running = asyncio.ensure_future(leader.process.ask(FollowTasks(tasks)))
    await leader.process.usage()  # It has taken the order.
    async with Client(leader.socket) as client:
        service = await client.create_service(model_service("kept", tasks))
    await running
    return service.id


async def _tasks(leader: BenchManager, service: ServiceId) -> Mapping[str, Task]:
    async with Client(leader.socket) as client:
        return {task.id: task for task in await client.list_tasks() if task.service_id == service}


async def _config_names(leader: BenchManager) -> list[str]:
    async with Client(leader.socket) as client:
        return [config.spec.annotations.name for config in await client.list_configs()]


def _restarts(before: Mapping[str, Task], after: Mapping[str, Task]) -> int:
    """Tasks that took the place of others, or that do not run any more and nothing took their place."""
    gone = [key for key in before if key not in after or after[key].status.state is not TaskState.RUNNING]
    return max(len(gone), len(after.keys() - before.keys()))
