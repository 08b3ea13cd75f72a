"""What outlives the process.

Duty: the manager's log and snapshots, alone or replicated, its keys, and a worker's accepted tasks, each in one file of
one process.
Takes: entries of the store or of consensus, tasks and their states, a directory.
Gives: `DiskProposer`, which commits what is on the disk; `RaftLog`, `KeyFile`; `WorkerState`; `StateError` in words a
user can act on.
Never: acknowledges what a kill could lose, or shares a directory with another process.
"""

from swarmlab.edges.disk.directory import Claim, make_directory, replace_file
from swarmlab.edges.disk.keys import KeyFile
from swarmlab.edges.disk.proposer import DiskProposer
from swarmlab.edges.disk.raftlog import RaftLog
from swarmlab.edges.disk.seal import PLAIN, AesGcm, Plain, Seal
from swarmlab.edges.disk.worker import WorkerState

__all__ = [
    "PLAIN",
    "AesGcm",
    "Claim",
    "DiskProposer",
    "KeyFile",
    "Plain",
    "RaftLog",
    "Seal",
    "WorkerState",
    "make_directory",
    "replace_file",
]
