"""The words of consensus: log entries, members, messages, and what a machine wants done."""

from enum import IntEnum
from typing import NewType

from swarmlab.api.value import Value

#: A member's number in the log, never 0 and never used again once it was removed.
RaftId = NewType("RaftId", int)
#: No member: nobody was voted for, no leader is known.
NOBODY = RaftId(0)


class EntryKind(IntEnum):
    """What an entry carries."""

    #: Data of the proposer; empty for the first entry of a leader's term.
    NORMAL = 0
    #: An encoded `ConfigChange`.
    CONFIG = 1


class LogEntry(Value, frozen=True):
    """One place of the replicated log."""

    index: int
    term: int
    kind: EntryKind = EntryKind.NORMAL
    data: bytes = b""


class HardState(Value, frozen=True):
    """What a member must never forget (paper, figure 2), and how far it knows the log to be committed."""

    term: int = 0
    vote: RaftId = NOBODY
    commit: int = 0


class Membership(Value, frozen=True):
    """Who counts. Sorted tuples; nobody is both voter and learner."""

    voters: tuple[RaftId, ...] = ()
    #: Follow the log, have no vote.
    learners: tuple[RaftId, ...] = ()


class ChangeKind(IntEnum):
    """How the membership changes."""

    ADD_VOTER = 0
    ADD_LEARNER = 1
    REMOVE = 2
    #: The address changes, the membership does not.
    UPDATE = 3


class ConfigChange(Value, frozen=True):
    """One change of the membership. `context` is for whoever applies it: the node id and the address of the member."""

    kind: ChangeKind
    raft_id: RaftId
    context: bytes = b""


class SnapshotMeta(Value, frozen=True):
    """What a snapshot stands for: the whole log up to `index`, and the membership there. The data is kept elsewhere."""

    index: int = 0
    term: int = 0
    members: Membership = Membership()


class MessageKind(IntEnum):
    """What a message says. Numbers are those of our wire and only grow."""

    PRE_VOTE = 1
    PRE_VOTE_ANSWER = 2
    VOTE = 3
    VOTE_ANSWER = 4
    APPEND = 5
    APPEND_ANSWER = 6
    HEARTBEAT = 7
    HEARTBEAT_ANSWER = 8
    #: A snapshot; whoever carries messages streams the data beside it, in pieces.
    SNAPSHOT = 9
    #: Start an election now, without waiting: the leader hands over.
    TIMEOUT_NOW = 10
    #: From a follower: confirm the leadership, and tell the commit index, for a read.
    READ_INDEX = 11
    READ_INDEX_ANSWER = 12


class Message(Value, frozen=True, kw_only=True):
    """One message between two members. Fields that a kind does not use have their default."""

    kind: MessageKind
    to: RaftId
    sender: RaftId
    term: int
    #: APPEND: place just before `entries`; votes: last place of the candidate's log.
    index: int = 0
    log_term: int = 0
    entries: tuple[LogEntry, ...] = ()
    commit: int = 0
    reject: bool = False
    #: APPEND_ANSWER that rejects: where to look next, with the term there (conflict hint).
    hint: int = 0
    hint_term: int = 0
    #: HEARTBEAT and READ_INDEX: the read that it is for. VOTE: b"transfer" when the leader asked for the election.
    context: bytes = b""
    snapshot: SnapshotMeta | None = None


class Role(IntEnum):
    """What a member is in its term."""

    FOLLOWER = 0
    PRE_CANDIDATE = 1
    CANDIDATE = 2
    LEADER = 3


class ReadReady(Value, frozen=True):
    """A read asked for under `context` sees all that was committed before it, once `index` is applied."""

    context: bytes
    index: int


class Stored(Value, frozen=True):
    """What a member finds on its disk at its start. Entries follow `snapshot.index` without a gap."""

    hard_state: HardState = HardState()
    snapshot: SnapshotMeta = SnapshotMeta()
    entries: tuple[LogEntry, ...] = ()


class Ready(Value, frozen=True, kw_only=True):
    """All that a machine wants done, in the order in which it is safe.

    1. `eager` may be sent at once, while the disk is still written: what a leader says (thesis, section 10.2.1).
    2. `snapshot`, then `hard_state` and `entries`, are made durable together; `entries` replace whatever the log has
       from the first one's index on.
    3. Then `messages` may be sent, `reads` noted and `committed` applied in order, and `advance(ready)` called.

    With no snapshot, hard state and entries there is nothing to write. One at a time: the next is asked for after
    `advance`.
    """

    #: None: nothing that has to be remembered changed. The commit index alone is written with the next entries.
    hard_state: HardState | None = None
    entries: tuple[LogEntry, ...] = ()
    #: A snapshot that takes the place of log and state; its data came beside the message.
    snapshot: SnapshotMeta | None = None
    committed: tuple[LogEntry, ...] = ()
    eager: tuple[Message, ...] = ()
    messages: tuple[Message, ...] = ()
    reads: tuple[ReadReady, ...] = ()
    leader: RaftId = NOBODY
    role: Role = Role.FOLLOWER
    term: int = 0
