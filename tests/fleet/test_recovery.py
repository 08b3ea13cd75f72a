"""Ways back for operators: a lost quorum, expired certificates, a locked manager. Services stay as they are."""

import asyncio
import os
import time

import pytest
from fleet.fleet_ground import Fleet, Member, programs, running

from swarmlab.api import DaemonState, Instant, SigningRoot, seconds
from swarmlab.ca import Identity
from swarmlab.edges.tls.credentials import CertificateDirectory, Credentials
from swarmlab.edges.tls.x509 import issue, make_request

REPLICAS = 3
DAY = seconds(86400)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


async def all_run(fleet: Fleet, marker: str) -> None:
    async def hold() -> bool:
        return len(running(await fleet.tasks(), marker)) == len(programs(marker)) == REPLICAS

    await fleet.until(hold, f"{REPLICAS} tasks run")


async def join_anew(fleet: Fleet, member: Member, role: str, through: Member) -> None:
    """Forget a node, and let it join again under the same name."""
    if not member.runs:
        member.start()
    await fleet.until(lambda: member.status(), f"{member.name} answers")
    member.cli("swarm", "leave", "--force")
    through.cli("node", "rm", "--force", member.node_id)
    flags = ("--availability", "drain") if role == "manager" else ()
    member.cli("swarm", "join", *flags, "--token", through.cli("swarm", "join-token", "-q", role), through.addr)
    await fleet.introduce(member)


async def test_a_lost_quorum(fleet: Fleet) -> None:
    """Two of three managers are gone for good: the third goes on alone, with all services and every task untouched."""
    marker = f"8001{os.getpid()}"
    tasks, pids = await fleet.deploy("web", marker, REPLICAS), programs(marker)
    left, *gone = fleet.managers
    for member in gone:
        member.kill()

    async def knows_no_leader() -> bool:
        status = await left.status()
        return status is not None and not status.leader_addr

    await fleet.until(knows_no_leader, "there is no quorum")
    left.cli("swarm", "init", "--force-new-cluster")
    assert "web" in left.cli("service", "ls")
    await fleet.until(lambda: fleet.knowing(left.name), "it leads")
    everything = await fleet.tasks(left.name)
    assert {task.id: task.node_id for task in everything} == tasks
    assert programs(marker) == pids
    for member in gone:
        await join_anew(fleet, member, "manager", left)
    await fleet.until(fleet.is_whole, "the fleet is whole")
    await all_run(fleet, marker)
    assert programs(marker) == pids


async def expire(fleet: Fleet, root: SigningRoot) -> None:
    """Put certificates into the place of those of all nodes that ended yesterday; no process runs."""
    now = time.time_ns()
    for member in fleet.members.values():
        files = CertificateDirectory(member.state_dir / "certificates")
        present = files.load()
        assert present is not None
        csr, key = make_request()
        identity: Identity = present.identity()
        ended = issue(csr, identity, root, not_before=Instant(now - 3 * DAY), not_after=Instant(now - DAY))
        files.save(Credentials(present.root, ended, key))


async def test_expired_certificates(fleet: Fleet) -> None:
    """All were switched off until every certificate had ended: managers come back by themselves, workers join again."""
    marker = f"8002{os.getpid()}"
    await fleet.deploy("web", marker, REPLICAS)
    first, *_ = fleet.managers
    for member in reversed(fleet.members.values()):
        member.stop()
    cluster = (await first.left_behind()).cluster()
    assert cluster is not None
    await expire(fleet, SigningRoot(cluster.root_ca.ca_cert, cluster.root_ca.ca_key))
    for member in fleet.members.values():
        member.start()
    await fleet.leader()
    assert "web" in first.cli("service", "ls")
    for worker in fleet.workers:
        await fleet.until(
            lambda worker=worker: worker.is_at(DaemonState.FAILED), "the worker says that it cannot go on"
        )
        status = await worker.status()
        assert status is not None
        assert "swarmlab swarm leave --force" in status.error
        await join_anew(fleet, worker, "worker", first)
    await fleet.until(fleet.is_whole, "the fleet is whole")
    await all_run(fleet, marker)
    for manager in fleet.managers:
        status = await manager.status()
        assert status is not None
        assert status.certificate_expiry is not None
        assert status.certificate_expiry > time.time_ns() + DAY


async def test_a_locked_manager(fleet: Fleet) -> None:
    """With autolock, a manager that starts waits for the unlock key; the others and the tasks go on."""
    marker = f"8003{os.getpid()}"
    await fleet.deploy("web", marker, REPLICAS)
    pids = programs(marker)
    first, second, _ = fleet.managers
    first.cli("swarm", "update", "--autolock")
    key = first.cli("swarm", "unlock-key", "-q")
    assert key.startswith("SWMKEY-1-")

    async def is_sealed() -> bool:
        return CertificateDirectory(second.state_dir / "certificates").is_sealed()

    await fleet.until(is_sealed, "the second manager's key is sealed")
    second.kill()
    second.start()
    await fleet.until(lambda: second.is_at(DaemonState.LOCKED), "the second manager is locked")
    assert "encrypted and needs to be unlocked" in second.cli("service", "ls", check=False)
    wrong = "SWMKEY-1-" + "A" * (len(key) - len("SWMKEY-1-"))
    assert "invalid key" in second.cli("swarm", "unlock", text=f"{wrong}\n", check=False)
    assert await second.is_at(DaemonState.LOCKED)
    second.cli("swarm", "unlock", text=f"{key}\n")
    await fleet.until(fleet.is_whole, "the fleet is whole")
    assert programs(marker) == pids
    first.cli("swarm", "update", "--autolock=false")

    async def is_open() -> bool:
        return not any(
            CertificateDirectory(manager.state_dir / "certificates").is_sealed() for manager in fleet.managers
        )

    await fleet.until(is_open, "no key is sealed any more")
    second.kill()
    second.start()
    await fleet.until(fleet.is_whole, "the fleet is whole without a key")
    assert await asyncio.gather(*(manager.is_at(DaemonState.ACTIVE) for manager in fleet.managers)) == [True] * 3
