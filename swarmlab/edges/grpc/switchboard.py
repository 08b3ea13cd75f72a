"""Joins the calls of nodes to the components of a manager: messages in, answers out.

A component knows addresses and numbers of calls; gRPC knows coroutines. A call is given a number, its messages are
handed to the manager as from the address of its caller, and what is sent back to that address under that number answers
it: once, or as long as the stream is open. An exception of the error tree ends the call, None ends a stream well.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Protocol

from swarmlab.api import (
    LogMessage,
    LogSelector,
    LogSubscriptionOptions,
    NodeId,
    OutOfSequence,
    PublishLogsMessage,
    SessionRequest,
    SubscribeLogsMessage,
    SubscribeLogsRequest,
    SwarmlabError,
    Value,
)

#: Messages that wait for a slow reader of a stream before the stream is ended.
BACKLOG = 1000
#: Messages that wait for a slow reader before those whose lines it reads are made to wait.
ENOUGH = 20


class _Line(Protocol):
    """An open call, as the sender of its answers sees it."""

    sender: str

    def take(self, message: Any) -> None:
        """Carry an answer, or an error that ends the call."""


class _Question:
    """A call that wants one answer."""

    def __init__(self, sender: str) -> None:
        self.sender = sender
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def take(self, message: Any) -> None:
        if self.answer.done():
            return
        if isinstance(message, BaseException):
            self.answer.set_exception(message)
        else:
            self.answer.set_result(message)


class _Feed:
    """A call whose answers are a stream."""

    def __init__(self, sender: str) -> None:
        self.sender = sender
        self._waiting: deque[Any] = deque()
        self._some = asyncio.Event()
        self._ended = False
        self._error: BaseException | None = None
        #: Set while few enough messages wait.
        self.room = asyncio.Event()
        self.room.set()

    def take(self, message: Any) -> None:
        if self._ended:
            return
        if message is None or isinstance(message, BaseException):
            self._ended, self._error = True, message
        elif len(self._waiting) >= BACKLOG:
            self._ended = True
            self._error = OutOfSequence(f"{self.sender} reads too slowly: {BACKLOG} messages wait, wanted: a new call")
        else:
            self._waiting.append(message)
            if len(self._waiting) > ENOUGH:
                self.room.clear()
        self._some.set()

    async def messages(self) -> AsyncGenerator[Any, None]:
        """What is sent, until it is ended; what was sent before an error comes before it."""
        try:
            while True:
                while self._waiting:
                    yield self._waiting.popleft()
                    if len(self._waiting) <= ENOUGH:
                        self.room.set()
                if self._error is not None:
                    raise self._error
                if self._ended:
                    return
                self._some.clear()
                await self._some.wait()
        finally:
            self._ended = True
            self._waiting.clear()
            self.room.set()


class Switchboard:
    """The calls that are open at one manager.

    Args:
        receive: Hands the manager a message: (address of the caller, message, number of the call).
        disconnected: Tells the manager that the connection of that address is gone.
    """

    def __init__(self, receive: Callable[[str, Any, int], None], disconnected: Callable[[str], None]) -> None:
        self._receive = receive
        self._disconnected = disconnected
        self._lines: dict[int, _Line] = {}
        self._last = 0
        #: {node: its newest session call, and the address from which it came}
        self._sessions: dict[str, tuple[int, str]] = {}
        #: Feeds that got a message from the one that the manager has in hand.
        self._fed: set[_Feed] = set()

    def send(self, to: str, message: Any, call: int) -> None:
        """Carry a manager's answer. What answers a call that is over is lost, as on a broken wire."""
        line = self._lines.get(call)
        if line is None or line.sender != to:
            return
        if isinstance(line, _Feed):
            self._fed.add(line)
        line.take(message)

    def address_of(self, node_id: NodeId) -> str:
        """The address from which a node with a session came, without a port; empty where there is none."""
        return self._sessions.get(node_id, (0, ""))[1]

    def end(self, error: SwarmlabError) -> None:
        """End every call that is open: this manager does not lead any more, or stops."""
        for line in tuple(self._lines.values()):
            line.take(error)

    async def ask(self, sender: str, message: Value) -> Any:
        """The one answer to `message`. Raises the error that the manager answers."""
        line = _Question(sender)
        number = self._open(line)
        try:
            self._post(sender, message, number)
            return await line.answer
        finally:
            del self._lines[number]

    async def stream(self, sender: str, message: Value) -> AsyncGenerator[Any, None]:
        """The answers to `message` until the manager ends the call, raising the error that it ends it with."""
        feed = _Feed(sender)
        number = self._open(feed)
        try:
            self._post(sender, message, number)
            async with aclosing(feed.messages()) as messages:
                async for answer in messages:
                    yield answer
        finally:
            del self._lines[number]

    async def session(self, node_id: NodeId, address: str, request: SessionRequest) -> AsyncGenerator[Any, None]:
        """The session messages of a node. Their end is the end of the node's connection, unless it made a newer one."""
        feed = _Feed(node_id)
        number = self._open(feed)
        mine = self._sessions[node_id] = number, address
        try:
            self._post(node_id, request, number)
            async with aclosing(feed.messages()) as messages:
                async for answer in messages:
                    yield answer
        finally:
            del self._lines[number]
            if self._sessions.get(node_id) is mine:
                del self._sessions[node_id]
                self._disconnected(node_id)

    async def logs(self, selector: LogSelector, options: LogSubscriptionOptions) -> AsyncGenerator[LogMessage, None]:
        """Lines of tasks, on whichever nodes: with a log broker behind it, this is a `LogSource`.

        The address of a client lives as long as its call.
        """
        client = f"client/{self._last + 1}"
        try:
            async with aclosing(self.stream(client, SubscribeLogsRequest(selector, options))) as answers:
                async for answer in answers:
                    assert isinstance(answer, SubscribeLogsMessage), f"{answer!r} as the answer to a wish for lines"
                    for line in answer.messages:
                        yield line
        finally:
            self._disconnected(client)

    async def publish(self, node_id: NodeId, messages: AsyncIterator[PublishLogsMessage]) -> Any:
        """Hand over the lines of a node, each as soon as those who read the last ones kept up; then the answer.

        A stream that ends without a word, or breaks, is closed in the node's name.
        """
        line = _Question(node_id)
        number = self._open(line)
        subscription, closed = "", False
        try:
            async for message in messages:
                subscription = subscription or message.subscription_id
                closed = closed or message.close
                for feed in self._post(node_id, message, number):
                    await feed.room.wait()
                if line.answer.done():
                    break
            if not closed and not line.answer.done():
                closed = True
                self._post(node_id, PublishLogsMessage(subscription_id=subscription, close=True), number)
            return await line.answer
        finally:
            if not closed and not line.answer.done():
                self._post(node_id, PublishLogsMessage(subscription_id=subscription, close=True), number)
            del self._lines[number]

    def _open(self, line: _Line) -> int:
        self._last += 1
        self._lines[self._last] = line
        return self._last

    def _post(self, sender: str, message: Any, number: int) -> tuple[_Feed, ...]:
        """Hand a message over; gives the feeds that what it says went to."""
        self._fed.clear()
        self._receive(sender, message, number)
        fed = tuple(self._fed)
        self._fed.clear()
        return fed
