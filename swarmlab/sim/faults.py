"""Draws stories of faults: from a seed a cluster, its services, how often what goes wrong, and then peace.

Act one breaks things: nodes lose power, agents are killed, wires are cut, the manager restarts, while users drain,
scale, update and remove. Act two begins when everything is mended; after it the cluster must be at rest. How often each
kind of fault comes is drawn, too, so that some runs are full of one kind and free of another.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import yaml

from swarmlab.component import derived_rng
from swarmlab.sim.entries import NodeEntry, RestartEntry, ServiceEntry, TaskEntry, UpdateEntry
from swarmlab.sim.scenario import EventEntry, Expectation, Scenario

#: Seconds from the end of act one until the cluster must be at rest: back-off, restart delays and updates included.
PEACE = 600
ZONES = ("a", "b")
#: Fewer nodes than that are never left.
LEAST_NODES = 3


def draw_scenario(seed: int) -> Scenario:
    """The story of that seed; the same seed should also be that of the run."""
    return _Author(derived_rng(seed, "faults")).scenario()


def write_scenario(scenario: Scenario) -> str:
    """The text of a scenario file; only what differs from the defaults."""
    return yaml.safe_dump(_plain(scenario), sort_keys=False, width=120, default_flow_style=None)


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        fields = msgspec.structs.fields(value)
        given = {field.encode_name: (field, getattr(value, field.name)) for field in fields}
        return {name: _plain(found) for name, (field, found) in given.items() if found != _default(field)}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


class _Author:
    """Writes one story; it knows what is on, off and there at each moment, and never leaves too little of it.

    Everything that it asks for fits: services are small beside the nodes, and every constraint is met by some node.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._events: list[EventEntry] = []
        self._now = 0.0
        self._nodes: list[str] = []
        self._zones: dict[str, str] = {}
        self._off: set[str] = set()
        self._killed: set[str] = set()
        self._cut: set[str] = set()
        self._benched: set[str] = set()
        self._removed: list[str] = []
        self._services: dict[str, ServiceEntry] = {}
        self._made = 0

    def scenario(self) -> Scenario:
        """The whole story."""
        rng = self._rng
        nodes = tuple(self._node() for _ in range(rng.randint(LEAST_NODES, 7)))
        services = dict(self._service() for _ in range(rng.randint(1, 6)))
        self._services = dict(services)
        rates = self._rates()
        end = rng.uniform(60, 240)
        self._now = 5.0
        while True:
            self._now += rng.expovariate(sum(rates.values()))
            if self._now >= end:
                break
            [deed] = rng.choices(list(rates), list(rates.values()))
            deed()
        self._now = end + 30
        self._mend()
        at_rest = EventEntry(at=self._text(self._now + PEACE), expect=Expectation(at_rest=True))
        return Scenario(
            description="A story of faults and peace.",
            strategies=(rng.choice(("spread", "rebalance", "binpack")),),
            nodes=nodes,
            services=services,
            events=(*self._events, at_rest),
            until=self._text(self._now + PEACE),
            heartbeat=rng.choice(("2s", "5s")),
            settle=rng.choice(("0s", "1s", "5s")),
            history=rng.choice((0, 1, 5)),
            delay=rng.choice(("1ms~0.3", "50ms~1", "0s")),
            breaks=rng.choice((0.0, 0.002, 0.03)),
            commit_delay=rng.choice(("0s", "5ms~0.5", "100ms~1")),
            commit_drops=rng.choice((0.0, 0.0, 0.02)),
            tasks=self._tasks(),
            lenient=True,
        )

    # What there is

    def _node(self) -> NodeEntry:
        self._made += 1
        name = f"n{self._made}"
        # The first two keep both zones alive: they may fail, but are never removed.
        zone = ZONES[self._made - 1] if self._made <= len(ZONES) else self._rng.choice(ZONES)
        self._nodes.append(name)
        self._zones[name] = zone
        return NodeEntry(name=name, cpus=self._rng.choice((4.0, 8.0)), memory="8GiB", labels={"zone": zone})

    def _service(self) -> tuple[str, ServiceEntry]:
        self._made += 1
        mode = self._rng.choices(("replicated", "global", "replicated-job", "global-job"), (8, 2, 1, 1))[0]
        return f"s{self._made}", self._entry(mode, ports=mode == "replicated" and self._rng.random() < 0.15)

    def _entry(self, mode: str, *, ports: bool) -> ServiceEntry:
        """A spec; one with host ports has one replica, so that old and new fit together on the nodes always left."""
        rng = self._rng
        self._made += 1
        job = mode.endswith("-job")
        # One of them: together they might leave too little room for the greatest number of replicas.
        bound = "ports" if ports else rng.choices(("", "zone", "per node"), (6, 2, 2))[0]
        return ServiceEntry(
            mode=mode,
            replicas=1 if ports else rng.randint(0, 8),
            max_concurrent=rng.randint(0, 3),
            image=f"app:{self._made}",
            cpus=rng.choice((0.0, 0.1, 0.2)),
            memory=rng.choice(("0", "64MiB", "128MiB")),
            constraints=(f"node.labels.zone == {rng.choice(ZONES)}",) if bound == "zone" else (),
            spread_over=("node.labels.zone",) if rng.random() < 0.2 else (),
            max_replicas_per_node=6 if bound == "per node" else 0,
            host_ports=(8000 + self._made,) if ports else (),
            labels={"swarmlab.rebalance": "never"} if rng.random() < 0.2 else {},
            restart=RestartEntry(
                condition=rng.choices(("any", "on-failure", "none"), (8, 2, 1))[0],
                delay=rng.choice(("0s", "100ms", "2s", "5s")),
                max_attempts=rng.choices((0, 2), (6, 1))[0],
                window=rng.choice(("0s", "10s")),
            ),
            update=None if job else self._update_entry("pause", "continue", "rollback"),
            rollback=None if job else self._update_entry("pause", "continue"),
            tasks=self._tasks(ends=job or rng.random() < 0.1),
        )

    def _update_entry(self, *failure_actions: str) -> UpdateEntry:
        rng = self._rng
        return UpdateEntry(
            parallelism=rng.randint(0, 3),
            delay=rng.choice(("0s", "1s")),
            monitor=rng.choice(("0s", "2s", "5s")),
            order=rng.choice(("stop-first", "start-first")),
            failure_action=rng.choice(failure_actions),
            max_failure_ratio=rng.choice((0.0, 0.5)),
        )

    def _tasks(self, *, ends: bool = False) -> TaskEntry:
        rng = self._rng
        return TaskEntry(
            prepare=rng.choice(("0s", "200ms~0.3", "3s~1")),
            start=rng.choice(("0s", "100ms~0.3", "1s~1")),
            stop=rng.choice(("0s", "100ms~0.3", "5s~1")),
            run=rng.choice(("1s~0.5", "10s~0.5")) if ends else None,
            exit_code=rng.choice((0, 0, 3)) if ends else 0,
            prepare_fails=rng.choice((0.0, 0.0, 0.2)),
            start_fails=rng.choice((0.0, 0.0, 0.2)),
            run_fails=rng.choice((0.0, 0.0, 0.3)),
        )

    # What happens

    def _rates(self) -> dict[Callable[[], None], float]:
        """{deed: how often it comes in a second}, most of them rare or not at all."""
        deeds: Sequence[Callable[[], None]] = (
            *(self._switch_power, self._switch_agent, self._switch_wire, self._hang_up, self._restart_manager),
            *(self._bench, self._label, self._join, self._remove_node),
            *(self._deploy, self._update, self._scale, self._roll_back, self._remove_service),
        )
        rates = {deed: self._rng.choice((0.0, 0.01, 0.05)) for deed in deeds}
        rates[self._switch_power] += 0.01
        rates[self._scale] += 0.01
        return rates

    def _tell(self, **action: Any) -> None:
        self._events.append(EventEntry(at=self._text(self._now), **action))

    @staticmethod
    def _text(seconds: float) -> str:
        return f"{round(seconds * 1000)}ms"

    def _pick(self, names: Sequence[str]) -> str:
        return self._rng.choice(sorted(names))

    def _switch_power(self) -> None:
        name = self._pick(self._nodes)
        if name in self._off:
            self._off.discard(name)
            self._tell(start=name)
        else:
            self._off.add(name)
            self._killed.discard(name)
            self._tell(stop=name)

    def _switch_agent(self) -> None:
        name = self._pick(self._nodes)
        if name in self._killed:
            self._killed.discard(name)
            self._tell(revive=name)
        elif name not in self._off:
            self._killed.add(name)
            self._tell(kill=name)

    def _switch_wire(self) -> None:
        name = self._pick(self._nodes)
        if name in self._cut:
            self._cut.discard(name)
            self._tell(heal=name)
        else:
            self._cut.add(name)
            self._tell(partition=name)

    def _hang_up(self) -> None:
        self._tell(hang_up=self._pick(self._nodes))

    def _restart_manager(self) -> None:
        down = self._rng.choice((0.0, 1.0, 30.0))
        self._tell(restart_manager=self._text(down))
        # Another restart may not come before this one is over.
        self._now += down + 0.001

    def _bench(self) -> None:
        name = self._pick(self._nodes)
        if name in self._benched:
            self._benched.discard(name)
            self._tell(activate=name)
        else:
            self._benched.add(name)
            self._tell(**{self._rng.choice(("drain", "pause")): name})

    def _label(self) -> None:
        self._tell(label={self._pick(self._nodes): {"zone": self._rng.choice((*ZONES, None))}})

    def _join(self) -> None:
        if len(self._nodes) < 10:
            self._tell(join=self._node())

    def _remove_node(self) -> None:
        """Some are off when they are removed, others live on without anybody who knows them."""
        if len(self._nodes) > LEAST_NODES:
            name = self._pick(self._nodes[len(ZONES) :])
            self._nodes.remove(name)
            self._removed.append(name)
            self._tell(remove_node=name)

    def _deploy(self) -> None:
        if len(self._services) < 8:
            name, entry = self._service()
            self._services[name] = entry
            self._tell(deploy={name: entry})

    def _update(self) -> None:
        if self._services:
            name = self._pick(list(self._services))
            was = self._services[name]
            entry = self._entry(was.mode, ports=bool(was.host_ports))
            self._services[name] = entry
            self._tell(update={name: entry})

    def _scale(self) -> None:
        names = [name for name, entry in self._services.items() if entry.mode == "replicated" and not entry.host_ports]
        if names:
            self._tell(scale={self._pick(names): self._rng.randint(0, 10)})

    def _roll_back(self) -> None:
        if self._services:
            self._tell(rollback=self._pick(list(self._services)))

    def _remove_service(self) -> None:
        if len(self._services) > 1:
            name = self._pick(list(self._services))
            del self._services[name]
            self._tell(remove=name)

    def _mend(self) -> None:
        """Make everything well that is still there."""
        self._tell(calm="act two")
        for name in self._removed:
            # Again: the manager may have been down then.
            self._tell(remove_node=name)
        for name in sorted(self._nodes):
            if name in self._cut:
                self._tell(heal=name)
            if name in self._off:
                self._tell(start=name)
            if name in self._killed:
                self._tell(revive=name)
            if name in self._benched:
                self._tell(activate=name)
            self._tell(label={name: {"zone": self._zones[name]}})
