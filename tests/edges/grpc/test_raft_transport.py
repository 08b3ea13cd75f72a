"""Consensus over real streams: it spreads, survives broken connections, and knows who speaks."""

import asyncio

import grpc
import pytest
from raft_group import LiveGroup, until

from swarmlab.api import Changes, Create, Instant, NodeId, Task, TaskId
from swarmlab.api.proto.raft_pb2 import Heard, Parcel
from swarmlab.edges.grpc.raft_peer import CARRY, PIECE_BYTES, QUEUE_MESSAGES, RaftPeer, pieces
from swarmlab.node import Image, Roster
from swarmlab.raft import Message, MessageKind, RaftId, SnapshotMeta, encode_message
from swarmlab.store import CommitAtOnce, Store

HEARTBEAT = Message(kind=MessageKind.HEARTBEAT, to=RaftId(5), sender=RaftId(6), term=1)


async def test_what_one_commits_all_have(short_path):
    """Three managers over streams; each store has every task."""
    async with LiveGroup(short_path, 3) as group:
        await group.commit(*(f"t{number:02}" for number in range(30)))
        await until(lambda: all(len(live.tasks()) == 30 for live in group.all))


async def test_a_manager_that_was_away_catches_up_by_itself(short_path):
    """Its peers connect again, without being told."""
    async with LiveGroup(short_path, 3) as group:
        leader = await group.leader()
        away = next(live for live in group.all if live is not leader)
        await group.commit("a")
        await group.stop(away)
        await group.commit("b", "c")
        await group.start(away)
        await until(lambda: away.tasks() == ["a", "b", "c"])


async def test_the_loss_of_the_leader_costs_nothing_that_was_acknowledged(short_path):
    """The two others elect one of them."""
    async with LiveGroup(short_path, 3) as group:
        old = await group.leader()
        await group.commit("a", "b")
        await group.stop(old)
        await group.commit("c")
        assert (await group.leader()).tasks() == ["a", "b", "c"]


async def test_a_new_manager_gets_a_snapshot_in_pieces(short_path):
    """Far behind, it is sent the state itself; large parts are sliced and put together again."""
    async with LiveGroup(short_path, 1, snapshot_every=10, slow_entries=0) as group:
        await group.commit(*(f"t{number:03}" for number in range(30)), *(f"{n}{'x' * 400_000}" for n in range(6)))
        leader = await group.leader()
        await until(lambda: leader.records.count("snapshot-saved") >= 2)
        joined = await group.join("m2")
        await until(lambda: len(joined.tasks()) == 36)
        assert "snapshot-installed" in joined.records
        assert joined.tasks() == leader.tasks()


async def test_a_member_that_was_removed_is_told(short_path):
    """It hears so from whomever it speaks to, and takes part no more."""
    async with LiveGroup(short_path, 3) as group:
        leader = await group.leader()
        gone = next(live for live in group.all if live is not leader)
        ends = []
        await until(lambda: leader.replica._group.is_reachable(gone.replica.member.raft_id, leader.replica._ticks))
        leader.replica.leave(gone.replica.member.raft_id, ends.append)
        await until(lambda: ends)
        assert ends == [None]
        await until(lambda: gone.replica.status().removed)
        await group.commit("a")


async def test_connections_that_cannot_be_made_are_tried_again(short_path):
    """An address without anybody is reported, and used once somebody answers there."""
    async with LiveGroup(short_path, 3) as group:
        leader = await group.leader()
        cut = next(live for live in group.all if live is not leader)
        leader.cut.add(cut.addr)
        leader.transport.renew()
        await group.commit("a")
        leader.cut.clear()
        await group.commit("b")
        await until(lambda: cut.tasks() == ["a", "b"])


async def test_nobody_speaks_in_anothers_name(short_path):
    """A message of a member has to come with the certificate of its node."""
    async with LiveGroup(short_path, 2) as group:
        [first, second] = group.all
        first.caller = lambda: NodeId("m9")
        message = Message(
            kind=MessageKind.HEARTBEAT, to=first.replica.member.raft_id, sender=second.replica.member.raft_id, term=99
        )
        code, words = await said(first, message)
        assert code is grpc.StatusCode.PERMISSION_DENIED
        assert words == f"node m9 sends a message of member {message.sender:x}, which is m2"
        assert first.replica.status().term < 99


async def test_messages_for_a_member_that_is_not_here_are_refused(short_path):
    """An address that another member has now."""
    async with LiveGroup(short_path, 1) as group:
        code, words = await said(
            group.all[0], Message(kind=MessageKind.HEARTBEAT, to=RaftId(7), sender=RaftId(6), term=1)
        )
        assert (code, words) == (grpc.StatusCode.FAILED_PRECONDITION, "a message for member 7 came to member 5")


