"""Where engines find each other: a manager's gossip relay, for as long as there are engines."""

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import Self

from swarmlab.api import Change, ChangeKind, Node, StateError
from swarmlab.daemon.surroundings import Surroundings
from swarmlab.edges.gossip import GOSSIP_PORT, GossipRelay, engine_addresses, gossip_address
from swarmlab.store import Committed, Snapshot


class MeetingPoint:
    """Has a relay on the gossip port while the cluster has engines, and none of them is on this machine.

    An engine here has that port itself, and then others find it there. Until there is an engine nobody needs the port,
    so a machine without any keeps it free.

    As a context: entered, `look` opens and closes the relay; left, it is closed.

    Args:
        host: Address that the manager listens on.
        own: Address at which others reach the manager.
        view: The cluster as it is to begin with.
        around: Records and supervision of the process.
        port: Port of the relay; 0 for any.
    """

    def __init__(self, host: str, own: str, view: Snapshot, around: Surroundings, *, port: int = GOSSIP_PORT) -> None:
        self._host = host
        self._own = own
        self._engines = engine_addresses(view)
        self._around = around
        self._port = port
        #: The port while the relay listens.
        self.open_at: int | None = None
        self._changed = asyncio.Event()
        self._changed.set()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = self._around.group.create_task(self._run(), name="meeting point")
        return self

    async def __aexit__(self, *failure: object) -> None:
        assert self._task is not None, "the meeting point was not opened"
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    def look(self, committed: Committed) -> None:
        """Take a commit."""
        if any(_moves(change) for change in committed.changes):
            self._engines = engine_addresses(committed.view)
            self._changed.set()

    @property
    def _is_wanted(self) -> bool:
        return bool(self._engines) and self._own not in self._engines

    async def _run(self) -> None:
        while True:
            await self._until(wanted=True)
            async with AsyncExitStack() as stack:
                relay = GossipRelay(self._host, lambda: self._engines, port=self._port)
                try:
                    await stack.enter_async_context(relay)
                except StateError as error:
                    # Of another program, or of an engine that is not in this swarm; the next change tries again.
                    self._around.record("gossip", "relay-refused", {"error": str(error)})
                    continue
                self.open_at = relay.port
                stack.callback(self._closed)
                self._around.record("gossip", "relay-opened", {"port": relay.port, "engines": len(self._engines)})
                await self._until(wanted=False)

    def _closed(self) -> None:
        self.open_at = None
        self._around.record("gossip", "relay-closed", {"engines": len(self._engines)})

    async def _until(self, *, wanted: bool) -> None:
        """Wait for a change after which the relay is wanted, or is not."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._is_wanted == wanted:
                return


def _moves(change: Change) -> bool:
    """It makes an engine come, go, or be somewhere else."""
    if not isinstance(change.object, Node):
        return False
    if change.kind is ChangeKind.REMOVED:
        return gossip_address(change.object) != ""
    before = change.old if isinstance(change.old, Node) else None
    return gossip_address(change.object) != gossip_address(before)
