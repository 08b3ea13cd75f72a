"""The bench of managers that agree reports what they did, and leaves nothing behind."""

import asyncio
from pathlib import Path

import pytest
from processes_ground import children, left_behind

from swarmlab.api import StateError
from swarmlab.bench.cluster import BenchCluster
from swarmlab.bench.orders import Join, Propose
from swarmlab.bench.processes import Processes
from swarmlab.bench.raft import RaftBench, raft_bench

FIGURES = {
    "bench",
    "managers",
    "clients",
    "seconds",
    "tick_ms",
    "proposals_per_second",
    "latency_p50_ms",
    "latency_p99_ms",
    "cpu_seconds_leader",
    "cpu_seconds_followers",
    "control_calls_per_second",
    "control_latency_p50_ms",
    "control_latency_p99_ms",
    "seconds_total",
    "peak_rss_bytes",
}
COSTS = {
    "kills",
    "workers",
    "tasks",
    "seconds_to_new_leader",
    "seconds_without_writes",
    "acknowledged_writes",
    "failed_calls",
    "lost_writes",
    "seconds_to_new_leader_of_kills",
    "task_restarts",
}


def heard(_: str) -> None:
    """No progress is shown."""


@pytest.mark.timeout(120)
async def test_a_leader_that_is_killed_costs_no_write_and_no_task(temporary: Path) -> None:
    """Three managers, two clients, one kill: every figure is there, and nothing is lost."""
    bench = RaftBench(managers=3, clients=2, seconds=0.3, tick_ms=50, kills=1, workers=1, tasks=2)
    told: list[str] = []
    found = await raft_bench(bench, told.append)
    assert set(found) == FIGURES | COSTS
    assert (found["lost_writes"], found["task_restarts"]) == (0, 0)
    assert found["acknowledged_writes"] > 0
    assert found["seconds_to_new_leader_of_kills"] == [found["seconds_to_new_leader"]]
    assert found["seconds_to_new_leader"] > 0
    assert found["peak_rss_bytes"] > 10_000_000
    assert [line.partition(",")[0] for line in told if "killing" in line] == ["killing the leader"]
    assert left_behind(temporary) == []


@pytest.mark.timeout(60)
async def test_one_manager_and_no_kill(temporary: Path) -> None:
    """What is not measured is not reported."""
    found = await raft_bench(RaftBench(managers=1, clients=1, seconds=0.2), heard)
    assert set(found) == FIGURES
    assert found["cpu_seconds_followers"] == 0
    assert left_behind(temporary) == []


@pytest.mark.timeout(60)
async def test_a_bench_that_is_broken_off_leaves_nothing(temporary: Path) -> None:
    """Cancelled while its managers start, and again while clients propose."""
    for sign in ("starting", "propose"):
        reached = asyncio.Event()
        bench = asyncio.create_task(
            raft_bench(
                RaftBench(managers=1, clients=1, seconds=60),
                lambda text, sign=sign, reached=reached: reached.set() if sign in text else None,  # type: ignore[misc]
            )
        )
        async with asyncio.timeout(50):
            await reached.wait()
        bench.cancel()
        with pytest.raises(asyncio.CancelledError):
            await bench
        assert left_behind(temporary) == []


@pytest.mark.timeout(60)
async def test_a_process_that_ends_is_an_error_with_its_last_words(temporary: Path) -> None:
    """One that never came up, and one that is gone when it is asked; the others are killed."""
    async with Processes(temporary) as processes:
        with pytest.raises(StateError, match=r"(?s)process m1 ended; the end of its log:.*No module named"):
            await processes.start("m1", "no_such_process", [])
        cluster = BenchCluster(processes, 50, heard)
        await cluster.start(1)
        with pytest.raises(StateError, match="process m1: Unsupported: Join is not an order for this process"):
            await cluster.first.process.ask(Join((), ""))
        proposing = asyncio.create_task(cluster.first.process.ask(Propose(clients=1, seconds=60)))
        await cluster.first.process.usage()
        await cluster.first.process.kill()
        for asked in (proposing, cluster.first.process.usage()):
            with pytest.raises(StateError, match="process m1 ended"):
                await asked
    assert children() == []
