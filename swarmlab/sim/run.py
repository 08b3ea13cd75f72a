"""Runs a scenario and says whether it went as expected."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from swarmlab.api import (
    ChangeKind,
    Duration,
    InvalidSpec,
    Node,
    NodeId,
    NodeSpec,
    NotFound,
    PluginError,
    Rollback,
    Service,
    SwarmlabError,
    Task,
    TaskState,
    UpdateState,
    Value,
    after,
    seconds,
)
from swarmlab.api.quantities import format_duration, parse_bytes, parse_duration
from swarmlab.manager.controlapi import create_service, remove_node, remove_service, update_node, update_service
from swarmlab.plugin import Host
from swarmlab.sim.checkers import check_commit, runs, schedulable
from swarmlab.sim.entries import NodeEntry, ServiceEntry
from swarmlab.sim.reading import load_scenario
from swarmlab.sim.scenario import EventEntry, Expectation, Scenario, availability
from swarmlab.sim.world import World, WorldConfig
from swarmlab.store import Committed, Snapshot

#: When the services of a scenario are deployed; its nodes join at the start.
DEPLOY_AFTER = seconds(1)


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
    run = _Run(path, scenario, host, seed)
    run.play(progress)
    text = b"".join(line.encode() + b"\n" for line in run.world.log)
    if log is not None:
        log.write_bytes(text)
    return ScenarioResult(
        scenario=path.stem,
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


def running_by_node(view: Snapshot) -> dict[str, dict[str, int]]:
    """{service name: {hostname: running tasks}}, without zeros, sorted."""
    names = {node.id: hostname(node) for node in view.nodes()}
    table: dict[str, dict[str, int]] = {}
    for service in view.services():
        counts: dict[str, int] = {}
        for task in view.tasks_of(service.id):
            if runs(task):
                name = names.get(task.node_id, task.node_id)
                counts[name] = counts.get(name, 0) + 1
        table[service.spec.annotations.name] = dict(sorted(counts.items()))
    return dict(sorted(table.items()))


def hostname(node: Node) -> str:
    """The name that the node reports, or its id."""
    return node.description.hostname if node.description is not None else node.id


class _Run:
    """One run of a scenario."""

    def __init__(self, path: Path, scenario: Scenario, host: Host, seed: int) -> None:
        self.path = path
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
            ),
            host,
        )
        self.failures: list[str] = []
        self.restarts = 0
        #: Tasks that make room for one that a move put elsewhere.
        self._moved: set[str] = set()
        self.world.manager.store.watch(None, self._committed)

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
            raise InvalidSpec(f"scenario {self.path}: event at {at}: {error}") from error

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
            case "drain" | "pause" | "activate":
                wanted = availability(action)
                self._change_node(value, lambda spec: msgspec.structs.replace(spec, availability=wanted))
            case "remove_node":
                world.request(lambda view, _, now: remove_node(view, world.worker(value).node_id, True, now))
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
                    self._update(name, entry.spec(name))
            case "scale":
                for name, replicas in value.items():
                    self._scale(name, replicas)
            case "rollback":
                self._update(value, None)
            case "remove":
                service = self._service(value)
                world.request(lambda view, _, __: remove_service(view, service.id))
            case "mark":
                self.restarts = 0
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
            return msgspec.structs.replace(spec, annotations=msgspec.structs.replace(spec.annotations, labels=merged))

        self._change_node(name, change)

    def _change_node(self, name: str, change: Callable[[NodeSpec], NodeSpec]) -> None:
        node_id = self.world.worker(name).node_id
        node = self.world.view.node(node_id)
        if node is None:
            raise NotFound(f"node {name!r} is not in the cluster any more")
        version, spec = node.meta.version.index, change(node.spec)
        self.world.request(lambda view, _, __: update_node(view, node_id, version, spec))

    def _resize(self, name: str, memory: int) -> None:
        description = self.world.worker(name).description
        assert description.resources is not None
        resources = msgspec.structs.replace(description.resources, memory_bytes=memory)
        self.world.change_description(name, msgspec.structs.replace(description, resources=resources))

    def _deploy(self, name: str, entry: ServiceEntry) -> None:
        spec = entry.spec(name)
        self.world.request(lambda view, ids, now: create_service(view, spec, ids, now))

    def _update(self, name: str, spec: Any) -> None:
        service = self._service(name)
        self.world.request(
            lambda view, _, now: update_service(
                view,
                service.id,
                service.meta.version.index,
                spec or service.spec,
                Rollback.NONE if spec else Rollback.PREVIOUS,
                now,
            )
        )

    def _scale(self, name: str, replicas: int) -> None:
        spec = self._service(name).spec
        assert spec.replicated is not None
        self._update(
            name, msgspec.structs.replace(spec, replicated=msgspec.structs.replace(spec.replicated, replicas=replicas))
        )

    def _service(self, name: str) -> Service:
        service = self.world.view.by_name(Service, name)
        if service is None:
            raise NotFound(f"service {name!r} not found")
        return service

    def _committed(self, event: Committed) -> None:
        check_commit(event)
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
        self.failures += [f"at {format_duration(parse_duration(at))}: {text}" for text in self._unmet(expected)]

    def _unmet(self, expected: Expectation) -> Iterator[str]:
        view = self.world.view
        table = running_by_node(view)
        for name, counts in expected.tasks.items():
            wanted = {node: count for node, count in sorted(counts.items()) if count}
            if table.get(name, {}) != wanted:
                yield f"tasks of {name} run on {table.get(name, {})}, expected {wanted}"
        for name, counts in expected.on.items():
            for node, count in counts.items():
                if table.get(name, {}).get(node, 0) != count:
                    yield f"{table.get(name, {}).get(node, 0)} tasks of {name} run on {node}, expected {count}"
        for name, count in expected.running.items():
            if sum(table.get(name, {}).values()) != count:
                yield f"{sum(table.get(name, {}).values())} tasks of {name} run, expected {count}"
        nodes = [hostname(node) for node in view.nodes() if schedulable(node)]
        for name, most in expected.spread.items():
            each = [table.get(name, {}).get(node, 0) for node in nodes]
            if not each:
                yield f"no node may run tasks of {name}, expected max - min <= {most}"
            elif max(each) - min(each) > most:
                yield f"tasks of {name} run as {dict(zip(nodes, each, strict=True))}, expected max - min <= {most}"
        for name, count in expected.pending.items():
            waiting = self._waiting(name)
            if len(waiting) != count:
                yield f"{len(waiting)} tasks of {name} wait for a node, expected {count}"
        for name, text in expected.reason.items():
            reasons = sorted({task.status.err for task in self._waiting(name)})
            if not any(text in reason for reason in reasons):
                yield f"tasks of {name} wait because of {reasons}, expected {text!r}"
        for name, count in expected.completed.items():
            completed = [
                task for task in view.tasks_of(self._service(name).id) if task.status.state == TaskState.COMPLETE
            ]
            if len(completed) != count:
                yield f"{len(completed)} tasks of {name} completed, expected {count}"
        for name, word in expected.update.items():
            status = self._service(name).update_status
            state = (status.state if status is not None else UpdateState.UNKNOWN).name.lower().replace("_", "-")
            if state != word:
                yield f"the update of {name} is {state}, expected {word}"
        if expected.moves is not None and self.moves != expected.moves:
            yield f"{self.moves} moves, expected {expected.moves}"
        if expected.moves_at_most is not None and self.moves > expected.moves_at_most:
            yield f"{self.moves} moves, expected at most {expected.moves_at_most}"
        if expected.restarts is not None and self.restarts != expected.restarts:
            yield f"{self.restarts} restarts, expected {expected.restarts}"

    def _waiting(self, name: str) -> list[Task]:
        return [
            task
            for task in self.world.view.tasks_of(self._service(name).id)
            if task.status.state <= TaskState.PENDING and task.desired_state <= TaskState.COMPLETE
        ]
