"""Managers that come, go, and run out of disk, under a loop of writes and without touching a task."""

import asyncio
import contextlib
import os
from collections.abc import Iterator

import pytest
from fleet.fleet_ground import Fleet, Member, programs, running, untouched
from fleet.writes import Writers

from swarmlab.api import DaemonState, NodeRole

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def sockets(fleet: Fleet) -> list:
    return [manager.socket for manager in fleet.managers]


async def role_of(fleet: Fleet, name: str) -> NodeRole:
    status = await fleet[name].status()
    assert status is not None
    return status.role


async def until_role(fleet: Fleet, name: str, role: NodeRole) -> None:
    """Until the node has that certificate, and the group has it as a member or has not."""

    async def has_it() -> bool:
        if await role_of(fleet, name) is not role:
            return False
        node = (await fleet.nodes())[name]
        return node.role is role and (node.manager_status is not None) == (role is NodeRole.MANAGER)

    await fleet.until(has_it, f"{name} is a {role.name.lower()}")


@contextlib.contextmanager
def full(member: Member) -> Iterator[None]:
    """The disk of the node's state directory is full to the last byte meanwhile."""
    filler = member.state_dir / "filler"
    opened = os.open(filler, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    os.write(opened, bytes(size))
        yield
    finally:
        os.close(opened)
        filler.unlink()


async def test_a_manager_without_disk_space_steps_down(apart: Fleet) -> None:
    """It says why, the others go on, nothing acknowledged is lost, and with space and a restart it is one of them."""
    marker = f"7001{os.getpid()}"
    tasks, pids = await apart.deploy("web", marker, 4), programs(marker)
    poor = apart["m1"]
    others = [manager.name for manager in apart.managers if manager is not poor]
    # Whoever leads hands over to somebody when it stops; in the end it is the one with the small disk.
    for _ in range(20):
        leader = await apart.leader()
        if leader is poor:
            break
        leader.stop()
        leader.start()
        await apart.until(apart.is_whole, "the fleet is whole")
    assert leader is poor
    async with Writers(sockets(apart), f"d{marker}") as writers:
        await writers.until_acknowledged(10)
        with full(poor):
            # What is free in the database itself would go on taking small ones for long.
            async with Writers(sockets(apart), f"large{marker}", size=100_000) as large:
                await apart.leader(*others)
            await writers.until_acknowledged(30)

            async def says_so() -> bool:
                status = await poor.status()
                return status is not None and "raft.db" in status.error and "full" in status.error

            await apart.until(says_so, "the manager says that its disk is full")
            assert "full" in poor.cli("swarm", "status")
            assert "takes part no more" in poor.cli("node", "ls", check=False)
        poor.stop()
        poor.start()
        await apart.until(apart.is_whole, "the fleet is whole")
        await writers.until_acknowledged(10)
    await untouched(apart, marker, tasks, pids)
    async with apart.client(poor.name) as client:
        assert [*await writers.lost(client), *await large.lost(client)] == []
    await apart.states_agree()


async def test_the_leader_is_demoted_and_promoted_again(fleet: Fleet) -> None:
    """It hands over before it goes; writes and tasks go on."""
    marker = f"7002{os.getpid()}"
    tasks, pids = await fleet.deploy("web", marker, 4), programs(marker)
    leader = await fleet.leader()
    others = [manager for manager in fleet.managers if manager is not leader]
    async with Writers([manager.socket for manager in others], f"r{marker}") as writers:
        await writers.until_acknowledged(5)
        others[0].cli("node", "demote", leader.name)
        await until_role(fleet, leader.name, NodeRole.WORKER)
        await writers.until_acknowledged(10)
        assert not (leader.state_dir / "manager").exists()
        assert "not a swarm manager" in leader.cli("node", "ls", check=False)
        others[0].cli("node", "promote", leader.name)
        await until_role(fleet, leader.name, NodeRole.MANAGER)
        await fleet.until(fleet.is_whole, "the fleet is whole")
        await writers.until_acknowledged(5)
    await untouched(fleet, marker, tasks, pids)
    async with fleet.client(leader.name) as client:
        assert await writers.lost(client) == []


async def test_a_worker_with_tasks_is_promoted_and_demoted(fleet: Fleet) -> None:
    """Its processes do not notice."""
    marker = f"7003{os.getpid()}"
    tasks, pids = await fleet.deploy("web", marker, 4), programs(marker)
    assert fleet["w1"].node_id in tasks.values()
    fleet["m1"].cli("node", "promote", "w1")
    await until_role(fleet, "w1", NodeRole.MANAGER)
    # It answers as a manager at its own socket.
    await fleet.until(lambda: fleet.knowing("w1"), "w1 takes part")
    assert "web" in fleet["w1"].cli("service", "ls")
    fleet["w1"].cli("node", "demote", "w1")
    await until_role(fleet, "w1", NodeRole.WORKER)
    await fleet.until(fleet.is_whole, "the fleet is whole")
    await untouched(fleet, marker, tasks, pids)


async def test_workers_find_another_manager_by_themselves(fleet: Fleet) -> None:
    """Their own one, and the leader, stops: sessions go over, and what is wanted next reaches them."""
    marker = f"7004{os.getpid()}"
    tasks, pids = await fleet.deploy("web", marker, 4), programs(marker)
    leader = await fleet.leader()
    leader.stop()
    others = [manager.name for manager in fleet.managers if manager is not leader]
    await fleet.leader(*others)
    fleet[others[0]].cli("service", "scale", "web=6")

    async def six_run() -> bool:
        return len(running(await fleet.tasks(*others), marker)) == 6

    await fleet.until(six_run, "six tasks run")
    assert tasks.items() <= running(await fleet.tasks(*others), marker).items()
    assert pids <= programs(marker)
    assert await leader.status() is None
    assert await asyncio.gather(*(fleet[name].is_at(DaemonState.ACTIVE) for name in others)) == [True, True]
