"""The wire between managers: what a replica sends, and what others send it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Self

import grpc
from google.protobuf.message import DecodeError

from swarmlab.api import Forbidden, InvalidSpec, NodeId, NotFound, Precondition, StateError, SwarmlabError, TooLarge
from swarmlab.api.proto.raft_pb2 import Heard, Installed, Parcel, Piece
from swarmlab.edges.driver import Alarm
from swarmlab.edges.grpc.errors import status_of
from swarmlab.edges.grpc.raft_peer import SERVICE, Channels, RaftPeer
from swarmlab.node import Image, RaftMember, Replica, Roster, assembled
from swarmlab.raft import Message, RaftId, decode_message

#: How long a member that was removed can still be told so.
FAREWELL_SECONDS = 8.0
#: How soon after a parcel the sender hears that it came.
HEARD_SECONDS = 0.2
#: Bytes of a snapshot on its way; it lies in memory until it is whole.
MAX_IMAGE_BYTES = 4 << 30

Context = Any


def _nobody() -> NodeId | None:
    """For servers that let only one manager through, such as in tests."""
    return None


class RaftTransport:
    """A `RaftWire` over gRPC: one stream to each other member, which server and client keep up for themselves.

    As a context: entered, it carries; left, all its connections are closed. A failure of the replica comes out of it.

    Args:
        channels: Opens a connection to host:port, with the certificate of this node.
        caller: The node that makes the call in hand, as its certificate says; its messages must be its own. None where
            that is not known. Whether it is a manager is decided before.
    """

    def __init__(self, channels: Channels, caller: Callable[[], NodeId | None] = _nobody) -> None:
        self._channels = channels
        self._caller = caller
        self._replica: Replica | None = None
        self._group = asyncio.TaskGroup()
        self._alarm: Alarm | None = None
        self._watchman: asyncio.Task[None] | None = None
        self._peers: dict[RaftId, tuple[RaftPeer, asyncio.Task[None]]] = {}
        #: All that run: also of members that are gone, and snapshots.
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._alarm = Alarm()
        self._watchman = self._group.create_task(self._alarm.raised(), name="raft alarm")
        return self

    async def __aexit__(self, *failure: Any) -> None:
        self._closed = True
        assert self._watchman is not None, "the transport was not entered"
        self._watchman.cancel()
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(*failure)

    def attach(self, replica: Replica) -> None:
        """Carry for that replica; before its start."""
        self._replica = replica

    # What the replica sends

    def send(self, message: Message) -> None:
        """Send it, or lose it and report the member unreachable."""
        known = self._peers.get(message.to)
        if known is not None:
            known[0].send(message)

    def send_image(self, message: Message, image: Image) -> None:
        """Send a SNAPSHOT message with the image that it speaks of, then report."""
        known = self._peers.get(message.to)
        if known is None or self._closed:
            asyncio.get_running_loop().call_soon(self._report_image, message.to, False)
            return
        self._begin(known[0].send_image(message, image), f"snapshot to {known[0].addr}")

    def know(self, roster: Roster) -> None:
        """Reach the members at these addresses from now on."""
        if self._closed:
            return
        own = self._running.member.raft_id
        for member in roster.members:
            known = self._peers.get(member.raft_id)
            if member.raft_id != own and (known is None or known[0].addr != member.addr):
                if known is not None:
                    known[1].cancel()
                self._peers[member.raft_id] = self._started(member)
        for raft_id in [gone for gone in self._peers if roster.get(gone) is None]:
            _, running = self._peers.pop(raft_id)
            # What is on its way to it may still arrive.
            asyncio.get_running_loop().call_later(FAREWELL_SECONDS, running.cancel)

    def renew(self) -> None:
        """The node has another certificate: connections are made anew with it."""
        for peer, _ in self._peers.values():
            peer.renew()

    def report_unreachable(self, raft_id: RaftId) -> None:
        """Hand on to the replica."""
        self._guarded(lambda: self._running.report_unreachable(raft_id))

    def report_image(self, raft_id: RaftId, ok: bool) -> None:
        """Hand on to the replica."""
        self._guarded(lambda: self._running.report_image(raft_id, ok))

    def expelled(self) -> None:
        """Hand on to the replica."""
        self._guarded(self._running.expelled)

    @property
    def _running(self) -> Replica:
        assert self._replica is not None, "no replica is attached"
        return self._replica

    def _started(self, member: RaftMember) -> tuple[RaftPeer, asyncio.Task[None]]:
        peer = RaftPeer(member.raft_id, member.addr, self._channels, self)
        return peer, self._begin(peer.run(), f"raft with {member.addr}")

    def _begin(self, running: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = self._group.create_task(running, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _report_image(self, raft_id: RaftId, ok: bool) -> None:
        self.report_image(raft_id, ok)

    def _guarded(self, action: Callable[[], object]) -> None:
        assert self._alarm is not None, "the transport was not entered"
        self._alarm.guard(action)()

    # What others send

    def handler(self) -> grpc.GenericRpcHandler:
        """The service, for a server that lets only managers of the cluster through."""
        return grpc.method_handlers_generic_handler(
            SERVICE.full_name,
            {
                "Carry": grpc.stream_stream_rpc_method_handler(self._carry),
                "Install": grpc.stream_unary_rpc_method_handler(self._install),
            },
        )

    async def _carry(self, parcels: AsyncIterator[bytes], context: Context) -> None:
        caller, failure = self._caller(), None
        try:
            async with asyncio.TaskGroup() as group:
                count = _Count()
                telling = group.create_task(_tell(count, context), name="raft parcels heard")
                async for data in parcels:
                    for body in _parsed(Parcel, data).messages:
                        self._take(decode_message(body), caller)
                    count.add()
                telling.cancel()
        except* SwarmlabError as errors:
            failure = errors.exceptions[0]
        if failure is not None:
            await _end(context, failure)

    async def _install(self, received: AsyncIterator[bytes], context: Context) -> bytes:
        caller = self._caller()
        try:
            message, parts = await _collected(received)
            # Reading takes seconds where there are many objects, in which heartbeats want to be answered.
            image = await asyncio.to_thread(assembled, parts)
            self._take(message, caller, image)
        except SwarmlabError as error:
            await _end(context, error)
        answer: bytes = Installed().SerializeToString()
        return answer

    def _take(self, message: Message, caller: NodeId | None, image: Image | None = None) -> None:
        """Hand a message to the replica.

        Raises:
            Forbidden: The caller is not the member in whose name the message is.
            NotFound: That member was removed.
            Precondition: The message is for a member that is not here, or the replica takes part no more.
        """
        replica = self._running
        sender = replica.roster.get(message.sender)
        if sender is not None and caller is not None and sender.node_id != caller:
            raise Forbidden(f"node {caller} sends a message of member {message.sender:x}, which is {sender.node_id}")
        if message.to != replica.member.raft_id:
            raise Precondition(f"a message for member {message.to:x} came to member {replica.member.raft_id:x}")
        if self._closed or replica.is_out:
            raise Precondition(f"member {message.to:x} takes part no more")
        removed: list[NotFound] = []

        def take() -> None:
            try:
                if image is None:
                    replica.receive(message)
                else:
                    replica.receive_image(message, image)
            except NotFound as error:
                removed.append(error)

        self._guarded(take)
        if removed:
            raise removed[0]


class _Count:
    """Parcels that came, for who tells of them."""

    def __init__(self) -> None:
        self.parcels = 0
        self.came = asyncio.Event()

    def add(self) -> None:
        self.parcels += 1
        self.came.set()


async def _tell(count: _Count, context: Context) -> None:
    while True:
        await count.came.wait()
        await asyncio.sleep(HEARD_SECONDS)
        count.came.clear()
        await context.write(Heard(parcels=count.parcels).SerializeToString())


async def _collected(received: AsyncIterator[bytes]) -> tuple[Message, list[bytes]]:
    """The message and the parts of a snapshot.

    Raises:
        InvalidSpec: The stream is no snapshot.
        StateError: It ended in the middle of one.
        TooLarge: It is too large.
    """
    parts: list[bytes] = []
    slices: list[bytes] = []
    message: Message | None = None
    size = 0
    whole = False
    async for data in received:
        piece = _parsed(Piece, data)
        if message is None:
            message = decode_message(piece.message)
        size += len(piece.data)
        if size > MAX_IMAGE_BYTES:
            raise TooLarge(f"the snapshot has more than {MAX_IMAGE_BYTES} bytes")
        slices.append(piece.data)
        if piece.ends_part:
            parts.append(b"".join(slices))
            slices.clear()
        whole = piece.ends_image
    if message is None or not whole:
        raise StateError(f"the snapshot ended after {size} bytes, before it was whole")
    return message, parts


def _parsed(kind: Any, data: bytes) -> Any:
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise InvalidSpec(f"{len(data)} bytes, wanted: a message {kind.DESCRIPTOR.full_name} ({error})") from error


async def _end(context: Context, error: Exception) -> None:
    code, words, metadata = status_of(error)
    await context.abort(code, words, metadata)
