"""Reads a scenario file, and finds every mistake in it before anything runs."""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import yaml

from swarmlab.api import InvalidSpec, UpdateState
from swarmlab.api.quantities import parse_bytes, parse_duration
from swarmlab.api.validation import check_service_spec
from swarmlab.manager.constraint import Constraints
from swarmlab.sim.chance import Spread
from swarmlab.sim.entries import NodeEntry, ServiceEntry, word
from swarmlab.sim.misfortunes import Disk
from swarmlab.sim.partitions import Partition, has_sides
from swarmlab.sim.scenario import EventEntry, Expectation, LoadEntry, Scenario

#: A place in the file, and what raises `InvalidSpec` if it is wrong.
_Check = tuple[str, Callable[[], object]]

#: Actions whose value is, or whose keys are, names of nodes or of services that exist at some time.
_OF_NODES = (
    *("stop", "start", "kill", "revive", "drain", "pause", "activate", "remove_node"),
    *("flap", "hang_up", "label", "memory"),
)
#: Those of several managers.
_OF_MANAGERS = ("manager_down", "manager_up", "kill_leader", "hand_over", "disk", "promote", "demote")
_OF_SERVICES = ("update", "scale", "rollback", "remove")

_BOOL = "tag:yaml.org,2002:bool"


class _Loader(yaml.SafeLoader):
    """YAML in which `on`, `off`, `yes` and `no` are words, as in YAML 1.2, and no key comes twice."""

    yaml_implicit_resolvers = {  # noqa: RUF012, PyYAML looks for a plain dict
        first: [(tag, form) for tag, form in forms if tag != _BOOL or first in "tTfF"]
        for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """The mapping, in which every key stands once."""
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key is a word", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} stands there twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def load_scenario(path: Path) -> Scenario:
    """The scenario in that file.

    Raises:
        InvalidSpec: It is not there, is no YAML, or its content is no scenario; the message names file and place.
    """
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506, it is a SafeLoader
    except OSError as error:
        raise InvalidSpec(f"scenario {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeError) as error:
        raise InvalidSpec(f"scenario {path}: not YAML: {error}") from error
    try:
        scenario = msgspec.convert(document, Scenario)
    except msgspec.ValidationError as error:
        raise InvalidSpec(f"scenario {path}: {error}") from error
    for place, check in _checks(scenario):
        try:
            check()
        except InvalidSpec as error:
            raise InvalidSpec(f"scenario {path}: {place}: {error}") from error
    return scenario


def _checks(scenario: Scenario) -> Iterator[_Check]:
    yield "strategies", partial(_wanted, bool(scenario.strategies), "wanted at least one")
    for key in ("until", "heartbeat", "settle"):
        yield key, partial(_span, getattr(scenario, key))
    yield "history", partial(_wanted, scenario.history >= 0, f"{scenario.history}, wanted 0 or more")
    yield "managers", partial(_wanted, 1 <= scenario.managers <= 7, f"{scenario.managers}, wanted 1 to 7")
    yield "delay", partial(Spread.parse, scenario.delay)
    yield "breaks", partial(_wanted, 0 <= scenario.breaks <= 1, f"{scenario.breaks}, wanted a probability, 0 to 1")
    yield "commit-delay", partial(Spread.parse, scenario.commit_delay)
    drops = scenario.commit_drops
    yield "commit-drops", partial(_wanted, 0 <= drops <= 1, f"{drops}, wanted a probability, 0 to 1")
    yield "group", scenario.group.model
    yield "tasks", scenario.tasks.model
    managers = _managers(scenario)
    nodes: list[str] = []
    for place, node in _nodes(scenario):
        yield place, partial(_node, node, nodes, managers)
    if scenario.load is not None:
        yield from _load(scenario.load, scenario)
    services = set()
    for place, name, service in _services(scenario):
        yield place, partial(_service, name, service)
        services.add(name)
    for number, event in enumerate(scenario.events):
        for inner, check in _event(scenario, event, nodes, services, managers):
            yield f"events[{number}]{inner}", check


def _nodes(scenario: Scenario) -> Iterator[tuple[str, NodeEntry]]:
    for number, node in enumerate(scenario.nodes):
        yield f"nodes[{number}]", node
    for number, event in enumerate(scenario.events):
        if event.join is not None:
            yield f"events[{number}].join", event.join


def _services(scenario: Scenario) -> Iterator[tuple[str, str, ServiceEntry]]:
    """Every service that is deployed or updated: its place, its name, its entry."""
    for name, service in scenario.services.items():
        yield f"services.{name}", name, service
    for number, event in enumerate(scenario.events):
        for key, entries in (("deploy", event.deploy), ("update", event.update)):
            for name, service in (entries or {}).items():
                yield f"events[{number}].{key}.{name}", name, service


def _managers(scenario: Scenario) -> frozenset[str]:
    """The names of several managers, those that come later included; of one alone nothing has a name."""
    if scenario.managers == 1:
        return frozenset()
    first = (f"m{number}" for number in range(1, scenario.managers + 1))
    return frozenset((*first, *(event.promote for event in scenario.events if event.promote is not None)))


def _load(load: LoadEntry, scenario: Scenario) -> Iterator[_Check]:
    yield "load", partial(_wanted, scenario.managers > 1, "wanted several managers")
    yield "load.clients", partial(_wanted, load.clients >= 1, f"{load.clients}, wanted 1 or more")
    yield "load.pace", lambda: _wanted(Spread.parse(load.pace).median > 0, f"{load.pace!r}, wanted more than 0")
    yield "load.until", partial(_moment, load.until, scenario.until)


def _node(node: NodeEntry, names: list[str], managers: Collection[str]) -> None:
    """The node can be made, and no other has its name, nor those of the ones before it in `names`."""
    _wanted(node.count is None or node.count >= 1, f"count {node.count}, wanted 1 or more")
    for name in node.names():
        _wanted(name not in names, f"two nodes named {name!r}")
        _wanted(name not in managers, f"a manager is named {name!r}, too")
        names.append(name)
        node.description(name)


def _service(name: str, service: ServiceEntry) -> None:
    spec = service.spec(name)
    check_service_spec(spec)
    Constraints.parse(service.constraints)
    if service.tasks is not None:
        service.tasks.model()


def _event(
    scenario: Scenario, event: EventEntry, nodes: list[str], services: set[str], managers: Collection[str]
) -> Iterator[_Check]:
    actions = event.actions()
    found = f"at {event.at}: wanted exactly one action, found {', '.join(actions) or 'none'}"
    yield "", partial(_wanted, len(actions) == 1, found)
    yield ".at", partial(_moment, event.at, scenario.until)
    [action] = actions
    value = getattr(event, action)
    place = "." + action.replace("_", "-")
    if action in ("partition", "heal"):
        yield place, partial(_partition, value, nodes, managers)
    elif action in _OF_NODES:
        yield place, partial(_known, "node", [value] if isinstance(value, str) else value, nodes)
    if action in _OF_MANAGERS:
        yield place, partial(_wanted, scenario.managers > 1, "wanted several managers")
    if action in ("manager_down", "manager_up", "demote", "disk"):
        yield place, partial(_known, "manager", [value] if isinstance(value, str) else value, managers)
    if action in _OF_SERVICES:
        yield place, partial(_known, "service", [value] if isinstance(value, str) else value, services)
    if event.flap is not None or event.kill_leader is not None:
        yield ".times", partial(_wanted, event.occurrences >= 1, f"{event.times}, wanted 1 or more")
        yield ".every", lambda: _wanted(_span(event.every) > 0, f"{event.every!r}, wanted more than 0")
    for action, span in (("restart-manager", event.restart_manager), ("kill-leader", event.kill_leader)):
        if span is not None:
            yield f".{action}", partial(_span, span)
    for name, text in (event.disk or {}).items():
        yield f".disk.{name}", partial(Disk.parse, text)
    for name, size in (event.memory or {}).items():
        yield f".memory.{name}", partial(parse_bytes, size)
    if event.expect is not None:
        for inner, check in _expectation(scenario, event.expect, nodes, services):
            yield f".expect{inner}", check


def _partition(text: str, nodes: list[str], managers: Collection[str]) -> None:
    if has_sides(text):
        _known("machine", Partition.parse(text).names(), [*nodes, *managers])
        _wanted(bool(managers), "sides are for several managers")
    else:
        _known("machine" if managers else "node", [text], [*nodes, *managers])


def _expectation(scenario: Scenario, expected: Expectation, nodes: list[str], services: set[str]) -> Iterator[_Check]:
    yield "", partial(_wanted, expected != Expectation(strategies=expected.strategies), "nothing is expected")
    yield ".strategies", partial(_known, "strategy of this scenario", expected.strategies, scenario.strategies)
    for key in ("tasks", "on", "running", "spread", "pending", "reason", "completed", "update"):
        yield f".{key}", partial(_known, "service", getattr(expected, key), services)
    for key, table in (("tasks", expected.tasks), ("on", expected.on)):
        for name, counts in table.items():
            yield f".{key}.{name}", partial(_known, "node", counts, nodes)
    for name, text in expected.update.items():
        yield f".update.{name}", partial(word, UpdateState, text, "state")


def _span(text: str) -> int:
    span = parse_duration(text)
    _wanted(span >= 0, f"{text!r}, wanted 0 or more")
    return span


def _moment(text: str, until: str) -> None:
    _wanted(_span(text) <= parse_duration(until), f"{text!r} is after the end, which is at {until}")


def _known(what: str, names: Iterable[str], known: Collection[str]) -> None:
    for name in names:
        _wanted(name in known, f"{what} {name!r} is not known; there are {', '.join(sorted(known)) or 'none'}")


def _wanted(holds: bool, otherwise: str) -> None:
    if not holds:
        raise InvalidSpec(otherwise)
