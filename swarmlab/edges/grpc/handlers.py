"""From methods on messages to gRPC handlers: parsing, errors, and the stop of streams."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

import grpc
from google.protobuf.descriptor import Descriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from swarmlab.api import InvalidSpec, StateError
from swarmlab.edges.grpc.errors import status_of
from swarmlab.edges.grpc.mending import with_texts_mended

_log = logging.getLogger(__name__)

#: From a request message to a response message, or to many; their classes are generated and have no static types.
Unary = Callable[[Any], Awaitable[Any]]
Stream = Callable[[Any], AsyncIterator[Any]]
#: From many requests to one response.
Collect = Callable[[AsyncIterator[Any]], Awaitable[Any]]
Context = Any
#: From bytes to a message.
Parse = Callable[[bytes], Any]
#: Of a service that has none of a kind.
NONE: Mapping[str, Any] = {}


class Streams:
    """The streams that are open; they have no end of their own, so a server that stops ends them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopped = False

    def begin(self) -> asyncio.Task[Any]:
        """Note the stream that the running task serves."""
        if self._stopped:
            raise StateError("the server is stopping")
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        return task

    def end(self, task: asyncio.Task[Any]) -> None:
        """Forget it."""
        self._tasks.discard(task)

    def stop(self) -> None:
        """Cancel those that are open and begin no more."""
        self._stopped = True
        for task in self._tasks:
            task.cancel()


def service_handler(
    service: ServiceDescriptor,
    unary: Mapping[str, Unary],
    streaming: Mapping[str, Stream],
    streams: Streams,
    collecting: Mapping[str, Collect] = NONE,
    *,
    mend: bool = False,
) -> grpc.GenericRpcHandler:
    """The handler of a whole service. With `mend` texts that are not Unicode are mended, else refused.

    Raises:
        TypeError: The methods given are not those of the service. That is a fault of this program.
    """
    methods = {method.name: method for method in service.methods}
    wanted = {name: (method.client_streaming, method.server_streaming) for name, method in methods.items()}
    given = (
        dict.fromkeys(unary, (False, False))
        | dict.fromkeys(streaming, (False, True))
        | dict.fromkeys(collecting, (True, False))
    )
    if wanted != given:
        odd = sorted(name for name in wanted | given if wanted.get(name) != given.get(name))
        raise TypeError(f"{service.full_name} is not served as it is described: {', '.join(odd)}")
    parsers = {name: parser(method.input_type, mend) for name, method in methods.items()}
    handlers = (
        {name: grpc.unary_unary_rpc_method_handler(_unary(parsers[name], method)) for name, method in unary.items()}
        | {
            name: grpc.unary_stream_rpc_method_handler(_stream(parsers[name], method, streams))
            for name, method in streaming.items()
        }
        | {
            name: grpc.stream_unary_rpc_method_handler(_collect(parsers[name], method, streams))
            for name, method in collecting.items()
        }
    )
    return grpc.method_handlers_generic_handler(service.full_name, handlers)


def _unary(parse: Parse, method: Unary) -> Callable[[bytes, Context], Awaitable[bytes | None]]:
    async def handle(data: bytes, context: Context) -> bytes | None:
        try:
            answer: bytes = (await method(parse(data))).SerializeToString()
        except Exception as error:
            await abort(context, error)
            return None
        return answer

    return handle


def _stream(parse: Parse, method: Stream, streams: Streams) -> Callable[[bytes, Context], AsyncIterator[bytes]]:
    async def handle(data: bytes, context: Context) -> AsyncIterator[bytes]:
        try:
            task = streams.begin()
            try:
                async with aclosing(method(parse(data))) as messages:  # type: ignore[type-var]  # they are generators
                    async for message in messages:
                        yield message.SerializeToString()
            finally:
                streams.end(task)
        except Exception as error:
            await abort(context, error)

    return handle


def _collect(
    parse: Parse, method: Collect, streams: Streams
) -> Callable[[AsyncIterator[bytes], Context], Awaitable[bytes | None]]:
    async def handle(pieces: AsyncIterator[bytes], context: Context) -> bytes | None:
        async def messages() -> AsyncIterator[Any]:
            async for piece in pieces:
                yield parse(piece)

        try:
            task = streams.begin()
            try:
                answer: bytes = (await method(messages())).SerializeToString()
            finally:
                streams.end(task)
        except Exception as error:
            await abort(context, error)
            return None
        return answer

    return handle


def parser(kind: Descriptor, mend: bool = False) -> Parse:
    """Reads messages of that kind. With `mend` texts that are not Unicode are mended, else refused.

    GRPC could parse as well, but would answer INTERNAL for bytes that the other side got wrong.

    Raises (when called):
        InvalidSpec: The bytes are no such message.
    """
    cls = GetMessageClass(kind)

    def parse(data: bytes) -> Message:
        try:
            return cls.FromString(data)
        except DecodeError as error:
            # Programs in Go do not look whether a text is one, and an error text of a task may be anything.
            mended = with_texts_mended(kind, data) if mend else data
            if mended == data:
                raise InvalidSpec(f"{len(data)} bytes, wanted: a message {kind.full_name} ({error})") from error
        try:
            return cls.FromString(mended)
        except DecodeError as error:
            raise InvalidSpec(f"{len(data)} bytes, wanted: a message {kind.full_name} ({error})") from error

    return parse


async def abort(context: Context, error: Exception) -> None:
    """End the call with the status of `error`."""
    if isinstance(error, grpc.aio.AbortError):
        raise error
    code, message, metadata = status_of(error)
    try:
        await context.abort(code, message, metadata)
    except grpc.aio.InternalError:
        # The connection is gone, and nobody is there to be told.
        _log.debug("call_ended_unheard error=%s", message)
