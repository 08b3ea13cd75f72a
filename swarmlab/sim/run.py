"""Runs a scenario and says whether it went as expected."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from swarmlab.component import derived_rng
from swarmlab.manager.controlapi import create_service, remove_node, remove_service, update_node, update_service
from swarmlab.plugin import NOT_SEARCHED, Host, Proof, with_usual
from swarmlab.sim.broken import InvariantBroken
from swarmlab.sim.chance import Spread
from swarmlab.sim.checkers import runs, schedulable
from swarmlab.sim.clients import Clients
from swarmlab.sim.entries import NodeEntry, ServiceEntry
from swarmlab.sim.expectations import named_service, running_by_node, unmet
from swarmlab.sim.misfortunes import (
    change_disks,
    demote,
    hand_over,
    is_of_managers,
    kill_leader,
    partition_of,
    power_off,
    power_on,
    promote,
)
from swarmlab.sim.reading import load_scenario
from swarmlab.sim.scenario import EventEntry, Expectation, Scenario, availability
from swarmlab.sim.world import World, WorldConfig
from swarmlab.store import Committed, Snapshot

#: When the services of a scenario are deployed; its nodes join at the start.
DEPLOY_AFTER = seconds(1)

#: Events that are requests of users, which are made one after the other.
ASKED_FOR = frozenset(
    {
        *("join", "drain", "pause", "activate", "remove_node", "label", "promote", "demote"),
        *("deploy", "update", "scale", "rollback", "remove"),
    }
)


def recipe(scenario: str, strategy: str, seed: int) -> str:
    """The command that runs it again."""
    return f"swarmlab sim run --scenario {scenario} --strategy {strategy} --seed {seed}"


class Regret(Value, frozen=True, kw_only=True):
    """How far the plans of a run were from the best ones, each judged on the cluster that it was made for."""

    #: What was minimised once all tasks were placed that could be.
    objective: str
    plans: int
    #: Those of the plans that were searched; larger ones are not.
    judged: int
    #: Those of the judged ones that are proven to be the best possible.
    best: int
    #: {goal: sum of what the judged plans cost more than the best that was found}; only goals with any.
    regret: Mapping[str, float]
    #: The most that one plan cost more, as a share of the best, where that is above 1.
    worst: float

    @classmethod
    def of(cls, objective: str, proofs: Sequence[Proof | None]) -> "Regret":
        """The sum of what a yardstick said."""
        judged = [proof for proof in proofs if proof is not None and proof.goal != NOT_SEARCHED]
        sums: dict[str, float] = {}
        for proof in judged:
            if proof.regret:
                sums[proof.goal] = sums.get(proof.goal, 0.0) + proof.regret
        return cls(
            objective=objective,
            plans=len(proofs),
            judged=len(judged),
            best=sum(proof.outcome == "optimal" and not proof.regret for proof in judged),
            regret=dict(sorted(sums.items())),
            worst=max((proof.regret / max(1.0, abs(proof.value)) for proof in judged), default=0.0),
        )


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
    #: Requests of the scenario's clients that were granted.
    requests: int = 0
    #: SHA-256 of the decision log.
    log_sha256: str
    #: Where it was asked for.
    regret: Regret | None = None


def run_scenario(
    path: Path,
    strategy: str | None = None,
    seed: int = 0,
    log: Path | None = None,
    *,
    parameters: Mapping[str, str] | None = None,
    progress: Callable[[float], None] | None = None,
    regret: str = "",
) -> ScenarioResult:
    """Run the scenario in that file; `log` gets the decision log, one JSON object a line.

    `progress` is called with the share of virtual time that has passed. `regret` is an objective of the strategy
    "optimal", which then judges each plan; it changes nothing of the run.

    Raises:
        InvalidSpec: The file is no scenario, or one of its events cannot happen.
        PluginError: The strategy is unknown, or broke its contract: a simulation is strict.
        InvariantBroken: The cluster did what no cluster may do.
    """
    scenario = load_scenario(path)
    host = Host.load(
        strategy or scenario.strategies[0],
        with_usual(()),
        parameters=dict(parameters or {}),
        strict=True,
        yardstick="optimal" if regret else "",
        measure={"objective": regret} if regret else {},
    )
    result = play_scenario(scenario, host, str(path), seed, log, progress=progress)
    return replace(result, regret=Regret.of(regret, host.proofs)) if regret else result


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
        requests=run.clients.granted if run.clients is not None else 0,
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
                group=scenario.group.model(),
            ),
            host,
        )
        self.failures: list[str] = []
        self.restarts = 0
        #: Tasks that make room for one that a move put elsewhere.
        self._moved: set[str] = set()
        #: (time in the file, what a user asks for); the first one is under way.
        self._asked: deque[tuple[str, Callable[[], None]]] = deque()
        self.world.follow(self._committed)
        self.clients = self._load()

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
        world.heap.at(after(world.heap.start, DEPLOY_AFTER), lambda: self._ask(deploy, self._deploy_all))
        end = parse_duration(scenario.until)
        for event in scenario.events:
            for at, action in self._occurrences(event):
                world.heap.at(after(world.heap.start, at), action)
        steps = 100
        for step in range(1, steps + 1):
            world.heap.run_until(after(world.heap.start, end * step // steps))
            if progress is not None:
                progress(step / steps)

        if self.clients is not None:
            self.failures += [f"clients: {text}" for text in self.clients.failures()]

    def _load(self) -> Clients | None:
        load = self.scenario.load
        if load is None:
            return None
        until = after(self.world.heap.start, parse_duration(load.until))
        rng = derived_rng(self.world.config.seed, "clients")
        return Clients(self.world, load.clients, Spread.parse(load.pace), until, rng)

    def _deploy_all(self) -> None:
        for name, service in self.scenario.services.items():
            self._deploy(name, service)

    def _occurrences(self, event: EventEntry) -> Iterator[tuple[Duration, Callable[[], None]]]:
        at, every, node = parse_duration(event.at), parse_duration(event.every), event.flap
        if node is None:
            [action] = event.actions()
            begin = self._ask if action in ASKED_FOR else self._try
            for number in range(event.occurrences):
                yield Duration(at + number * every), lambda: begin(event.at, lambda: self._happen(event))
            return
        for number in range(event.occurrences):
            yield Duration(at + number * every), lambda: self.world.kill_worker(node)
            yield (
                Duration(at + number * every + every // 2),
                lambda: self._try(event.at, lambda: self.world.start_worker(node)),
            )

    def _ask(self, at: str, action: Callable[[], None]) -> None:
        """Let a user ask for something, after all that users asked for before: an answer may take a while."""
        self._asked.append((at, action))
        if len(self._asked) > 1:
            return
        while self._asked:
            self._try(*self._asked[0])
            self._asked.popleft()

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
            case "partition" | "heal" if is_of_managers(world, value):
                partition = partition_of(world, value)
                (world.part if action == "partition" else world.mend)(partition)
            case "partition":
                world.network.cut(world.worker(value).node_id)
            case "heal":
                world.network.heal(world.worker(value).node_id)
            case "hang_up":
                world.network.break_connection(world.worker(value).node_id)
            case "restart_manager":
                world.stop_manager()
                world.heap.later(parse_duration(value), world.start_manager)
            case "manager_down":
                power_off(world, value)
            case "manager_up":
                power_on(world, value)
            case "kill_leader":
                kill_leader(world, parse_duration(value))
            case "hand_over":
                hand_over(world)
            case "disk":
                change_disks(world, value)
            case "promote":
                promote(world, value)
            case "demote":
                demote(world, value)
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
        if self.world.managers is not None:
            group = self.world.managers.model
            self.world.managers.model = replace(group, mesh=replace(group.mesh, loses=0.0, duplicates=0.0))

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
