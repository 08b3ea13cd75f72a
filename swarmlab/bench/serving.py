"""The side of a bench that runs in its processes: orders come on standard input, answers go to standard output."""

import asyncio
import resource
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from swarmlab.api import SwarmlabError, Unsupported
from swarmlab.bench.orders import ENCODER, ORDERED, Answer, Order, Ordered, Usage

#: Bytes of one order.
_LINE_BYTES = 1 << 20


async def serve(obey: Callable[[Order], Awaitable[Mapping[str, Any]]]) -> None:
    """Say that this process is up, and obey until standard input ends: whoever ordered is gone, then.

    What is under way at that time is broken off.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_LINE_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    _say(Answer(0))
    async with asyncio.TaskGroup() as group:
        working = set()
        while line := await reader.readline():
            task = group.create_task(_obeyed(ORDERED.decode(line), obey))
            working.add(task)
            task.add_done_callback(working.discard)
        for task in working:
            task.cancel()


async def _obeyed(ordered: Ordered, obey: Callable[[Order], Awaitable[Mapping[str, Any]]]) -> None:
    try:
        values = usage() if isinstance(ordered.order, Usage) else await obey(ordered.order)
    except SwarmlabError as error:
        _say(Answer(ordered.number, error=f"{type(error).__name__}: {error}"))
    else:
        _say(Answer(ordered.number, values))


def usage() -> Mapping[str, Any]:
    """What this process took so far, its threads included; Linux counts memory in KiB."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"cpu_seconds": used.ru_utime + used.ru_stime, "peak_rss_bytes": used.ru_maxrss * 1024}


def foreign(order: Order) -> Unsupported:
    """The answer to an order for another kind of process."""
    return Unsupported(f"{type(order).__name__} is not an order for this process")


def _say(answer: Answer) -> None:
    sys.stdout.buffer.write(ENCODER.encode(answer) + b"\n")
    sys.stdout.buffer.flush()
