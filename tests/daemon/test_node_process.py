"""One node process: founds, joins, leaves, is locked, restarts, is removed."""

import asyncio
import logging
import re
from pathlib import Path

import pytest
from daemon.swarm_ground import Swarm, a_service
from msgspec.structs import replace

from swarmlab.api import (
    Availability,
    ClusterSpec,
    DaemonState,
    DispatcherConfig,
    EncryptionConfig,
    InvalidSpec,
    KeyRotation,
    NodeId,
    NodeRole,
    NodeState,
    NotFound,
    Precondition,
    StateError,
    SwarmInitRequest,
    SwarmJoinRequest,
    seconds,
    unlock_key_text,
)

LOCKING = ClusterSpec(encryption_config=EncryptionConfig(auto_lock_managers=True))


def modes(folder: Path) -> dict[str, str]:
    """{path below it: its mode} of every file, socket and directory."""
    return {
        path.relative_to(folder).as_posix(): oct(path.lstat().st_mode & 0o777) for path in sorted(folder.rglob("*"))
    }


def state_of(swarm: Swarm, node_id: NodeId) -> NodeState:
    """The state of that node, as m1 sees it."""
    node = swarm.view().node(node_id)
    assert node is not None
    return node.status.state


def contents(folder: Path) -> bytes:
    """What all the files below it hold."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


async def test_a_process_serves_its_socket_before_it_belongs_to_a_swarm(tmp_path: Path) -> None:
    async with Swarm(tmp_path) as swarm:
        await swarm.start("a")
        async with swarm.client("a") as client:
            status = await client.node_process()
            assert (status.state, status.node_id, status.hostname) == (DaemonState.INACTIVE, "", "a")
            with pytest.raises(Precondition, match="Use 'swarmlab swarm init' or 'swarmlab swarm join'"):
                await client.list_services()
            with pytest.raises(Precondition, match="not part of a swarm"):
                await client.swarm_leave()
            with pytest.raises(Precondition, match="swarm is not locked"):
                await client.swarm_unlock("SWMKEY-1-x")
            with pytest.raises(InvalidSpec, match="advertise address: 'nowhere'"):
                await client.swarm_init(SwarmInitRequest(advertise_addr="nowhere"))


async def test_a_founded_swarm_is_as_it_was_wished(tmp_path: Path) -> None:
    async with Swarm(tmp_path) as swarm:
        await swarm.start("m1")
        async with swarm.client() as client:
            answer = await client.swarm_init(
                SwarmInitRequest(
                    availability=Availability.PAUSE,
                    default_addr_pool=("10.20.0.0/16",),
                    subnet_size=26,
                    spec=ClusterSpec(dispatcher=DispatcherConfig(seconds(2))),
                )
            )
            (cluster,) = await client.list_clusters()
            (node,) = await client.list_nodes()
            status = await client.node_process()
            with pytest.raises(Precondition, match="already part of a swarm"):
                await client.swarm_init(SwarmInitRequest())
        assert (answer.node_id, answer.cluster_id) == (node.id, cluster.id) == (status.node_id, status.cluster_id)
        assert cluster.spec.dispatcher.heartbeat_period == seconds(2)
        assert (cluster.defaultAddressPool, cluster.subnetSize) == (("10.20.0.0/16",), 26)
        assert (node.spec.availability, node.role, node.status.state) == (
            Availability.PAUSE,
            NodeRole.MANAGER,
            NodeState.READY,
        )
        assert node.manager_status is not None
        assert (node.manager_status.leader, node.manager_status.addr) == (True, status.advertise_addr)
        assert (status.role, status.state, status.leader_addr) == (
            NodeRole.MANAGER,
            DaemonState.ACTIVE,
            status.advertise_addr,
        )


async def test_a_worker_joins_runs_tasks_and_leaves(tmp_path: Path) -> None:
    async with Swarm(tmp_path, "process") as swarm:
        await swarm.init()
        await swarm.join("w1")
        node_id = swarm.processes["w1"].status().node_id
        async with swarm.client() as client:
            node = swarm.node("m1")
            drain = replace(node.spec, availability=Availability.DRAIN)
            await client.update_node(node.id, node.meta.version.index, drain)
            service = await client.create_service(a_service(2))
            await swarm.until(lambda: list(swarm.running("m1").values()) == [node_id] * 2, "two tasks run on w1")
            async with swarm.client("w1") as worker:
                with pytest.raises(Precondition, match="Worker nodes can't be used to view or modify cluster state"):
                    await worker.list_nodes()
                await worker.swarm_leave()
                assert (await worker.node_process()).state is DaemonState.INACTIVE
            assert sorted(path.name for path in (tmp_path / "w1").iterdir()) == ["lock", "swarmlab.sock"]
            await swarm.until(lambda: state_of(swarm, node_id) is not NodeState.READY, "m1 noticed")
            await client.remove_service(service.id)


async def test_whoever_has_no_valid_token_stays_outside(tmp_path: Path) -> None:
    """The messages say what is wrong, and never repeat a secret."""
    async with Swarm(tmp_path) as swarm:
        await swarm.init()
        outsider = await swarm.start("x")
        token = swarm.token(NodeRole.WORKER)
        wrong_root = re.sub(r"SWMTKN-1-.", "SWMTKN-1-" + ("1" if token[9] == "0" else "0"), token)
        wrong_secret = token[:-4] + ("aaaa" if token[-4:] != "aaaa" else "bbbb")

        async def attempt(text: str) -> str:
            with pytest.raises(InvalidSpec) as error:
                await outsider.join(SwarmJoinRequest(remote_addrs=(swarm.addr("m1"),), token=text))
            assert token[-25:] not in str(error.value)
            assert outsider.status().state is DaemonState.INACTIVE
            return str(error.value)

        assert "join token" in await attempt("nonsense")
        assert "the token of another cluster" in await attempt(wrong_root)
        assert "mistyped, or rotated since" in await attempt(wrong_secret)
        async with swarm.client() as client:
            (cluster,) = await client.list_clusters()
            rotation = KeyRotation(worker_join_token=True)
            await client.update_cluster(cluster.id, cluster.meta.version.index, cluster.spec, rotation)
        assert "mistyped, or rotated since" in await attempt(token)
        fresh = swarm.token(NodeRole.WORKER)
        assert fresh != token
        await outsider.join(SwarmJoinRequest(remote_addrs=(swarm.addr("m1"),), token=fresh))
        assert outsider.status().role is NodeRole.WORKER


async def test_a_restart_goes_on_with_everything(tmp_path: Path) -> None:
    """Identity, address, cluster and services; tasks of this executor end with the process, and are replaced."""
    async with Swarm(tmp_path) as swarm:
        await swarm.init()
        await swarm.join("w1")
        async with swarm.client() as client:
            await client.create_service(a_service(4))
        await swarm.until(lambda: len(swarm.running("m1")) == 4, "four tasks run")
        before = [swarm.processes[name].status() for name in ("m1", "w1")]
        for name in ("w1", "m1"):
            await swarm.stop(name)
        for name in ("m1", "w1"):
            await swarm.start(name)
            await swarm.processes[name].until(DaemonState.ACTIVE)
        after = [swarm.processes[name].status() for name in ("m1", "w1")]
        assert [(one.node_id, one.cluster_id, one.advertise_addr) for one in after] == [
            (one.node_id, one.cluster_id, one.advertise_addr) for one in before
        ]
        await swarm.until(lambda: len(swarm.running("m1")) == 4, "four tasks run again")


async def test_files_are_private(tmp_path: Path) -> None:
    """Keys, logs and sockets are for their owner alone; certificates are no secret, but lie in a private directory."""
    async with Swarm(tmp_path) as swarm:
        await swarm.init()
        assert (tmp_path / "m1").stat().st_mode & 0o777 == 0o700
        found = modes(tmp_path / "m1")
        public = {"certificates/swarm-root-ca.crt", "certificates/swarm-node.crt"}
        directories = {"certificates", "manager", "worker"}
        for path, mode in found.items():
            if path in public:
                assert mode == "0o644", path
            elif path in directories:
                assert mode == "0o700", path
            else:
                assert int(mode, 8) & 0o077 == 0, f"{path} has mode {mode}"
        assert {"node.json", "remotes.json", "swarmlab.sock", "manager/raft.db", "manager/keys.json"} < set(found)


async def test_no_secret_is_written_to_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither tokens nor keys, whatever is done with them; nor do they lie in the log of consensus in clear."""
    caplog.set_level(logging.DEBUG)
    async with Swarm(tmp_path) as swarm:
        await swarm.init(request=SwarmInitRequest(spec=LOCKING))
        await swarm.join("w1")
        cluster = swarm.view().cluster()
        assert cluster is not None
        secrets = [
            cluster.root_ca.join_tokens.worker[-25:],
            cluster.root_ca.join_tokens.manager[-25:],
            unlock_key_text(cluster.unlock_keys[0].key),
            cluster.root_ca.ca_key.decode().splitlines()[1],
        ]
        story = " ".join(event.fields for process in swarm.processes.values() for event in process.story.since())
        texts = f"{caplog.text} {story} {[repr(swarm.processes[name]) for name in swarm.processes]}"
        kept = contents(tmp_path)
        for secret in secrets:
            assert secret not in texts
            assert secret.encode() not in kept


