"""A node's way to its certificate, over real TLS with a manager in this process."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from manager_port import ManagerPort, manager_port, now
from msgspec.structs import replace

from swarmlab.api import (
    Changes,
    Forbidden,
    InvalidSpec,
    JoinToken,
    NodeRole,
    NotFound,
    Precondition,
    StateError,
    Update,
    fingerprint,
    new_tokens,
)
from swarmlab.edges.tls.founding import found
from swarmlab.edges.tls.joining import TRIES, fetch_root, join, renew, unlock_key
from swarmlab.edges.tls.security import Security

#: An address at which nobody listens: port 1 is below all that is given out.
NOWHERE = "127.0.0.1:1"


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[ManagerPort]:
    async with manager_port(tmp_path) as opened:
        yield opened


class Pauses:
    """Takes no time, and counts how much it would have been."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)
        await asyncio.sleep(0)


def tokens(port: ManagerPort) -> dict[NodeRole, str]:
    cluster = port.authority.view.cluster()
    assert cluster is not None
    held = cluster.root_ca.join_tokens
    return {NodeRole.WORKER: held.worker, NodeRole.MANAGER: held.manager}


@pytest.mark.parametrize("role", list(NodeRole))
async def test_a_token_makes_a_node_of_its_role(port: ManagerPort, role: NodeRole) -> None:
    credentials = await join([port.address], tokens(port)[role], now=now)
    identity = credentials.identity()
    assert identity.role is role
    assert identity.cluster_id == port.authority.founding.cluster_id
    node = port.authority.view.node(identity.node_id)
    assert node is not None
    assert node.role is role
    assert node.certificate.certificate == credentials.certificate
    assert credentials.root == port.authority.founding.root.ca_cert


async def test_a_renewal_gives_the_role_of_the_store_and_a_new_key(port: ManagerPort) -> None:
    first = await join([port.address], tokens(port)[NodeRole.WORKER], now=now)
    node = port.authority.view.node(first.identity().node_id)
    assert node is not None
    port.authority.store.propose(Changes.atomic(Update(replace(node, role=NodeRole.MANAGER))), lambda _: None)
    second = await renew([port.address], first, now=now)
    assert second.identity() == replace(first.identity(), role=NodeRole.MANAGER)
    assert second.key != first.key
    assert await unlock_key(port.address, second) == b""
    with pytest.raises(Forbidden, match="is a worker, wanted: a manager"):
        await unlock_key(port.address, first)


async def test_a_manager_with_another_root_is_found_out(port: ManagerPort) -> None:
    pauses = Pauses()
    token = f"SWMTKN-1-{'1' * 50}-{'2' * 25}"
    with pytest.raises(InvalidSpec, match="somebody else answers there") as failure:
        await join([port.address], token, now=now, pause=pauses)
    assert fingerprint(port.authority.founding.root.ca_cert) in str(failure.value)
    assert pauses.taken == []
    assert len(port.authority.view.nodes()) == 1


async def test_a_wrong_token_is_refused_with_words_and_no_secret(port: ManagerPort) -> None:
    right = JoinToken.parse(tokens(port)[NodeRole.WORKER])
    wrong = replace(right, secret="0" * 25).text
    with pytest.raises(InvalidSpec, match="the join token is not valid") as failure:
        await join([port.address], wrong, now=now)
    assert wrong not in str(failure.value)
    assert right.secret not in str(failure.value)


async def test_the_next_manager_is_asked_when_one_does_not_answer(port: ManagerPort) -> None:
    pauses = Pauses()
    credentials = await join([NOWHERE, port.address], tokens(port)[NodeRole.WORKER], now=now, pause=pauses)
    assert credentials.identity().role is NodeRole.WORKER
    assert pauses.taken == [2.0, 2.0]


async def test_nobody_at_all_is_said_after_five_tries() -> None:
    pauses = Pauses()
    with pytest.raises(StateError, match=f"the manager at {NOWHERE} does not answer"):
        await fetch_root([NOWHERE], None, now=now, pause=pauses)
    assert len(pauses.taken) == TRIES - 1
    with pytest.raises(StateError, match="no address"):
        await fetch_root([], None, now=now, pause=pauses)


async def test_a_cluster_in_fips_mode_is_not_joined() -> None:
    token = replace(JoinToken.parse(f"SWMTKN-1-{'1' * 50}-{'2' * 25}"), fips=True).text
    with pytest.raises(Precondition, match="FIPS"):
        await join([NOWHERE], token, now=now)


async def test_a_removed_node_gets_no_certificate(port: ManagerPort) -> None:
    stranger = port.authority.issued(NodeRole.WORKER, "gone")
    with pytest.raises(NotFound, match="node gone is not a member"):
        await renew([port.address], stranger, now=now)


async def test_the_root_changes_under_live_connections(port: ManagerPort) -> None:
    """The whole of protocol 4.3: old and new members speak with a manager of either root, by grpcio and OpenSSL."""
    authority = port.authority
    worker = await join([port.address], tokens(port)[NodeRole.WORKER], now=now)
    cluster = authority.view.cluster()
    assert cluster is not None
    config = replace(cluster.spec.ca_config, force_rotate=1)
    authority.store.propose(
        Changes.atomic(Update(replace(cluster, spec=replace(cluster.spec, ca_config=config)))), lambda _: None
    )
    cluster = authority.view.cluster()
    assert cluster is not None
    assert cluster.root_ca.root_rotation is not None
    port.security.update(trusted=cluster.root_ca.root_rotation.ca_cert)
    manager = await renew([port.address], authority.credentials, now=now)
    assert manager.certificate.count(b"BEGIN CERTIFICATE") == 2
    port.security.update(manager)
    # The worker still trusts the old root alone, and has a certificate by it.
    renewed = await renew([port.address], worker, now=now)
    late = await join([port.address], tokens(port)[NodeRole.WORKER], now=now)
    assert renewed.tls_info().cert_issuer_public_key == late.tls_info().cert_issuer_public_key
    assert renewed.tls_info().cert_issuer_public_key != worker.tls_info().cert_issuer_public_key
    # Who trusts the new root already is served too, and whoever has no certificate by it yet.
    moved = replace(renewed, root=cluster.root_ca.root_rotation.ca_cert)
    assert (await renew([port.address], moved, now=now)).identity() == worker.identity()
    assert (await renew([port.address], worker, now=now)).identity() == worker.identity()
    # At the end the old root is trusted no more.
    port.security.update(replace(manager, root=moved.root), trusted=b"")
    with pytest.raises(StateError):
        await renew([port.address], worker, now=now, pause=Pauses())
    assert (await renew([port.address], moved, now=now)).identity() == worker.identity()


async def test_tokens_of_a_new_root_name_it(port: ManagerPort) -> None:
    root = port.authority.founding.root.ca_cert
    token = JoinToken.parse(new_tokens(root, random.Random(1)).worker)
    assert await fetch_root([port.address], token, now=now) == root


def test_unlike_credentials_are_refused() -> None:
    """A server never begins with a certificate and the key of another one."""
    _, one = found(now(), random.SystemRandom())
    _, other = found(now(), random.SystemRandom())
    security = Security(one)
    with pytest.raises(InvalidSpec, match="certificate and key of the node"):
        security.update(replace(one, key=other.key))
    assert security.credentials == one
