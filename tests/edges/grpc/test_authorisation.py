"""Who may call what: every method of the table in every role, and what is told of calls that were passed on."""

import pytest

from swarmlab.api import ClusterId, Forbidden, NodeId, NodeRole, TooLarge, Unsupported
from swarmlab.api.proto import (
    ca_pb2,
    control_pb2,
    dispatcher_pb2,
    health_pb2,
    lab_pb2,
    logbroker_pb2,
    membership_pb2,
    resource_pb2,
    watch_pb2,
)
from swarmlab.ca import Identity, Peer
from swarmlab.edges.grpc.authorisation import (
    RULES,
    Caller,
    Forwarding,
    Rule,
    authorise,
    forwarding_metadata,
    rule_of,
    with_port,
)

HERE, ELSEWHERE = ClusterId("here"), ClusterId("elsewhere")
NODES, MANAGERS = frozenset({NodeRole.WORKER, NodeRole.MANAGER}), frozenset({NodeRole.MANAGER})
ISSUE = "/docker.swarmkit.v1.NodeCA/IssueNodeCertificate"
BEAT = "/docker.swarmkit.v1.Dispatcher/Heartbeat"
CREATE = "/docker.swarmkit.v1.Control/CreateService"
BLOCKED = frozenset({NodeId("gone")})

STRANGER = Peer(address="10.0.0.9")
WORKER = Peer(Identity(NodeId("w"), HERE, NodeRole.WORKER), "10.0.0.1")
MANAGER = Peer(Identity(NodeId("m"), HERE, NodeRole.MANAGER), "10.0.0.2")
CALLERS = {
    "stranger": STRANGER,
    "worker": WORKER,
    "manager": MANAGER,
    "foreign worker": Peer(Identity(NodeId("w"), ELSEWHERE, NodeRole.WORKER), "10.0.0.3"),
    "foreign manager": Peer(Identity(NodeId("m"), ELSEWHERE, NodeRole.MANAGER), "10.0.0.4"),
    "blocked worker": Peer(Identity(NodeId("gone"), HERE, NodeRole.WORKER), "10.0.0.5"),
    "blocked manager": Peer(Identity(NodeId("gone"), HERE, NodeRole.MANAGER), "10.0.0.6"),
    "local": Peer(local=True),
}


def admitted(method, peer, metadata=()):
    return authorise(method, peer, metadata, HERE, BLOCKED)


def expected(rule: Rule, name: str) -> bool:
    """Worked out apart from the code: whether that caller may call a method of that rule."""
    if name == "local":
        return rule.local
    if rule.roles is None:
        return True
    return name == "manager" or (name == "worker" and rule.roles == NODES)


@pytest.mark.parametrize("name", CALLERS)
@pytest.mark.parametrize("method", sorted(RULES))
def test_every_method_in_every_role(method, name):
    """A caller is let in or refused as its certificate says; an open method takes a bad one for none."""
    peer = CALLERS[name]
    if not expected(RULES[method], name):
        with pytest.raises(Unsupported if name == "local" else Forbidden):
            admitted(method, peer)
        return
    known = name in ("worker", "manager", "local", "stranger")
    assert admitted(method, peer) == Caller(peer if known else Peer(address=peer.address))


