"""gRPC: the control service and the laboratory's own on a unix socket, a client for both, and consensus' wire.

Duty: bytes to requests, requests to the control plane, errors to status codes and back.
Takes: a `ControlPlane`, a `LogSource`, a `Lab`.
Gives: `ControlServer`, `Client`, `TaskLogs`, `RaftTransport`.
Never: decides anything; keeps nothing between two calls.

The names are imported when they are asked for: who only wants a client should not wait for the server's imports.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swarmlab.edges.grpc.client import Client
    from swarmlab.edges.grpc.ports import ControlPlane, Lab, LogSource
    from swarmlab.edges.grpc.raft_transport import RaftTransport
    from swarmlab.edges.grpc.server import ControlServer
    from swarmlab.edges.grpc.task_logs import TaskLogs

_HOMES = {
    "Client": "client",
    "ControlPlane": "ports",
    "ControlServer": "server",
    "Lab": "ports",
    "LogSource": "ports",
    "RaftTransport": "raft_transport",
    "TaskLogs": "task_logs",
}

__all__ = ["Client", "ControlPlane", "ControlServer", "Lab", "LogSource", "RaftTransport", "TaskLogs"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
