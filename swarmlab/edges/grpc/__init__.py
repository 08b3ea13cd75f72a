"""gRPC: the control service and the laboratory's own on a local socket, the cluster's services on the public port.

Duty: bytes to requests, requests to the control plane and to the parts of a manager, errors to status codes and back;
who may call what, and on to the leader with what is his; a worker's line to the managers; the wire of consensus.
Takes: a `ControlPlane`, a `LogSource`, a `Lab`; the messages of a manager's parts and of an agent; who is at the other
end of a connection.
Gives: `ControlServer`, `ClusterServer`, `Switchboard`, `Gate`, `Forwarder`, `Client`, `WorkerLink`, `TaskLogs`,
`RaftTransport`.
Never: decides anything but who may call; keeps nothing between two calls but whose session is the newest.

The names are imported when they are asked for: who only wants a client should not wait for the server's imports.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swarmlab.edges.grpc.client import Client
    from swarmlab.edges.grpc.cluster_server import ClusterServer
    from swarmlab.edges.grpc.forwarding import Forwarder
    from swarmlab.edges.grpc.gate import Gate
    from swarmlab.edges.grpc.ports import ControlPlane, Lab, LogSource
    from swarmlab.edges.grpc.raft_transport import RaftTransport
    from swarmlab.edges.grpc.server import ControlServer
    from swarmlab.edges.grpc.switchboard import Switchboard
    from swarmlab.edges.grpc.task_logs import TaskLogs
    from swarmlab.edges.grpc.worker_link import WorkerLink

_HOMES = {
    "Client": "client",
    "ClusterServer": "cluster_server",
    "ControlPlane": "ports",
    "ControlServer": "server",
    "Forwarder": "forwarding",
    "Gate": "gate",
    "Lab": "ports",
    "LogSource": "ports",
    "RaftTransport": "raft_transport",
    "Switchboard": "switchboard",
    "TaskLogs": "task_logs",
    "WorkerLink": "worker_link",
}

__all__ = [
    "Client",
    "ClusterServer",
    "ControlPlane",
    "ControlServer",
    "Forwarder",
    "Gate",
    "Lab",
    "LogSource",
    "RaftTransport",
    "Switchboard",
    "TaskLogs",
    "WorkerLink",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
