"""A manager as requests see it: its view, its group, and changes that wait for their commit."""

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeVar, cast

from swarmlab.api import ManagerStatus, NodeId
from swarmlab.edges.grpc.ports import Request
from swarmlab.node import Manager, Replica
from swarmlab.store import Committed, Snapshot, Watch

T = TypeVar("T")


async def committed(manager: Manager, request: Request[T]) -> T:
    """The answer to `request` once it is final. Raises what the request and the store do."""
    ended: asyncio.Future[T | None] = asyncio.get_running_loop().create_future()

    def done(answer: T | None, error: Exception | None) -> None:
        if ended.done():
            return
        if error is not None:
            ended.set_exception(error)
        else:
            ended.set_result(answer)

    manager.mutate(request, done)
    return cast(T, await ended)


class Plane:
    """The `ControlPlane` of one manager of a group."""

    def __init__(self, manager: Manager, replica: Replica) -> None:
        self._manager = manager
        self._replica = replica

    @property
    def view(self) -> Snapshot:
        """The committed state, as far as this manager knows it."""
        return self._manager.view

    def managers(self) -> Mapping[NodeId, ManagerStatus]:
        """{node: its place in the group}."""
        return self._replica.managers()

    async def mutate(self, request: Request[T]) -> T:
        """Commit what `request` asks for, and its answer once it is final. Raises what the request and the store do."""
        return await committed(self._manager, request)

    def watch(self, since: int | None, deliver: Callable[[Committed], None]) -> Watch:
        """Hear every commit after `since`, or from now on."""
        return self._manager.store.watch(since, deliver)
