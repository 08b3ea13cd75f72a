"""The manager of a node: its log, its place in the group, its servers."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Self

import grpc

from swarmlab.api import (
    UNLOCK_SUBSYSTEM,
    ChangeKind,
    Cluster,
    Node,
    NotLeader,
    StateError,
)
from swarmlab.daemon.cluster_view import Belonging, Lead, ManagersGroup
from swarmlab.daemon.config import Address, DaemonConfig
from swarmlab.daemon.laboratory import Keeper, Laboratory
from swarmlab.daemon.local import LocalServer
from swarmlab.daemon.meeting_point import MeetingPoint
from swarmlab.daemon.plane import Plane
from swarmlab.daemon.state import StateDirectory
from swarmlab.daemon.story import Story
from swarmlab.daemon.surroundings import Surroundings
from swarmlab.edges.disk import KeyFile, RaftLog, make_directory
from swarmlab.edges.driver import LoopTimers
from swarmlab.edges.grpc import authority, control, health, lab, logs, watch
from swarmlab.edges.grpc.attempts import Attempts
from swarmlab.edges.grpc.cluster_server import ClusterServer, Services
from swarmlab.edges.grpc.forwarding import Forwarder
from swarmlab.edges.grpc.gate import Gate, calling_node, local_peer
from swarmlab.edges.grpc.handlers import Streams, service_handler
from swarmlab.edges.grpc.raft_transport import RaftTransport
from swarmlab.edges.grpc.switchboard import Switchboard
from swarmlab.edges.tls.front import TlsFront
from swarmlab.edges.tls.local_front import LocalTlsFront
from swarmlab.edges.tls.security import Security
from swarmlab.edges.tls.signer import root_made, signed
from swarmlab.manager.dispatcher import ManagersChanged
from swarmlab.node import (
    AuthorityPorts,
    Manager,
    ManagerConfig,
    MembershipPorts,
    Neighbours,
    Ports,
    Recovered,
    Replica,
    ReplicaConfig,
    Status,
)
from swarmlab.plugin import Host
from swarmlab.store import Committed

#: How long a manager that stops waits for another one to take the lead.
HAND_OVER_SECONDS = 3.0
#: The keys of the log, in the manager's directory.
KEYS = "keys.json"
#: The local socket once more, in TLS, beside the plain one: for stock `swarmctl`.
SWARMCTL = "swarmctl.sock"


class Place(NamedTuple):
    """Where a manager is, and what it shares with the rest of its node."""

    config: DaemonConfig
    state: StateDirectory
    security: Security
    host: Host
    story: Story
    local: LocalServer
    #: Of several nodes in this process; None: it runs this one alone.
    keeper: Keeper | None
    listen: Address
    advertise: Address
    #: Opens what is locked; None where nothing is.
    unlock_key: bytes | None
    #: Called with the unlock key of the cluster, or None, whenever it is another one.
    locked_with: Callable[[bytes | None], None]
    #: Called when the others have removed this manager from their group.
    expelled: Callable[[], None]


class ManagerPart:
    """One manager of the group, from a start to a stop.

    As a context: entered, it takes part in consensus, listens on its port and answers on the local socket; left, it has
    handed over the lead if it had it, ended its calls and let go of port and disk.

    Args:
        place: Where it is.
        around: Clock, records and supervision of the process.
        begin: What it begins with, in place of all that is on the disk; None: with what is there.

    Raises on entering:
        Locked: The log is sealed, and the unlock key is missing or another one.
        StateError: The disk or the port cannot be used, or there is no log to go on with.
    """

    def __init__(self, place: Place, around: Surroundings, begin: Recovered | None = None) -> None:
        self._place = place
        self._around = around
        self._begin = begin
        self._stack = AsyncExitStack()
        self._replica: Replica | None = None
        self._manager: Manager | None = None
        self._plane: Plane | None = None
        self._front: TlsFront | None = None
        self._forwarder: Forwarder | None = None
        self._transport: RaftTransport | None = None
        self._keys: KeyFile | None = None
        self._log: RaftLog | None = None
        self._status: Status | None = None
        self._cluster: Cluster | None = None
        self._changed = asyncio.Event()
        self._engines: MeetingPoint | None = None

    @property
    def manager(self) -> Manager:
        """The deciding half."""
        assert self._manager is not None, "the manager was not started"
        return self._manager

    @property
    def plane(self) -> Plane:
        """The manager as requests see it."""
        assert self._plane is not None, "the manager was not started"
        return self._plane

    @property
    def replica(self) -> Replica:
        """Its part in consensus."""
        assert self._replica is not None, "the manager was not started"
        return self._replica

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._stack.aclose()

    async def kill(self) -> None:
        """Say nothing more to anybody, as after a loss of power; the context is left after that."""
        self.replica.close()
        if self._front is not None:
            await self._front.__aexit__()

    @property
    def failure(self) -> str:
        """Why it takes part no more until its process starts anew; empty while it does."""
        return self.replica.status().failure

    async def until(self, holds: Callable[[Status], bool]) -> None:
        """Wait for a state of its part in consensus."""
        while not holds(self.replica.status()):
            self._changed.clear()
            await self._changed.wait()

    def renewed(self) -> None:
        """The node has another certificate: connections that this manager made take it."""
        if self._forwarder is not None:
            self._forwarder.renew()
        if self._transport is not None:
            self._transport.renew()

    # The start

    async def _start(self, stack: AsyncExitStack) -> None:
        place, around = self._place, self._around
        loop = asyncio.get_running_loop()
        log = self._open_log(stack)
        recovered = log.recovered
        assert recovered is not None, "a log that was opened has a member"
        streams = Streams()
        board = Switchboard(
            lambda sender, message, call: self.manager.receive(sender, message, call),
            lambda peer: self.manager.disconnected(peer),
        )
        transport = await stack.enter_async_context(RaftTransport(place.security.channel, calling_node))
        self._transport = transport
        config = place.config
        replica = self._replica = Replica(
            ReplicaConfig(election_ticks=config.election_ticks, heartbeat_ticks=config.heartbeat_ticks),
            recovered,
            random.SystemRandom(),
            log,
            transport,
            lambda event, fields: around.record("raft", event, fields),
            lambda action: loop.call_soon(around.alarm.guard(action)),
        )
        transport.attach(replica)
        stack.callback(replica.close)
        group = ManagersGroup(replica, place.security.channel)
        manager = self._manager = self._made_manager(stack, replica, board, group)
        belonging = Belonging(place.security.cluster_id, manager, around.clock)
        lead = Lead(replica)
        inside = self._inside(stack)
        front = self._front = TlsFront(place.listen.host, place.listen.port, inside, place.security.server_context)
        election = 2 * config.election_ticks * config.tick_ms / 1000
        forwarder = self._forwarder = Forwarder(
            lead, place.security.channel, lambda: place.advertise.text, election_seconds=election
        )
        plane = self._plane = Plane(manager, replica)
        services = Services(
            board=board,
            control_plane=plane,
            log_source=board,
            lab=Laboratory(manager, place.host, place.story, str(place.state.path), place.keeper),
            group=group,
            parts={"": lambda: True, health.RAFT: self._takes_part},
            attempts=Attempts(time.monotonic),
            more=(transport.handler(),),
        )
        await stack.enter_async_context(front)
        server = ClusterServer(inside, services, Gate(front.peer, belonging, forwarder))
        await stack.enter_async_context(server)
        stack.callback(front.stop_listening)
        await stack.enter_async_context(forwarder)
        stack.callback(streams.stop)
        gate = Gate(local_peer, belonging, forwarder)
        # The local socket outlives this manager, whose streams there end with it.
        place.local.open([streams.over(gate.before(handler)) for handler in _local_handlers(services)])
        stack.callback(place.local.close)
        socket = place.state.socket
        await stack.enter_async_context(
            LocalTlsFront(socket.with_name(SWARMCTL), socket, place.security.server_context)
        )
        self._engines = MeetingPoint(place.listen.host, place.advertise.host, manager.view, around)
        await stack.enter_async_context(self._engines)
        self._begin_to_act(stack, board)

    def _open_log(self, stack: AsyncExitStack) -> RaftLog:
        place, around = self._place, self._around
        loop = asyncio.get_running_loop()
        self._keys = _key_file(place.state, place.unlock_key)
        log = self._log = RaftLog(
            place.state.manager,
            lambda answer: loop.call_soon_threadsafe(around.alarm.guard(answer)),
            seal=self._keys,
        )
        stack.callback(log.close)
        if self._begin is not None:
            log.begin(self._begin)
        if log.recovered is None:
            raise StateError(f"{place.state.manager} holds no log; leave the swarm, and join it again")
        return log

    def _made_manager(
        self, stack: AsyncExitStack, replica: Replica, board: Switchboard, group: ManagersGroup
    ) -> Manager:
        around = self._around
        timers: list[LoopTimers] = []

        def make_timers(fire: Callable[[str, str], None]) -> LoopTimers:
            timers.append(LoopTimers(around.clock, around.alarm.guard(fire)))
            return timers[-1]

        manager = Manager(
            ManagerConfig(seed=around.seed, manager_id=self._place.security.node_id),
            self._place.host,
            Ports(clock=around.clock, timers=make_timers, send=board.send, record=around.record),
            replica,
            replica.snapshot,
            authority=AuthorityPorts(
                sign=lambda wish, post: self._soon(post, signed(wish)),
                make_root=lambda wish, post: self._soon(post, root_made(wish)),
                entropy=random.SystemRandom(),
            ),
            membership=MembershipPorts(replica.managers, replica.leave),
            neighbours=Neighbours(group.peers, board.address_of),
        )
        stack.callback(lambda: timers[0].close())
        return manager

    def _soon(self, post: Callable[[Any], None], event: Any) -> None:
        """The authority is in the middle of a step: it hears of it after that."""
        asyncio.get_running_loop().call_soon(self._around.alarm.guard(post), event)

    def _inside(self, stack: AsyncExitStack) -> Path:
        """A socket for the server behind the front; the state directory may have a name that is too long for one."""
        return Path(stack.enter_context(TemporaryDirectory(prefix="swarmlab-manager-"))) / "inside.sock"

    def _takes_part(self) -> bool:
        status = self.replica.status()
        return not status.failure and not status.removed

    def _begin_to_act(self, stack: AsyncExitStack, board: Switchboard) -> None:
        around, manager = self._around, self.manager

        def lead() -> None:
            manager.lead()

        def resign() -> None:
            manager.resign()
            board.end(NotLeader())

        watch = manager.store.watch(None, around.alarm.guard(self._committed))
        stack.callback(watch.cancel)
        self.replica.follow(self._heard)
        self.replica.start(manager.store, lead, resign)
        self._take_cluster(manager.view.cluster())
        ticking = around.group.create_task(self._tick(), name="raft ticks")
        stack.callback(ticking.cancel)
        stack.push_async_callback(self._hand_over, resign)

    async def _tick(self) -> None:
        """Tick evenly, however late each one comes: a member whose ticks lag behind would hold up elections.

        What a loop that stood still has missed is not made up for, since it could not hear anybody either.
        """
        loop, period = asyncio.get_running_loop(), self._place.config.tick_ms / 1000
        due = loop.time()
        while True:
            due = max(due + period, loop.time())
            await asyncio.sleep(due - loop.time())
            self.replica.tick()

    async def _hand_over(self, resign: Callable[[], None]) -> None:
        """Let another manager lead, where there is one, and take no more calls."""
        if self.replica.leads and len(self.replica.members()) > 1:
            self.replica.transfer()
            try:
                async with asyncio.timeout(HAND_OVER_SECONDS):
                    await self.until(lambda status: not status.leads)
            except TimeoutError:
                self._around.record("raft", "hand-over-timed-out", {"seconds": HAND_OVER_SECONDS})
        resign()

    # What it hears

    def _heard(self, status: Status) -> None:
        before, self._status = self._status, status
        self._changed.set()
        leader = status.leader.node_id if status.leader is not None else ""
        was = before.leader.node_id if before is not None and before.leader is not None else ""
        if leader != was:
            event = "leader-found" if leader else "leader-lost"
            self._around.record("raft", event, {"leader": leader or was, "term": status.term})
        if self._forwarder is not None:
            self._forwarder.look()
        if status.failure and not (before is not None and before.failure):
            self._around.record("raft", "state-lost", {"error": status.failure})
            # Nothing here leads to the others any more; why, the process says.
            self._place.local.close()
        if status.leads:
            self.manager.assembly.post("dispatcher", ManagersChanged())
        if status.removed and not (before is not None and before.removed):
            self._place.expelled()

    def _committed(self, committed: Committed) -> None:
        if self._engines is not None:
            self._engines.look(committed)
        for change in committed.changes:
            if isinstance(change.object, Cluster):
                self._take_cluster(change.object)
            elif isinstance(change.object, Node) and change.kind is ChangeKind.REMOVED and self._front is not None:
                self._front.disconnect(change.object.id)

    def _take_cluster(self, cluster: Cluster | None) -> None:
        """Trust the next root while one is under way, and lock with the unlock key of the cluster."""
        if cluster is None:
            return
        self._cluster = cluster
        rotation = cluster.root_ca.root_rotation
        self._place.security.update(trusted=rotation.ca_cert if rotation is not None else b"")
        self._lock(cluster)

    def _lock(self, cluster: Cluster) -> None:
        assert self._keys is not None, "the manager was not started"
        key = next((key.key for key in cluster.unlock_keys if key.subsystem == UNLOCK_SUBSYSTEM), None)
        was_open = self._keys.protect(key, cluster.meta.version.index)
        self._place.locked_with(key)
        if was_open:
            # Whoever read the disk while it was open has the keys that were used so far.
            self._keys.rotate()
            assert self._log is not None
            self._log.reseal(self._resealed)

    def _resealed(self, error: Exception | None) -> None:
        if error is None and self._keys is not None:
            self._keys.forget_old()


def _key_file(state: StateDirectory, unlock_key: bytes | None) -> KeyFile:
    make_directory(state.manager)
    return KeyFile(state.manager / KEYS, unlock_key)


@contextmanager
def opened_log(state: StateDirectory, unlock_key: bytes | None) -> Iterator[Recovered | None]:
    """What the log of a manager that does not run holds; None where there is none.

    Raises:
        Locked: The log is sealed, and the unlock key is missing or another one.
        StateError: The log is damaged or in use.
    """
    loop = asyncio.get_running_loop()
    log = RaftLog(state.manager, loop.call_soon_threadsafe, seal=_key_file(state, unlock_key))
    try:
        yield log.recovered
    finally:
        log.close()


def _local_handlers(services: Services) -> Sequence[grpc.GenericRpcHandler]:
    """What a manager answers on the local socket of its node."""
    return (
        service_handler(control.SERVICE, control.methods(services.control_plane)),
        service_handler(watch.SERVICE, {}, watch.streams(services.control_plane)),
        service_handler(logs.SERVICE, {}, logs.streams(services.log_source)),
        service_handler(health.SERVICE, health.methods()),
        service_handler(lab.SERVICE, lab.methods(services.control_plane, services.lab), lab.streams(services.lab)),
        service_handler(authority.CA, authority.ca_methods(services.board)),
    )
