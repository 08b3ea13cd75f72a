"""Hosts that are cut off: the rest goes on, nothing runs twice, and all agree again when they are back.

SWARMLAB_PARTITION_SECONDS=30 makes the partitions longer than the grace of every node.
"""

import asyncio
import contextlib
import os
from typing import Self

import pytest
from fleet.fleet_ground import Fleet, doubled, programs, running, untouched
from fleet.writes import Writers

from swarmlab.api import NodeState, SwarmlabError

#: Replicas of the service that runs meanwhile.
REPLICAS = 6
#: For what may take a heartbeat's grace and a worker's longest pause between two sessions.
PATIENCE = 180

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class Lookout:
    """Looks at the tasks again and again, through these managers: whether any slot ever had two that were to run.

    As a context: left, it looks no more.
    """

    def __init__(self, fleet: Fleet, marker: str, *managers: str) -> None:
        self._fleet, self._marker, self._managers = fleet, marker, managers
        self._looking: asyncio.Task[None] | None = None
        #: What was seen twice.
        self.doubled: list[object] = []
        #: The most processes that ran at once, and how often it was looked.
        self.most = self.looks = 0

    async def __aenter__(self) -> Self:
        self._looking = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *failure: object) -> None:
        assert self._looking is not None
        self._looking.cancel()
        for ended in await asyncio.gather(self._looking, return_exceptions=True):
            assert isinstance(ended, asyncio.CancelledError), ended

    async def _look(self) -> None:
        while True:
            self.most = max(self.most, len(programs(self._marker)))
            # While nobody leads there is no answer.
            with contextlib.suppress(SwarmlabError):
                twice = doubled(await self._fleet.tasks(*self._managers))
                if twice:
                    self.doubled.append(twice)
                self.looks += 1
            await asyncio.sleep(0.3)


def sockets(fleet: Fleet) -> list:
    return [manager.socket for manager in fleet.managers]


async def none_lost(fleet: Fleet, writers: Writers) -> None:
    async with fleet.client() as client:
        assert await writers.lost(client) == []


@pytest.mark.parametrize("whole", [True, False], ids=["from everybody", "from the managers"])
async def test_an_isolated_leader_is_replaced(apart: Fleet, whole: bool, partition_seconds: float) -> None:
    """It gives up the lead by itself; tasks do not notice; workers that still reach it go over to the next leader."""
    marker = f"{6000 + whole}{os.getpid()}"
    tasks, pids = await apart.deploy("web", marker, REPLICAS), programs(marker)
    leader = await apart.leader()
    others = [manager.name for manager in apart.managers if manager is not leader]
    async with (
        Writers(sockets(apart), f"i{marker}") as writers,
        Lookout(apart, marker, *others) as lookout,
    ):
        await writers.until_acknowledged(5)
        if whole:
            apart.cut(leader.name)
        else:
            apart.cut(leader.name, *others)
        assert (await apart.leader(*others)).name in others
        await writers.until_acknowledged(20)
        await asyncio.sleep(partition_seconds)
        status = await leader.status()
        assert status is not None
        assert status.leader_addr == "", "an isolated leader knows that it does not lead"
        apart.heal()
        await apart.until(apart.is_whole, "the fleet is whole", PATIENCE)
    assert (lookout.doubled, lookout.most) == ([], REPLICAS)
    assert lookout.looks > 3
    await untouched(apart, marker, tasks, pids)
    await none_lost(apart, writers)


async def test_an_isolated_follower_changes_nothing(apart: Fleet, partition_seconds: float) -> None:
    """The leader stays, also when the follower is back; what is written to the follower meanwhile is refused."""
    marker = f"6003{os.getpid()}"
    tasks, pids = await apart.deploy("web", marker, REPLICAS), programs(marker)
    leader = await apart.leader()
    follower = next(manager for manager in apart.managers if manager is not leader)
    others = [manager.name for manager in apart.managers if manager is not follower]
    async with Writers(sockets(apart), f"f{marker}") as writers, Lookout(apart, marker, *others) as lookout:
        await writers.until_acknowledged(5)
        apart.cut(follower.name)
        await asyncio.sleep(partition_seconds)
        await writers.until_acknowledged(20)
        apart.heal()
        await apart.until(apart.is_whole, "the fleet is whole", PATIENCE)
    assert (await apart.leader()) is leader
    assert (lookout.doubled, lookout.most) == ([], REPLICAS)
    await untouched(apart, marker, tasks, pids)
    await none_lost(apart, writers)


async def test_an_isolated_worker_keeps_its_tasks_until_it_is_back(apart: Fleet, partition_seconds: float) -> None:
    """Its node is down and others take over; its processes go on, and end when it hears of that."""
    marker = f"6004{os.getpid()}"
    tasks, pids = await apart.deploy("web", marker, REPLICAS), programs(marker)
    worker = apart["w1"]
    lost = {task for task, node in tasks.items() if node == worker.node_id}
    async with Lookout(apart, marker) as lookout:
        apart.cut(worker.name)

        async def is_down() -> bool:
            return (await apart.nodes())[worker.name].status.state is NodeState.DOWN

        async def are_replaced() -> bool:
            here = running(await apart.tasks(), marker)
            return len(here) == REPLICAS and worker.node_id not in here.values()

        await apart.until(is_down, "the worker is down", PATIENCE)
        await apart.until(are_replaced, "others took over", PATIENCE)
        await asyncio.sleep(partition_seconds / 4)
        assert pids <= programs(marker), "an isolated worker keeps its tasks"
        assert len(programs(marker)) == REPLICAS + len(lost)
        apart.heal()

        async def is_back() -> bool:
            return (await apart.is_whole()) and len(programs(marker)) == REPLICAS

        await apart.until(is_back, "the worker is back and runs nothing that others run", PATIENCE)
    assert lookout.doubled == []
    here = running(await apart.tasks(), marker)
    assert {task: node for task, node in tasks.items() if task not in lost}.items() <= here.items()
    assert len(here) == REPLICAS


async def test_all_managers_hold_the_same(apart: Fleet) -> None:
    """After all that, object for object."""
    marker = f"6005{os.getpid()}"
    tasks, pids = await apart.deploy("web", marker, REPLICAS), programs(marker)
    await apart.states_agree()
    await untouched(apart, marker, tasks, pids)
