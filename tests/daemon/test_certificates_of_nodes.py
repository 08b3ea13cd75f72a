"""Certificates over the life of a node: expired ones, another root, a new one on request."""

from pathlib import Path

from daemon.swarm_ground import Swarm, a_service
from msgspec.structs import replace

from swarmlab.api import HOUR, DaemonState, Duration, Instant, NodeRole, SigningRoot
from swarmlab.ca import Identity
from swarmlab.edges.tls.credentials import CertificateDirectory, Credentials
from swarmlab.edges.tls.x509 import issue, make_request


def let_expire(swarm: Swarm, name: str, root: SigningRoot, now: Instant) -> None:
    """Put a certificate of an hour ago in place of that of a node which does not run."""
    files = CertificateDirectory(swarm.folder / name / "certificates")
    present = files.load()
    assert present is not None
    csr, key = make_request()
    identity: Identity = present.identity()
    long_ago, an_hour_ago = Instant(now - 3 * HOUR), Instant(now - HOUR)
    old = issue(csr, identity, root, not_before=long_ago, not_after=an_hour_ago)
    files.save(Credentials(present.root, old, key))


def root_of(swarm: Swarm) -> SigningRoot:
    cluster = swarm.view().cluster()
    assert cluster is not None
    return SigningRoot(cluster.root_ca.ca_cert, cluster.root_ca.ca_key)


async def test_managers_that_were_off_too_long_issue_themselves_new_certificates(tmp_path: Path) -> None:
    """All services are kept. They hold the key of the root; there is nobody whom they could ask."""
    async with Swarm(tmp_path) as swarm:
        await swarm.init()
        await swarm.join("m2", NodeRole.MANAGER)
        await swarm.join("m3", NodeRole.MANAGER)
        await swarm.until(lambda: swarm.voters("m1") == 3, "three managers answer")
        async with swarm.client() as client:
            await client.create_service(a_service(3))
        await swarm.until(lambda: len(swarm.running("m3")) == 3, "three tasks run")
        root, now = root_of(swarm), swarm.processes["m1"].clock()
        for name in ("m3", "m2", "m1"):
            await swarm.stop(name)
            let_expire(swarm, name, root, now)
        for name in ("m1", "m2", "m3"):
            await swarm.start(name)
            await swarm.processes[name].until(DaemonState.ACTIVE)
            assert "certificate-reissued" in swarm.events(name)
        await swarm.until(lambda: bool(swarm.leader) and swarm.voters(swarm.leader) == 3, "three managers answer")
        assert [service.spec.annotations.name for service in swarm.view("m1").services()] == ["web"]
        await swarm.until(lambda: len(swarm.running("m1")) == 3, "three tasks run again")


async def test_a_worker_that_was_off_too_long_is_told_to_join_again(tmp_path: Path) -> None:
    async with Swarm(tmp_path) as swarm:
        await swarm.init()
        await swarm.join("w1")
        await swarm.stop("w1")
        let_expire(swarm, "w1", root_of(swarm), swarm.processes["m1"].clock())
        process = await swarm.start("w1")
        await process.until(DaemonState.FAILED)
        assert "let this node leave ('swarmlab swarm leave --force') and join again" in process.status().error
        await process.leave(force=True)
        assert process.status().state is DaemonState.INACTIVE


async def test_every_node_changes_over_to_another_root(tmp_path: Path) -> None:
    """The old one signs the new one, nodes renew, and join tokens name the new one at the end."""
    async with Swarm(tmp_path) as swarm:
        await swarm.init()
        await swarm.join("m2", NodeRole.MANAGER)
        await swarm.join("w1")
        await swarm.until(lambda: swarm.voters("m1") == 2, "two managers answer")
        async with swarm.client() as client:
            await client.create_service(a_service(3))
            await swarm.until(lambda: len(swarm.running("m1")) == 3, "three tasks run")
            before, tasks = root_of(swarm), swarm.running("m1")
            (cluster,) = await client.list_clusters()
            config = replace(cluster.spec.ca_config, force_rotate=1)
            await client.update_cluster(cluster.id, cluster.meta.version.index, replace(cluster.spec, ca_config=config))

        def changed_over() -> bool:
            cluster = swarm.view().cluster()
            assert cluster is not None
            return cluster.root_ca.root_rotation is None and cluster.root_ca.ca_cert != before.ca_cert

        await swarm.until(changed_over, "the root is another one")
        await swarm.until(
            lambda: all(trusted_root(swarm, name) == root_of(swarm).ca_cert for name in swarm.processes),
            "every node trusts it",
        )
        assert swarm.running("m1") == tasks
        await swarm.join("w2")


def trusted_root(swarm: Swarm, name: str) -> bytes:
    member = swarm.processes[name].member
    assert member is not None
    return member.security.credentials.root


async def test_a_life_of_certificates_is_obeyed(tmp_path: Path) -> None:
    async with Swarm(tmp_path) as swarm:
        await swarm.init()
        async with swarm.client() as client:
            (cluster,) = await client.list_clusters()
            config = replace(cluster.spec.ca_config, node_cert_expiry=Duration(5 * HOUR))
            await client.update_cluster(cluster.id, cluster.meta.version.index, replace(cluster.spec, ca_config=config))
        process = await swarm.join("w1")
        expiry = process.status().certificate_expiry
        assert expiry is not None
        assert 4 * HOUR < expiry - process.clock() <= 5 * HOUR
