"""What outlives the process.

Duty: the manager's log and snapshots, and a worker's accepted tasks, each in one SQLite file of one process.
Takes: entries of the store, tasks and their states, a directory.
Gives: `DiskProposer`, which commits what is on the disk; `WorkerState`; `StateError` in words a user can act on.
Never: acknowledges what a kill could lose, or shares a directory with another process.
"""

from swarmlab.edges.disk.directory import Claim, make_directory
from swarmlab.edges.disk.proposer import DiskProposer
from swarmlab.edges.disk.seal import PLAIN, Plain, Seal
from swarmlab.edges.disk.worker import WorkerState

__all__ = ["PLAIN", "Claim", "DiskProposer", "Plain", "Seal", "WorkerState", "make_directory"]
