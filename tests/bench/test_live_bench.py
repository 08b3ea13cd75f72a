"""The bench of a live cluster reports when all tasks ran, and leaves nothing behind."""

from pathlib import Path

import pytest
from processes_ground import left_behind

from swarmlab.bench.live import LiveBench, live_bench

FIELDS = {
    "bench",
    "workers",
    "tasks",
    "services",
    "processes",
    "idle_seconds",
    "seconds_to_running",
    "seconds_to_assigned",
    "seconds_to_ready",
    "cpu_seconds_running",
    "cpu_seconds_workers",
    "cpu_seconds_idle",
    "seconds_total",
    "peak_rss_bytes",
}


@pytest.mark.timeout(120)
async def test_all_tasks_run_on_workers_in_other_processes(temporary: Path) -> None:
    """Three workers in two processes, seven tasks of two services."""
    told: list[str] = []
    bench = LiveBench(workers=3, tasks=7, services=2, processes=2, idle_seconds=0.1)
    found = await live_bench(bench, told.append)
    assert set(found) == FIELDS
    assert (found["workers"], found["tasks"], found["services"], found["processes"]) == (3, 7, 2, 2)
    assert 0 < found["seconds_to_assigned"] <= found["seconds_to_ready"] <= found["seconds_to_running"]
    assert found["cpu_seconds_running"] > 0
    assert found["cpu_seconds_workers"] > 0
    assert told[:3] == [
        "starting 1 manager process",
        "joining 3 workers in 2 processes",
        "creating 2 services of 7 tasks together",
    ]
    assert left_behind(temporary) == []