def test_the_table_is_that_of_the_protocol():
    """Every method that a descriptor names is in the table, and the roles are those of protocol 3.2."""
    modules = (
        ca_pb2,
        control_pb2,
        dispatcher_pb2,
        health_pb2,
        lab_pb2,
        logbroker_pb2,
        membership_pb2,
        resource_pb2,
        watch_pb2,
    )
    described = {
        f"/{service.full_name}/{method.name}"
        for module in modules
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    raft = {f"/docker.swarmkit.v1.Raft/{name}" for name in ("ProcessRaftMessage", "StreamRaftMessage")}
    assert set(RULES) == described | raft
    by_service = {
        name.split("/")[1].rsplit(".", 1)[1]: {
            method.rsplit("/", 1)[1]: (rule.roles, rule.local, rule.forwarding)
            for method, rule in RULES.items()
            if method.startswith(f"{name}/")
        }
        for name in {method.rsplit("/", 1)[0] for method in RULES}
    }
    always, local, never = Forwarding.ALWAYS, Forwarding.LOCAL, Forwarding.NEVER
    assert by_service["CA"] == {"GetRootCACertificate": (None, True, always), "GetUnlockKey": (MANAGERS, True, always)}
    assert set(by_service["NodeCA"].values()) == {(None, True, always)}
    for service in ("Dispatcher", "LogBroker", "ResourceAllocator"):
        assert set(by_service[service].values()) == {(NODES, True, always)}
    assert set(by_service["RaftMembership"].values()) == {(MANAGERS, False, always)}
    assert set(by_service["Raft"].values()) == {(MANAGERS, False, never)}
    for service in ("Control", "Logs"):
        assert set(by_service[service].values()) == {(MANAGERS, True, local)}
    for service in ("Health", "Watch"):
        assert set(by_service[service].values()) == {(MANAGERS, True, never)}


def test_methods_that_nobody_knows():
    """They are unknown to everybody, with whatever certificate; those of Raft are the managers' alone."""
    for peer in CALLERS.values():
        with pytest.raises(Unsupported):
            admitted("/docker.swarmkit.v1.Control/Everything", peer)
    assert rule_of("/swarmlab.raft.v1.Raft/Anything") == Rule(MANAGERS, False, Forwarding.NEVER)
    with pytest.raises(Forbidden):
        admitted("/swarmlab.raft.v1.Raft/Anything", WORKER)


@pytest.mark.parametrize("origin", [STRANGER, WORKER, MANAGER], ids=["stranger", "worker", "manager"])
def test_a_call_that_a_manager_passes_on_counts_for_its_origin(origin):
    """What one manager writes into the metadata is what the other one reads."""
    metadata = forwarding_metadata(origin, "m:2377")
    assert admitted(ISSUE, MANAGER, metadata) == Caller(origin, NodeId("m"), redirected=True)


def test_the_metadata_of_a_call_that_is_passed_on():
    """Keys and texts are SwarmKit's; a local call counts for the manager that passes it on."""
    assert forwarding_metadata(WORKER, "m:2377") == (
        ("forwarded_cert", "true"),
        ("forwarded_cert_cn", "w"),
        ("forwarded_cert_org", "here"),
        ("forwarded_cert_ou", "swarm-worker"),
        ("remote_addr", "10.0.0.1:0"),
        ("redirect", "m:2377"),
    )
    assert forwarding_metadata(Peer(local=True), "m:2377") == (("redirect", "m:2377"),)
    assert admitted(CREATE, MANAGER, (("redirect", "m:2377"),)) == Caller(MANAGER, redirected=True)


def test_the_rule_holds_for_the_origin():
    """A manager cannot lend its own rights to a worker, a stranger, a foreigner or a removed node."""
    for name in ("stranger", "worker", "foreign manager", "blocked manager"):
        with pytest.raises(Forbidden):
            admitted(CREATE, MANAGER, forwarding_metadata(CALLERS[name], "m:2377"))
    assert admitted(CREATE, MANAGER, forwarding_metadata(MANAGER, "m2:2377")).forwarder == "m"


@pytest.mark.parametrize("liar", ["stranger", "worker", "foreign manager", "blocked manager", "blocked worker"])
def test_only_a_manager_of_this_cluster_is_believed(liar):
    """Forged metadata are refused; where anybody may call, the forger counts as one without a certificate."""
    forged = forwarding_metadata(MANAGER, "m:2377")
    peer = CALLERS[liar]
    for method in (CREATE, BEAT):
        with pytest.raises(Forbidden):
            admitted(method, peer, forged)
    assert admitted(ISSUE, peer, forged) == Caller(Peer(address=peer.address), redirected=True)


@pytest.mark.parametrize("key", ["forwarded_cert", "forwarded_cert_cn", "forwarded_cert_org", "forwarded_cert_ou"])
def test_a_single_forged_key_is_enough(key):
    """A worker that sets any one of them is refused."""
    with pytest.raises(Forbidden):
        admitted(BEAT, WORKER, ((key, "true"),))


@pytest.mark.parametrize(
    "told",
    [
        (("forwarded_cert_cn", "w"), ("forwarded_cert_org", "here")),
        (("forwarded_cert_cn", "w"), ("forwarded_cert_org", "here"), ("forwarded_cert_ou", "root")),
        (("forwarded_cert_cn", ""), ("forwarded_cert_org", "here"), ("forwarded_cert_ou", "swarm-manager")),
        (("forwarded_cert_cn", "w"), ("forwarded_cert_cn", "m"), ("forwarded_cert_ou", "swarm-manager")),
        (
            ("forwarded_cert_cn", "w"),
            ("forwarded_cert_org", "here"),
            ("forwarded_cert_ou", "swarm-worker"),
            ("forwarded_cert_ou", "swarm-manager"),
        ),
    ],
    ids=["no role", "unknown role", "no name", "two names", "two roles"],
)
def test_half_an_identity_is_none(told):
    """What a manager says of an origin is one node, one cluster and one role, or nothing at all."""
    with pytest.raises(Forbidden):
        admitted(BEAT, MANAGER, (("forwarded_cert", "true"), *told))


def test_a_call_is_passed_on_once():
    """Two redirects are one too many, whoever set them."""
    assert admitted(BEAT, WORKER, (("redirect", "a:1"),)).redirected
    with pytest.raises(TooLarge, match=r"a:1, b:2"):
        admitted(BEAT, WORKER, (("redirect", "a:1"), ("redirect", "b:2")))


@pytest.mark.parametrize(
    ("told", "address"),
    [
        ("10.0.0.1:4711", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.1"),
        ("[fd00::1]:4711", "fd00::1"),
        ("fd00::1", "fd00::1"),
        ("", ""),
    ],
)
def test_addresses_with_and_without_a_port(told, address):
    """SwarmKit writes host:port; what counts here is the host."""
    metadata = (("forwarded_cert", "true"), ("remote_addr", told))
    assert admitted(ISSUE, MANAGER, metadata).origin == Peer(address=address)
    assert admitted(ISSUE, MANAGER, (metadata[0], ("remote_addr", with_port(address)))).origin == Peer(address=address)
