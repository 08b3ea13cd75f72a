"""What a replica is told at its start, and how it looks from outside."""

from swarmlab.api import Value
from swarmlab.node.members import RaftMember, Roster
from swarmlab.raft import Role


class ReplicaConfig(Value, frozen=True, kw_only=True):
    """Times, in ticks, and sizes of a replica."""

    election_ticks: int = 10
    heartbeat_ticks: int = 1
    #: Entries between two snapshots; 0: as the cluster says.
    snapshot_every: int = 0
    #: Entries kept behind a snapshot for slow followers.
    slow_entries: int = 500
    #: How long a leader waits for its disk, or for a proposal to be committed, before it gives up the leadership.
    wedge_ticks: int = 30


class Status(Value, frozen=True, kw_only=True):
    """A replica at a glance."""

    member: RaftMember
    role: Role
    term: int
    #: None while nobody is known to lead.
    leader: RaftMember | None
    #: It leads and takes proposals.
    leads: bool
    commit: int
    applied: int
    log_size: int
    #: Why it takes part no more; empty while it does.
    failure: str = ""
    #: It learnt that it is no member any more.
    removed: bool = False


class Joined(Value, frozen=True):
    """What a new member is told: who it is, and who the others are."""

    member: RaftMember
    roster: Roster
