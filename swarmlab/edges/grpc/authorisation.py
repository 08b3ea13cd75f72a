"""Who may call what: the table of methods, and whom a call counts for.

A method has roles, or is open to those who hold no certificate yet. A manager may pass on the call of another one: then
the call counts for its origin, as the metadata say it, and only a manager of this cluster is believed that.
"""

from collections.abc import Collection, Iterable, Mapping
from enum import Enum
from typing import Any, NamedTuple

from swarmlab.api import RAFT_PLUGIN, ClusterId, Forbidden, NodeId, NodeRole, TooLarge, Unsupported, Value
from swarmlab.ca import Identity, Peer
from swarmlab.edges.tls.x509 import UNITS

_PACKAGE = "docker.swarmkit.v1"
_LAB = "swarmlab.lab.v1"
#: Managers among themselves; every method of the package is theirs alone.
RAFT = RAFT_PLUGIN.name

#: Keys of the metadata of a call that is passed on.
CERT, CERT_CN, CERT_ORG, CERT_OU = "forwarded_cert", "forwarded_cert_cn", "forwarded_cert_org", "forwarded_cert_ou"
REMOTE_ADDR, REDIRECT = "remote_addr", "redirect"
#: Metadata of a manager that joins: which Raft it speaks. It is passed on as it is.
SPEAKS = "swarmlab-speaks"
#: All that only managers say: none of a client's own is ever passed on.
KEYS = frozenset({CERT, CERT_CN, CERT_ORG, CERT_OU, REMOTE_ADDR, REDIRECT})

_ROLES = {unit: role for role, unit in UNITS.items()}


class Forwarding(Enum):
    """Which calls a manager that does not lead passes on to the one that does."""

    NEVER = "never"
    #: Those that came over the local socket.
    LOCAL = "local"
    ALWAYS = "always"


class Rule(NamedTuple):
    """Who may call a method, and where it is answered."""

    #: None: anybody, with a certificate or without.
    roles: frozenset[NodeRole] | None
    #: On the local socket too, where everybody may call it.
    local: bool
    forwarding: Forwarding


class Caller(Value, frozen=True):
    """Whom a call counts for: its origin, and the manager that passed it on, if one did."""

    origin: Peer
    #: Empty: the call came straight from its origin.
    forwarder: NodeId = NodeId("")
    #: It was passed on once; no second time.
    redirected: bool = False
    #: The Raft that a joining manager speaks; empty with stock ones and in every other call.
    speaks: str = ""


Metadata = Iterable[tuple[str, Any]]

_OPEN = None
_NODES = frozenset({NodeRole.WORKER, NodeRole.MANAGER})
_MANAGERS = frozenset({NodeRole.MANAGER})

_CONTROL = """
    GetNode ListNodes UpdateNode RemoveNode GetTask ListTasks RemoveTask GetService ListServices CreateService
    UpdateService RemoveService ListServiceStatuses GetNetwork ListNetworks CreateNetwork RemoveNetwork GetCluster
    ListClusters UpdateCluster GetSecret UpdateSecret ListSecrets CreateSecret RemoveSecret GetConfig UpdateConfig
    ListConfigs CreateConfig RemoveConfig GetExtension CreateExtension RemoveExtension GetResource UpdateResource
    ListResources CreateResource RemoveResource CreateVolume GetVolume UpdateVolume ListVolumes RemoveVolume
"""


def _rows() -> Iterable[tuple[str, str, Rule]]:
    always, local, never = Forwarding.ALWAYS, Forwarding.LOCAL, Forwarding.NEVER
    for service, names, rule in (
        ("CA", "GetRootCACertificate", Rule(_OPEN, True, always)),
        ("CA", "GetUnlockKey", Rule(_MANAGERS, True, always)),
        ("NodeCA", "IssueNodeCertificate NodeCertificateStatus", Rule(_OPEN, True, always)),
        ("Health", "Check", Rule(_MANAGERS, True, never)),
        (
            "Dispatcher",
            "Session Heartbeat UpdateTaskStatus UpdateVolumeStatus Tasks Assignments",
            Rule(_NODES, True, always),
        ),
        ("LogBroker", "ListenSubscriptions PublishLogs", Rule(_NODES, True, always)),
        ("ResourceAllocator", "AttachNetwork DetachNetwork", Rule(_NODES, True, always)),
        ("Logs", "SubscribeLogs", Rule(_MANAGERS, True, local)),
        ("Watch", "Watch", Rule(_MANAGERS, True, never)),
        ("RaftMembership", "Join Leave", Rule(_MANAGERS, False, always)),
        ("Raft", "ProcessRaftMessage StreamRaftMessage ResolveAddress", Rule(_MANAGERS, False, never)),
        ("Control", _CONTROL, Rule(_MANAGERS, True, local)),
    ):
        yield f"{_PACKAGE}.{service}", names, rule
    # What the leader alone knows is asked of the leader; the rest is of the process that is asked.
    yield f"{_LAB}.Lab", "Explain ListViolations Events", Rule(_MANAGERS, True, local)
    yield (
        f"{_LAB}.Lab",
        "Status ListStrategies CheckService StopWorker StartWorker",
        Rule(_MANAGERS, True, never),
    )


#: {path of a method: its rule}
RULES: Mapping[str, Rule] = {f"/{service}/{name}": rule for service, names, rule in _rows() for name in names.split()}


