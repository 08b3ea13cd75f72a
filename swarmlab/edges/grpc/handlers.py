"""From methods on messages to gRPC handlers: parsing, errors, and the stop of streams."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from functools import partial
from inspect import isasyncgenfunction
from typing import Any

import grpc
from google.protobuf.descriptor import Descriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from swarmlab.api import InvalidSpec
from swarmlab.edges.grpc.errors import Metadata, status_of
from swarmlab.edges.grpc.mending import with_texts_mended

_log = logging.getLogger(__name__)

#: From a request message to a response message, or to many; their classes are generated and have no static types.
Unary = Callable[[Any], Awaitable[Any]]
Stream = Callable[[Any], AsyncIterator[Any]]
#: From many requests to one response.
Collect = Callable[[AsyncIterator[Any]], Awaitable[Any]]
Context = Any
#: What grpc calls with a request, or the iterator of requests, and the context of the call.
Behaviour = Callable[[Any, Context], Any]
#: From bytes to a message.
Parse = Callable[[bytes], Any]
#: Of a service that has none of a kind.
NONE: Mapping[str, Any] = {}


#: How a stream ends that the server cannot go on with.
_STOPPING = (grpc.StatusCode.UNAVAILABLE, "the server is stopping")


class Streams:
    """The streams that are open behind handlers. They have no end of their own, so a server that stops ends them."""

    def __init__(self) -> None:
        self._open: set[_Stream] = set()
        self._stopped = False

    def over(self, handler: grpc.GenericRpcHandler) -> grpc.GenericRpcHandler:
        """The handler, whose streams these are from now on; its calls of one request and one answer are not."""
        return _Stoppable(handler, self._serve)

    def stop(self) -> None:
        """End those that are open, as UNAVAILABLE, and begin no more.

        One that waits for a slow reader ends when its answer is read, or when grpc has lost its patience.
        """
        self._stopped = True
        for stream in self._open:
            stream.stop()

    async def _serve(self, behaviour: Behaviour, request: Any, context: Context) -> Any:
        """Serve one stream to its end, or to that of the server.

        A handler that is merely cancelled sends no status, and whoever is at the other end would wait for one until the
        server has lost its patience.
        """
        if self._stopped:
            await _end(context, *_STOPPING)
            return None
        stream = _Stream(context)
        try:
            async with stream.scope:
                self._open.add(stream)
                try:
                    if not isasyncgenfunction(behaviour):
                        return await behaviour(request, stream)
                    async with aclosing(behaviour(request, stream)) as answers:
                        async for answer in answers:
                            await stream.write(answer)
                finally:
                    self._open.discard(stream)
        except TimeoutError:
            if not stream.scope.expired():
                raise
            await _end(context, *_STOPPING)
        return None


class _Stream:
    """The context of a call that is a stream, which a stop ends between two answers.

    With one on its way there is no room for a status.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._stopped = False
        self._writing = 0
        #: Its expiry is the stop.
        self.scope = asyncio.timeout(None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def stop(self) -> None:
        """End it as soon as no answer is on its way."""
        self._stopped = True
        self._end_soon()

    async def write(self, answer: bytes) -> None:
        """Send one more answer."""
        await self._wait_for_stop()
        self._writing += 1
        try:
            await self._context.write(answer)
        finally:
            self._writing -= 1
            if self._stopped:
                self._end_soon()

    async def abort(self, *status: Any) -> None:
        """End it by another status, which a stop does not change any more."""
        await self._wait_for_stop()
        self._writing += 1
        await self._context.abort(*status)

    async def _wait_for_stop(self) -> None:
        """Nothing may come between a stop and the end."""
        if self._stopped:
            await asyncio.get_running_loop().create_future()

    def _end_soon(self) -> None:
        if not self._writing and not self.scope.expired():
            self.scope.reschedule(0)


class _Stoppable(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """A handler whose streams are served by `serve`."""

    def __init__(self, inner: grpc.GenericRpcHandler, serve: Callable[[Behaviour, Any, Context], Any]) -> None:
        self._inner = inner
        self._serve = serve

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        found = self._inner.service(details)
        if found is None or not (found.request_streaming or found.response_streaming):
            return found
        return with_behaviour(found, lambda behaviour: partial(self._serve, behaviour))


def with_behaviour(handler: grpc.RpcMethodHandler, made: Callable[[Behaviour], Behaviour]) -> grpc.RpcMethodHandler:
    """The handler of a method, with another behaviour made from its own."""
    name = _KINDS[bool(handler.request_streaming), bool(handler.response_streaming)]
    maker = getattr(grpc, f"{name}_rpc_method_handler")
    return maker(made(getattr(handler, name)), handler.request_deserializer, handler.response_serializer)


#: {(requests stream, responses stream): name in grpc}
_KINDS: Mapping[tuple[bool, bool], str] = {
    (False, False): "unary_unary",
    (False, True): "unary_stream",
    (True, False): "stream_unary",
    (True, True): "stream_stream",
}


def service_handler(
    service: ServiceDescriptor,
    unary: Mapping[str, Unary],
    streaming: Mapping[str, Stream] = NONE,
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
            name: grpc.unary_stream_rpc_method_handler(_stream(parsers[name], method))
            for name, method in streaming.items()
        }
        | {
            name: grpc.stream_unary_rpc_method_handler(_collect(parsers[name], method))
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


def _stream(parse: Parse, method: Stream) -> Callable[[bytes, Context], AsyncIterator[bytes]]:
    async def handle(data: bytes, context: Context) -> AsyncIterator[bytes]:
        try:
            async with aclosing(method(parse(data))) as messages:  # type: ignore[type-var]  # they are generators
                async for message in messages:
                    yield message.SerializeToString()
        except Exception as error:
            await abort(context, error)

    return handle


def _collect(parse: Parse, method: Collect) -> Callable[[AsyncIterator[bytes], Context], Awaitable[bytes | None]]:
    async def handle(pieces: AsyncIterator[bytes], context: Context) -> bytes | None:
        async def messages() -> AsyncIterator[Any]:
            async for piece in pieces:
                yield parse(piece)

        try:
            answer: bytes = (await method(messages())).SerializeToString()
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
    await _end(context, *status_of(error))


async def _end(context: Context, code: grpc.StatusCode, message: str, metadata: Metadata = ()) -> None:
    try:
        await context.abort(code, message, metadata)
    except grpc.aio.InternalError:
        # The connection is gone and nobody is there to be told, or an answer is still waiting for its reader.
        _log.debug("call_ended_unheard error=%s", message)
