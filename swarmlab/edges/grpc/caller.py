"""Calls of a client: one channel, deadlines, and errors as the classes that the server raised."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from swarmlab.api import ProposalUnknown, StateError
from swarmlab.edges.grpc.errors import error_of
from swarmlab.edges.grpc.sockets import address, check_length, is_alive

#: Bytes of an answer: 100,000 tasks with their specs fit many times.
MAX_ANSWER_BYTES = 1 << 30

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_metadata_size", 64 * 1024),
    # Every client speaks with the process at its own path, whatever proxies and other clients there are.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    # A server that comes back is found again soon.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


class Caller:
    """A channel to the server at a socket.

    Raises on opening:
        StateError: Nobody answers there; the message says what to do.
    """

    def __init__(self, path: Path, timeout: float) -> None:
        self.path = path
        self._timeout = timeout
        self._channel: grpc.aio.Channel | None = None

    def open(self) -> None:
        """Make the channel, once it is known that somebody answers."""
        check_length(self.path)
        if not is_alive(self.path):
            raise self._nobody()
        self._channel = grpc.aio.insecure_channel(address(self.path), options=_OPTIONS)

    async def close(self) -> None:
        """End calls and channel."""
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    async def unary(self, service: ServiceDescriptor, method: str, request: Message, *, changes: bool) -> Any:
        """The answer. `changes` says whether the request changes something, so that its end may be unknown."""
        call = self._open_channel().unary_unary(
            f"/{service.full_name}/{method}",
            request_serializer=_bytes,
            response_deserializer=GetMessageClass(service.methods_by_name[method].output_type).FromString,
        )
        try:
            return await call(request, timeout=self._timeout)
        except grpc.aio.AioRpcError as error:
            raise self._error(error, method, changes) from error

    async def stream(self, service: ServiceDescriptor, method: str, request: Message) -> AsyncGenerator[Any, None]:
        """The answers until the server has no more; closing the iterator ends the call."""
        opened = self._open_channel().unary_stream(
            f"/{service.full_name}/{method}",
            request_serializer=_bytes,
            response_deserializer=GetMessageClass(service.methods_by_name[method].output_type).FromString,
        )
        call = opened(request)
        try:
            async for message in call:
                yield message
        except grpc.aio.AioRpcError as error:
            raise self._error(error, method, False) from error
        finally:
            call.cancel()

    def _open_channel(self) -> grpc.aio.Channel:
        if self._channel is None:
            raise StateError(f"the client of {self.path} is not open")
        return self._channel

    def _error(self, error: grpc.aio.AioRpcError, method: str, changes: bool) -> Exception:
        code, message = error.code(), error.details() or ""
        known = error_of(code, message, error.trailing_metadata() or ())
        if known is not None:
            return known
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return _unanswered(f"{method}: no answer within {self._timeout:g} s from {self.path}", changes)
        if code is grpc.StatusCode.UNAVAILABLE and "failed to connect" in message:
            # Nothing was sent, so nothing was done, whatever the method.
            return StateError(f"{method}: {message}") if is_alive(self.path) else self._nobody()
        return _unanswered(f"{method}: the server at {self.path} went away ({code.name}: {message})", changes)

    def _nobody(self) -> StateError:
        there = "the process that made it is gone" if self.path.exists() else "there is none"
        return StateError(
            f"no cluster answers at the socket {self.path}: {there}; start one with `swarmlab --strategy=NAME`, "
            "or name the socket of a running one"
        )


def _unanswered(what: str, changes: bool) -> Exception:
    if changes:
        return ProposalUnknown(f"{what}; it may have been done: look before repeating it")
    return StateError(what)


def _bytes(message: Message) -> bytes:
    return message.SerializeToString()
