"""Several managers: they elect, forward, replace each other, and let each other in and go."""

import socket
from pathlib import Path

import pytest
from daemon.swarm_ground import Swarm, a_service
from msgspec.structs import replace

from swarmlab.api import DaemonState, NodeRole, Precondition, SwarmInitRequest, SwarmJoinRequest


async def want_role(swarm: Swarm, name: str, role: NodeRole, *, at: str) -> None:
    """Wish that node in that role, through the socket of the manager `at`."""
    async with swarm.client(at) as client:
        node = await client.get_node(swarm.processes[name].status().node_id)
        await client.update_node(node.id, node.meta.version.index, replace(node.spec, desired_role=role))


async def test_a_follower_takes_requests_and_passes_them_on(tmp_path: Path) -> None:
    async with Swarm(tmp_path) as swarm:
        await swarm.three()
        async with swarm.client("m2") as client:
            await client.create_service(a_service(4))
            nodes = {node.description.hostname: node for node in await client.list_nodes() if node.description}
        assert {name for name, node in nodes.items() if node.manager_status is not None} == {"m1", "m2", "m3"}
        assert [name for name, node in nodes.items() if node.manager_status and node.manager_status.leader] == ["m1"]
        await swarm.until(lambda: len(swarm.running("m3")) == 4, "four tasks run, as m3 knows")


async def test_a_leader_that_stops_hands_over_and_no_task_restarts(tmp_path: Path) -> None:
    """Workers find another manager by themselves."""
    async with Swarm(tmp_path) as swarm:
        await swarm.three()
        async with swarm.client("m1") as client:
            node = swarm.node("m1")
            drained = replace(node.spec, availability=node.spec.availability.DRAIN)
            await client.update_node(node.id, node.meta.version.index, drained)
            await client.create_service(a_service(6))
        await swarm.until(lambda: len(swarm.running("m2")) == 6, "six tasks run")
        before = swarm.running("m2")
        await swarm.stop("m1")
        await swarm.until(lambda: swarm.leader in ("m2", "m3"), "another manager leads")
        async with swarm.client("m3") as client:
            await client.create_service(a_service(2, "late"))
        await swarm.until(lambda: len(swarm.running("m2")) == 8, "two more tasks run")
        assert before.items() <= swarm.running("m2").items()


async def test_a_leader_that_dies_is_replaced(tmp_path: Path) -> None:
    async with Swarm(tmp_path) as swarm:
        await swarm.three()
        async with swarm.client("m1") as client:
            await client.create_service(a_service(3))
        await swarm.until(lambda: len(swarm.running("m2")) == 3, "three tasks run")
        await swarm.kill("m1")
        await swarm.until(lambda: swarm.leader in ("m2", "m3"), "another manager leads")
        assert {"leader-lost", "leading"} <= set(swarm.events(swarm.leader))
        await swarm.start("m1")
        await swarm.until(lambda: swarm.voters(swarm.leader) == 3, "the lost one is back")


async def test_a_worker_is_promoted_and_demoted_without_touching_a_task(tmp_path: Path) -> None:
    async with Swarm(tmp_path) as swarm:
        await swarm.three()
        async with swarm.client("m1") as client:
            await client.create_service(a_service(4))
        await swarm.until(lambda: len(swarm.running("m1")) == 4, "four tasks run")
        before = swarm.running("m1")
        await want_role(swarm, "w1", NodeRole.MANAGER, at="m2")
        await swarm.until(lambda: swarm.is_manager("w1") and swarm.voters("m1") == 4, "w1 is a manager")
        assert swarm.node("w1").role is NodeRole.MANAGER
        await want_role(swarm, "w1", NodeRole.WORKER, at="w1")
        await swarm.until(lambda: "demoted" in swarm.events("w1"), "w1 is a worker")
        assert not swarm.is_manager("w1")
        assert len(swarm.manager("m1").replica.members()) == 3
        assert not (tmp_path / "w1" / "manager").exists()
        assert swarm.running("m1") == before


