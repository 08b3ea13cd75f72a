"""A worker's line to the managers: what its agent sends becomes calls, what they answer goes back to the agent."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from functools import cache
from typing import Any, NamedTuple, Self, TypeVar

import grpc

from swarmlab.api import (
    AssignmentsMessage,
    AssignmentsRequest,
    HeartbeatRequest,
    HeartbeatResponse,
    ListenSubscriptionsRequest,
    Peer,
    Precondition,
    SessionMessage,
    SessionRequest,
    SubscriptionMessage,
    SwarmlabError,
    UpdateTaskStatusRequest,
    UpdateTaskStatusResponse,
    UpdateVolumeStatusRequest,
    UpdateVolumeStatusResponse,
    Value,
)
from swarmlab.api.wire import codec, decode, to_bytes
from swarmlab.edges.grpc.errors import error_of
from swarmlab.edges.grpc.forwarding import Channels
from swarmlab.edges.grpc.handlers import Parse, parser
from swarmlab.edges.grpc.publishing import NodeTasks, Publishing
from swarmlab.edges.grpc.remotes import Remotes

_log = logging.getLogger(__name__)

V = TypeVar("V", bound=Value)

#: Seconds until a call that wants one answer is given up: a little before the agent's patience ends, which is that of
#: SwarmKit's, so that the link knows which manager it was.
CALL_SECONDS = 4.5
_DISPATCHER = "/docker.swarmkit.v1.Dispatcher"
LISTEN = "/docker.swarmkit.v1.LogBroker/ListenSubscriptions"


class _Method(NamedTuple):
    path: str
    answer: type[Value]
    streams: bool = False


#: {message that an agent sends: the call that carries it}
_METHODS: dict[type[Any], _Method] = {
    SessionRequest: _Method(f"{_DISPATCHER}/Session", SessionMessage, streams=True),
    AssignmentsRequest: _Method(f"{_DISPATCHER}/Assignments", AssignmentsMessage, streams=True),
    HeartbeatRequest: _Method(f"{_DISPATCHER}/Heartbeat", HeartbeatResponse),
    UpdateTaskStatusRequest: _Method(f"{_DISPATCHER}/UpdateTaskStatus", UpdateTaskStatusResponse),
    UpdateVolumeStatusRequest: _Method(f"{_DISPATCHER}/UpdateVolumeStatus", UpdateVolumeStatusResponse),
}


class _Connection:
    """One connection to one manager, for one session."""

    def __init__(self, peer: Peer, channel: grpc.aio.Channel) -> None:
        self.peer = peer
        self.channel = channel
        self.greeted = False
        self.tasks: set[asyncio.Task[None]] = set()


class WorkerLink:
    """Carries the calls of one agent to whichever manager answers.

    Each session has a connection of its own, to a manager that the remotes choose; any error on it ends it whole, as
    the agent expects, and the agent's next session finds another one. A session that is opened again without any
    error stays with its manager.

    As a context: left, the connection is closed and nothing more is heard. An error that nobody foresaw ends it.

    Args:
        remotes: The managers; every session message brings their complete list.
        channels: Opens a connection to an address, with the node's certificate of that time.
        receive: Hands the agent an answer, or the error that a call ended with: (message, number of the call).
        disconnected: Tells the agent that the connection is gone, and every call with it.
        node_tasks: Whose lines are published when managers ask for them; None: no lines of this node are to be had.
        unreached: Told of a manager with which no connection came about.
    """

    def __init__(
        self,
        remotes: Remotes,
        channels: Channels,
        receive: Callable[[Any, int], None],
        disconnected: Callable[[], None],
        node_tasks: NodeTasks | None = None,
        unreached: Callable[[Peer], None] | None = None,
    ) -> None:
        self._remotes = remotes
        self._channels = channels
        self._receive = receive
        self._disconnected = disconnected
        self._node_tasks = node_tasks
        self._unreached = unreached
        self._group = asyncio.TaskGroup()
        self._connection: _Connection | None = None
        #: The manager that failed last, which is not the next one where there is another; empty after a session.
        self._failed_last = ""
        self._closing = False

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *failure: Any) -> None:
        self._closing = True
        self._hang_up()
        await self._group.__aexit__(*failure)

    @property
    def manager(self) -> Peer | None:
        """The manager that the session in hand is with; None without one."""
        connection = self._connection
        return connection.peer if connection is not None and connection.greeted else None

    def send(self, message: Any, call: int) -> None:
        """Carry what the agent sends; a `SessionRequest` ends all that was open.

        Raises:
            KeyError: No call carries such a message. That is a fault of this program.
        """
        method = _METHODS[type(message)]
        if self._closing:
            return
        if isinstance(message, SessionRequest):
            try:
                self._connect()
            except SwarmlabError as error:
                self._soon(self._receive, error, call)
                return
        connection = self._connection
        if connection is None:
            self._soon(self._disconnected)
        elif method.streams:
            self._begin(connection, self._stream(connection, method, message, call), method.path)
        else:
            self._begin(connection, self._ask(connection, method, message, call), method.path)

    def _soon(self, action: Callable[..., None], *args: Any) -> None:
        """The agent is in the middle of a step: it hears of it after that."""
        asyncio.get_running_loop().call_soon(action, *args)

    def _connect(self) -> None:
        """Begin another connection in place of the one that there may be.

        Raises:
            Precondition: No manager is known.
        """
        before = self._hang_up()
        if before is not None and before.greeted and self._remotes.has(before.peer):
            peer = before.peer
        else:
            if before is not None:
                self._remotes.observe(before.peer, answered=False)
            peer = self._remotes.select(self._failed_last)
        self._connection = _Connection(peer, self._channels(peer.addr))

    def _hang_up(self) -> _Connection | None:
        """End the connection without a word to the agent; gives it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            for task in connection.tasks:
                task.cancel()
            # What is in hand ends by itself; who left the group does not wait for it.
            self._group.create_task(_closed(connection.channel), name=f"close {connection.peer.addr}")
        return connection

    def _begin(self, connection: _Connection, call: Any, name: str) -> None:
        task = self._group.create_task(call, name=name)
        connection.tasks.add(task)
        task.add_done_callback(connection.tasks.discard)

    async def _ask(self, connection: _Connection, method: _Method, message: Value, call: int) -> None:
        opened = connection.channel.unary_unary(method.path)
        try:
            answer = _read(method.answer, await opened(to_bytes(message), timeout=CALL_SECONDS))
        except (grpc.aio.AioRpcError, SwarmlabError) as error:
            self._failed(connection, error, method.path, call)
            return
        if connection is self._connection:
            self._receive(answer, call)

    async def _stream(self, connection: _Connection, method: _Method, message: Value, call: int) -> None:
        opened = connection.channel.unary_stream(method.path)
        try:
            async for answer in _answers(opened(to_bytes(message)), method.answer):
                if connection is not self._connection:
                    return
                if isinstance(answer, SessionMessage):
                    self._greeted(connection, answer)
                self._receive(answer, call)
            ended: Exception = Precondition(f"{method.path}: the manager ended the stream")
        except (grpc.aio.AioRpcError, SwarmlabError) as error:
            ended = error
        self._failed(connection, ended, method.path, call)

    def _greeted(self, connection: _Connection, message: SessionMessage) -> None:
        self._remotes.replace(message.managers)
        if connection.greeted:
            return
        connection.greeted = True
        self._failed_last = ""
        self._remotes.observe(connection.peer, answered=True)
        if self._node_tasks is not None:
            self._begin(connection, self._listen(connection, self._node_tasks), LISTEN)

    async def _listen(self, connection: _Connection, node_tasks: NodeTasks) -> None:
        """Publish lines as the manager asks for them. A manager that knows no log broker is none the worse for it."""
        opened = connection.channel.unary_stream(LISTEN)
        try:
            async with asyncio.TaskGroup() as group:
                publishing = Publishing(connection.channel, node_tasks, group)
                try:
                    async for message in _answers(opened(to_bytes(ListenSubscriptionsRequest())), SubscriptionMessage):
                        publishing.take(message)
                finally:
                    publishing.close()
            ended: Exception = Precondition(f"{LISTEN}: the manager ended the stream")
        except* (grpc.aio.AioRpcError, SwarmlabError) as group_error:
            ended = group_error.exceptions[0]
        if isinstance(ended, grpc.aio.AioRpcError) and ended.code() is grpc.StatusCode.UNIMPLEMENTED:
            return
        self._failed(connection, ended, LISTEN, 0)

    def _failed(self, connection: _Connection, error: Exception, method: str, call: int) -> None:
        """A call failed: its connection is given up, and the agent hears why, if it still speaks over it."""
        if connection is not self._connection:
            return
        known: Exception | None = error
        if isinstance(error, grpc.aio.AioRpcError):
            known = error_of(error.code(), error.details() or "", error.trailing_metadata() or ())
            _log.info(
                "call_failed manager=%s method=%s code=%s error=%s",
                connection.peer.addr,
                method,
                error.code().name,
                error.details(),
            )
            is_away = error.code() is grpc.StatusCode.UNAVAILABLE and not connection.greeted
            if is_away and self._unreached is not None:
                self._unreached(connection.peer)
        self._failed_last = connection.peer.addr
        self._remotes.observe(connection.peer, answered=False)
        self._hang_up()
        if known is not None and call:
            self._receive(known, call)
        else:
            self._disconnected()


async def _closed(channel: grpc.aio.Channel) -> None:
    await channel.close()


async def _answers(call: Any, kind: type[V]) -> AsyncIterator[V]:
    """The answers of a stream; the call ends with the iteration, however that ends."""
    try:
        async for data in call:
            yield _read(kind, data)
    finally:
        call.cancel()


def _read(kind: type[V], data: bytes) -> V:
    """The value in an answer. GRPC does not read it: an error of a reader it would turn into no answer at all.

    Raises:
        InvalidSpec: The bytes are no such message.
    """
    return decode(kind, _parser(kind)(data))


@cache
def _parser(kind: type[Value]) -> Parse:
    return parser(codec(kind).message.DESCRIPTOR, mend=True)  # type: ignore[arg-type]  # of either kind
