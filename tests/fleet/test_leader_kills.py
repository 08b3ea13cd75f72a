"""A leader that is killed takes nothing with it: no task, and no write that was acknowledged."""

import os
import random
import statistics
import time

import pytest
from fleet.fleet_ground import Fleet, programs, untouched
from fleet.writes import Writers

KILLS = 50
SEED = 50


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_fifty_leader_kills_restart_no_task_and_lose_no_write(fleet: Fleet) -> None:
    """Kill -9 under load, 50 times. Each writer goes on through another manager, each worker finds one by itself."""
    rng = random.Random(SEED)
    marker = f"5000{os.getpid()}"
    tasks = await fleet.deploy("web", marker, 6)
    pids = programs(marker)
    outages: list[float] = []
    writers = Writers([manager.socket for manager in fleet.managers], f"k{marker}")
    async with writers:
        for kill in range(KILLS):
            leader = await fleet.leader()
            await writers.until_acknowledged(rng.randrange(1, 6))
            leader.kill()
            killed_at = time.monotonic()
            leader.start()
            # One may have been acknowledged before and heard of after.
            outages.append(await writers.until_acknowledged(3) - killed_at)
            recipe = f"seed {SEED}, kill {kill}"
            await fleet.until(lambda back=leader: fleet.knowing(back.name), f"{recipe}: {leader.name} is back")
            assert programs(marker) == pids, recipe
    await fleet.until(fleet.is_whole, "the fleet is whole")
    await untouched(fleet, marker, tasks, pids)
    async with fleet.client() as client:
        assert await writers.lost(client) == []
    print(
        f"{KILLS} kills: {writers.acknowledged} writes acknowledged, {writers.failed} tries failed; seconds until "
        f"writes go on: median {statistics.median(outages):.2f}, most {max(outages):.2f}"
    )
