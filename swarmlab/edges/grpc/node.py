"""The service of a node process: init, join, leave, unlock, and what it is at."""

from collections.abc import Mapping
from typing import Any, Protocol

from swarmlab.api import DaemonStatus, SwarmInitRequest, SwarmInitResponse, SwarmJoinRequest, SwarmJoinResponse
from swarmlab.api.proto import daemon_pb2
from swarmlab.api.wire import decode, encode, fill
from swarmlab.edges.grpc.handlers import Unary

SERVICE = daemon_pb2.DESCRIPTOR.services_by_name["Node"]


class NodeProcess(Protocol):
    """A node process, as its local socket sees it."""

    async def init(self, request: SwarmInitRequest) -> SwarmInitResponse:
        """Found a swarm. Raises `Precondition` where it belongs to one, `InvalidSpec` for odd addresses."""

    async def join(self, request: SwarmJoinRequest) -> SwarmJoinResponse:
        """Join a swarm. Raises `Precondition`, `InvalidSpec`, `StateError` where no manager answers."""

    async def leave(self, force: bool) -> None:
        """Leave the swarm. Raises `Precondition` where it belongs to none, or leads and `force` was not given."""

    async def unlock(self, key: str) -> None:
        """Go on with a locked start. Raises `Precondition` where nothing is locked, `InvalidSpec` for a wrong key."""

    def status(self) -> DaemonStatus:
        """What it is at."""


def methods(process: NodeProcess) -> Mapping[str, Unary]:
    """{method: how it is answered}."""

    async def init(request: Any) -> Any:
        return encode(await process.init(decode(SwarmInitRequest, request)))

    async def join(request: Any) -> Any:
        return encode(await process.join(decode(SwarmJoinRequest, request)))

    async def leave(request: Any) -> Any:
        await process.leave(request.force)
        return daemon_pb2.SwarmLeaveResponse()

    async def unlock(request: Any) -> Any:
        await process.unlock(request.key)
        return daemon_pb2.SwarmUnlockResponse()

    async def status(_: Any) -> Any:
        response = daemon_pb2.DaemonStatusResponse()
        fill(response.status, process.status())
        return response

    return {"Init": init, "Join": join, "Leave": leave, "Unlock": unlock, "Status": status}
