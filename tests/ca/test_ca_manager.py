"""A whole manager with an authority: founding, joining, and what it is without one."""

import random
from typing import Any

import pytest
from msgspec.structs import replace

from swarmlab.api import (
    Availability,
    Cluster,
    GetRootCACertificateRequest,
    GetRootCACertificateResponse,
    IssuanceState,
    IssueNodeCertificateRequest,
    IssueNodeCertificateResponse,
    JoinToken,
    KeyRotation,
    NodeCertificateStatusRequest,
    NodeCertificateStatusResponse,
    NodeRole,
    NotFound,
    Unsupported,
    fingerprint,
    seconds,
)
from swarmlab.ca import ANONYMOUS, Asked
from swarmlab.edges.tls.founding import found
from swarmlab.edges.tls.signer import authority_ports
from swarmlab.edges.tls.x509 import make_request
from swarmlab.manager.controlapi import update_cluster
from swarmlab.node import AuthorityPorts, Founding, Manager, ManagerConfig, Ports, found_cluster
from swarmlab.plugin import Host
from swarmlab.sim import Heap, HeapTimers
from swarmlab.store import CommitAtOnce


class Desk:
    """A manager on a heap, and what it sent."""

    def __init__(self, authority: AuthorityPorts | None, **chosen: Any) -> None:
        heap = Heap()
        self.sent: list[tuple[str, Any, int]] = []
        ports = Ports(
            clock=heap.clock,
            timers=lambda fire: HeapTimers(heap, fire),
            send=lambda to, message, call: self.sent.append((to, message, call)),
            record=lambda *_: None,
        )
        self.manager = Manager(ManagerConfig(seed=3), Host.load("spread"), ports, CommitAtOnce(), authority=authority)
        founding, self.credentials = found(heap.clock(), random.Random(1), hostname="m1")
        self.founding: Founding = replace(founding, **chosen)
        used = self.founding if authority is not None else None
        self.manager.mutate(
            lambda view, ids, _: found_cluster(view, ids, heartbeat=seconds(5), founding=used), lambda *_: None
        )
        self.manager.lead()

    @property
    def cluster(self) -> Cluster:
        cluster = self.manager.view.cluster()
        assert cluster is not None
        return cluster

    def ask(self, message: Any) -> Any:
        self.manager.receive("someone", Asked(ANONYMOUS, message), 7)
        to, answer, call = self.sent.pop()
        assert (to, call, self.sent) == ("someone", 7, [])
        return answer


def test_a_cluster_begins_with_a_root_tokens_and_its_first_manager() -> None:
    desk = Desk(authority_ports(), availability=Availability.DRAIN, node_cert_expiry=seconds(7200))
    cluster, founding = desk.cluster, desk.founding
    assert cluster.id == founding.cluster_id
    assert (cluster.root_ca.ca_cert, cluster.root_ca.ca_key) == (founding.root.ca_cert, founding.root.ca_key)
    assert cluster.root_ca.ca_cert_hash == fingerprint(founding.root.ca_cert)
    tokens = cluster.root_ca.join_tokens
    assert JoinToken.parse(tokens.worker).names(founding.root.ca_cert)
    assert JoinToken.parse(tokens.manager).names(founding.root.ca_cert)
    assert tokens.worker != tokens.manager
    assert cluster.spec.ca_config.node_cert_expiry == seconds(7200)
    assert cluster.unlock_keys == ()
    [node] = desk.manager.view.nodes()
    assert (node.id, node.role, node.spec.availability) == (founding.node_id, NodeRole.MANAGER, Availability.DRAIN)
    assert node.certificate.status.state is IssuanceState.ISSUED
    assert node.certificate.certificate == desk.credentials.certificate
    assert desk.credentials.identity().cluster_id == cluster.id


def test_a_locked_cluster_has_its_key_from_the_start() -> None:
    [key] = Desk(authority_ports(), auto_lock=True).cluster.unlock_keys
    assert (key.subsystem, len(key.key)) == ("swarm-manager", 32)


def test_a_node_joins_a_manager() -> None:
    desk = Desk(authority_ports())
    assert desk.ask(GetRootCACertificateRequest()) == GetRootCACertificateResponse(desk.founding.root.ca_cert)
    csr, key = make_request()
    token = desk.cluster.root_ca.join_tokens.worker
    issue = desk.ask(IssueNodeCertificateRequest(csr=csr, token=token))
    assert isinstance(issue, IssueNodeCertificateResponse)
    status = desk.ask(NodeCertificateStatusRequest(issue.node_id))
    assert isinstance(status, NodeCertificateStatusResponse)
    assert status.certificate is not None
    assert status.certificate.csr == csr
    credentials = replace(desk.credentials, certificate=status.certificate.certificate, key=key)
    assert credentials.identity().node_id == issue.node_id


def test_the_root_changes_by_a_request() -> None:
    """The control API writes the wish down, the authority obeys it."""
    desk = Desk(authority_ports())
    cluster = desk.cluster
    spec = replace(cluster.spec, ca_config=replace(cluster.spec.ca_config, force_rotate=1))
    desk.manager.mutate(
        lambda view, ids, now: update_cluster(
            view, cluster.id, cluster.meta.version.index, spec, KeyRotation(), ids, now
        ),
        lambda *_: None,
    )
    rotation = desk.cluster.root_ca.root_rotation
    assert rotation is not None
    assert desk.cluster.root_ca.last_forced_rotation == 1
    [node] = desk.manager.view.nodes()
    assert node.certificate.status.state is IssuanceState.ROTATE


def test_without_an_authority_nobody_can_join() -> None:
    desk = Desk(None)
    answer = desk.ask(GetRootCACertificateRequest())
    assert isinstance(answer, Unsupported)
    assert str(answer) == "GetRootCACertificateRequest is not a call that this manager takes"
    assert desk.cluster.root_ca.ca_cert == b""


def test_the_authority_of_a_manager_answers_errors_too() -> None:
    answer = Desk(authority_ports()).ask(NodeCertificateStatusRequest("nobody"))
    assert isinstance(answer, NotFound)
    with pytest.raises(NotFound):
        raise answer
