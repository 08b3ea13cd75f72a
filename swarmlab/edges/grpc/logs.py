"""The log service: lines of services, nodes and tasks, some to a message."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping
from typing import Any, TypeVar

from swarmlab.api import InvalidSpec, LogMessage, LogSelector, LogStream, LogSubscriptionOptions
from swarmlab.api.proto.logbroker_pb2 import DESCRIPTOR, SubscribeLogsMessage
from swarmlab.api.wire import decode, fill
from swarmlab.edges.grpc.handlers import Stream
from swarmlab.edges.grpc.ports import LogSource

SERVICE = DESCRIPTOR.services_by_name["Logs"]
#: Lines in one message.
PIECE = 200

T = TypeVar("T")


def streams(source: LogSource) -> Mapping[str, Stream]:
    """{method: how it is answered}."""

    async def subscribe(request: Any) -> AsyncIterator[Any]:
        selector = decode(LogSelector, request.selector)
        options = decode(LogSubscriptionOptions, request.options)
        check(selector, options)
        async for lines in pieces(source.logs(selector, options)):
            message = SubscribeLogsMessage()
            for line in lines:
                fill(message.messages.add(), line)
            yield message

    return {"SubscribeLogs": subscribe}


def check(selector: LogSelector, options: LogSubscriptionOptions) -> None:
    """The request names something and knows the streams.

    Raises:
        InvalidSpec: It does not.
    """
    if not (selector.service_ids or selector.node_ids or selector.task_ids):
        raise InvalidSpec("selector: nothing, wanted: the id of a service, a node or a task")
    for stream in options.streams:
        if stream not in (LogStream.LOG_STREAM_STDOUT, LogStream.LOG_STREAM_STDERR):
            raise InvalidSpec(f"options.streams: {int(stream)}, wanted: 1 (stdout) or 2 (stderr)")


async def pieces(lines: AsyncIterator[LogMessage]) -> AsyncGenerator[list[LogMessage], None]:
    """What is there at once, together: one message for each line would cost more than the lines."""

    async def after() -> LogMessage | None:
        return await anext(lines, None)

    # Not a TaskGroup: a generator that is closed at its `yield` would leave it by an exception group.
    following = asyncio.create_task(after())
    try:
        while (line := await following) is not None:
            piece = [line]
            following = await _begun(after())
            while len(piece) < PIECE and _is_there(following):
                piece.append(following.result())  # type: ignore[arg-type]  # it is there
                following = await _begun(after())
            yield piece
    finally:
        following.cancel()
        await asyncio.wait((following,))
        await lines.aclose()  # type: ignore[attr-defined]  # sources are generators


async def _begun(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A task that went as far as it could without waiting."""
    task = asyncio.create_task(work)
    await asyncio.sleep(0)
    return task


def _is_there(following: asyncio.Task[Any]) -> bool:
    """A line came; its end or its error is for later, when what was read before is on its way."""
    return (
        following.done()
        and not following.cancelled()
        and following.exception() is None
        and following.result() is not None
    )