def rule_of(method: str) -> Rule:
    """The rule of the method with that path.

    Raises:
        Unsupported: There is no such method.
    """
    rule = RULES.get(method)
    if rule is not None:
        return rule
    if method.startswith(f"/{RAFT}."):
        return Rule(_MANAGERS, False, Forwarding.NEVER)
    raise Unsupported(f"method {method}: not known here")


def authorise(
    method: str, peer: Peer, metadata: Metadata, cluster_id: ClusterId, blocked: Collection[NodeId | str]
) -> Caller:
    """Whom the call counts for, who may make it.

    An origin that an open method would refuse for its certificate counts as one that has none.

    Args:
        method: Its path.
        peer: The other end of the connection.
        metadata: Of the call.
        cluster_id: What the certificates of this cluster say as their organisation.
        blocked: Nodes whose certificates are not taken any more.

    Raises:
        Unsupported: There is no such method, or not on the local socket.
        Forbidden: It is not for this caller.
        TooLarge: The call was passed on more than once.
    """
    rule = rule_of(method)
    told = _Told(metadata)
    if len(told.redirects) > 1:
        raise TooLarge(f"{method}: passed on by {', '.join(told.redirects)}, wanted: at most one redirect")
    redirected = bool(told.redirects)
    if peer.local:
        if not rule.local:
            raise Unsupported(f"method {method}: not served on the local socket")
        return Caller(peer, redirected=redirected, speaks=told.speaks)
    origin, forwarder = peer, NodeId("")
    try:
        if told.forwarded:
            forwarder = _member(method, peer.identity, _MANAGERS, cluster_id, blocked).node_id
            origin = told.origin(method)
        if rule.roles is not None or origin.identity is not None:
            _member(method, origin.identity, rule.roles or _NODES, cluster_id, blocked)
    except Forbidden:
        if rule.roles is not None:
            raise
        address = origin.address if forwarder else peer.address
        return Caller(Peer(address=address), forwarder, redirected, told.speaks)
    return Caller(origin, forwarder, redirected, told.speaks)


def _member(
    method: str,
    identity: Identity | None,
    roles: frozenset[NodeRole],
    cluster_id: ClusterId,
    blocked: Collection[NodeId | str],
) -> Identity:
    """The identity, which is one of this cluster in one of those roles and not blocked."""
    if identity is None:
        raise Forbidden(f"{method}: no certificate, wanted: one of this cluster")
    if identity.cluster_id != cluster_id:
        raise Forbidden(
            f"{method}: the certificate of node {identity.node_id} is of cluster {identity.cluster_id!r}, "
            f"wanted: {cluster_id!r}"
        )
    if identity.role not in roles:
        wanted = " or ".join(sorted(UNITS[role] for role in roles))
        raise Forbidden(f"{method}: node {identity.node_id} is a {UNITS[identity.role]}, wanted: {wanted}")
    if identity.node_id in blocked:
        raise Forbidden(f"{method}: node {identity.node_id} was removed from this cluster")
    return identity


class _Told:
    """What the metadata of a call say of its origin. Nothing of it is true before its teller is known."""

    def __init__(self, metadata: Metadata) -> None:
        self._values: dict[str, list[str]] = {}
        for key, value in metadata:
            if key in KEYS or key == SPEAKS:
                text = value if isinstance(value, str) else bytes(value).decode(errors="replace")
                self._values.setdefault(key, []).append(text)

    @property
    def redirects(self) -> list[str]:
        return self._values.get(REDIRECT, [])

    @property
    def speaks(self) -> str:
        return self._one(SPEAKS)

    @property
    def forwarded(self) -> bool:
        return any(key in self._values for key in (CERT, CERT_CN, CERT_ORG, CERT_OU))

    def origin(self, method: str) -> Peer:
        """The origin; without an identity where it had no certificate.

        Raises:
            Forbidden: What is said of it is no identity.
        """
        address = _without_port(self._one(REMOTE_ADDR))
        cn, org, units = self._one(CERT_CN), self._one(CERT_ORG), self._values.get(CERT_OU, [])
        if not cn and not org and not any(units):
            return Peer(address=address)
        if len(units) != 1 or units[0] not in _ROLES or not cn or not org:
            raise Forbidden(
                f"{method}: passed on for CN={cn!r} O={org!r} OU={units!r}, wanted: one node, cluster and role"
            )
        return Peer(Identity(NodeId(cn), ClusterId(org), _ROLES[units[0]]), address)

    def _one(self, key: str) -> str:
        values = self._values.get(key, [])
        return values[0] if len(values) == 1 else ""


def forwarding_metadata(origin: Peer, through: str) -> tuple[tuple[str, str], ...]:
    """The metadata with which the manager at the address `through` passes on a call of `origin`.

    A call from the local socket counts for the manager itself.
    """
    redirect = (REDIRECT, through)
    if origin.local:
        return (redirect,)
    identity = origin.identity
    cn, org, unit = ("", "", "") if identity is None else (identity.node_id, identity.cluster_id, UNITS[identity.role])
    return (
        (CERT, "true"),
        (CERT_CN, cn),
        (CERT_ORG, org),
        (CERT_OU, unit),
        (REMOTE_ADDR, with_port(origin.address)),
        redirect,
    )


def with_port(address: str) -> str:
    """The address as SwarmKit writes it, host:port; the port is not known here and says 0."""
    if not address:
        return ""
    return f"[{address}]:0" if ":" in address else f"{address}:0"


def _without_port(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or (":" in host and not host.startswith("[")):
        return text.strip("[]")
    return host.strip("[]")
