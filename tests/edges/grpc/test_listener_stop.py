"""What a server that stops makes of the calls that are open: none of them may hold it up."""

import asyncio

import grpc
import pytest
from cluster_ground import code
from patience import PATIENCE_SECONDS

from swarmlab.edges.grpc import listener
from swarmlab.edges.grpc.handlers import Streams
from swarmlab.edges.grpc.sockets import address

STOPPING = (grpc.StatusCode.UNAVAILABLE, "the server is stopping")


class Calls:
    """Methods of every kind, none of which ends by itself; each says when it has begun, and when it has ended."""

    def __init__(self):
        self.begun = asyncio.Event()
        self.ended = 0

    async def feed(self, _, context):
        try:
            yield b"first"
            self.begun.set()
            await asyncio.Event().wait()
        finally:
            self.ended += 1

    async def carry(self, requests, context):
        try:
            async for request in requests:
                self.begun.set()
                await context.write(request)
        finally:
            self.ended += 1

    async def collect(self, requests, context):
        try:
            async for _ in requests:
                self.begun.set()
            return b"all"
        finally:
            self.ended += 1

    def handler(self):
        return grpc.method_handlers_generic_handler(
            "test",
            {
                "Feed": grpc.unary_stream_rpc_method_handler(self.feed),
                "Carry": grpc.stream_stream_rpc_method_handler(self.carry),
                "Collect": grpc.stream_unary_rpc_method_handler(self.collect),
            },
        )


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """A server that waits for a call waits for longer than the test."""
    monkeypatch.setattr(listener, "STOP_SECONDS", 10 * PATIENCE_SECONDS)


async def begun(channel, method):
    """A call of that method, its first request sent."""
    match method:
        case "Feed":
            return channel.unary_stream("/test/Feed")(b"")
        case "Carry":
            call = channel.stream_stream("/test/Carry")()
        case _:
            call = channel.stream_unary("/test/Collect")()
    await call.write(b"first")
    return call


@pytest.mark.parametrize("method", ["Feed", "Carry", "Collect"])
async def test_a_stream_is_told_of_the_stop(short_path, method):
    """Whichever side it is that streams; what was sent before comes before the word of the stop."""
    calls, path = Calls(), short_path / "test.sock"
    async with asyncio.timeout(PATIENCE_SECONDS), grpc.aio.insecure_channel(address(path)) as channel:
        async with listener.Listener(path, (calls.handler(),)):
            call = await begun(channel, method)
            await calls.begun.wait()
        assert calls.ended == 1
        if method != "Collect":
            assert await call.read() == b"first"
        assert await code(call if method == "Collect" else call.read()) == STOPPING


async def test_streams_end_before_their_server(short_path):
    """A part of a server may stop by itself: its streams end, its later ones are refused, others go on."""
    mine, others, path = Calls(), Calls(), short_path / "test.sock"
    streams = Streams()
    other = grpc.method_handlers_generic_handler("other", {"Feed": grpc.unary_stream_rpc_method_handler(others.feed)})
    async with asyncio.timeout(PATIENCE_SECONDS), grpc.aio.insecure_channel(address(path)) as channel:
        async with listener.Listener(path, (streams.over(mine.handler()), other)):
            call, kept = await begun(channel, "Feed"), channel.unary_stream("/other/Feed")(b"")
            await asyncio.gather(mine.begun.wait(), others.begun.wait())
            streams.stop()
            assert await call.read() == b"first"
            assert await code(call.read()) == STOPPING
            assert await code((await begun(channel, "Feed")).read()) == STOPPING
            assert (mine.ended, others.ended) == (1, 0)
        assert await kept.read() == b"first"
        assert await code(kept.read()) == STOPPING


async def test_a_caller_that_goes_away_ends_its_stream(short_path):
    """It is no stop, and nobody is told of one."""
    calls, path = Calls(), short_path / "test.sock"
    async with asyncio.timeout(PATIENCE_SECONDS), grpc.aio.insecure_channel(address(path)) as channel:
        async with listener.Listener(path, (calls.handler(),)):
            call = await begun(channel, "Carry")
            await calls.begun.wait()
            call.cancel()
            again = await begun(channel, "Feed")
            assert await again.read() == b"first"
        assert calls.ended == 2
