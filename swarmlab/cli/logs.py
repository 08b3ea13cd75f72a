"""`service logs`: what tasks print, each line with the name of its task."""

import argparse
import re
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from swarmlab.api import (
    Instant,
    InvalidSpec,
    LogMessage,
    LogSelector,
    LogStream,
    LogSubscriptionOptions,
    Node,
    Task,
    last_lines,
    name_of,
    parse_duration,
)
from swarmlab.cli.cluster import connected, find_tasks
from swarmlab.cli.exits import UsageError
from swarmlab.cli.output import format_instant, on_terminal
from swarmlab.cli.quantities import count

if TYPE_CHECKING:
    from swarmlab.edges.grpc.client import Client

#: Colours that tell tasks apart on a terminal, as ANSI codes.
_COLOURS = (36, 33, 32, 35, 34, 31, 96, 93, 92, 95, 94, 91)
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?")


async def logs(options: argparse.Namespace) -> None:
    """Print the lines of a service, a task or a slot."""
    wanted = LogSubscriptionOptions(
        follow=bool(options.follow), tail=_tail(options.tail), since=parse_since("--since", options.since)
    )
    async with connected(options) as client:
        selector = await _selector(client, options.source)
        printer = _Printer(client, options)
        async for message in client.subscribe_logs(selector, wanted):
            await printer.show(message)


def _tail(text: str | None) -> int:
    if text in (None, "all"):
        return 0
    try:
        return last_lines(count(text or ""))
    except ValueError:
        raise UsageError(f"--tail: {text!r}, wanted: a whole number >= 0, or all") from None


def parse_since(flag: str, text: str | None) -> Instant | None:
    """An instant as RFC 3339, as seconds since 1970, or as a span before now; None where `text` is none."""
    if text is None:
        return None
    if match := _INSTANT.fullmatch(text):
        whole = datetime.fromisoformat(match[1] + (match[3] or "Z").replace("Z", "+00:00")).astimezone(UTC)
        return Instant(int(whole.timestamp()) * 1_000_000_000 + int((match[2] or "0").ljust(9, "0")))
    if re.fullmatch(r"\d{9,}(\.\d{1,9})?", text):
        seconds, _, rest = text.partition(".")
        return Instant(int(seconds) * 1_000_000_000 + int((rest or "0").ljust(9, "0")))
    try:
        return Instant(time.time_ns() - parse_duration(text))
    except InvalidSpec:
        wanted = "a span such as 10m, or a time such as 2026-01-31T12:00:00Z"
        raise UsageError(f"{flag}: {text!r}, wanted: {wanted}") from None


async def _selector(client: "Client", word: str) -> LogSelector:
    """Whose lines `word` means: those of a service, or of the tasks that it names."""
    services = await client.list_services()
    named = [one for one in services if word.lower() == name_of(one).lower() or word == one.id]
    if named:
        return LogSelector(service_ids=(named[0].id,))
    return LogSelector(task_ids=tuple(task.id for task in await find_tasks(client, word)))


class _Printer:
    """Prints lines; looks up the names of tasks and nodes once each."""

    def __init__(self, client: "Client", options: argparse.Namespace) -> None:
        self._client = client
        self._options = options
        self._tasks: dict[str, Task] = {}
        self._nodes: dict[str, Node] = {}
        self._colours: dict[str, int] = {}

    async def show(self, message: LogMessage) -> None:
        text = message.data.decode(errors="replace")
        text = text if text.endswith("\n") else f"{text}\n"
        if self._options.timestamps and message.timestamp is not None:
            text = f"{format_instant(message.timestamp)} {text}"
        if not self._options.raw:
            text = f"{await self._origin(message)}    | {text}"
        stream = sys.stderr if message.stream is LogStream.LOG_STREAM_STDERR else sys.stdout
        stream.write(text)
        stream.flush()

    async def _origin(self, message: LogMessage) -> str:
        """`SERVICE.SLOT.TASK@NODE`, in a colour of its own on a terminal."""
        context = message.context
        if context.task_id not in self._tasks:
            self._tasks.update({task.id: task for task in await self._client.list_tasks()})
            self._nodes.update({node.id: node for node in await self._client.list_nodes()})
        task, node = self._tasks.get(context.task_id), self._nodes.get(context.node_id)
        name = f"{task.service_annotations.name}.{task.slot or task.node_id}" if task is not None else ""
        shown = context.task_id if self._options.no_trunc else context.task_id[:12]
        if not self._options.no_task_ids:
            name = f"{name}.{shown}" if name else shown
        name = f"{name}@{name_of(node) if node is not None else context.node_id}"
        if not on_terminal():
            return name
        colour = self._colours.setdefault(context.task_id, _COLOURS[len(self._colours) % len(_COLOURS)])
        return f"\033[{colour}m{name}\033[0m"
