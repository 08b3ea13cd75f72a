"""Builds a manager or a worker from parts and ports.

Duty: which parts make up a machine, in which order they hear of commits, and how requests enter; a manager's part in
consensus.
Takes: a configuration, a plugin host, and ports: clock, timers, wire, proposer, records, executor.
Gives: `Manager`, `Replica` and `Worker`, the same for a live cluster and for a simulated one.
Never: knows an edge by name.
"""

from swarmlab.node.bootstrap import Founding, admit_worker, found_cluster
from swarmlab.node.consensus import RaftDisk, RaftWire, Write
from swarmlab.node.image import Image, Recovered, alone, assembled, founding, joining
from swarmlab.node.manager import Manager, ManagerConfig
from swarmlab.node.members import RaftMember, Roster
from swarmlab.node.ports import AuthorityPorts, MembershipPorts, Neighbours, Ports, Timers
from swarmlab.node.replica import Replica
from swarmlab.node.status import Joined, ReplicaConfig, Status
from swarmlab.node.worker import Worker, WorkerConfig, WorkerPorts

__all__ = [
    "AuthorityPorts",
    "Founding",
    "Image",
    "Joined",
    "Manager",
    "ManagerConfig",
    "MembershipPorts",
    "Neighbours",
    "Ports",
    "RaftDisk",
    "RaftMember",
    "RaftWire",
    "Recovered",
    "Replica",
    "ReplicaConfig",
    "Roster",
    "Status",
    "Timers",
    "Worker",
    "WorkerConfig",
    "WorkerPorts",
    "Write",
    "admit_worker",
    "alone",
    "assembled",
    "found_cluster",
    "founding",
    "joining",
]