async def test_a_locked_manager_waits_for_its_key(tmp_path: Path) -> None:
    async with Swarm(tmp_path) as swarm:
        await swarm.init(request=SwarmInitRequest(spec=LOCKING))
        async with swarm.client() as client:
            await client.create_service(a_service(1))
            key = unlock_key_text(await client.get_unlock_key())
        await swarm.stop("m1")
        await swarm.start("m1")
        await swarm.processes["m1"].until(DaemonState.LOCKED)
        async with swarm.client() as client:
            with pytest.raises(Precondition, match="swarm is encrypted and needs to be unlocked"):
                await client.list_services()
            with pytest.raises(Precondition, match="needs to be unlocked"):
                await client.swarm_leave()
            with pytest.raises(InvalidSpec, match="unlock key"):
                await client.swarm_unlock("nonsense")
            with pytest.raises(InvalidSpec, match="invalid key"):
                await client.swarm_unlock(unlock_key_text(bytes(32)))
            await client.swarm_unlock(key)
            assert (await client.node_process()).state is DaemonState.ACTIVE
            await swarm.until(lambda: swarm.leader == "m1", "it leads")
            assert [service.spec.annotations.name for service in await client.list_services()] == ["web"]


async def test_locking_and_unlocking_while_it_runs(tmp_path: Path) -> None:
    """Turned on, the next start needs the key, and what was written before is sealed anew; turned off, it does not."""
    async with Swarm(tmp_path) as swarm:
        await swarm.init()
        async with swarm.client() as client:
            (cluster,) = await client.list_clusters()
            spec = replace(cluster.spec, encryption_config=EncryptionConfig(auto_lock_managers=True))
            await client.update_cluster(cluster.id, cluster.meta.version.index, spec)
            key = unlock_key_text(await client.get_unlock_key())
        await swarm.stop("m1")
        process = await swarm.start("m1")
        await process.until(DaemonState.LOCKED)
        await process.unlock(key)
        await swarm.until(lambda: swarm.leader == "m1", "it leads")
        async with swarm.client() as client:
            (cluster,) = await client.list_clusters()
            spec = replace(cluster.spec, encryption_config=EncryptionConfig())
            await client.update_cluster(cluster.id, cluster.meta.version.index, spec)
        await swarm.stop("m1")
        await (await swarm.start("m1")).until(DaemonState.ACTIVE)


