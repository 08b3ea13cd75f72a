"""The worker of a node: its life, and its line to the managers."""

import asyncio
import random
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from msgspec.structs import replace

from swarmlab.agent.exec import Configure
from swarmlab.api import RAFT_PLUGIN, EngineDescription, Forbidden, NodeDescription, Peer, WeightedPeer
from swarmlab.daemon.executors import ExecutorKind
from swarmlab.daemon.surroundings import Surroundings
from swarmlab.daemon.worker_life import STOP_SECONDS, WorkerLife, World
from swarmlab.edges.grpc.remotes import Remotes
from swarmlab.edges.grpc.worker_link import WorkerLink
from swarmlab.edges.nodefacts import NodeFacts
from swarmlab.edges.tls.security import Security

#: SwarmKit's weight of a manager of which nothing else is known.
WEIGHT = 10
#: What managers, ours and stock ones, say to a node that was removed.
_REMOVED = "removed"


class WorkerPart:
    """Runs tasks for the managers, whichever of them answers; roles of the node do not concern it.

    As a context: entered, what an earlier life left is adopted and the agent seeks its session; left, the machine and
    the disk are let go of, and tasks go on where their runtime outlives this process.

    Args:
        facts: Who the node is.
        folder: Its directory.
        kind: What runs its tasks.
        around: Clock, records and supervision of the process.
        security: The node's certificate, as it is at any time.
        remotes: The managers that are known to begin with.
        keep: Told of every other list of managers.
        told: Hears what the managers say of this node.
        removed: Called when the managers say that they do not know this node any more.
    """

    def __init__(
        self,
        facts: NodeFacts,
        folder: Path,
        kind: ExecutorKind,
        around: Surroundings,
        *,
        security: Security,
        remotes: Iterable[Peer],
        keep: Callable[[tuple[WeightedPeer, ...]], None],
        told: Callable[[Configure], None],
        removed: Callable[[], None],
    ) -> None:
        self._facts = facts
        self._folder = folder
        self._kind = kind
        self._around = around
        self._security = security
        self._told = told
        self._removed = removed
        self._remotes = Remotes(random.SystemRandom(), (WeightedPeer(peer, WEIGHT) for peer in remotes), keep)
        self._life: WorkerLife | None = None
        self._link: WorkerLink | None = None
        self._stack = AsyncExitStack()
        self._looking: asyncio.Task[bool] | None = None

    @property
    def managers(self) -> tuple[Peer, ...]:
        """The managers that are known, sorted by address."""
        return tuple(weighted.peer for weighted in self._remotes.peers if weighted.peer is not None)

    async def __aenter__(self) -> Self:
        around = self._around
        async with AsyncExitStack() as stack:
            world = World(
                seed=around.seed,
                clock=around.clock,
                send=self._send,
                record=around.record,
                group=around.group,
                alarm=around.alarm,
                told=self._told,
                completed=self._completed,
            )
            life = self._life = WorkerLife(self._facts, self._folder, self._kind, world)
            stack.push_async_callback(life.close)
            stack.push_async_callback(self._look_no_more)
            self._link = await stack.enter_async_context(
                WorkerLink(
                    self._remotes,
                    self._security.channel,
                    around.alarm.guard(self._receive),
                    around.alarm.guard(life.disconnected),
                    life,
                    around.alarm.guard(self._look),
                )
            )
            await life.begun
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._stack.aclose()

    async def leave(self) -> None:
        """Stop and remove all tasks; those that do not stop in time are killed."""
        assert self._life is not None, "the worker was not started"
        if not await self._life.leave():
            self._around.record("agent", "stop-timed-out", {"node": self._facts.node_id, "seconds": STOP_SECONDS})
        await self._life.machine.kill_all()

    async def kill(self) -> None:
        """End as a loss of power does: the agent says nothing more, and the tasks are gone."""
        assert self._life is not None, "the worker was not started"
        self._life.silence()
        await self._life.machine.kill_all()

    def describe(self) -> None:
        """Tell the managers of a new certificate."""
        if self._life is not None:
            self._life.describe()

    def _send(self, message: Any, call: int) -> None:
        # The agent may speak while the line is being closed, behind it.
        if self._link is not None:
            self._link.send(message, call)

    def _look(self, peer: Peer) -> None:
        """A manager is not reached: it may be a stock one, which takes another way."""
        if self._looking is None or self._looking.done():
            look = self._security.look(peer.addr, self._around.clock())
            self._looking = self._around.group.create_task(look, name=f"look at {peer.addr}")

    async def _look_no_more(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])

    def _receive(self, message: Any, call: int) -> None:
        assert self._life is not None, "the worker was not started"
        if isinstance(message, Forbidden) and _REMOVED in str(message):
            self._removed()
        self._life.receive(message, call)

    def _completed(self, description: NodeDescription) -> NodeDescription:
        engine = description.engine or EngineDescription()
        plugins = (*(one for one in engine.plugins if one != RAFT_PLUGIN), RAFT_PLUGIN)
        return replace(
            description,
            engine=replace(engine, plugins=tuple(sorted(plugins, key=lambda one: (one.type, one.name)))),
            tls_info=self._security.credentials.tls_info(),
        )
