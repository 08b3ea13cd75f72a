"""Managers of one cluster over real TLS: the real front, gate, switchboard, control API and dispatcher."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from control_double import Laboratory, Plane

from swarmlab.api import (
    Availability,
    Changes,
    ClusterId,
    Create,
    Instant,
    Membership,
    Node,
    NodeId,
    NodeRole,
    NodeSpec,
    NotFound,
    NotLeader,
    Peer,
    WeightedPeer,
    seconds,
)
from swarmlab.ca import Identity
from swarmlab.component import (
    Assembly,
    CancelTimer,
    Disconnected,
    Propose,
    Proposed,
    Received,
    Record,
    Send,
    SetTimer,
    TimerFired,
)
from swarmlab.edges.driver import LiveClock, LoopTimers
from swarmlab.edges.grpc.attempts import Attempts
from swarmlab.edges.grpc.cluster_server import ClusterServer, Services
from swarmlab.edges.grpc.forwarding import Forwarder
from swarmlab.edges.grpc.gate import Gate
from swarmlab.edges.grpc.membership import Admitted, Member
from swarmlab.edges.grpc.switchboard import Switchboard
from swarmlab.edges.tls.credentials import Credentials
from swarmlab.edges.tls.founding import found
from swarmlab.edges.tls.front import TlsFront
from swarmlab.edges.tls.security import Security
from swarmlab.edges.tls.x509 import issue, make_request
from swarmlab.manager.dispatcher import Dispatcher
from swarmlab.node import found_cluster
from swarmlab.store import Committed, Led, Outcome

MANAGER, WORKER = NodeRole.MANAGER, NodeRole.WORKER


class World:
    """One cluster's state, which all its managers see at once, and the certificates of its nodes."""

    def __init__(self) -> None:
        self.clock = LiveClock()
        self.founding, self.founder = found(self.clock(), random.Random(5), hostname="m1")
        self.plane = Plane()
        changes, self.cluster_id = found_cluster(
            self.plane.view, random.Random(6), heartbeat=seconds(1), founding=self.founding
        )
        self.plane.commit(changes)
        self.blocked: set[NodeId] = set()
        #: The manager that leads.
        self.leader: Station | None = None

    def credentials(self, node_id: str, role: NodeRole = WORKER, cluster_id: str = "") -> Credentials:
        """A certificate of this cluster's root, whatever it says."""
        csr, key = make_request()
        now = self.clock()
        identity = Identity(NodeId(node_id), ClusterId(cluster_id) if cluster_id else self.cluster_id, role)
        certificate = issue(
            csr,
            identity,
            self.founding.root,
            not_before=Instant(now - seconds(3600)),
            not_after=Instant(now + seconds(3600)),
        )
        return Credentials(self.founding.root.ca_cert, certificate, key)

    def admit(self, *names: str) -> None:
        """Let those nodes register."""
        spec = NodeSpec(desired_role=WORKER, membership=Membership.ACCEPTED, availability=Availability.ACTIVE)
        self.plane.commit(Changes.atomic(*(Create(Node(id=NodeId(name), spec=spec)) for name in names)))


class Lines:
    """A log source that has none."""

    async def logs(self, *_: Any) -> AsyncIterator[Any]:
        raise NotFound("no lines here")
        yield


