"""From methods on messages to gRPC handlers: parsing, errors, and the stop of streams."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

import grpc
from google.protobuf.descriptor import Descriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from swarmlab.api import InvalidSpec, StateError
from swarmlab.edges.grpc.errors import status_of

#: From a request message to a response message, or to many; their classes are generated and have no static types.
Unary = Callable[[Any], Awaitable[Any]]
Stream = Callable[[Any], AsyncIterator[Any]]
Context = Any


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
    service: ServiceDescriptor, unary: Mapping[str, Unary], streaming: Mapping[str, Stream], streams: Streams
) -> grpc.GenericRpcHandler:
    """The handler of a whole service.

    Raises:
        TypeError: The methods given are not those of the service. That is a fault of this program.
    """
    methods = {method.name: method for method in service.methods}
    wanted = {name: method.server_streaming for name, method in methods.items()}
    given = dict.fromkeys(unary, False) | dict.fromkeys(streaming, True)
    if wanted != given:
        odd = sorted(name for name in wanted | given if wanted.get(name) != given.get(name))
        raise TypeError(f"{service.full_name} is not served as it is described: {', '.join(odd)}")
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(_unary(methods[name].input_type, method))
        for name, method in unary.items()
    } | {
        name: grpc.unary_stream_rpc_method_handler(_stream(methods[name].input_type, method, streams))
        for name, method in streaming.items()
    }
    return grpc.method_handlers_generic_handler(service.full_name, handlers)


def _unary(request_type: Descriptor, method: Unary) -> Callable[[bytes, Context], Awaitable[bytes | None]]:
    parse = _parser(request_type)

    async def handle(data: bytes, context: Context) -> bytes | None:
        try:
            answer: bytes = (await method(parse(data))).SerializeToString()
        except Exception as error:
            await _abort(context, error)
            return None
        return answer

    return handle


def _stream(
    request_type: Descriptor, method: Stream, streams: Streams
) -> Callable[[bytes, Context], AsyncIterator[bytes]]:
    parse = _parser(request_type)

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
            await _abort(context, error)

    return handle


def _parser(request_type: Descriptor) -> Callable[[bytes], Message]:
    """GRPC could parse as well, but would answer INTERNAL for bytes that the client got wrong."""
    cls = GetMessageClass(request_type)

    def parse(data: bytes) -> Message:
        try:
            return cls.FromString(data)
        except DecodeError as error:
            raise InvalidSpec(f"{len(data)} bytes, wanted: a message {request_type.full_name} ({error})") from error

    return parse


async def _abort(context: Context, error: Exception) -> None:
    """End the call with the status of `error`."""
    if isinstance(error, grpc.aio.AbortError):
        raise error
    code, message, metadata = status_of(error)
    await context.abort(code, message, metadata)
