"""Several managers: they elect, forward, replace each other."""

from pathlib import Path

from daemon.swarm_ground import Swarm, a_service

from swarmlab.api import NodeRole, Reachability, TaskState


def running(swarm: Swarm, at: str) -> list[str]:
    """Names of the nodes of tasks that run."""
    return [task.node_id for task in swarm.view(at).tasks() if task.status.state is TaskState.RUNNING]


async def test_a_lost_leader_is_replaced(tmp_path: Path) -> None:
    async with Swarm(tmp_path) as swarm:
        await swarm.init("m1")
        for name in ("m2", "m3"):
            await swarm.join(name, NodeRole.MANAGER)
        await swarm.join("w1")
        await swarm.until(
            lambda: (
                all(
                    status.reachability is Reachability.REACHABLE
                    for status in swarm.processes["m1"].member.manager.replica.managers().values()
                )
                and len(swarm.processes["m1"].member.manager.replica.members()) == 3
            ),
            "three managers answer",
        )
        async with swarm.client("m2") as client:
            await client.create_service(a_service(4))
        await swarm.until(lambda: len(running(swarm, "m3")) == 4, "four tasks run, as m3 knows")
        await swarm.stop("m1")
        await swarm.until(lambda: swarm.leader in ("m2", "m3"), "another one leads")
