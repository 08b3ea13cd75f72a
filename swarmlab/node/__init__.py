"""Builds a manager or a worker from parts and ports.

Duty: which parts make up a machine, in which order they hear of commits, and how requests enter.
Takes: a configuration, a plugin host, and ports: clock, timers, wire, proposer, records, executor.
Gives: `Manager` and `Worker`, the same for a live cluster and for a simulated one.
Never: knows an edge by name.
"""

from swarmlab.node.bootstrap import Founding, admit_worker, found_cluster
from swarmlab.node.manager import Manager, ManagerConfig
from swarmlab.node.ports import AuthorityPorts, Ports, Timers
from swarmlab.node.worker import Worker, WorkerConfig, WorkerPorts

__all__ = [
    "AuthorityPorts",
    "Founding",
    "Manager",
    "ManagerConfig",
    "Ports",
    "Timers",
    "Worker",
    "WorkerConfig",
    "WorkerPorts",
    "admit_worker",
    "found_cluster",
]
