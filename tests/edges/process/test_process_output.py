"""The two bounded files of a task's output."""

import asyncio
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from swarmlab.agent.exec import LogMessage, LogOptions
from swarmlab.api import ExecutorError, Instant, LogStream
from swarmlab.edges.process.output import LINE_BYTES, Output

OUT, ERR = LogStream.LOG_STREAM_STDOUT, LogStream.LOG_STREAM_STDERR


@pytest.fixture
def output(tmp_path: Path) -> Iterator[Output]:
    ticks = count(1)
    output = Output(tmp_path, lambda: Instant(next(ticks)), file_bytes=1000)
    output.open()
    yield output
    output.close()


def file_sizes(directory: Path) -> list[int]:
    return [path.stat().st_size for path in directory.iterdir()]


async def lines(output: Output, **options: object) -> list[bytes]:
    return [message.data async for message in output.read(LogOptions(**options))]  # type: ignore[arg-type]


async def test_lines_are_put_together_from_chunks(output: Output) -> None:
    for chunk in (b"on", b"e\ntw", b"o\n\nth", b"ree"):
        output.write(OUT, chunk)
    assert await lines(output) == [b"one\n", b"two\n", b"\n"]
    output.close()
    assert await lines(output) == [b"one\n", b"two\n", b"\n", b"three"]


async def test_streams_do_not_mix_their_lines(output: Output) -> None:
    output.write(OUT, b"o")
    output.write(ERR, b"e\n")
    output.write(OUT, b"ut\n")
    assert await lines(output) == [b"e\n", b"out\n"]
    assert await lines(output, streams=(OUT,)) == [b"out\n"]


async def test_bytes_are_kept_as_they_are(output: Output) -> None:
    output.write(OUT, b"\x00\xff 1 2\r3\n12 1 5\nabc\n")
    assert await lines(output) == [b"\x00\xff 1 2\r3\n", b"12 1 5\n", b"abc\n"]


async def test_a_long_line_comes_in_pieces(tmp_path: Path) -> None:
    output = Output(tmp_path, lambda: Instant(1))
    output.open()
    output.write(OUT, b"x" * (2 * LINE_BYTES + 5))
    output.write(OUT, b"y\n")
    output.close()
    assert [len(line) for line in await lines(output)] == [LINE_BYTES, LINE_BYTES, 7]


async def test_only_two_files_are_kept(output: Output, tmp_path: Path) -> None:
    for number in range(500):
        output.write(OUT, b"line %d\n" % number)
    sizes = file_sizes(tmp_path)
    assert len(sizes) == 2
    assert sum(sizes) < 2100
    kept = await lines(output)
    assert kept[-1] == b"line 499\n"
    assert 50 < len(kept) < 200
    assert await lines(output, tail=3) == [b"line 497\n", b"line 498\n", b"line 499\n"]


async def test_since_is_exclusive(output: Output) -> None:
    for number in range(5):
        output.write(OUT, b"%d\n" % number)
    assert await lines(output, since=Instant(3)) == [b"3\n", b"4\n"]


async def test_a_follower_misses_nothing_over_the_change_of_files(output: Output) -> None:
    async def follow() -> list[LogMessage]:
        return [message async for message in output.read(LogOptions(follow=True))]

    output.write(OUT, b"before\n")
    async with asyncio.TaskGroup() as group:
        following = group.create_task(follow())
        for number in range(300):
            output.write(OUT, b"%d\n" % number)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        output.close()
    assert [message.data for message in following.result()] == [b"before\n", *(b"%d\n" % n for n in range(300))]


async def test_follow_with_tail_zero_gives_new_lines_only(output: Output) -> None:
    output.write(OUT, b"old\n")
    got: list[bytes] = []

    async def follow() -> None:
        got.extend([message.data async for message in output.read(LogOptions(follow=True, tail=0))])

    async with asyncio.TaskGroup() as group:
        group.create_task(follow())
        for _ in range(10):
            await asyncio.sleep(0)
        output.write(OUT, b"new\n")
        output.close()
    assert got == [b"new\n"]


async def test_a_later_life_reads_what_an_earlier_one_wrote(output: Output, tmp_path: Path) -> None:
    output.write(OUT, b"one\n")
    output.close()
    later = Output(tmp_path, lambda: Instant(99))
    assert await lines(later, follow=True) == [b"one\n"]
    later.open()
    later.write(ERR, b"two\n")
    later.close()
    assert await lines(later) == [b"one\n", b"two\n"]


async def test_a_record_cut_short_by_a_crash_is_left_out(output: Output, tmp_path: Path) -> None:
    output.write(OUT, b"one\ntwo\n")
    output.close()
    path = tmp_path / "output.1"
    path.write_bytes(path.read_bytes()[:-2])
    assert await lines(Output(tmp_path, lambda: Instant(1))) == [b"one\n"]


async def test_a_damaged_file_is_an_error_that_names_it(output: Output, tmp_path: Path) -> None:
    output.close()
    (tmp_path / "output.1").write_bytes(b"what is this\n")
    with pytest.raises(ExecutorError, match="damaged record of output: b'what is this'"):
        await lines(Output(tmp_path, lambda: Instant(1)))


async def test_a_full_disk_ends_the_output_and_not_the_task(output: Output, caplog: pytest.LogCaptureFixture) -> None:
    class Full:
        def write(self, data: bytes) -> None:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            pass

    output._file.close()  # type: ignore[union-attr]
    output._file = Full()  # type: ignore[assignment]
    output.write(OUT, b"lost\n")
    assert output.ended
    assert "output_lost" in caplog.text
