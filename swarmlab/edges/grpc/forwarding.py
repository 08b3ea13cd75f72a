"""Calls that a manager passes on to the leader, byte for byte, in the name of whoever made them."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, Protocol, Self

import grpc

from swarmlab.api import NotLeader, ProposalUnknown, TooLarge
from swarmlab.edges.grpc.authorisation import KEYS, Caller, forwarding_metadata
from swarmlab.edges.grpc.handlers import Context

#: How long a leader that was followed by another may take to answer: one that has just handed over has answers on
#: their way, as to the request that demoted it.
GRACE_SECONDS = 1.0
#: Opens a connection to the manager at an address, with the certificate of this node.
Channels = Callable[[str], grpc.aio.Channel]


class Leadership(Protocol):
    """Who leads, as this manager knows it."""

    @property
    def leads(self) -> bool:
        """It is this manager, and all that was committed before is applied here."""

    @property
    def leader_addr(self) -> str:
        """host:port of another manager that leads; empty where none is known."""


class Forwarder:
    """Passes calls on over one connection to whoever leads.

    As a context it is entered after the servers that use it, so that what it passes on ends before they do.

    Args:
        leadership: Who leads.
        channels: Opens a connection to an address.
        own_addr: host:port of this manager, which the leader is told.
    """

    def __init__(self, leadership: Leadership, channels: Channels, own_addr: Callable[[], str]) -> None:
        self._leadership = leadership
        self._channels = channels
        self._own_addr = own_addr
        self._addr = ""
        self._channel: grpc.aio.Channel | None = None
        #: Closing connections that nobody waits for.
        self._closing: set[asyncio.Task[None]] = set()
        self._leaving = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        self._leaving.set()
        self.renew()
        await asyncio.gather(*self._closing)

    @property
    def leads(self) -> bool:
        """Nothing is passed on, because this manager leads."""
        return self._leadership.leads

    async def unary(self, method: str, request: bytes | AsyncIterator[bytes], caller: Caller, context: Context) -> Any:
        """The leader's one answer to one request, or to a stream of them.

        Raises:
            NotLeader: Nobody is known to lead.
            ProposalUnknown: The leader has changed, or the connection to it, before an answer came.
            TooLarge: The call was passed on to this manager already.
            grpc.aio.AbortError: The leader's error, with which the call has been ended.
        """
        channel = self._to_leader(method, caller)
        opened = channel.unary_unary if isinstance(request, bytes) else channel.stream_unary
        call = opened(method)(request, timeout=context.time_remaining(), metadata=self._metadata(caller, context))
        try:
            return await call
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
            self._tell_of_another_leader(method, channel, error)
            if isinstance(error, asyncio.CancelledError):
                raise
            await _pass_back(context, error)
        finally:
            call.cancel()

    async def stream(self, method: str, request: bytes, caller: Caller, context: Context) -> AsyncGenerator[Any, None]:
        """The leader's answers. Raises as `unary`."""
        channel = self._to_leader(method, caller)
        opened = channel.unary_stream(method)
        call = opened(request, timeout=context.time_remaining(), metadata=self._metadata(caller, context))
        try:
            async for answer in call:
                yield answer
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
            self._tell_of_another_leader(method, channel, error)
            if isinstance(error, asyncio.CancelledError):
                raise
            await _pass_back(context, error)
        finally:
            call.cancel()

    def look(self) -> None:
        """Another leader may be known: what was passed on to the one before ends, if it is not answered at once.

        That one may be cut off without a word, and whoever waits for it would wait until a deadline comes.
        """
        if self._channel is not None and (self.leads or self._leadership.leader_addr not in ("", self._addr)):
            self._let_go(GRACE_SECONDS)

    def renew(self) -> None:
        """Let go of the connection and end its calls; the next call makes one with the certificate of that time."""
        self._let_go(0)

    def _let_go(self, grace_seconds: float) -> None:
        channel, self._channel, self._addr = self._channel, None, ""
        if channel is not None:
            closing = asyncio.create_task(self._closed(channel, grace_seconds), name="old connection to the leader")
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def _closed(self, channel: grpc.aio.Channel, grace_seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await self._leaving.wait()
        await channel.close()

    def _to_leader(self, method: str, caller: Caller) -> grpc.aio.Channel:
        addr = self._leadership.leader_addr
        if caller.redirected:
            raise TooLarge(f"{method}: more than one redirect to the leader; here {addr or 'nobody'} is known to lead")
        if not addr:
            raise NotLeader
        if addr != self._addr or self._channel is None:
            self.renew()
            self._channel, self._addr = self._channels(addr), addr
        return self._channel

    def _tell_of_another_leader(self, method: str, channel: grpc.aio.Channel, error: BaseException) -> None:
        """Raise `ProposalUnknown` where a call ended because its connection was let go of, and not by its caller."""
        task = asyncio.current_task()
        given_up = task is not None and task.cancelling() > 0
        if channel is not self._channel and not given_up:
            raise ProposalUnknown(f"{method}: the leader has changed meanwhile; it may have been done") from error

    def _metadata(self, caller: Caller, context: Context) -> tuple[tuple[str, Any], ...]:
        """What the caller sent, without what only managers say, and what this manager says of the caller."""
        own = (
            (key, value)
            for key, value in context.invocation_metadata() or ()
            if key not in KEYS and key not in _OF_THE_CONNECTION
        )
        return (*own, *forwarding_metadata(caller.origin, self._own_addr()))


#: Metadata that each connection makes for itself.
_OF_THE_CONNECTION = frozenset({"user-agent", "te", "content-type", "host"})


async def _pass_back(context: Context, error: grpc.aio.AioRpcError) -> None:
    """End the call as the leader did, or as unavailable where the leader did not answer."""
    await context.abort(error.code(), error.details() or "", tuple(error.trailing_metadata() or ()))
