"""What nodes tell of themselves, and how managers see them."""

from collections.abc import Mapping

from msgspec import field

from swarmlab.api.enums import NodeState, Reachability
from swarmlab.api.ids import NodeId
from swarmlab.api.placement import Platform
from swarmlab.api.resources import Resources
from swarmlab.api.value import Value
from swarmlab.api.volumes import Topology


class PluginDescription(Value, frozen=True):
    """A driver that is installed on a node."""

    #: Volume, Network, Log, Authorization, Csi ...
    type: str = ""
    name: str = ""


#: What a node reports that can be a manager of this kind of swarm; a stock engine, whose Raft is another one, does not.
RAFT_PLUGIN = PluginDescription("Raft", "swarmlab.raft.v1")


class EngineDescription(Value, frozen=True):
    """What the engine of a node tells of itself."""

    engine_version: str = ""
    #: `engine.labels.*` in constraints.
    labels: Mapping[str, str] = field(default_factory=dict)
    plugins: tuple[PluginDescription, ...] = ()


class NodeTLSInfo(Value, frozen=True):
    """Which root a node trusts and who issued its certificate."""

    #: PEM bundle that the node trusts now.
    trust_root: bytes = b""
    #: DER subject of the issuer of the node's certificate.
    cert_issuer_subject: bytes = b""
    #: DER SubjectPublicKeyInfo of that issuer.
    cert_issuer_public_key: bytes = b""


class NodeCSIInfo(Value, frozen=True, kw_only=True):
    """A node as one CSI plugin knows it."""

    plugin_name: str = ""
    #: The node's id in the eyes of the plugin.
    node_id: str = ""
    #: 0: no limit.
    max_volumes_per_node: int = 0
    #: Where the node is.
    accessible_topology: Topology | None = None


class NodeDescription(Value, frozen=True, kw_only=True):
    """What a node tells of itself when its session starts, and when that changes."""

    hostname: str = ""
    platform: Platform | None = None
    #: All that the node has.
    resources: Resources | None = None
    engine: EngineDescription | None = None
    #: Drives root rotation.
    tls_info: NodeTLSInfo | None = None
    #: The node runs in FIPS mode.
    fips: bool = False
    #: One for each CSI plugin.
    csi_info: tuple[NodeCSIInfo, ...] = ()


class NodeStatus(Value, frozen=True):
    """Whether a node is alive, as its manager sees it."""

    state: NodeState = NodeState.UNKNOWN
    #: Why.
    message: str = ""
    #: The node's IP address as its manager sees it, without port.
    addr: str = ""


class RaftMemberStatus(Value, frozen=True):
    """A member of the Raft group as the answering manager sees it."""

    leader: bool = False
    #: As seen by the answering manager.
    reachability: Reachability = Reachability.UNKNOWN
    message: str = ""


class ManagerStatus(Value, frozen=True, kw_only=True):
    """A node's part in the Raft group, filled in when the node is read."""

    raft_id: int = 0
    #: host:port.
    addr: str = ""
    leader: bool = False
    #: As seen by the answering manager.
    reachability: Reachability = Reachability.UNKNOWN


class Peer(Value, frozen=True):
    """A manager and where it listens."""

    node_id: NodeId = NodeId("")
    #: host:port.
    addr: str = ""


class WeightedPeer(Value, frozen=True):
    """A manager and how readily a worker should choose it."""

    #: Always set: stock workers read it unchecked.
    peer: Peer | None = None
    #: 10 is usual.
    weight: int = 0
