"""Runs a scenario and says whether it went as expected."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random

from msgspec.structs import replace

from swarmlab.api import (
    ChangeKind,
    Changes,
    Duration,
    Instant,
    InvalidSpec,
    Node,
    NodeId,
    NodeSpec,
    NotFound,
    PluginError,
    Rollback,
    Service,
    ServiceSpec,
    SwarmlabError,
    Task,
    TaskState,
    Value,
    after,
    seconds,
)
from swarmlab.api.quantities import format_duration, parse_bytes, parse_duration
from swarmlab.manager.controlapi import create_service, remove_node, remove_service, update_node, update_service
from swarmlab.plugin import Host
from swarmlab.sim.broken import InvariantBroken
from swarmlab.sim.checkers import runs, schedulable
from swarmlab.sim.entries import NodeEntry, ServiceEntry
from swarmlab.sim.expectations import named_service, running_by_node, unmet
from swarmlab.sim.reading import load_scenario
from swarmlab.sim.scenario import EventEntry, Expectation, Scenario, availability
from swarmlab.sim.world import World, WorldConfig
from swarmlab.store import Committed, Snapshot

#: When the services of a scenario are deployed; its nodes join at the start.
DEPLOY_AFTER = seconds(1)


def recipe(scenario: str, strategy: str, seed: int) -> str:
    """The command that runs it again."""
    return f"swarmlab sim run --scenario {scenario} --strategy {strategy} --seed {seed}"


class ScenarioResult(Value, frozen=True, kw_only=True):
    """The end of a run."""

    scenario: str
    strategy: str
    seed: int
    #: Virtual time.
    seconds: float
    #: What was expected and did not hold, one line each; empty is success.
    failures: tuple[str, ...]
    #: {service: {node: running tasks}} at the end.
    tasks: Mapping[str, Mapping[str, int]]
    moves: int
    restarts: int
    commits: int
    decisions: int
    #: SHA-256 of the decision log.
    log_sha256: str


def run_scenario(
    path: Path,
    strategy: str | None = None,
    seed: int = 0,
    log: Path | None = None,
    *,
    parameters: Mapping[str, str] | None = None,
    progress: Callable[[float], None] | None = None,
) -> ScenarioResult:
    """Run the scenario in that file; `log` gets the decision log, one JSON object a line.

    `progress` is called with the share of virtual time that has passed.

    Raises:
        InvalidSpec: The file is no scenario, or one of its events cannot happen.
        PluginError: The strategy is unknown, or broke its contract: a simulation is strict.
        InvariantBroken: The cluster did what no cluster may do.
    """
    scenario = load_scenario(path)
    host = Host.load(strategy or scenario.strategies[0], parameters=dict(parameters or {}), strict=True)
    return play_scenario(scenario, host, str(path), seed, log, progress=progress)


def play_scenario(
    scenario: Scenario,
    host: Host,
    name: str,
    seed: int = 0,
    log: Path | None = None,
    *,
    progress: Callable[[float], None] | None = None,
    follow: Callable[[World], None] | None = None,
) -> ScenarioResult:
    """Run a scenario that is in hand; `name` is what messages call it. `follow` gets the world before anything happens.

    Raises the same as `run_scenario`.
    """
    run = _Run(name, scenario, host, seed)
    if follow is not None:
        follow(run.world)
    try:
        run.play(progress)
    except InvariantBroken as error:
        error.add_note(f"after {format_duration(run.world.elapsed)} of: {recipe(name, host.strategy.name, seed)}")
        raise
    text = b"".join(line.encode() + b"\n" for line in run.world.log)
    if log is not None:
        log.write_bytes(text)
    return ScenarioResult(
        scenario=Path(name).stem,
        strategy=host.strategy.name,
        seed=seed,
        seconds=run.world.elapsed / 1e9,
        failures=tuple(run.failures),
        tasks=running_by_node(run.world.view),
        moves=run.moves,
        restarts=run.restarts,
        commits=run.world.view.version,
        decisions=len(run.world.log),
        log_sha256=hashlib.sha256(text).hexdigest(),
    )


class _Run:
    """One run of a scenario."""

    def __init__(self, name: str, scenario: Scenario, host: Host, seed: int) -> None:
        self.name = name
        self.scenario = scenario
        self.strategy = host.strategy.name
        self.world = World(
            WorldConfig(
                seed=seed,
                heartbeat=parse_duration(scenario.heartbeat),
                settle=parse_duration(scenario.settle),
                history=scenario.history,
                network=scenario.network(),
                tasks=scenario.executor(),
                commits=scenario.commits(),
                managers=scenario.managers,
            ),
            host,
        )
        self.failures: list[str] = []
        self.restarts = 0
        #: Tasks that make room for one that a move put elsewhere.
        self._moved: set[str] = set()
        self.world.follow(self._committed)

    @property
    def moves(self) -> int:
        """Moves that succeeded."""
        return sum(line.event == "moved" for line in self.world.log)

    def play(self, progress: Callable[[float], None] | None) -> None:
        """Let everything happen."""
        world, scenario = self.world, self.scenario
        for entry in scenario.nodes:
            self._join(entry)
        # Services come to a cluster that is up, not to whichever node registers first.
        deploy = format_duration(DEPLOY_AFTER)
        world.heap.at(after(world.heap.start, DEPLOY_AFTER), lambda: self._try(deploy, self._deploy_all))
        end = parse_duration(scenario.until)
        for event in scenario.events:
            for at, action in self._occurrences(event):
                world.heap.at(after(world.heap.start, at), action)
        steps = 100
        for step in range(1, steps + 1):
            world.heap.run_until(after(world.heap.start, end * step // steps))
            if progress is not None:
                progress(step / steps)

    def _deploy_all(self) -> None:
        for name, service in self.scenario.services.items():
            self._deploy(name, service)

    def _occurrences(self, event: EventEntry) -> Iterator[tuple[Duration, Callable[[], None]]]:
        at = parse_duration(event.at)
        if event.flap is None:
            yield at, lambda: self._try(event.at, lambda: self._happen(event))
            return
        every, node = parse_duration(event.every), event.flap
        for number in range(event.times):
            yield Duration(at + number * every), lambda: self.world.kill_worker(node)
            yield (
                Duration(at + number * every + every // 2),
                lambda: self._try(event.at, lambda: self.world.start_worker(node)),
            )

    def _try(self, at: str, action: Callable[[], None]) -> None:
        """Let it happen, or say which event of the file it is that cannot."""
        try:
            action()
        except PluginError:
            raise
        except SwarmlabError as error:
            if self.scenario.lenient:
                self.world.note("scenario", "event-refused", {"event": at, "error": f"{type(error).__name__}: {error}"})
                return
            raise InvalidSpec(f"scenario {self.name}: event at {at}: {error}") from error

    def _happen(self, event: EventEntry) -> None:
        world = self.world
        [action] = event.actions()
        value = getattr(event, action)
        match action:
            case "stop":
                world.kill_worker(value)
            case "kill":
                world.kill_worker(value, tasks_too=False)
            case "start" | "revive":
                world.start_worker(value)
            case "join":
                self._join(value)
            case "partition":
                world.network.cut(world.worker(value).node_id)
            case "heal":
                world.network.heal(world.worker(value).node_id)
            case "hang_up":
                world.network.break_connection(world.worker(value).node_id)
            case "restart_manager":
                world.stop_manager()
                world.heap.later(parse_duration(value), world.start_manager)
            case "drain" | "pause" | "activate":
                wanted = availability(action)
                self._change_node(value, lambda spec: replace(spec, availability=wanted))
            case "remove_node":
                self.world.ask(lambda view, _, now: remove_node(view, world.worker(value).node_id, True, now))
            case "label":
                for node, labels in value.items():
                    self._label(node, labels)
            case "memory":
                for node, size in value.items():
                    self._resize(node, parse_bytes(size))
            case "deploy":
                for name, entry in value.items():
                    self._deploy(name, entry)
            case "update":
                for name, entry in value.items():
                    self._update(name, lambda _, name=name, entry=entry: entry.spec(name), Rollback.NONE)  # type: ignore[misc]
            case "scale":
                for name, replicas in value.items():
                    self._scale(name, replicas)
            case "rollback":
                self._update(value, lambda spec: spec, Rollback.PREVIOUS)
            case "remove":
                self.world.ask(lambda view, _, __: remove_service(view, named_service(view, value).id))
            case "mark":
                self.restarts = 0
            case "calm":
                self._calm()
            case "expect":
                self._expect(event.at, value)

    def _join(self, entry: NodeEntry) -> None:
        for name in entry.names():
            worker = self.world.add_worker(name, entry.description(name))
            if entry.labels:
                self._label(worker.name, dict(entry.labels))

    def _label(self, name: str, labels: Mapping[str, str | None]) -> None:
        def change(spec: NodeSpec) -> NodeSpec:
            merged = {key: value for key, value in {**spec.annotations.labels, **labels}.items() if value is not None}
            return replace(spec, annotations=replace(spec.annotations, labels=merged))

        self._change_node(name, change)

    def _change_node(self, name: str, change: Callable[[NodeSpec], NodeSpec]) -> None:
        node_id = self.world.worker(name).node_id

        def request(view: Snapshot, _: Random, __: Instant) -> tuple[Changes, Node]:
            node = view.node(node_id)
            if node is None:
                raise NotFound(f"node {name!r} is not in the cluster any more")
            return update_node(view, node_id, node.meta.version.index, change(node.spec))

        self.world.ask(request)

    def _calm(self) -> None:
        models = self.world.models
        models.network = replace(models.network, breaks=0.0, delay=replace(models.network.delay, sigma=0.0))
        models.commits = replace(models.commits, drops=0.0, delay=replace(models.commits.delay, sigma=0.0))
        models.tasks = self.scenario.calm_executor()

    def _resize(self, name: str, memory: int) -> None:
        description = self.world.worker(name).description
        assert description.resources is not None
        resources = replace(description.resources, memory_bytes=memory)
        self.world.change_description(name, replace(description, resources=resources))

    def _deploy(self, name: str, entry: ServiceEntry) -> None:
        spec = entry.spec(name)
        self.world.ask(lambda view, ids, now: create_service(view, spec, ids, now))

    def _update(self, name: str, change: Callable[[ServiceSpec], ServiceSpec], rollback: Rollback) -> None:
        def request(view: Snapshot, _: Random, now: Instant) -> tuple[Changes, Service]:
            service = named_service(view, name)
            version = service.meta.version.index
            return update_service(view, service.id, version, change(service.spec), rollback, now)

        self.world.ask(request)

    def _scale(self, name: str, replicas: int) -> None:
        def scaled(spec: ServiceSpec) -> ServiceSpec:
            if spec.replicated is None:
                raise InvalidSpec(f"service {name} has no replicas to scale")
            return replace(spec, replicated=replace(spec.replicated, replicas=replicas))

        self._update(name, scaled, Rollback.NONE)

    def _committed(self, event: Committed) -> None:
        for change in event.changes:
            task, old = change.object, change.old
            if not isinstance(task, Task):
                continue
            source = task.annotations.labels.get("swarmlab.move.from")
            if source is not None:
                self._moved.add(source)
            if change.kind == ChangeKind.UPDATED and isinstance(old, Task) and self._is_restart(task, old, event.view):
                self.restarts += 1

    def _is_restart(self, task: Task, old: Task, view: Snapshot) -> bool:
        if not runs(old) or runs(task) or task.id in self._moved or task.status.state == TaskState.COMPLETE:
            return False
        node = view.node(NodeId(task.node_id))
        return node is not None and schedulable(node)

    def _expect(self, at: str, expected: Expectation) -> None:
        if expected.strategies and self.strategy not in expected.strategies:
            return
        when = format_duration(parse_duration(at))
        self.failures += [f"at {when}: {text}" for text in unmet(expected, self.world, self.moves, self.restarts)]
