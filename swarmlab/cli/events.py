"""`events`: what the parts of the cluster decided and did, as they recorded it."""

import argparse
import json
from datetime import datetime
from typing import Any

from swarmlab.api import LabEvent
from swarmlab.cli.cluster import connected
from swarmlab.cli.exits import UsageError
from swarmlab.cli.filters import parse_filters
from swarmlab.cli.logs import parse_since
from swarmlab.cli.output import format_instant, on_terminal
from swarmlab.cli.parser import Parser, add_connection, add_output

_FILTERS = ("component", "name")


def events_arguments(parser: Parser) -> None:
    """`events [-f]`."""
    add_connection(parser)
    add_output(parser)
    parser.switch("-f", "--follow", what="go on with what comes")
    parser.value("--since", metavar="TIME", what="only events since then: 10m, or 2026-01-31T12:00:00Z")
    parser.value("-n", "--tail", metavar="N", what="only the last N of those that are kept")
    parser.many("--filter", metavar="KEY=VALUE", what="keys: component, name")


async def events(options: argparse.Namespace) -> None:
    """Print events, oldest first."""
    if options.output not in ("table", "wide", "jsonl", "json", "yaml", "name"):
        raise UsageError(f"-o {options.output} is not for events")
    since = parse_since("--since", options.since)
    wanted = parse_filters(options.filter, _FILTERS)
    async with connected(options) as client:
        kept: list[LabEvent] = []
        async for event in client.events(0, follow=False):
            if (since is None or event.at >= since) and matches(event, wanted):
                kept.append(event)
            last = event.index
        if options.tail is not None:
            kept = kept[len(kept) - min(len(kept), int(options.tail)) :]
        for event in kept:
            show_event(event, options.output)
        if options.follow:
            async for event in client.events(last, follow=True):
                if matches(event, wanted):
                    show_event(event, options.output)


def matches(event: LabEvent, wanted: dict[str, list[str]]) -> bool:
    """Whether the event has one of the wanted values for each key."""
    seen = {"component": event.component, "name": event.name}
    return all(seen[key] in values for key, values in wanted.items())


def show_event(event: LabEvent, output: str) -> None:
    """Print one event: a line for people, or a JSON object."""
    if output in ("table", "wide"):
        print(event_line(event, colour=on_terminal(), whole=output == "wide"), flush=True)
    elif output == "name":
        print(f"{event.component}.{event.name}", flush=True)
    else:
        print(json.dumps(event_document(event), ensure_ascii=False), flush=True)


def event_document(event: LabEvent) -> dict[str, Any]:
    """The event as JSON types, its fields as an object."""
    return {
        "index": event.index,
        "at": format_instant(event.at),
        "component": event.component,
        "name": event.name,
        "fields": json.loads(event.fields),
    }


def event_line(event: LabEvent, *, colour: bool, whole: bool = False) -> str:
    """`12:00:00.123 scheduler placed tasks=3 ...`; with `whole`, or without `colour`, the date too."""
    at = datetime.fromtimestamp(event.at / 1e9).astimezone()
    time = f"{at:%Y-%m-%dT%H:%M:%S.%f}"[:-3] if whole or not colour else f"{at:%H:%M:%S.%f}"[:-3]
    fields = " ".join(f"{key}={field_text(value)}" for key, value in json.loads(event.fields).items())
    if colour:
        return f"\033[2m{time}\033[0m \033[36m{event.component:<11}\033[0m \033[1m{event.name}\033[0m {fields}"
    return f"{time} {event.component} {event.name} {fields}".rstrip()


def field_text(value: object) -> str:
    """A field's value in few characters: texts as they are where they have no blanks, the rest as JSON."""
    if isinstance(value, str) and value and not any(character.isspace() for character in value):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
