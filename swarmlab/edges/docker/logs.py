"""The engine's logs of a container, line by line."""

import calendar
import re
import time
from collections.abc import AsyncIterator

import aiohttp

from swarmlab.agent.exec import LogMessage, LogOptions
from swarmlab.api import SECOND, Instant, LogStream
from swarmlab.edges.docker.errors import EngineRefusalError
from swarmlab.edges.docker.streams import Streams

_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z ")
#: Before each piece of the stream: which one it is of, three zeros, its length.
_HEADER_BYTES = 8


async def read_logs(streams: Streams, container: str, tty: bool, options: LogOptions) -> AsyncIterator[LogMessage]:
    """The wanted lines, oldest first; of a container that is not there: none."""
    wanted = options.streams or (LogStream.LOG_STREAM_STDOUT, LogStream.LOG_STREAM_STDERR)
    params = {
        "stdout": str(int(LogStream.LOG_STREAM_STDOUT in wanted)),
        "stderr": str(int(LogStream.LOG_STREAM_STDERR in wanted)),
        "follow": str(int(options.follow)),
        "timestamps": "1",
        "tail": "all" if options.tail is None else str(options.tail),
    }
    if options.since is not None:
        seconds, nanoseconds = divmod(options.since + 1, SECOND)  # the engine's bound is inclusive
        params["since"] = f"{seconds}.{nanoseconds:09d}"
    try:
        async with streams.open("GET", f"/containers/{container}/logs", params=params) as body:
            async for stream, line in _plain_lines(body) if tty else _framed_lines(body):
                yield _message(stream, line)
    except EngineRefusalError as error:
        if error.status != 404:
            raise


async def _framed_lines(body: aiohttp.StreamReader) -> AsyncIterator[tuple[LogStream, bytes]]:
    while header := await body.read(_HEADER_BYTES):
        if len(header) < _HEADER_BYTES:
            header += await body.readexactly(_HEADER_BYTES - len(header))
        yield LogStream(header[0]), await body.readexactly(int.from_bytes(header[4:], "big"))


async def _plain_lines(body: aiohttp.StreamReader) -> AsyncIterator[tuple[LogStream, bytes]]:
    """A terminal has one stream, without frames."""
    while line := await body.readline():
        yield LogStream.LOG_STREAM_STDOUT, line


def _message(stream: LogStream, line: bytes) -> LogMessage:
    stamp = _STAMP.match(line)
    if stamp is None:
        return LogMessage(timestamp=Instant(0), stream=stream, data=line)
    seconds = calendar.timegm(time.strptime(stamp[1].decode(), "%Y-%m-%dT%H:%M:%S"))
    nanoseconds = int((stamp[2] or b"").ljust(9, b"0"))
    return LogMessage(timestamp=Instant(seconds * SECOND + nanoseconds), stream=stream, data=line[stamp.end() :])
