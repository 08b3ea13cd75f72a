"""What a node process is asked on its local socket, and what it tells of itself."""

from swarmlab.api.enums import Availability, NodeRole, Word
from swarmlab.api.ids import ClusterId, NodeId
from swarmlab.api.moments import Instant
from swarmlab.api.specs import ClusterSpec
from swarmlab.api.value import Value


class DaemonState(Word):
    """What a node process is at."""

    #: Belongs to no swarm.
    INACTIVE = 0
    #: Joins, or starts with what it has.
    PENDING = 1
    ACTIVE = 2
    #: Waits for the unlock key.
    LOCKED = 3
    #: Belongs to a swarm and cannot go on.
    FAILED = 4


class SwarmInitRequest(Value, frozen=True, kw_only=True):
    """Found a swarm of this node alone, or make one of what a lost quorum left."""

    #: host:port; empty: the one that the process was started with.
    listen_addr: str = ""
    #: host, or host:port.
    advertise_addr: str = ""
    availability: Availability = Availability.ACTIVE
    force_new_cluster: bool = False
    #: CIDR texts.
    default_addr_pool: tuple[str, ...] = ()
    #: Prefix length of a new network; 0: 24.
    subnet_size: int = 0
    #: What it leaves empty has the usual value.
    spec: ClusterSpec = ClusterSpec()


class SwarmInitResponse(Value, frozen=True):
    """Who the new manager is."""

    node_id: NodeId = NodeId("")
    cluster_id: ClusterId = ClusterId("")


class SwarmJoinRequest(Value, frozen=True, kw_only=True):
    """Join the swarm of these managers, in the role of the token."""

    #: host:port.
    remote_addrs: tuple[str, ...] = ()
    token: str = ""
    listen_addr: str = ""
    advertise_addr: str = ""
    availability: Availability = Availability.ACTIVE


class SwarmJoinResponse(Value, frozen=True):
    """As whom it joined."""

    node_id: NodeId = NodeId("")
    role: NodeRole = NodeRole.WORKER


class DaemonStatus(Value, frozen=True, kw_only=True):
    """What a node process tells of itself."""

    state: DaemonState = DaemonState.INACTIVE
    node_id: NodeId = NodeId("")
    cluster_id: ClusterId = ClusterId("")
    #: That of the certificate.
    role: NodeRole = NodeRole.WORKER
    hostname: str = ""
    #: Where it listens as a manager, and where others reach this node.
    listen_addr: str = ""
    advertise_addr: str = ""
    executor: str = ""
    #: As far as this node knows; empty on workers.
    leader_addr: str = ""
    #: host:port of the managers that this node knows.
    managers: tuple[str, ...] = ()
    certificate_expiry: Instant | None = None
    #: Why it FAILED, or what holds up a start.
    error: str = ""
    state_dir: str = ""
    pid: int = 0
