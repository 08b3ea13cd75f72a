"""Calls on one side, messages on the other, without a wire."""

import asyncio

import pytest

from swarmlab.api import (
    HeartbeatRequest,
    HeartbeatResponse,
    NodeId,
    NotFound,
    NotLeader,
    OutOfSequence,
    PublishLogsMessage,
    PublishLogsResponse,
    SessionMessage,
    SessionRequest,
    TasksMessage,
    TasksRequest,
    seconds,
)
from swarmlab.edges.grpc.switchboard import BACKLOG, Switchboard

W = NodeId("w")


class Desk:
    """A switchboard, and what the manager heard; `reply` answers at once, as the parts of a manager mostly do."""

    def __init__(self) -> None:
        self.heard = []
        self.gone = []
        self.reply = lambda sender, message, call: None
        self.board = Switchboard(self._receive, self.gone.append)

    def _receive(self, sender, message, call) -> None:
        self.heard.append((sender, message, call))
        self.reply(sender, message, call)


@pytest.fixture
def desk():
    return Desk()


def begun(awaitable):
    return asyncio.ensure_future(awaitable)


async def test_one_answer(desk):
    """At once or later; each call has a number of its own."""
    desk.reply = lambda sender, _, call: desk.board.send(sender, HeartbeatResponse(seconds(call)), call)
    assert await desk.board.ask(W, HeartbeatRequest("s")) == HeartbeatResponse(seconds(1))
    desk.reply = lambda *_: None
    later = begun(desk.board.ask(W, HeartbeatRequest("s")))
    await asyncio.sleep(0)
    desk.board.send(W, HeartbeatResponse(seconds(9)), 2)
    desk.board.send(W, HeartbeatResponse(seconds(8)), 2)
    assert await later == HeartbeatResponse(seconds(9))
    assert desk.heard == [(W, HeartbeatRequest("s"), 1), (W, HeartbeatRequest("s"), 2)]


async def test_errors_are_raised(desk):
    desk.reply = lambda sender, _, call: desk.board.send(sender, NotFound("no session"), call)
    with pytest.raises(NotFound, match="no session"):
        await desk.board.ask(W, HeartbeatRequest())
    with pytest.raises(NotFound, match="no session"):
        await anext(desk.board.stream(W, TasksRequest()))


async def test_what_nobody_waits_for_is_lost(desk):
    """An answer to another address, to a call that is over, or to none at all."""
    call = begun(desk.board.ask(W, HeartbeatRequest()))
    await asyncio.sleep(0)
    desk.board.send("x", HeartbeatResponse(seconds(1)), 1)
    desk.board.send(W, HeartbeatResponse(seconds(1)), 0)
    desk.board.send(W, HeartbeatResponse(seconds(1)), 7)
    assert not call.done()
    call.cancel()
    await asyncio.wait([call])
    desk.board.send(W, HeartbeatResponse(seconds(1)), 1)
    assert desk.board._lines == {}


async def test_a_stream_keeps_its_order_and_ends(desk):
    """What was sent before the end comes before it; None ends it well."""

    def reply(sender, _, call):
        for number in range(3):
            desk.board.send(sender, TasksMessage((number,)), call)
        desk.board.send(sender, None, call)
        desk.board.send(sender, TasksMessage((9,)), call)

    desk.reply = reply
    assert [message.tasks async for message in desk.board.stream(W, TasksRequest())] == [(0,), (1,), (2,)]
    assert desk.board._lines == {}


async def test_a_reader_that_is_too_slow(desk):
    """A stream that nobody reads does not fill the memory: it ends, and the reader begins anew."""

    def reply(sender, _, call):
        for _ in range(BACKLOG + 5):
            desk.board.send(sender, TasksMessage(), call)

    desk.reply = reply
    stream = desk.board.stream(W, TasksRequest())
    for _ in range(BACKLOG):
        await anext(stream)
    with pytest.raises(OutOfSequence, match="reads too slowly"):
        await anext(stream)


async def a_session(desk, request=SessionRequest()):  # noqa: B008  # a value
    """A session that was greeted."""
    desk.reply = lambda sender, _, call: desk.board.send(sender, SessionMessage(session_id="s"), call)
    session = desk.board.session(W, "10.0.0.1", request)
    assert (await anext(session)).session_id == "s"
    return session


async def test_the_end_of_a_session_is_the_end_of_the_connection(desk):
    session = await a_session(desk)
    assert desk.board.address_of(W) == "10.0.0.1"
    await session.aclose()
    assert (desk.gone, desk.board.address_of(W)) == ([W], "")


async def test_a_session_that_was_replaced_ends_in_silence(desk):
    """In either order of their ends, the manager hears of the newest connection alone."""
    first = await a_session(desk)
    second = await a_session(desk)
    await first.aclose()
    assert desk.gone == []
    await second.aclose()
    assert desk.gone == [W]


async def test_everything_ends_at_once(desk):
    """A manager that resigns leaves nobody waiting, whatever kind of call."""
    session = await a_session(desk)
    desk.reply = lambda *_: None
    ask = begun(desk.board.ask(W, HeartbeatRequest()))
    stream = begun(anext(desk.board.stream(W, TasksRequest())))
    await asyncio.sleep(0)
    desk.board.end(NotLeader("m2:2377"))
    for waiting in (ask, stream, begun(anext(session))):
        with pytest.raises(NotLeader) as raised:
            await waiting
        assert raised.value.hint == "m2:2377"
    assert desk.gone == [W]


async def published(desk, *messages, breaks=False):
    async def stream():
        for message in messages:
            yield message
        if breaks:
            raise ConnectionResetError

    return await desk.board.publish(W, stream())


async def test_a_publisher_that_closes(desk):
    """Its word is the last one, and its answer ends the call."""

    def reply(sender, message, call):
        if message.close:
            desk.board.send(sender, PublishLogsResponse(), call)

    desk.reply = reply
    one, two = PublishLogsMessage(subscription_id="s"), PublishLogsMessage(subscription_id="s", close=True)
    assert await published(desk, one, two) == PublishLogsResponse()
    assert [message for _, message, _ in desk.heard] == [one, two]


async def test_a_publisher_that_breaks_off(desk):
    """The reader is not left waiting for lines that never come."""
    one = PublishLogsMessage(subscription_id="s")
    with pytest.raises(ConnectionResetError):
        await published(desk, one, breaks=True)
    assert [message for _, message, _ in desk.heard] == [one, PublishLogsMessage(subscription_id="s", close=True)]
    assert desk.board._lines == {}


async def test_a_publisher_whom_nobody_wants(desk):
    """It is told at its next message, not after all of them."""
    desk.reply = lambda sender, _, call: desk.board.send(sender, NotFound("no subscription s"), call)
    message = PublishLogsMessage(subscription_id="s")
    with pytest.raises(NotFound):
        await published(desk, message, message, message)
    assert len(desk.heard) == 1
