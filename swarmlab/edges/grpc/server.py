"""The control server: every service on one unix socket."""

from collections.abc import Sequence
from pathlib import Path

import grpc

from swarmlab.edges.grpc import control, health, lab, logs, watch
from swarmlab.edges.grpc.gate import Gate
from swarmlab.edges.grpc.handlers import service_handler
from swarmlab.edges.grpc.listener import Listener
from swarmlab.edges.grpc.ports import ControlPlane, Lab, LogSource


class ControlServer(Listener):
    """Control, Watch, Logs, Health and Lab on a socket that only this user can reach.

    As a context: entered, it serves; left, streams are ended, requests in hand are answered, and the socket is gone.

    It speaks plain HTTP/2. Stock `swarmctl` wants TLS even here, though it verifies nothing: a front that listens on a
    path of its own and hands its connections on to this socket gives it that.

    Args:
        path: Of the socket; its directory is made if it is missing.
        control_plane: What requests are answered from.
        log_source: Where the lines of tasks come from.
        laboratory: What surrounds the cluster.
        gate: Passes on to the leader what another manager has to answer; None: there is no other manager.
        more: Further services, of other rooms.

    Raises on entering:
        StateError: The path is too long, the directory can be written by others, or another server answers there.
    """

    def __init__(
        self,
        path: Path,
        control_plane: ControlPlane,
        log_source: LogSource,
        laboratory: Lab,
        *,
        gate: Gate | None = None,
        more: Sequence[grpc.GenericRpcHandler] = (),
    ) -> None:
        handlers = (
            service_handler(control.SERVICE, control.methods(control_plane)),
            service_handler(watch.SERVICE, {}, watch.streams(control_plane)),
            service_handler(logs.SERVICE, {}, logs.streams(log_source)),
            service_handler(health.SERVICE, health.methods()),
            service_handler(lab.SERVICE, lab.methods(control_plane, laboratory), lab.streams(laboratory)),
        )
        gated = handlers if gate is None else tuple(gate.before(handler) for handler in handlers)
        super().__init__(path, (*gated, *more))
