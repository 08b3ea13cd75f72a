"""Who a connection belongs to."""

from swarmlab.api import ClusterId, NodeId, NodeRole, Value


class Identity(Value, frozen=True):
    """What a verified certificate says: its subject's CN, O and OU."""

    node_id: NodeId
    cluster_id: ClusterId
    role: NodeRole


class Peer(Value, frozen=True):
    """The other end of a connection.

    `identity` is None where no certificate was shown. `address` is the IP of the connection, without a port; empty on
    the local socket, whose callers are trusted (`local`).
    """

    identity: Identity | None = None
    address: str = ""
    local: bool = False


#: Nobody in particular.
ANONYMOUS = Peer()