class Station:
    """One manager: dispatcher, switchboard, gate, server, front."""

    def __init__(self, world: World, name: str, folder: Path) -> None:
        self.world = world
        self.name = name
        self.security = Security(world.credentials(name, MANAGER))
        self.addr = ""
        #: (sender, message, call) of what came, and {class: what answers it}
        self.heard: list[tuple[str, Any, int]] = []
        self.answers: dict[type, Callable[[str, Any, int], None]] = {}
        self.gone: list[str] = []
        self.left: list[int] = []
        #: What is served of the Raft between managers; set before it starts.
        self.raft: grpc.GenericRpcHandler | None = None
        #: Set whenever something of the above happened.
        self.happened = asyncio.Event()
        self.board = Switchboard(self._receive, self._disconnected)
        self.forwarder = Forwarder(self, self.security.channel, lambda: self.addr)
        self._folder = folder
        self._stack = AsyncExitStack()
        self._timers = LoopTimers(world.clock, lambda _, timer: self._post(TimerFired(timer)))
        self._assembly = Assembly(
            [Dispatcher(random.Random(name), managers=self._managers, manager_id=name)],
            {
                Propose: self._propose,
                SetTimer: lambda source, effect: self._timers.set(source, effect.name, effect.at),
                CancelTimer: lambda source, effect: self._timers.cancel(source, effect.name),
                Send: lambda _, effect: self.board.send(effect.to, effect.message, effect.call),
                Record: lambda *_: None,
            },
            world.clock,
        )
        self._watch = world.plane.watch(None, self._committed)
        #: Every manager that workers are told of.
        self.managers: Sequence[Station] = (self,)

    # Membership and Leadership of the gate

    @property
    def cluster_id(self) -> ClusterId:
        return self.world.cluster_id

    @property
    def blocked(self) -> set[NodeId]:
        return self.world.blocked

    @property
    def leads(self) -> bool:
        return self.world.leader is self

    @property
    def leader_addr(self) -> str:
        leader = self.world.leader
        return "" if leader is None or leader is self else leader.addr

    # The group

    async def join(self, node_id: NodeId, addr: str) -> Admitted:
        return Admitted(7, (Member(1, NodeId("m1"), "10.0.0.1:2377"), Member(7, node_id, addr)), (3,))

    async def leave(self, raft_id: int) -> None:
        self.left.append(raft_id)

    def address_of(self, raft_id: int) -> str:
        if raft_id != 1:
            raise NotFound(f"member {raft_id} not found")
        return self.addr

    async def __aenter__(self) -> "Station":
        path = self._folder / f"{self.name}.sock"
        front = TlsFront("127.0.0.1", 0, path, self.security.server_context)
        services = Services(
            board=self.board,
            control_plane=self.world.plane,
            log_source=Lines(),
            lab=Laboratory(self.world.plane),
            group=self,
            parts={"": lambda: True, "Raft": lambda: self.world.leader is not None},
            more=(self.raft,) if self.raft is not None else (),
            attempts=Attempts(asyncio.get_running_loop().time, burst=5, per_second=0.001),
        )
        self.front = front
        self.server = ClusterServer(path, services, Gate(front.peer, self, self.forwarder))
        await self._stack.enter_async_context(self.server)
        await self._stack.enter_async_context(front)
        await self._stack.enter_async_context(self.forwarder)
        self.addr = f"127.0.0.1:{front.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._watch.cancel()
        self._timers.close()
        await self._stack.aclose()

    async def stop(self) -> None:
        """Go away as a process that ends does."""
        await self.__aexit__()

    def lead(self) -> None:
        self.world.leader = self
        self._post(Led(self.world.plane.view))

    def resign(self) -> None:
        self.world.leader = None
        self.board.end(NotLeader())

    async def until(self, fact: Callable[[], bool]) -> None:
        """Wait until that is so."""
        async with asyncio.timeout(20):
            while not fact():
                self.happened.clear()
                await self.happened.wait()

    def _managers(self) -> Sequence[WeightedPeer]:
        return tuple(WeightedPeer(Peer(NodeId(station.name), station.addr), 10) for station in self.managers)

    def _receive(self, sender: str, message: Any, call: int) -> None:
        self.heard.append((sender, message, call))
        self.happened.set()
        answer = self.answers.get(type(message))
        if answer is not None:
            answer(sender, message, call)
        else:
            self._post(Received(sender, message, call))

    def _disconnected(self, peer: str) -> None:
        self.gone.append(peer)
        self.happened.set()
        self._post(Disconnected(peer))

    def _post(self, event: Any) -> None:
        self._assembly.post("dispatcher", event)

    def _committed(self, event: Committed) -> None:
        self.happened.set()
        if self.leads:
            self._post(event)

    def _propose(self, _: str, effect: Any) -> None:
        def done(outcome: Outcome) -> None:
            self._post(Proposed(effect.tag, outcome.version, outcome.refused, outcome.error))

        self.world.plane.store.propose(effect.changes, done)


@asynccontextmanager
async def stations(folder: Path, *names: str) -> AsyncIterator[list[Station]]:
    """Managers of one cluster; the first one leads."""
    world = World()
    async with AsyncExitStack() as stack:
        made = [await stack.enter_async_context(Station(world, name, folder)) for name in names]
        for station in made:
            station.managers = made
        made[0].lead()
        yield made


async def call(
    channel: grpc.aio.Channel, method: str, request: bytes = b"", metadata: Sequence[tuple[str, str]] = ()
) -> bytes:
    """The answer to a call, or the first one of a stream, in bytes."""
    return await channel.unary_unary(method)(request, metadata=metadata, timeout=10)


async def code(awaitable: Any) -> tuple[grpc.StatusCode, str]:
    """Code and message with which a call ended; OK where it was answered."""
    try:
        await awaitable
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""
