"""`events`: what the parts of the cluster decided and did, as they recorded it."""

import argparse
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from swarmlab.api import ID_LENGTH, LabEvent, name_of
from swarmlab.cli.cluster import connected, slot_name
from swarmlab.cli.exits import UsageError
from swarmlab.cli.filters import parse_filters
from swarmlab.cli.logs import parse_since
from swarmlab.cli.output import format_instant, on_terminal

if TYPE_CHECKING:
    from swarmlab.edges.grpc.client import Client

_FILTERS = ("component", "name")
_ID = re.compile(rf"\b[0-9a-z]{{{ID_LENGTH}}}\b")


async def events(options: argparse.Namespace) -> None:
    """Print events, oldest first."""
    if options.output not in ("table", "wide", "jsonl", "json", "yaml", "name"):
        raise UsageError(f"-o {options.output} is not for events")
    since = parse_since("--since", options.since)
    wanted = parse_filters(options.filter, _FILTERS)
    async with connected(options) as client:
        last, kept = 0, list[LabEvent]()
        async for event in client.events(0, follow=False):
            if (since is None or event.at >= since) and matches(event, wanted):
                kept.append(event)
            last = event.index
        if options.tail is not None:
            kept = kept[len(kept) - min(len(kept), options.tail) :]
        shown = _Shown(client, options.output)
        for event in kept:
            await shown.show(event)
        if options.follow:
            async for event in client.events(last, follow=True):
                if matches(event, wanted):
                    await shown.show(event)


def matches(event: LabEvent, wanted: dict[str, list[str]]) -> bool:
    """Whether the event has one of the wanted values for each key."""
    seen = {"component": event.component, "name": event.name}
    return all(seen[key] in values for key, values in wanted.items())


class _Shown:
    """Prints events: a line for people, with names in place of ids on a terminal, or a JSON object for programs."""

    def __init__(self, client: "Client", output: str) -> None:
        self._client = client
        self._output = output
        self._names: dict[str, str] = {}
        self._asked: set[str] = set()

    async def show(self, event: LabEvent) -> None:
        """Print one event."""
        if self._output == "name":
            print(f"{event.component}.{event.name}", flush=True)
        elif self._output not in ("table", "wide"):
            print(json.dumps(event_document(event), ensure_ascii=False), flush=True)
        elif on_terminal() and self._output == "table":
            await self._look_up(event)
            print(event_line(event, colour=True, names=self._names), flush=True)
        else:
            print(event_line(event, colour=False), flush=True)

    async def _look_up(self, event: LabEvent) -> None:
        """Ask for names when an id comes by that was not asked for before."""
        unknown = set(_ID.findall(event.fields)) - self._asked
        if not unknown:
            return
        self._asked |= unknown
        self._names.update({node.id: name_of(node) for node in await self._client.list_nodes() if name_of(node)})
        self._names.update({service.id: name_of(service) for service in await self._client.list_services()})
        self._names.update({task.id: slot_name(task) for task in await self._client.list_tasks()})


#: Fields that say most, in the order in which a line shows them; the others follow.
_FIRST = ("task", "from", "to", "node", "hostname", "error", "reason", "service", "nodes")


def told_fields(event: LabEvent, names: Mapping[str, str]) -> str:
    """The fields of an event for people: names in place of ids, what says most first, empty ones left out."""
    fields = {key: named(value, names) for key, value in json.loads(event.fields).items()}
    ordered = sorted(fields, key=lambda key: _FIRST.index(key) if key in _FIRST else len(_FIRST))
    return " ".join(f"{key}={field_text(fields[key])}" for key in ordered if fields[key] not in ("", None, [], {}))


def named(value: object, names: Mapping[str, str]) -> object:
    """`value` with names in place of ids; an id without a name is cut to eight characters."""
    match value:
        case str():
            return names.get(value) or (value[:8] if len(value) == ID_LENGTH and value.isalnum() else value)
        case list():
            return [named(item, names) for item in value]
        case dict():
            return {named(key, names): named(item, names) for key, item in value.items()}
        case _:
            return value


def event_document(event: LabEvent) -> dict[str, Any]:
    """The event as JSON types, its fields as an object."""
    return {
        "index": event.index,
        "at": format_instant(event.at),
        "component": event.component,
        "name": event.name,
        "fields": json.loads(event.fields),
    }


def event_line(event: LabEvent, *, colour: bool, names: Mapping[str, str] | None = None) -> str:
    """`2026-01-31T12:00:00.123 scheduler placed tasks=3`; with `names` those in place of ids, and the time alone."""
    at = datetime.fromtimestamp(event.at / 1e9).astimezone()
    if names is not None:
        text = told_fields(event, names)
    else:
        text = " ".join(f"{key}={field_text(value)}" for key, value in json.loads(event.fields).items())
    time = f"{at:%H:%M:%S.%f}"[:-3] if names is not None else f"{at:%Y-%m-%dT%H:%M:%S.%f}"[:-3]
    if colour:
        return f"\033[2m{time}\033[0m \033[36m{event.component:<11}\033[0m \033[1m{event.name}\033[0m {text}"
    return f"{time} {event.component} {event.name} {text}".rstrip()


def field_text(value: object) -> str:
    """A field's value in few characters: texts as they are where they have no blanks, the rest as JSON."""
    if isinstance(value, str) and value and not any(character.isspace() for character in value):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
