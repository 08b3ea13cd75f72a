"""What a task prints, line by line with the time, in two bounded files.

A file is a sequence of records: `nanoseconds stream length` in decimal and a newline, then so many bytes. Records are
written whole. Files are numbered; when one is full the next begins, and the one before the last is deleted.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from swarmlab.agent.exec import LogMessage, LogOptions
from swarmlab.api import ExecutorError, Instant, LogStream

_log = logging.getLogger(__name__)

#: Of each of the two files.
FILE_BYTES = 10 * 1024 * 1024
#: A longer line is cut into pieces of this size; only the last has the newline. Docker does the same.
LINE_BYTES = 16 * 1024
_READ_BYTES = 256 * 1024
_NAME = "output."


class Output:
    """The output of one task: one writer, any number of readers, all on one loop."""

    def __init__(self, directory: Path, clock: Callable[[], Instant], file_bytes: int = FILE_BYTES) -> None:
        self._directory = directory
        self._clock = clock
        self._file_bytes = file_bytes
        self._file: BinaryIO | None = None
        self._size = 0
        numbers = self._numbers()
        #: Number of the newest file, 0 when there is none.
        self._newest = numbers[-1] if numbers else 0
        self._partial: dict[LogStream, bytes] = {}
        self._grown: list[asyncio.Future[None]] = []
        #: Nothing is written any more.
        self.ended = True

    def open(self) -> None:
        """Begin to write, in a new file."""
        self.ended = False
        self._next_file()

    def write(self, stream: LogStream, data: bytes) -> None:
        """Take a chunk as it came from a pipe. A line without its end waits for the rest."""
        if self.ended:
            return
        *whole, rest = (self._partial.pop(stream, b"") + data).split(b"\n")
        lines = [piece for line in whole for piece in _pieces(line + b"\n")]
        *pieces, rest = [*_pieces(rest)] or [b""]
        if rest:
            self._partial[stream] = rest
        self._append(stream, lines + pieces)

    def close(self) -> None:
        """Write what waits and end; followers end too. Again: nothing."""
        waiting, self._partial = self._partial, {}
        for stream, rest in sorted(waiting.items()):
            self._append(stream, [rest])
        self.ended = True
        if self._file is not None:
            self._file.close()
            self._file = None
        self._wake()

    async def read(self, options: LogOptions) -> AsyncIterator[LogMessage]:
        """The wanted lines, oldest first; with `follow` until `close`."""
        cursor = _Cursor(self._directory, self._numbers())
        wanted = _Wanted(options)
        existing: deque[LogMessage] = deque(maxlen=options.tail)
        until = self._newest
        while True:
            messages = cursor.next_messages()
            existing.extend(message for message in messages if wanted(message))
            if not messages and not cursor.advance(until):
                break
            await asyncio.sleep(0)
        for message in existing:
            yield message
        while options.follow:
            messages = cursor.next_messages()
            for message in messages:
                if wanted(message):
                    yield message
            if messages or cursor.advance(self._newest):
                continue
            if self.ended:
                return
            await self._growth()

    def _append(self, stream: LogStream, lines: list[bytes]) -> None:
        if not lines or self._file is None:
            return
        now = self._clock()
        data = b"".join(b"%d %d %d\n%b" % (now, stream, len(line), line) for line in lines)
        try:
            self._file.write(data)
            self._size += len(data)
            if self._size >= self._file_bytes:
                self._next_file()
        except OSError:
            _log.exception("output_lost directory=%s", self._directory)
            self.close()
        self._wake()

    def _next_file(self) -> None:
        if self._file is not None:
            self._file.close()
        self._newest += 1
        self._size = 0
        self._file = (self._directory / f"{_NAME}{self._newest}").open("wb", buffering=0)
        for number in self._numbers():
            if number < self._newest - 1:
                (self._directory / f"{_NAME}{number}").unlink()

    def _numbers(self) -> list[int]:
        return sorted(int(path.name.removeprefix(_NAME)) for path in self._directory.glob(_NAME + "*"))

    async def _growth(self) -> None:
        grown: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._grown.append(grown)
        await grown

    def _wake(self) -> None:
        waiting, self._grown = self._grown, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


class _Cursor:
    """A place in the numbered files."""

    def __init__(self, directory: Path, numbers: list[int]) -> None:
        self._directory = directory
        self._number = numbers[0] if numbers else 0
        self._offset = 0

    def next_messages(self) -> list[LogMessage]:
        """The next records of this file; none at its end, or when it was deleted meanwhile."""
        if not self._number:
            return []
        try:
            with (self._directory / f"{_NAME}{self._number}").open("rb") as file:
                file.seek(self._offset)
                data = file.read(_READ_BYTES)
        except FileNotFoundError:
            return []
        messages, used = _parse(data, self._directory)
        self._offset += used
        return messages

    def advance(self, newest: int) -> bool:
        """Go to the next file up to `newest`, and say whether there was one."""
        if self._number >= newest:
            return False
        self._number += 1
        self._offset = 0
        return True


class _Wanted:
    """Whether a line is among those asked for."""

    def __init__(self, options: LogOptions) -> None:
        self._streams = options.streams
        self._since = options.since

    def __call__(self, message: LogMessage) -> bool:
        if self._streams and message.stream not in self._streams:
            return False
        return self._since is None or message.timestamp > self._since


def _parse(data: bytes, place: Path) -> tuple[list[LogMessage], int]:
    """The whole records at the start of `data`, and how many bytes they take."""
    messages: list[LogMessage] = []
    used = 0
    while (end := data.find(b"\n", used)) >= 0:
        try:
            instant, stream, length = map(int, data[used:end].split())
        except ValueError as error:
            raise ExecutorError(f"{place}: damaged record of output: {data[used:end][:80]!r}") from error
        if end + 1 + length > len(data):
            break
        messages.append(
            LogMessage(timestamp=Instant(instant), stream=LogStream(stream), data=data[end + 1 : end + 1 + length])
        )
        used = end + 1 + length
    return messages, used


def _pieces(line: bytes) -> Iterator[bytes]:
    for start in range(0, len(line), LINE_BYTES):
        yield line[start : start + LINE_BYTES]
