"""A node in its swarm: a worker always, a manager for as long as its certificate says so."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import NamedTuple, Self, TypeVar

import grpc

from swarmlab.agent.exec import Configure
from swarmlab.api import NodeRole, Peer, StateError, SwarmlabError, WeightedPeer
from swarmlab.daemon.config import DaemonConfig, parse_address
from swarmlab.daemon.doorstep import on_the_doorstep
from swarmlab.daemon.executors import ExecutorKind
from swarmlab.daemon.laboratory import Keeper
from swarmlab.daemon.local import LocalServer
from swarmlab.daemon.manager_part import ManagerPart, Place
from swarmlab.daemon.recovery import reissued
from swarmlab.daemon.renewal import Renewing
from swarmlab.daemon.state import NodeRecord, StateDirectory
from swarmlab.daemon.story import Story
from swarmlab.daemon.surroundings import Surroundings
from swarmlab.daemon.worker_part import WorkerPart
from swarmlab.edges.grpc.membership import join_group, leave_group
from swarmlab.edges.nodefacts import NodeFacts
from swarmlab.edges.tls.credentials import CertificateDirectory, Credentials
from swarmlab.edges.tls.security import Security
from swarmlab.node import RaftMember, Recovered, Roster, joining
from swarmlab.plugin import Host
from swarmlab.raft import RaftId

T = TypeVar("T")

#: How long another manager may take to let this one in, or go.
GROUP_SECONDS = 25.0
#: Between two tries to become a manager or to stop being one: the first, and the longest; each is twice the last.
RETRY_FIRST, RETRY_LONGEST = 0.5, 15.0


class Node(NamedTuple):
    """What a member needs of its process."""

    config: DaemonConfig
    state: StateDirectory
    host: Host
    story: Story
    local: LocalServer
    keeper: Keeper | None
    kind: ExecutorKind
    around: Surroundings
    hostname: str


class Beginning(NamedTuple):
    """How a member starts."""

    record: NodeRecord
    credentials: Credentials
    #: Managers that are known.
    remotes: tuple[Peer, ...] = ()
    #: What the manager begins with, in place of its log; None: with its log, or by joining the group.
    manager: Recovered | None = None
    #: Opens what is locked; None where nothing is.
    unlock_key: bytes | None = None
    #: It goes on where it was, and is a worker for as long as the managers' group does not let it in.
    resumes: bool = False


class Member:
    """The life of a node in one swarm, from a start to a stop or until it leaves.

    As a context: entered, the worker runs, and the manager where the certificate says so. Role changes are followed
    meanwhile without touching a task. Left, tasks go on where their runtime outlives this process.

    Raises on entering:
        Locked: The manager's log is sealed, and the unlock key is missing or another one.
        StateError: A disk or the port cannot be used.
    """

    def __init__(self, node: Node, beginning: Beginning, removed: Callable[[], None]) -> None:
        self._node = node
        self._record = beginning.record
        self._beginning = beginning
        self._removed = removed
        self._files = CertificateDirectory(node.state.certificates)
        self._unlock_key = beginning.unlock_key
        self.security = Security(beginning.credentials)
        self.manager: ManagerPart | None = None
        self._worker: WorkerPart | None = None
        #: Something was heard that may ask for another role.
        self._role_news = asyncio.Event()
        #: Why it has not the role that its certificate says; empty where it has.
        self.trouble = ""
        self._renewing = Renewing(
            self.security,
            node.around,
            lambda: [peer.addr for peer in self.managers],
            self._take_credentials,
            self._reissued,
        )
        self._stack = AsyncExitStack()
        self._manager_stack = AsyncExitStack()
        #: Set with each session that a manager opened.
        self.greeted = asyncio.Event()

    @property
    def record(self) -> NodeRecord:
        """Who it is."""
        return self._record

    @property
    def managers(self) -> tuple[Peer, ...]:
        """The managers that it knows."""
        if self.manager is not None:
            return tuple(Peer(member.node_id, member.addr) for member in self.manager.replica.members())
        return self._worker.managers if self._worker is not None else self._beginning.remotes

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.security.close)
            if self.security.identity.role is NodeRole.MANAGER:
                await self._begin_as_manager()
            stack.push_async_callback(self._stop_manager)
            self._worker = await stack.enter_async_context(self._made_worker())
            await stack.enter_async_context(self._renewing)
            roles = self._node.around.group.create_task(self._follow_role(), name=f"role of {self._record.node_id}")
            stack.push_async_callback(_ended, roles)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._stack.aclose()

    @property
    def unlock_key(self) -> bytes | None:
        """What the managers' keys are sealed with; None while they are not."""
        return self._unlock_key

    async def ready(self) -> None:
        """Wait until a manager has opened a session, and until the group that this manager is in has a leader."""
        await self.greeted.wait()
        if self.manager is not None:
            await self.manager.until(lambda status: status.leader is not None)

    async def clear(self) -> None:
        """Take all tasks off the node."""
        assert self._worker is not None, "the member was not started"
        await self._worker.leave()

    async def leave(self) -> None:
        """Take all tasks off the node, and this manager out of the group, if the others let it go."""
        await self.clear()
        if self.manager is not None and len(self.manager.replica.members()) > 1:
            await self._leave_group(self.manager)

    async def kill(self) -> None:
        """End as a loss of power does: nothing more is said, and the tasks are gone."""
        if self.manager is not None:
            await self.manager.kill()
        if self._worker is not None:
            await self._worker.kill()

    # The worker

    def _made_worker(self) -> WorkerPart:
        node = self._node
        identity = self.security.identity
        return WorkerPart(
            NodeFacts(node_id=identity.node_id, cluster=identity.cluster_id, hostname=node.hostname),
            node.state.worker,
            node.kind,
            node.around,
            security=self.security,
            remotes=self._beginning.remotes or self.managers,
            keep=self._keep_remotes,
            told=self._told,
            removed=self._removed,
        )

    def _keep_remotes(self, peers: tuple[WeightedPeer, ...]) -> None:
        self._node.state.keep_remotes(tuple(weighted.peer for weighted in peers if weighted.peer is not None))

    def _told(self, effect: Configure) -> None:
        """The managers tell of the root, of the wanted role, and that a new certificate is due."""
        self.greeted.set()
        if effect.root_ca and effect.root_ca != self.security.credentials.root:
            self._take_root(effect.root_ca)
        node = effect.node
        if node is None:
            return
        self._renewing.told(node)

    # Certificates

    def _take_root(self, root: bytes) -> None:
        """Trust another root, if the node's own certificate leads to it."""
        present = self.security.credentials
        try:
            fresh = Credentials(root, present.certificate, present.key)
            fresh.check(self._node.around.clock(), allow_expired=True)
        except SwarmlabError as error:
            self._note("root-refused", error=str(error))
            return
        self._take_credentials(fresh)

    def _take_credentials(self, credentials: Credentials) -> None:
        """Be known by this certificate from now on."""
        self._files.save(credentials, self._unlock_key or b"")
        self.security.update(credentials)
        if self.manager is not None:
            self.manager.renewed()
        if self._worker is not None:
            self._worker.describe()
        self._role_news.set()

    def _locked_with(self, key: bytes | None) -> None:
        """The cluster has another unlock key: the node's own key is sealed with it."""
        if key != self._unlock_key:
            self._unlock_key = key
            self._files.save(self.security.credentials, key or b"")
            # Whoever read the disk while the key was open has it: another one takes its place.
            if key is not None:
                self._renewing.soon()

    # The manager

    def _expelled(self) -> None:
        self._renewing.soon()

    async def _follow_role(self) -> None:
        """Be what the certificate says; what does not succeed is tried again."""
        wait = RETRY_FIRST
        while True:
            await self._role_news.wait()
            self._role_news.clear()
            try:
                await self._change_role()
                wait, self.trouble = RETRY_FIRST, ""
            except SwarmlabError as error:
                self.trouble = str(error)
                self._note("role-change-failed", error=str(error), retry_seconds=wait)
                await asyncio.sleep(wait)
                wait = min(2 * wait, RETRY_LONGEST)
                self._role_news.set()

    async def _change_role(self) -> None:
        role = self.security.identity.role
        if role is NodeRole.MANAGER and self.manager is None:
            await self._start_manager(None)
            self._note("promoted")
        elif role is NodeRole.WORKER and self.manager is not None:
            await self._stop_manager()
            self._node.state.forget_manager()
            self._note("demoted")

    async def _begin_as_manager(self) -> None:
        try:
            await self._start_manager(self._beginning.manager)
        except SwarmlabError:
            if not self._beginning.resumes or self._has_log:
                raise
            # Its tasks are there whatever becomes of its promotion.
            self._role_news.set()

    @property
    def _has_log(self) -> bool:
        return (self._node.state.manager / "raft.db").exists()

    async def _start_manager(self, begin: Recovered | None) -> None:
        if begin is None and not self._has_log:
            begin = await self._admitted()
        record = self._record
        place = Place(
            config=self._node.config,
            state=self._node.state,
            security=self.security,
            host=self._node.host,
            story=self._node.story,
            local=self._node.local,
            keeper=self._node.keeper,
            listen=parse_address("listen address", record.listen_addr),
            advertise=parse_address("advertise address", record.advertise_addr),
            unlock_key=self._unlock_key,
            locked_with=self._locked_with,
            expelled=self._expelled,
        )
        async with AsyncExitStack() as stack:
            self.manager = await stack.enter_async_context(ManagerPart(place, self._node.around, begin))
            self._manager_stack = stack.pop_all()

    async def _stop_manager(self) -> None:
        stack, self._manager_stack = self._manager_stack, AsyncExitStack()
        self.manager = None
        await stack.aclose()

    async def _admitted(self) -> Recovered:
        """What a manager begins with that the group has let in."""
        async with on_the_doorstep(self.security, parse_address("listen address", self._record.listen_addr)):
            admitted = await self._ask_managers(
                lambda channel: join_group(channel, self._record.advertise_addr, GROUP_SECONDS)
            )
        members = tuple(RaftMember(RaftId(one.raft_id), one.node_id, one.addr) for one in admitted.members)
        own = next(member for member in members if member.raft_id == admitted.raft_id)
        return joining(own, Roster(members, tuple(map(RaftId, admitted.removed))))

    async def _ask_managers(self, ask: Callable[[grpc.aio.Channel], Awaitable[T]]) -> T:
        """The answer of one of the other managers, each of which is asked in turn.

        Raises:
            StateError: No other manager is known.
            SwarmlabError: What the last one of them said.
        """
        failure: SwarmlabError = StateError("no other manager is known")
        for peer in self.managers:
            if peer.addr == self._record.advertise_addr:
                continue
            try:
                return await self._ask_manager(peer.addr, ask)
            except SwarmlabError as error:
                failure = error
        raise failure

    async def _ask_manager(self, address: str, ask: Callable[[grpc.aio.Channel], Awaitable[T]]) -> T:
        try:
            async with self.security.channel(address) as channel:
                return await ask(channel)
        except StateError:
            if not await self.security.look(address, self._node.around.clock()):
                raise
        async with self.security.channel(address) as channel:
            return await ask(channel)

    def _reissued(self) -> Credentials | None:
        """Credentials by the root itself, which a manager can make."""
        if self.manager is None:
            return None
        return reissued(self.manager.manager.view, self.security.credentials, self._node.around.clock())

    async def _leave_group(self, manager: ManagerPart) -> None:
        raft_id = manager.replica.member.raft_id
        try:
            await self._ask_managers(lambda channel: leave_group(channel, raft_id, GROUP_SECONDS))
        except SwarmlabError as error:
            self._note("group-not-left", raft_id=raft_id, error=str(error))

    def _note(self, event: str, **fields: object) -> None:
        self._node.around.record("node", event, {"node": self._record.node_id, **fields})


async def _ended(task: asyncio.Task[None]) -> None:
    """Cancel it, and wait for its end."""
    task.cancel()
    await asyncio.wait([task])
