"""One other member: the stream that carries what it is sent, and the snapshots beside it."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import grpc

from swarmlab.api.proto.raft_pb2 import DESCRIPTOR, Heard, Parcel, Piece
from swarmlab.node import Image
from swarmlab.node.replica import REMOVED
from swarmlab.raft import Message, RaftId, encode_message

SERVICE = DESCRIPTOR.services_by_name["Raft"]
CARRY, INSTALL = (f"/{SERVICE.full_name}/{name}" for name in ("Carry", "Install"))

#: Messages that wait for one member. SwarmKit `transport.peer`.
QUEUE_MESSAGES = 4096
#: Bytes of messages in one parcel; a larger message goes alone.
PARCEL_BYTES = 1 << 20
#: Bytes of one piece of a snapshot.
PIECE_BYTES = 1 << 20
#: How long a member may take to say that it heard, or to take a piece, before its connection counts as broken.
PATIENCE_SECONDS = 3.0
#: How long a member may take to read a snapshot that it has all of.
INSTALL_SECONDS = 120.0
#: Pauses between attempts to connect.
FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.1, 3.0

#: Opens a connection to host:port with the certificate of this node.
Channels = Callable[[str], grpc.aio.Channel]

_BROKEN = (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError, TimeoutError)
_log = logging.getLogger(__name__)


class Reports(Protocol):
    """Who hears what became of messages: a `Replica`."""

    def report_unreachable(self, raft_id: RaftId) -> None:
        """What was sent to that member is probably lost."""

    def report_image(self, raft_id: RaftId, ok: bool) -> None:
        """The image that was sent has arrived, or has not."""

    def expelled(self) -> None:
        """The member whose reports these are was removed."""


class RaftPeer:
    """The way to one member. What finds no room or no connection is dropped and reported, never waited for.

    Args:
        raft_id: Whose way it is.
        addr: host:port.
        channels: Opens connections.
        reports: Hears what was lost.
    """

    def __init__(self, raft_id: RaftId, addr: str, channels: Channels, reports: Reports) -> None:
        self.raft_id = raft_id
        self.addr = addr
        self._channels = channels
        self._reports = reports
        self._queue: deque[Message] = deque()
        self._filled = asyncio.Event()
        #: It is broken, and not yet tried again.
        self._pausing = False
        self._pause = FIRST_PAUSE_SECONDS
        #: A report is on its way.
        self._reporting = False
        #: Ends a connection on which nothing is heard.
        self._patience: asyncio.Timeout | None = None
        #: Parcels that were sent on the present connection, and that were heard.
        self._written = self._heard = 0

    def send(self, message: Message) -> None:
        """Queue it."""
        if self._pausing or len(self._queue) >= QUEUE_MESSAGES:
            self._lose()
        else:
            self._queue.append(message)
            self._filled.set()

    def renew(self) -> None:
        """Connect anew, with the certificate of now."""
        if self._patience is not None:
            self._patience.reschedule(0)

    async def run(self) -> None:
        """Connect once there is something to say, carry it, and connect again, until cancelled."""
        while True:
            await self._filled.wait()
            channel = self._channels(self.addr)
            try:
                await self._carry(channel)
            finally:
                await channel.close()
            self._queue.clear()
            self._filled.clear()
            self._pausing = True
            self._lose()
            await asyncio.sleep(self._pause)
            self._pausing = False
            self._pause = min(2 * self._pause, LAST_PAUSE_SECONDS)

    async def send_image(self, message: Message, image: Image) -> None:
        """Stream the image in pieces, made one at a time, over a connection of its own; then report."""
        channel = self._channels(self.addr)
        arrived = False
        try:
            call = channel.stream_unary(INSTALL)()
            for piece in pieces(message, image):
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await call.write(piece.SerializeToString())
            async with asyncio.timeout(INSTALL_SECONDS):
                await call.done_writing()
                await call
            arrived = True
        except _BROKEN as error:
            _log.info("snapshot_not_sent member=%x addr=%s error=%s", self.raft_id, self.addr, _said(error))
        finally:
            await channel.close()
        self._reports.report_image(self.raft_id, arrived)

    async def _carry(self, channel: grpc.aio.Channel) -> None:
        """Carry messages until the connection breaks."""
        self._written = self._heard = 0
        call = channel.stream_stream(CARRY)()
        try:
            async with asyncio.timeout(None) as self._patience, asyncio.TaskGroup() as group:
                writing = group.create_task(self._write_all(call), name=f"raft to {self.addr}")
                await self._listen(call)
                writing.cancel()
        except* _BROKEN as errors:
            self._broke(errors)
        finally:
            self._patience = None
            call.cancel()
        task = asyncio.current_task()
        assert task is not None
        if task.cancelling():
            # A write that breaks with the stream would otherwise hide that the stop of this task broke both.
            raise asyncio.CancelledError

    async def _write_all(self, call: Any) -> None:
        while True:
            await self._filled.wait()
            parcel, size = Parcel(), 0
            while self._queue and size < PARCEL_BYTES:
                data = encode_message(self._queue.popleft())
                parcel.messages.append(data)
                size += len(data)
            if not self._queue:
                self._filled.clear()
            self._written += 1
            if self._written == self._heard + 1:
                self._wait_for_word()
            await call.write(parcel.SerializeToString())

    async def _listen(self, call: Any) -> None:
        """Hear what the member heard, to the end of the stream."""
        async for data in call:
            self._heard = Heard.FromString(data).parcels
            self._pause = FIRST_PAUSE_SECONDS
            self._wait_for_word()
        raise TimeoutError("the member ended the stream")

    def _wait_for_word(self) -> None:
        """The connection has to show a sign of life, as long as something was not heard."""
        assert self._patience is not None
        now = asyncio.get_running_loop().time()
        self._patience.reschedule(now + PATIENCE_SECONDS if self._heard < self._written else None)

    def _broke(self, errors: BaseExceptionGroup[Exception]) -> None:
        for error in _leaves(errors):
            _log.info("raft_stream_broke member=%x addr=%s error=%s", self.raft_id, self.addr, _said(error))
            if isinstance(error, grpc.aio.AioRpcError) and _is_expulsion(error):
                self._reports.expelled()

    def _lose(self) -> None:
        """Report a loss, once for all that are lost together, and not in the middle of what lost it."""
        if not self._reporting:
            self._reporting = True
            asyncio.get_running_loop().call_soon(self._report)

    def _report(self) -> None:
        self._reporting = False
        self._reports.report_unreachable(self.raft_id)


def pieces(message: Message, image: Image) -> Iterator[Piece]:
    """The image as it travels; each piece is made when it is asked for."""
    piece = Piece(message=encode_message(message))
    for part in image.parts():
        for start in range(0, max(1, len(part)), PIECE_BYTES):
            if piece.data:
                yield piece
                piece = Piece()
            piece.data = part[start : start + PIECE_BYTES]
            piece.ends_part = start + PIECE_BYTES >= len(part)
    piece.ends_image = True
    yield piece


def _is_expulsion(error: grpc.aio.AioRpcError) -> bool:
    return error.code() is grpc.StatusCode.NOT_FOUND and error.details() == REMOVED


def _leaves(errors: BaseExceptionGroup[Exception]) -> Iterator[BaseException]:
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _said(error: BaseException) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    return f"{type(error).__name__}: {error}"