async def test_the_leader_can_be_demoted(tmp_path: Path) -> None:
    """It hands over first."""
    async with Swarm(tmp_path) as swarm:
        await swarm.three()
        await want_role(swarm, "m1", NodeRole.WORKER, at="m2")
        await swarm.until(lambda: not swarm.is_manager("m1"), "m1 is a worker")
        assert swarm.leader in ("m2", "m3")
        assert len(swarm.manager("m2").replica.members()) == 2


async def test_the_last_manager_cannot_be_demoted(tmp_path: Path) -> None:
    async with Swarm(tmp_path) as swarm:
        await swarm.init("m1")
        with pytest.raises(Precondition, match="attempting to demote the last manager of the swarm"):
            await want_role(swarm, "m1", NodeRole.WORKER, at="m1")


async def test_a_manager_that_leaves_by_force_leaves_the_group_too(tmp_path: Path) -> None:
    async with Swarm(tmp_path) as swarm:
        await swarm.three()
        with pytest.raises(Precondition, match="participating as a manager"):
            await swarm.processes["m3"].leave(force=False)
        await swarm.processes["m3"].leave(force=True)
        await swarm.until(lambda: len(swarm.manager("m1").replica.members()) == 2, "two managers are left")


async def test_one_that_lost_its_quorum_goes_on_alone_by_force(tmp_path: Path) -> None:
    """Services stay, and others join again."""
    async with Swarm(tmp_path) as swarm:
        await swarm.three()
        async with swarm.client("m1") as client:
            await client.create_service(a_service(3))
        await swarm.until(lambda: len(swarm.running("m2")) == 3, "three tasks run")
        await swarm.kill("m1")
        await swarm.kill("m3")
        process = swarm.processes["m2"]
        before = process.status()
        answer = await process.init(SwarmInitRequest(force_new_cluster=True))
        assert (answer.node_id, answer.cluster_id) == (before.node_id, before.cluster_id)
        assert swarm.leader == "m2"
        assert [service.spec.annotations.name for service in swarm.view("m2").services()] == ["web"]
        await swarm.join("m4", NodeRole.MANAGER, at="m2")
        await swarm.until(lambda: swarm.voters("m2") == 2, "a new manager answers")


async def test_a_manager_that_is_not_reached_is_not_let_in(tmp_path: Path) -> None:
    """It would count for the quorum and never vote; the node belongs to no swarm after that, and can try again."""
    async with Swarm(tmp_path) as swarm:
        await swarm.init("m1")
        process = await swarm.start("m2")
        with socket.create_server(("127.0.0.1", 0)) as other:
            elsewhere = f"127.0.0.1:{other.getsockname()[1]}"
        request = SwarmJoinRequest(remote_addrs=(swarm.addr("m1"),), token=swarm.token(NodeRole.MANAGER))
        with pytest.raises(Precondition, match=f"it does not answer at its address {elsewhere} .*--advertise-addr"):
            await process.join(replace(request, advertise_addr=elsewhere))
        assert process.status().state is DaemonState.INACTIVE
        assert len(swarm.manager("m1").replica.members()) == 1
        await process.join(request)
        await swarm.until(lambda: swarm.voters("m1") == 2, "two managers answer")


async def test_a_node_that_no_manager_lets_in_works_on_as_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a swarm of stock managers: it says why, over a restart too, and tries again."""
    async with Swarm(tmp_path) as swarm:
        await swarm.init("m1")
        await swarm.join("w1")
        with monkeypatch.context() as stock:
            stock.setattr("swarmlab.edges.grpc.membership.RAFT", "another.raft")
            await want_role(swarm, "w1", NodeRole.MANAGER, at="m1")
            await swarm.until(lambda: "role-change-failed" in swarm.events("w1"), "w1 is refused")
            assert "the managers of this swarm are stock ones" in swarm.processes["w1"].status().error
            await swarm.stop("w1")
            await swarm.start("w1")
            await swarm.until(lambda: "role-change-failed" in swarm.events("w1"), "w1 is refused again")
            assert not swarm.is_manager("w1")
            async with swarm.client("m1") as client:
                await client.create_service(a_service(4))
            await swarm.until(lambda: swarm.node("w1").id in swarm.running("m1").values(), "w1 runs a task")
        await swarm.until(lambda: swarm.voters("m1") == 2, "w1 is let in")
        await swarm.until(lambda: not swarm.processes["w1"].status().error, "nothing is wrong any more")
