"""The local socket of a node: its own service at all times, those of a manager while it is one."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc

from swarmlab.api import Precondition, SwarmlabError
from swarmlab.edges.grpc import node
from swarmlab.edges.grpc.handlers import abort, service_handler
from swarmlab.edges.grpc.listener import Listener


class LocalServer(Listener):
    """Serves the socket at `path`, which only this user can reach.

    As a context: entered, it serves; left, streams are ended, requests in hand are answered, and the socket is gone.

    Args:
        path: Of the socket.
        process: Answers the node's own service.
        closed: Why there are no other services now.

    Raises on entering:
        StateError: The path is too long, or another server answers there.
    """

    def __init__(self, path: Path, process: node.NodeProcess, closed: Callable[[], SwarmlabError]) -> None:
        own = service_handler(node.SERVICE, node.methods(process))
        self._switch = _Switch(own, closed)
        super().__init__(path, (self._switch,))

    async def __aexit__(self, *failure: object) -> None:
        self.close()
        await super().__aexit__(*failure)

    def open(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Answer the services of a manager too, from now on."""
        self._switch.handlers = tuple(handlers)

    def close(self) -> None:
        """Answer the node's own service alone. Streams of the others are for whoever made them to stop."""
        self._switch.handlers = ()


class _Switch(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """The handlers of the moment; a call for which there is none is told why."""

    def __init__(self, own: grpc.GenericRpcHandler, closed: Callable[[], SwarmlabError]) -> None:
        self._own = own
        self._closed = closed
        self.handlers: Sequence[grpc.GenericRpcHandler] = ()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        for handler in (self._own, *self.handlers):
            found = handler.service(details)
            if found is not None:
                return found
        return None if self.handlers else grpc.unary_unary_rpc_method_handler(self._refuse)

    async def _refuse(self, _: bytes, context: Any) -> None:
        await abort(context, self._closed())


#: What is answered in place of a manager's services, in docker's words.
WORKER = Precondition(
    "this node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this "
    "command on a manager node or promote the current node to a manager"
)
INACTIVE = Precondition(
    "this node is not a swarm manager. Use 'swarmlab swarm init' or 'swarmlab swarm join' to connect this node to a "
    "swarm and try again"
)
LOCKED = Precondition(
    "swarm is encrypted and needs to be unlocked before it can be used. Please use 'swarmlab swarm unlock' to unlock it"
)
