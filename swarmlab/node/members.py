"""Who takes part in consensus: raft ids, and which node at which address is behind each."""

import msgspec
from msgspec.structs import replace

from swarmlab.api import NodeId, StateError, Value
from swarmlab.raft import ChangeKind, ConfigChange, RaftId


class RaftMember(Value, frozen=True):
    """One member: a manager's life in the group. A node that leaves and joins again is another member."""

    raft_id: RaftId
    node_id: NodeId = NodeId("")
    #: host:port at which the other managers reach it.
    addr: str = ""


_ENCODER = msgspec.msgpack.Encoder()
_MEMBER = msgspec.msgpack.Decoder(RaftMember)


class Roster(Value, frozen=True):
    """The members behind the raft ids of a `Membership`, and the ids that never come back."""

    #: Sorted by raft id.
    members: tuple[RaftMember, ...] = ()
    #: Sorted.
    removed: tuple[RaftId, ...] = ()

    def get(self, raft_id: RaftId) -> RaftMember | None:
        """The member of that id."""
        return next((member for member in self.members if member.raft_id == raft_id), None)

    def of_node(self, node_id: NodeId) -> RaftMember | None:
        """The member that is that node now."""
        return next((member for member in self.members if member.node_id == node_id), None)

    def changed(self, change: ConfigChange) -> "Roster":
        """The roster after a committed change.

        Raises:
            StateError: The change carries no readable member.
        """
        others = [member for member in self.members if member.raft_id != change.raft_id]
        if change.kind is ChangeKind.REMOVE:
            return replace(self, members=tuple(others), removed=tuple(sorted({*self.removed, change.raft_id})))
        if not change.context:
            # A learner becomes a voter, or the other way round; who it is stays.
            return self
        try:
            member = _MEMBER.decode(change.context)
        except msgspec.DecodeError as error:
            raise StateError(f"the log changes member {change.raft_id} to what cannot be read: {error}") from error
        return replace(self, members=tuple(sorted((*others, member), key=lambda member: member.raft_id)))


def encode_member(member: RaftMember) -> bytes:
    """What a `ConfigChange` carries as its context."""
    return _ENCODER.encode(member)
