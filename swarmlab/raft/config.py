"""What is set for one member of a log."""

from swarmlab.api.errors import InvalidSpec
from swarmlab.api.value import Value
from swarmlab.raft.messages import RaftId


class RaftConfig(Value, frozen=True, kw_only=True):
    """Settings of one member. Ticks are whatever the driver makes of them; SwarmKit's tick is a second.

    Raises:
        InvalidSpec: A number is out of its range.
    """

    raft_id: RaftId
    #: A follower that hears nothing for this long, and up to twice as long by chance, asks for votes.
    election_ticks: int = 10
    heartbeat_ticks: int = 1
    #: Bytes of entries in one message; a larger entry goes alone.
    max_entries_bytes: int = 256 * 1024
    #: Messages with entries on their way to one follower without an answer.
    max_inflight: int = 256
    #: Bytes of entries on their way to one follower without an answer; one message may go over it.
    max_inflight_bytes: int = 16 * 1024 * 1024
    #: Bytes of entries that a leader holds before they are committed; over it, proposals are dropped.
    max_uncommitted_bytes: int = 64 * 1024 * 1024
    #: Ask whether an election could be won before the term is raised (thesis, section 9.6).
    pre_vote: bool = True
    #: A leader that hears no quorum steps down (thesis, 6.2); who hears a leader ignores who asks for votes (4.2.3).
    check_quorum: bool = True
    #: Entries that stay in memory behind a snapshot, so that a slow follower needs no snapshot.
    slow_entries: int = 500

    def __post_init__(self) -> None:
        if self.raft_id <= 0:
            raise InvalidSpec(f"raft_id is {self.raft_id}, want 1 or more")
        if not 1 <= self.heartbeat_ticks < self.election_ticks:
            raise InvalidSpec(
                f"heartbeat_ticks is {self.heartbeat_ticks} and election_ticks {self.election_ticks},"
                " want 1 or more and the first below the second"
            )
        for name, least in (
            ("max_entries_bytes", 1),
            ("max_inflight", 1),
            ("max_inflight_bytes", 1),
            ("max_uncommitted_bytes", 1),
            ("slow_entries", 0),
        ):
            if getattr(self, name) < least:
                raise InvalidSpec(f"{name} is {getattr(self, name)}, want {least} or more")
