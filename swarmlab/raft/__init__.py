"""Consensus as a machine.

Duty: one log, the same on every manager: elections, replication, commit, membership, linearizable reads.
Takes: ticks, messages, proposals, and the word that something is durable.
Gives: `Ready`: what to write, what to send, what is committed, in the order in which it is safe.
Never: reads a clock, writes, sends, or knows what the entries mean.
"""

from swarmlab.raft.codec import decode_change, decode_message, encode_change, encode_message
from swarmlab.raft.config import RaftConfig
from swarmlab.raft.membership import changed, check_change, founded
from swarmlab.raft.messages import (
    NOBODY,
    ChangeKind,
    ConfigChange,
    EntryKind,
    HardState,
    LogEntry,
    Membership,
    Message,
    MessageKind,
    RaftId,
    ReadReady,
    Ready,
    Role,
    SnapshotMeta,
    Stored,
)
from swarmlab.raft.progress import Progress, ReplicationState
from swarmlab.raft.raft import Raft

__all__ = [
    "NOBODY",
    "ChangeKind",
    "ConfigChange",
    "EntryKind",
    "HardState",
    "LogEntry",
    "Membership",
    "Message",
    "MessageKind",
    "Progress",
    "Raft",
    "RaftConfig",
    "RaftId",
    "ReadReady",
    "Ready",
    "ReplicationState",
    "Role",
    "SnapshotMeta",
    "Stored",
    "changed",
    "check_change",
    "decode_change",
    "decode_message",
    "encode_change",
    "encode_message",
    "founded",
]
