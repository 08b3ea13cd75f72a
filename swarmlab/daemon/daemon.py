"""The process of a node: its socket, its swarm if it has one, and the way in and out."""

import asyncio
import logging
import os
import socket as sockets
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from msgspec.structs import replace

from swarmlab.api import (
    DaemonState,
    DaemonStatus,
    InvalidSpec,
    Locked,
    NodeId,
    NodeRole,
    Peer,
    Precondition,
    StateError,
    SwarmInitRequest,
    SwarmInitResponse,
    SwarmJoinRequest,
    SwarmJoinResponse,
    SwarmlabError,
    parse_unlock_key,
)
from swarmlab.daemon import local
from swarmlab.daemon.config import Address, DaemonConfig, parse_address, settled_addresses
from swarmlab.daemon.executors import choose_executor
from swarmlab.daemon.founding import founded
from swarmlab.daemon.laboratory import Keeper
from swarmlab.daemon.local import LocalServer
from swarmlab.daemon.manager_part import opened_log
from swarmlab.daemon.member import Beginning, Member, Node
from swarmlab.daemon.recovery import only_survivor, reissued, whole_view
from swarmlab.daemon.state import NodeRecord, StateDirectory
from swarmlab.daemon.story import Story
from swarmlab.daemon.surroundings import Surroundings
from swarmlab.edges.driver import Alarm, LiveClock, fresh_seed
from swarmlab.edges.tls.credentials import CertificateDirectory, Credentials
from swarmlab.edges.tls.joining import join
from swarmlab.plugin import Host, with_usual

_log = logging.getLogger(__name__)

#: How long `init` and `join` wait for the node to take part; it goes on trying after that.
READY_SECONDS = 20.0
_OUT = "this manager takes part no more until its process is started again"