@pytest.mark.parametrize("data", [b"\xff", Parcel(messages=[b"\xff"]).SerializeToString()])
async def test_garbage_ends_the_stream_and_nothing_else(short_path, data):
    """INVALID_ARGUMENT, and the replica goes on."""
    async with LiveGroup(short_path, 1) as group:
        code, _ = await said(group.all[0], data)
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        await group.commit("a")


@pytest.mark.parametrize("cut", [0, 1, 2])
async def test_a_snapshot_that_is_cut_off_is_refused(short_path, cut):
    """Without its end, without its message, or empty."""
    message = Message(kind=MessageKind.SNAPSHOT, to=RaftId(5), sender=RaftId(6), term=9, snapshot=SnapshotMeta(5, 1))
    sent = [piece.SerializeToString() for piece in pieces(message, Image(SnapshotMeta(5, 1), Roster(), big_view()))]
    async with LiveGroup(short_path, 1) as group:
        live = group.all[0]
        async with live.channel(live.addr) as channel:
            call = channel.stream_unary("/swarmlab.raft.v1.Raft/Install")(iter(([], sent[:-1], sent[1:])[cut]))
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await call
        assert error.value.code() in (grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT)
        assert live.replica.status().term < 9


async def said(live, what):
    """How the stream ends on which one message, or these bytes, are sent."""
    data = what if isinstance(what, bytes) else Parcel(messages=[encode_message(what)]).SerializeToString()
    async with live.channel(live.addr) as channel:
        call = channel.stream_stream(CARRY)()
        await call.write(data)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            async for _ in call:
                pass
        return error.value.code(), error.value.details()


class Reports:
    """Reports that come."""

    def __init__(self):
        self.unreachable = 0
        self.images = []
        self.removed = False

    def report_unreachable(self, raft_id):
        self.unreachable += 1

    def report_image(self, raft_id, ok):
        self.images.append(ok)

    def expelled(self):
        self.removed = True


async def test_a_full_queue_drops_and_reports_once():
    """Nobody waits for a member that does not keep up."""
    reports = Reports()
    peer = RaftPeer(RaftId(5), "unix:/nowhere", lambda addr: None, reports)
    for _ in range(QUEUE_MESSAGES + 100):
        peer.send(HEARTBEAT)
    await asyncio.sleep(0)
    assert (reports.unreachable, len(peer._queue)) == (1, QUEUE_MESSAGES)


async def test_a_server_that_hears_nothing_is_left(short_path, monkeypatch):
    """A connection on which no word comes back is broken, however well it writes."""
    monkeypatch.setattr("swarmlab.edges.grpc.raft_peer.PATIENCE_SECONDS", 0.2)
    opened = asyncio.Event()
    streams = []

    async def mute(parcels, context):
        streams.append(context)
        if len(streams) == 2:
            opened.set()
        async for _ in parcels:
            if len(streams) == 2:
                await context.write(Heard(parcels=1).SerializeToString())

    server = grpc.aio.server()
    handlers = {"Carry": grpc.stream_stream_rpc_method_handler(mute)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("swarmlab.raft.v1.Raft", handlers),))
    addr = f"unix:{short_path}/mute.sock"
    server.add_insecure_port(addr)
    await server.start()
    reports = Reports()
    peer = RaftPeer(RaftId(5), addr, grpc.aio.insecure_channel, reports)
    running = asyncio.create_task(peer.run())
    peer.send(HEARTBEAT)
    await until(lambda: reports.unreachable)
    await until(lambda: (peer.send(HEARTBEAT), opened.is_set())[1])
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await server.stop(0)


async def test_an_image_that_nobody_takes_is_reported(short_path):
    """So that consensus tries again."""
    reports = Reports()
    peer = RaftPeer(RaftId(5), f"unix:{short_path}/nobody.sock", grpc.aio.insecure_channel, reports)
    await peer.send_image(HEARTBEAT, Image())
    assert reports.images == [False]


def big_view():
    store = Store(CommitAtOnce(), lambda: Instant(1))
    store.propose(
        Changes.atomic(*(Create(Task(id=TaskId(f"{n:04}" + "x" * 3000))) for n in range(700))), lambda _: None
    )
    return store.view


def test_pieces_are_small_and_made_when_asked_for():
    """However large a part is; and the parts can be put together from them."""
    image = Image(SnapshotMeta(5, 1), Roster(), big_view())
    message = Message(kind=MessageKind.SNAPSHOT, to=RaftId(1), sender=RaftId(2), term=1, snapshot=image.meta)
    sent = list(pieces(message, image))
    assert max(len(piece.data) for piece in sent) == PIECE_BYTES
    assert [bool(piece.message) for piece in sent] == [True] + [False] * (len(sent) - 1)
    assert b"".join(piece.data for piece in sent) == b"".join(image.parts())
    assert sum(piece.ends_part for piece in sent) == len(list(image.parts())) == 3
