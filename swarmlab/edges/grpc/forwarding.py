"""Calls that a manager passes on to the leader, byte for byte, in the name of whoever made them."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, Protocol, Self

import grpc

from swarmlab.api import NotLeader, ProposalUnknown, TooLarge
from swarmlab.edges.grpc.authorisation import KEYS, Caller, forwarding_metadata
from swarmlab.edges.grpc.handlers import Context

#: How long a call waits for the end of an election: of the longest one with the ticks that managers have by default.
ELECTION_SECONDS = 20.0
#: How long before its deadline a call that waits is told that nobody leads; later it would not hear why it ended.
LAST_WORD_SECONDS = 0.5
#: How soon a leader that was not there is looked for again.
PAUSE_SECONDS = 0.5
#: What a manager says to a call that another one took to it in vain.
_TWICE = "more than one redirect to the leader"
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


class LeaderGone(Exception):
    """Nothing came of passing a call on, as the manager at `addr` is not there, or does not lead any more."""

    def __init__(self, addr: str) -> None:
        super().__init__(addr)
        self.addr = addr


class Forwarder:
    """Passes calls on over one connection to whoever leads.

    As a context it is entered after the servers that use it, so that what it passes on ends before they do.

    Args:
        leadership: Who leads.
        channels: Opens a connection to an address.
        own_addr: host:port of this manager, which the leader is told.
        election_seconds: How long a call waits for somebody to lead.
    """

    def __init__(
        self,
        leadership: Leadership,
        channels: Channels,
        own_addr: Callable[[], str],
        election_seconds: float = ELECTION_SECONDS,
    ) -> None:
        self._leadership = leadership
        self._channels = channels
        self._own_addr = own_addr
        self._addr = ""
        self._channel: grpc.aio.Channel | None = None
        self._election_seconds = election_seconds
        #: Set when another leader may be known.
        self._news = asyncio.Event()
        #: Closing connections that nobody waits for.
        self._closing: set[asyncio.Task[None]] = set()
        self._leaving = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        self._leaving.set()
        self._news.set()
        self.renew()
        await asyncio.gather(*self._closing)

    @property
    def leads(self) -> bool:
        """Nothing is passed on, because this manager leads."""
        return self._leadership.leads

    def patience_ends(self, context: Context) -> float:
        """Until when a call that begins now looks for a leader, by the clock of the loop."""
        remaining = context.time_remaining()
        patience = self._election_seconds
        if remaining is not None:
            patience = min(patience, remaining - LAST_WORD_SECONDS)
        return asyncio.get_running_loop().time() + patience

    async def settled(self, until: float, gone: str = "") -> None:
        """Wait until this manager leads, or another one is known to.

        One at the address `gone` is none for a moment; then it may be there again.

        Raises:
            NotLeader: Nobody was known `until` then.
        """
        try:
            async with asyncio.timeout_at(until):
                if gone:
                    await self._hear(gone)
                while not self.leads and not self._leadership.leader_addr:
                    await self._hear()
        except TimeoutError:
            raise NotLeader from None

    async def _hear(self, gone: str = "") -> None:
        """Wait for news of the leader; of one that is gone for a pause at most, and not where another is known."""
        if self._leaving.is_set():
            raise NotLeader
        if gone and (self.leads or self._leadership.leader_addr not in ("", gone)):
            return
        self._news.clear()
        pause = asyncio.timeout(PAUSE_SECONDS if gone else None)
        try:
            async with pause:
                await self._news.wait()
        except TimeoutError:
            if not pause.expired():
                raise

    async def unary(self, method: str, request: bytes | AsyncIterator[bytes], caller: Caller, context: Context) -> Any:
        """The leader's one answer to one request, or to a stream of them.

        Raises:
            NotLeader: Nobody is known to lead.
            LeaderGone: The call did not reach a leader; nothing was done.
            ProposalUnknown: The leader has changed, or the connection to it, before an answer came.
            TooLarge: The call was passed on to this manager already.
            grpc.aio.AbortError: The leader's error, with which the call has been ended.
        """
        channel, addr = await self._to_leader(method, caller)
        opened = channel.unary_unary if isinstance(request, bytes) else channel.stream_unary
        # Requests that were taken from their stream are gone, and cannot be passed on a second time.
        repeated = addr if isinstance(request, bytes) else ""
        call = opened(method)(request, timeout=context.time_remaining(), metadata=self._metadata(caller, context))
        try:
            return await call
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
            self._tell_what_became(method, channel, repeated, error)
            if isinstance(error, asyncio.CancelledError):
                raise
            await _pass_back(context, error)
        finally:
            call.cancel()

    async def stream(self, method: str, request: bytes, caller: Caller, context: Context) -> AsyncGenerator[Any, None]:
        """The leader's answers. Raises as `unary`."""
        channel, addr = await self._to_leader(method, caller)
        opened = channel.unary_stream(method)
        call = opened(request, timeout=context.time_remaining(), metadata=self._metadata(caller, context))
        try:
            async for answer in call:
                yield answer
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
            self._tell_what_became(method, channel, addr, error)
            if isinstance(error, asyncio.CancelledError):
                raise
            await _pass_back(context, error)
        finally:
            call.cancel()

    def look(self) -> None:
        """Another leader may be known: what was passed on to the one before ends, if it is not answered at once.

        That one may be cut off without a word, and whoever waits for it would wait until a deadline comes.
        """
        self._news.set()
        if self._channel is not None and (self.leads or self._leadership.leader_addr not in ("", self._addr)):
            self._let_go(GRACE_SECONDS)

    def renew(self) -> None:
        """Let go of the connection and end its calls; the next call makes one with the certificate of that time."""
        self._let_go(0)

    def _let_go(self, grace_seconds: float) -> None:
        channel, self._channel, self._addr = self._channel, None, ""
        if channel is not None:
            closing = asyncio.create_task(self._close(channel, grace_seconds), name="old connection to the leader")
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def _close(self, channel: grpc.aio.Channel, grace_seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await self._leaving.wait()
        await channel.close()

    async def _to_leader(self, method: str, caller: Caller) -> tuple[grpc.aio.Channel, str]:
        """A connection to the leader that is up, and where it leads to. Raises as `unary`."""
        addr = self._leadership.leader_addr
        if not addr:
            raise NotLeader
        if caller.redirected:
            raise TooLarge(f"{method}: {_TWICE}; here {addr} is known to lead")
        if addr != self._addr or self._channel is None:
            self.renew()
            self._channel, self._addr = self._channels(addr), addr
        channel = self._channel
        while (state := channel.get_state(try_to_connect=True)) is not grpc.ChannelConnectivity.READY:
            if state in _BROKEN:
                if channel is self._channel:
                    self.renew()
                raise LeaderGone(addr)
            await channel.wait_for_state_change(state)
        return channel, addr

    def _tell_what_became(self, method: str, channel: grpc.aio.Channel, addr: str, error: BaseException) -> None:
        """Raise what became of a call that the leader did not answer, where its caller has not given it up.

        `addr` is where the leader was looked for; empty where the call cannot be repeated.

        Raises:
            LeaderGone: The leader was not reached, or does not lead any more.
            ProposalUnknown: Its connection was let go of meanwhile.
        """
        if isinstance(error, grpc.aio.AioRpcError) and addr and _is_in_vain(error):
            raise LeaderGone(addr) from error
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


#: A connection of which nothing comes soon, or ever.
_BROKEN = frozenset({grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN})
#: Metadata that each connection makes for itself.
_OF_THE_CONNECTION = frozenset({"user-agent", "te", "content-type", "host"})


def _is_in_vain(error: grpc.aio.AioRpcError) -> bool:
    """Whether the call came to a manager that does not lead, and nothing was done."""
    return error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and _TWICE in (error.details() or "")


async def _pass_back(context: Context, error: grpc.aio.AioRpcError) -> None:
    """End the call as the leader did, or as unavailable where the leader did not answer."""
    await context.abort(error.code(), error.details() or "", tuple(error.trailing_metadata() or ()))