async def test_a_removed_node_stops_its_tasks(tmp_path: Path) -> None:
    """Others run them in its place; it can leave, and join again as another node."""
    async with Swarm(tmp_path) as swarm:
        await swarm.init()
        process = await swarm.join("w1")
        first = process.status().node_id
        async with swarm.client() as client:
            await client.create_service(a_service(4))
            await swarm.until(lambda: first in swarm.running("m1").values(), "a task runs on w1")
            await client.remove_node(first, force=True)
            await process.until(DaemonState.FAILED)
            assert "was removed from the swarm" in process.status().error
            manager = swarm.processes["m1"].status().node_id
            await swarm.until(lambda: list(swarm.running("m1").values()) == [manager] * 4, "all tasks run on m1")
            with pytest.raises(NotFound):
                await client.get_node(first)
        await process.leave(force=False)
        await process.join(SwarmJoinRequest(remote_addrs=(swarm.addr("m1"),), token=swarm.token(NodeRole.WORKER)))
        assert process.status().node_id not in ("", first)


async def test_two_processes_never_share_a_directory(tmp_path: Path) -> None:
    async with Swarm(tmp_path) as swarm:
        await swarm.start("a")
        with pytest.raises(StateError, match="in use by process"):
            await swarm.start("a")


async def test_a_failed_join_leaves_nothing_behind(tmp_path: Path) -> None:
    async with Swarm(tmp_path) as swarm:
        await swarm.init()
        process = await swarm.start("x")
        token = swarm.token(NodeRole.WORKER)
        addr = swarm.addr("m1")
        await swarm.stop("m1")
        with pytest.raises(StateError, match="does not answer"):
            async with asyncio.timeout(60):
                await process.join(SwarmJoinRequest(remote_addrs=(addr,), token=token))
        assert process.status().state is DaemonState.INACTIVE
        assert sorted(path.name for path in (tmp_path / "x").iterdir()) == ["lock", "swarmlab.sock"]