class Daemon:
    """The node process of one state directory.

    As a context: entered, it serves its socket and goes on with the swarm that it belongs to; left, tasks go on where
    their runtime outlives this process. A part that fails ends it: what is awaited inside the context is cancelled, and
    leaving it raises the failure.

    Args:
        config: What it is started with.
        story: Takes what its parts record; None: one of its own.
        keeper: Runs this node beside others in one process.

    Raises on entering:
        StateError: The state directory is in use, not writable or damaged, or the socket cannot be made.
        UnknownPlugin, PluginError: No such strategy, or it does not load.
        ExecutorError: The chosen executor is not there.
    """

    def __init__(self, config: DaemonConfig, *, story: Story | None = None, keeper: Keeper | None = None) -> None:
        self.config = config
        self.clock = LiveClock()
        self.story = story or Story(self.clock)
        self.host = Host.load(config.strategy, plugins=with_usual(config.plugins), parameters=dict(config.parameters))
        self.hostname = config.hostname or sockets.gethostname()
        self._keeper = keeper
        self._state = DaemonState.INACTIVE
        self._error = ""
        self.member: Member | None = None
        #: Held by whoever changes what swarm the node belongs to.
        self._changing = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._member_stack = AsyncExitStack()
        self._directory: StateDirectory | None = None
        self._node: Node | None = None
        #: Set whenever the state is another one.
        self._changed = asyncio.Event()

    @property
    def socket(self) -> Path:
        """The local socket."""
        return self.config.state_dir.absolute() / "swarmlab.sock"

    @property
    def directory(self) -> StateDirectory:
        """The state directory of a process that was started."""
        assert self._directory is not None, "the process was not started"
        return self._directory

    @property
    def node(self) -> Node:
        """What members need of a process that was started."""
        assert self._node is not None, "the process was not started"
        return self._node

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._directory = StateDirectory(self.config.state_dir)
            stack.callback(self._directory.release)
            record = self._directory.record()
            if record is not None and not self.config.hostname and record.hostname:
                self.hostname = record.hostname
            kind = await choose_executor(self.config.executor, stack)
            group = await stack.enter_async_context(asyncio.TaskGroup())
            alarm = Alarm()
            watchman = group.create_task(alarm.raised(), name="alarm")
            stack.callback(watchman.cancel)
            server = LocalServer(self._directory.socket, self, self._closed)
            seed = self.config.seed if self.config.seed is not None else fresh_seed()
            around = Surroundings(seed, self.clock, self._record, group, alarm)
            self._node = Node(
                self.config,
                self._directory,
                self.host,
                self.story,
                server,
                self._keeper,
                kind,
                around,
                self.hostname,
            )
            await stack.enter_async_context(server)
            stack.push_async_callback(self._stop_member)
            if record is not None:
                resuming = group.create_task(self._resume(record, None), name="resume")
                stack.callback(resuming.cancel)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._stack.aclose()

    async def kill(self) -> None:
        """End as a loss of power does: nothing is handed over or said any more, and tasks are gone.

        The context is left after that.
        """
        if self.member is not None:
            await self.member.kill()

    # What it is asked

    async def init(self, request: SwarmInitRequest) -> SwarmInitResponse:
        """Found a swarm, or make one of what is left here. Raises `Precondition`, `InvalidSpec`, `StateError`."""
        async with self._changing:
            if request.force_new_cluster and self.directory.record() is not None:
                return await self._force_new_cluster(request)
            self._require_inactive()
            listen, advertise = settled_addresses(self.config, request.listen_addr, request.advertise_addr)
            beginning = founded(request, self.clock(), self.hostname, listen.text, advertise.text)
            await self._begin_swarm(beginning)
            return SwarmInitResponse(beginning.record.node_id, beginning.record.cluster_id)

    async def join(self, request: SwarmJoinRequest) -> SwarmJoinResponse:
        """Join a swarm. Raises `Precondition`, `InvalidSpec`, `StateError`, and what the managers say."""
        async with self._changing:
            self._require_inactive()
            listen, advertise = settled_addresses(self.config, request.listen_addr, request.advertise_addr)
            remotes = [parse_address("manager address", text).text for text in request.remote_addrs]
            credentials = await join(remotes, request.token, now=self.clock, availability=request.availability)
            identity = credentials.identity()
            record = NodeRecord(
                node_id=identity.node_id,
                cluster_id=identity.cluster_id,
                listen_addr=listen.text,
                advertise_addr=advertise.text,
            )
            peers = tuple(Peer(NodeId(""), addr) for addr in remotes)
            await self._begin_swarm(Beginning(record, credentials, peers))
            return SwarmJoinResponse(identity.node_id, identity.role)

    async def leave(self, force: bool) -> None:
        """Leave the swarm. Raises `Precondition` where the node belongs to none, or is a manager without `force`."""
        async with self._changing:
            if self.directory.record() is None:
                raise Precondition("this node is not part of a swarm")
            if not force:
                self._require_dispensable()
            if self.member is not None:
                await self.member.leave()
            await self._stop_member()
            self.directory.forget()
            self._be(DaemonState.INACTIVE)

    async def unlock(self, key: str) -> None:
        """Go on with a locked start. Raises `Precondition` where nothing is locked, `InvalidSpec` for a wrong key."""
        async with self._changing:
            record = self.directory.record()
            if self._state is not DaemonState.LOCKED or record is None:
                raise Precondition("swarm is not locked")
            opener = parse_unlock_key(key)
            try:
                await self._go_on(record, opener)
            except Locked as error:
                self._be(DaemonState.LOCKED)
                raise InvalidSpec(f"invalid key: {error}") from error

    def status(self) -> DaemonStatus:
        """What it is at."""
        member = self.member
        status = DaemonStatus(
            state=self._state,
            hostname=self.hostname,
            executor=self.node.kind.name,
            error=self._error or (f"{_OUT}: {self._lost}" if self._lost else ""),
            state_dir=str(self.directory.path),
            pid=os.getpid(),
        )
        record = member.record if member is not None else self.directory.record()
        if record is None:
            return status
        status = replace(
            status,
            node_id=record.node_id,
            cluster_id=record.cluster_id,
            listen_addr=record.listen_addr,
            advertise_addr=record.advertise_addr,
        )
        if member is None:
            return status
        leader = member.manager.replica.leader if member.manager is not None else None
        return replace(
            status,
            role=member.security.identity.role,
            error=self._error or member.trouble,
            leader_addr=leader.addr if leader is not None else "",
            managers=tuple(peer.addr for peer in member.managers),
            certificate_expiry=member.security.credentials.validity()[1],
        )

    # States

    def _be(self, state: DaemonState, error: str = "") -> None:
        if (state, error) != (self._state, self._error):
            self._state, self._error = state, error
            fields = {"state": state.name.lower(), **({"error": error} if error else {})}
            self._record("node", "state", fields)
            self._changed.set()

    def _record(self, component: str, name: str, fields: Mapping[str, Any]) -> None:
        """Tell the story, and write the same line to the log."""
        self.story.record(component, name, fields)
        _log.info("%s %s%s", component, name, "".join(f" {key}={value}" for key, value in fields.items()))

    async def until(self, *states: DaemonState) -> None:
        """Wait for one of these states."""
        while self._state not in states:
            self._changed.clear()
            await self._changed.wait()

    def _closed(self) -> SwarmlabError:
        """Why this node does not answer as a manager."""
        match self._state:
            case DaemonState.LOCKED:
                return local.LOCKED
            case DaemonState.FAILED:
                return Precondition(f"this node is not a swarm manager now: {self._error}")
            case DaemonState.INACTIVE:
                return local.INACTIVE
        return Precondition(f"{_OUT}: {self._lost}") if self._lost else local.WORKER

    @property
    def _lost(self) -> str:
        """What took the manager out of its group; empty where nothing has."""
        manager = self.member.manager if self.member is not None else None
        return manager.failure if manager is not None else ""

    def _require_inactive(self) -> None:
        if self.directory.record() is not None:
            raise Precondition(
                "this node is already part of a swarm. Use 'swarmlab swarm leave' to leave this swarm and join another "
                "one"
            )

    def _require_dispensable(self) -> None:
        """A manager is not given up by mistake."""
        if self._state is DaemonState.LOCKED:
            raise Precondition(f"{local.LOCKED}, or 'swarmlab swarm leave --force' to give up what is here")
        manager = self.member.manager if self.member is not None else None
        if manager is None:
            return
        attempt = "you are attempting to leave the swarm on a node that is participating as a manager. "
        if len(manager.replica.members()) == 1:
            raise Precondition(
                f"{attempt}Removing the last manager erases all current state of the swarm. Use '--force' to ignore "
                "this message"
            )
        raise Precondition(
            f"{attempt}The only way to restore a swarm that has lost consensus is to reinitialize it with "
            "'--force-new-cluster'. Demote the node first with 'swarmlab node demote', or use '--force' to suppress "
            "this message"
        )

    # Members

    async def _begin_swarm(self, beginning: Beginning) -> None:
        """Belong to a swarm from now on; what was begun is taken back where it comes to nothing."""
        self._be(DaemonState.PENDING)
        directory = self.directory
        beginning = beginning._replace(record=replace(beginning.record, hostname=self.config.hostname))
        try:
            directory.forget()
            CertificateDirectory(directory.certificates).save(beginning.credentials, beginning.unlock_key or b"")
            directory.keep_remotes(beginning.remotes)
            await self._start_member(beginning)
            directory.keep_record(beginning.record)
        except BaseException:
            await self._stop_member()
            directory.forget()
            self._be(DaemonState.INACTIVE)
            raise
        self._be(DaemonState.ACTIVE)
        await self._ready()

    async def _ready(self) -> None:
        """Wait until the node takes part in its swarm.

        Raises:
            Precondition: It does not yet; it goes on trying.
        """
        assert self.member is not None, "a swarm was begun"
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self.member.ready()
        except TimeoutError:
            raise Precondition(
                "timeout was reached before node joined. The attempt to join the swarm will continue in the "
                "background. Use 'swarmlab swarm status' to see the current swarm status of your node"
            ) from None

    async def _resume(self, record: NodeRecord, unlock_key: bytes | None) -> None:
        async with self._changing:
            try:
                await self._go_on(record, unlock_key)
            except Locked as error:
                self._be(DaemonState.LOCKED, str(error))
            except SwarmlabError as error:
                self._be(DaemonState.FAILED, str(error))

    async def _go_on(self, record: NodeRecord, unlock_key: bytes | None) -> None:
        """Take up the life in the swarm that the directory speaks of.

        Raises:
            Locked: The unlock key is missing, or another one.
            StateError: The directory is damaged.
        """
        self._be(DaemonState.PENDING)
        credentials = self._kept_credentials(unlock_key)
        remotes = self.directory.remotes()
        await self._start_member(Beginning(record, credentials, remotes, unlock_key=unlock_key, resumes=True))
        self._be(DaemonState.ACTIVE)

    def _kept_credentials(self, unlock_key: bytes | None) -> Credentials:
        """The node's credentials; a manager whose certificate has expired issues itself another one.

        Raises:
            Locked, StateError: As for `_go_on`; and where a worker's certificate has expired.
        """
        files = CertificateDirectory(self.directory.certificates)
        credentials = files.load(unlock_key or b"")
        if credentials is None:
            raise StateError(f"{files.path} holds no certificate; restore it or leave the swarm")
        now = self.clock()
        try:
            credentials.check(now)
        except InvalidSpec as error:
            credentials.check(now, allow_expired=True)
            fresh = None
            if credentials.identity().role is NodeRole.MANAGER:
                with opened_log(self.directory, unlock_key) as recovered:
                    fresh = reissued(whole_view(recovered), credentials, now) if recovered is not None else None
            if fresh is None:
                raise StateError(
                    f"{error}; let this node leave ('swarmlab swarm leave --force') and join again with a token: its "
                    "tasks are replaced, services stay as they are"
                ) from error
            self._record("node", "certificate-reissued", {"node": fresh.identity().node_id})
            files.save(fresh, unlock_key or b"")
            return fresh
        return credentials

    async def _start_member(self, beginning: Beginning) -> None:
        async with AsyncExitStack() as stack:
            self.member = await stack.enter_async_context(Member(self.node, beginning, self._removed))
            self._member_stack = stack.pop_all()

    async def _stop_member(self) -> None:
        stack, self._member_stack = self._member_stack, AsyncExitStack()
        self.member = None
        await stack.aclose()

    async def _force_new_cluster(self, request: SwarmInitRequest) -> SwarmInitResponse:
        """Go on alone with what is here."""
        record = self.directory.record()
        assert record is not None, "asked for only where the node belongs to a swarm"
        if self._state is DaemonState.LOCKED:
            raise local.LOCKED
        unlock_key = self.member.unlock_key if self.member is not None else None
        await self._stop_member()
        self._be(DaemonState.PENDING)
        try:
            listen, advertise = _kept_or(record, self.config, request)
            record = replace(record, listen_addr=listen.text, advertise_addr=advertise.text)
            with opened_log(self.directory, unlock_key) as recovered:
                begin = only_survivor(recovered, record.cluster_id, advertise.text)
            credentials = self._kept_credentials(unlock_key)
            self.directory.keep_record(record)
            self.directory.keep_remotes((Peer(record.node_id, advertise.text),))
            await self._start_member(
                Beginning(record, credentials, self.directory.remotes(), manager=begin, unlock_key=unlock_key)
            )
        except SwarmlabError as error:
            self._be(DaemonState.FAILED, str(error))
            raise
        self._be(DaemonState.ACTIVE)
        await self._ready()
        return SwarmInitResponse(record.node_id, record.cluster_id)

    def _removed(self) -> None:
        """The managers do not know this node any more: others run its tasks, so they are taken off here."""
        if self._state is DaemonState.ACTIVE:
            self._be(DaemonState.FAILED, "this node was removed from the swarm: leave it ('swarmlab swarm leave')")
            self.node.around.group.create_task(self._take_tasks_off(), name="removed")

    async def _take_tasks_off(self) -> None:
        async with self._changing:
            if self.member is not None:
                await self.member.clear()
            await self._stop_member()


def _kept_or(record: NodeRecord, config: DaemonConfig, request: SwarmInitRequest) -> tuple[Address, Address]:
    """The addresses of the node, or others where the request names them."""
    if not request.listen_addr and not request.advertise_addr:
        return parse_address("listen address", record.listen_addr), parse_address("address", record.advertise_addr)
    return settled_addresses(config, request.listen_addr or record.listen_addr, request.advertise_addr)
