"""A node's answer to those who want to read the lines of its tasks: one stream to the manager for each subscription."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Protocol

import grpc

from swarmlab.agent.exec import Kept, LogOptions
from swarmlab.agent.exec import LogMessage as Line
from swarmlab.api import (
    LogMessage,
    LogSelector,
    LogSubscriptionOptions,
    PublishLogsMessage,
    SubscriptionMessage,
    SwarmlabError,
    Task,
    TaskId,
    TaskState,
)
from swarmlab.api.wire import to_bytes
from swarmlab.edges.grpc.logs import pieces
from swarmlab.edges.grpc.ports import Subscription
from swarmlab.edges.grpc.task_logs import is_selected, lines_of

_log = logging.getLogger(__name__)

PUBLISH = "/docker.swarmkit.v1.LogBroker/PublishLogs"
#: Bytes of lines that one task may publish in a second.
BYTES_PER_SECOND = 10_000_000
#: Bytes of lines in one message; a manager takes four times as many.
MESSAGE_BYTES = 1 << 20


class NodeTasks(Protocol):
    """The tasks of a node and what they write."""

    def tasks(self) -> Sequence[Kept]:
        """Those that the node keeps, with their newest status."""

    def follow(self, changed: Callable[[], None]) -> Subscription:
        """Call `changed` whenever `tasks` is another list."""

    def logs(self, task_id: TaskId, options: LogOptions) -> AsyncIterator[Line]:
        """The wanted lines of one of them. Raises an error of the tree where there are none to be had."""


class Publishing:
    """The subscriptions of one connection to a manager.

    Args:
        channel: The connection.
        node_tasks: Whose lines are wanted.
        group: Runs what publishes; a failure that nobody foresaw ends it.
    """

    def __init__(self, channel: grpc.aio.Channel, node_tasks: NodeTasks, group: asyncio.TaskGroup) -> None:
        self._channel = channel
        self._node_tasks = node_tasks
        self._group = group
        #: {subscription: (what publishes for it, that nothing more is wanted)}
        self._open: dict[str, tuple[asyncio.Task[None], asyncio.Event]] = {}

    def take(self, message: SubscriptionMessage) -> None:
        """Begin to publish, or end it."""
        known = self._open.get(message.id)
        if message.close:
            if known is not None:
                known[1].set()
            return
        if known is not None:
            return
        unwanted = asyncio.Event()
        task = self._group.create_task(self._publish(message, unwanted), name=f"publish {message.id}")
        self._open[message.id] = task, unwanted
        task.add_done_callback(lambda _: self._open.pop(message.id, None))

    def close(self) -> None:
        """End all: the connection is gone."""
        for task, _ in self._open.values():
            task.cancel()

    async def _publish(self, wanted: SubscriptionMessage, unwanted: asyncio.Event) -> None:
        """Publish all that matches, then say that there is no more."""
        stream = _Stream(self._channel, wanted.id)
        try:
            await _Readers(self._node_tasks, wanted, stream, unwanted).run()
            await stream.end()
        except grpc.aio.AioRpcError as error:
            # Who wanted the lines is gone, or the connection is, which its session tells.
            _log.info("publish_ended subscription=%s code=%s error=%s", wanted.id, error.code().name, error.details())
        finally:
            stream.cancel()


class _Stream:
    """The call that carries the lines of one subscription."""

    def __init__(self, channel: grpc.aio.Channel, subscription_id: str) -> None:
        self._id = subscription_id
        self._call = channel.stream_unary(PUBLISH)()
        #: One message is written at a time.
        self._writing = asyncio.Lock()

    async def write(self, lines: Sequence[LogMessage]) -> None:
        """Send the lines, once the manager takes them. Raises what the manager ended the call with."""
        message = to_bytes(PublishLogsMessage(subscription_id=self._id, messages=tuple(lines)))
        async with self._writing:
            try:
                await self._call.write(message)
            except asyncio.InvalidStateError:
                await self._call  # it is over, and this raises why
                raise

    async def end(self) -> None:
        """Say that there is no more, and wait until the manager knows."""
        async with self._writing:
            try:
                await self._call.write(to_bytes(PublishLogsMessage(subscription_id=self._id, close=True)))
                await self._call.done_writing()
            except asyncio.InvalidStateError:
                pass  # the manager ended it first, and says with what in its answer
            await self._call

    async def over(self) -> None:
        """Wait until the manager ends the call."""
        await self._call.code()

    def cancel(self) -> None:
        """Let go of it."""
        self._call.cancel()


class _Readers:
    """One reader for each task that matches; with `follow` also for those that start later."""

    def __init__(
        self, node_tasks: NodeTasks, wanted: SubscriptionMessage, stream: _Stream, unwanted: asyncio.Event
    ) -> None:
        self._node_tasks = node_tasks
        self._selector = wanted.selector or LogSelector()
        self._options = wanted.options or LogSubscriptionOptions()
        self._stream = stream
        self._unwanted = unwanted
        self._known: set[TaskId] = set()
        self._reading: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Read until all has been read, or nothing more is wanted. Raises what the manager ended the call with."""
        changed = asyncio.Event()
        following = self._node_tasks.follow(changed.set)
        ends = [asyncio.create_task(end) for end in (self._unwanted.wait(), self._stream.over())]
        try:
            while not any(end.done() for end in ends):
                changed.clear()
                self._join()
                if not self._reading and not self._options.follow:
                    return
                woken = asyncio.create_task(changed.wait())
                try:
                    await asyncio.wait((*self._reading, *ends, woken), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    woken.cancel()
                self._collect()
        finally:
            following.cancel()
            for task in (*ends, *self._reading):
                task.cancel()
            await asyncio.gather(*ends, *self._reading, return_exceptions=True)

    def _join(self) -> None:
        """Begin to read what matches and has begun to run."""
        if self._known and not self._options.follow:
            return
        for task, status in ((kept.task, kept.status) for kept in self._node_tasks.tasks()):
            if task.id in self._known or status.state < TaskState.RUNNING or not is_selected(task, self._selector):
                continue
            self._known.add(task.id)
            self._reading.add(asyncio.create_task(self._read(task), name=f"read {task.id}"))

    def _collect(self) -> None:
        """Forget the readers that ended. Raises what one did not foresee, or the end of the call."""
        for task in [task for task in self._reading if task.done()]:
            self._reading.discard(task)
            task.result()

    async def _read(self, task: Task) -> None:
        pace = _Pace(BYTES_PER_SECOND)

        def opened(of: Task, options: LogOptions) -> AsyncIterator[Line]:
            return self._node_tasks.logs(of.id, options)

        try:
            async with aclosing(pieces(lines_of(task, opened, self._options))) as found:
                async for piece in found:
                    for lines in _messages(piece):
                        await pace.spend(sum(len(line.data) for line in lines))
                        await self._stream.write(lines)
        except SwarmlabError as error:
            # The others go on. The line that says so reaches who reads this node's own log.
            _log.warning("publish_reader_ended task=%s error=%s", task.id, error)


def _messages(lines: Sequence[LogMessage]) -> list[list[LogMessage]]:
    """The lines in portions, each of a size that a manager takes."""
    messages: list[list[LogMessage]] = []
    room = 0
    for line in lines:
        if not messages or len(line.data) > room:
            messages.append([])
            room = MESSAGE_BYTES
        messages[-1].append(line)
        room -= len(line.data)
    return messages


class _Pace:
    """So many bytes in a second, and at most as many at once."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._due = 0.0

    async def spend(self, count: int) -> None:
        """Wait until `count` bytes more may go."""
        now = asyncio.get_running_loop().time()
        self._due = max(now, self._due) + count / self._per_second
        if self._due > now + 1:
            await asyncio.sleep(self._due - now - 1)
