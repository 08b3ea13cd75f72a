"""Scenario files: a cluster, its services, what happens to it when, and what is then expected.

A scenario is YAML. Its keys are the fields of `Scenario`, with `-` for `_`; spans are texts such as "1m30s", sizes such
as "512MiB", CPUs decimal numbers.
"""

from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml
from msgspec import field

from swarmlab.api import (
    Annotations,
    Availability,
    ContainerSpec,
    EndpointSpec,
    EngineDescription,
    FailureAction,
    GenericResource,
    GlobalJob,
    GlobalService,
    InvalidSpec,
    NodeDescription,
    Placement,
    PlacementPreference,
    Platform,
    PortConfig,
    PublishMode,
    ReplicatedJob,
    ReplicatedService,
    ResourceRequirements,
    Resources,
    RestartCondition,
    RestartPolicy,
    ServiceSpec,
    SpreadOver,
    TaskSpec,
    UpdateConfig,
    UpdateOrder,
    seconds,
)
from swarmlab.api.quantities import parse_bytes, parse_cpus, parse_duration, parse_generic_resources
from swarmlab.sim.chance import Spread
from swarmlab.sim.executor import ExecutorModel, TaskModel
from swarmlab.sim.network import NetworkModel


class _Entry(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """What stands in a file: unknown keys are errors, and what is optional has a default."""


class NodeEntry(_Entry, frozen=True, kw_only=True):
    """A node; `count` makes several, called NAME1, NAME2 and so on."""

    name: str = "w"
    count: int | None = None
    cpus: float = 4
    memory: str = "8GiB"
    generic: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    engine_labels: Mapping[str, str] = field(default_factory=dict)

    def names(self) -> tuple[str, ...]:
        """The names of its nodes."""
        if self.count is None:
            return (self.name,)
        return tuple(f"{self.name}{number}" for number in range(1, self.count + 1))

    def description(self, name: str) -> NodeDescription:
        """What the node `name` says of itself."""
        return NodeDescription(
            hostname=name,
            platform=Platform(architecture="x86_64", os="linux"),
            resources=Resources(
                nano_cpus=parse_cpus(str(self.cpus)),
                memory_bytes=parse_bytes(self.memory),
                generic=_generic(self.generic),
            ),
            engine=EngineDescription(engine_version="sim", labels=self.engine_labels),
        )


class UpdateEntry(_Entry, frozen=True, kw_only=True):
    """How a service is updated or rolled back."""

    parallelism: int = 1
    delay: str = "0s"
    monitor: str = "5s"
    order: str = "stop-first"
    failure_action: str = "pause"
    max_failure_ratio: float = 0.0

    def config(self) -> UpdateConfig:
        """The same as the object model has it."""
        return UpdateConfig(
            parallelism=self.parallelism,
            delay=parse_duration(self.delay),
            monitor=parse_duration(self.monitor),
            order=_word(UpdateOrder, self.order, "order"),
            failure_action=_word(FailureAction, self.failure_action, "failure-action"),
            max_failure_ratio=self.max_failure_ratio,
        )


class RestartEntry(_Entry, frozen=True, kw_only=True):
    """When a task of a service is replaced."""

    condition: str = "any"
    delay: str = "5s"
    max_attempts: int = 0
    window: str = "0s"

    def policy(self) -> RestartPolicy:
        """The same as the object model has it."""
        return RestartPolicy(
            condition=_word(RestartCondition, self.condition, "condition"),
            delay=parse_duration(self.delay),
            max_attempts=self.max_attempts,
            window=parse_duration(self.window),
        )


class TaskEntry(_Entry, frozen=True, kw_only=True):
    """How tasks behave; spans may carry their sigma: "200ms~0.5"."""

    prepare: str = "200ms~0.3"
    start: str = "100ms~0.3"
    stop: str = "100ms~0.3"
    run: str | None = None
    exit_code: int = 0
    prepare_fails: float = 0.0
    start_fails: float = 0.0
    run_fails: float = 0.0

    def model(self) -> TaskModel:
        """The model of such tasks."""
        return TaskModel(
            prepare=Spread.parse(self.prepare),
            start=Spread.parse(self.start),
            stop=Spread.parse(self.stop),
            run=Spread.parse(self.run) if self.run is not None else None,
            exit_code=self.exit_code,
            prepare_fails=self.prepare_fails,
            start_fails=self.start_fails,
            run_fails=self.run_fails,
        )


class ServiceEntry(_Entry, frozen=True, kw_only=True):
    """A service."""

    mode: str = "replicated"
    replicas: int = 1
    max_concurrent: int = 1
    image: str = "app:1"
    cpus: float = 0
    memory: str = "0"
    generic: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    constraints: tuple[str, ...] = ()
    spread_over: tuple[str, ...] = ()
    max_replicas_per_node: int = 0
    #: Host ports of each task.
    host_ports: tuple[int, ...] = ()
    restart: RestartEntry = RestartEntry()
    update: UpdateEntry | None = None
    rollback: UpdateEntry | None = None
    #: How the tasks of this image behave, where they differ from the others.
    tasks: TaskEntry | None = None

    def spec(self, name: str) -> ServiceSpec:
        """The spec of the service, under that name."""
        modes: dict[str, dict[str, Any]] = {
            "replicated": {"replicated": ReplicatedService(replicas=self.replicas)},
            "global": {"global_": GlobalService()},
            "replicated-job": {
                "replicated_job": ReplicatedJob(max_concurrent=self.max_concurrent, total_completions=self.replicas)
            },
            "global-job": {"global_job": GlobalJob()},
        }
        if self.mode not in modes:
            raise InvalidSpec(f"mode {self.mode!r} of service {name}: wanted one of {', '.join(modes)}")
        return ServiceSpec(
            annotations=Annotations(name=name, labels=self.labels),
            task=TaskSpec(
                container=ContainerSpec(image=self.image),
                resources=ResourceRequirements(
                    reservations=Resources(
                        nano_cpus=parse_cpus(str(self.cpus)),
                        memory_bytes=parse_bytes(self.memory),
                        generic=_generic(self.generic),
                    )
                ),
                restart=self.restart.policy(),
                placement=Placement(
                    constraints=self.constraints,
                    preferences=tuple(
                        PlacementPreference(spread=SpreadOver(spread_descriptor=key)) for key in self.spread_over
                    ),
                    max_replicas=self.max_replicas_per_node,
                ),
            ),
            update=self.update.config() if self.update is not None else None,
            rollback=self.rollback.config() if self.rollback is not None else None,
            endpoint=EndpointSpec(
                ports=tuple(
                    PortConfig(target_port=port, published_port=port, publish_mode=PublishMode.HOST)
                    for port in self.host_ports
                )
            )
            if self.host_ports
            else None,
            **modes[self.mode],
        )


class Expectation(_Entry, frozen=True, kw_only=True):
    """What must hold at a moment. Only what is given is looked at."""

    #: Only under these strategies; all where empty.
    strategies: tuple[str, ...] = ()
    #: {service: {node: running tasks}}, nodes that are not named have none.
    tasks: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    #: {service: {node: running tasks}}, for these nodes alone.
    on: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    #: {service: running tasks}
    running: Mapping[str, int] = field(default_factory=dict)
    #: {service: greatest difference between two schedulable nodes}
    spread: Mapping[str, int] = field(default_factory=dict)
    #: {service: tasks that wait for a node}
    pending: Mapping[str, int] = field(default_factory=dict)
    #: {service: a text that the reason of a waiting task contains}
    reason: Mapping[str, str] = field(default_factory=dict)
    #: {service: tasks that completed}
    completed: Mapping[str, int] = field(default_factory=dict)
    #: {service: state of its update, such as "completed" or "paused"}
    update: Mapping[str, str] = field(default_factory=dict)
    #: Moves that succeeded since the start.
    moves: int | None = None
    moves_at_most: int | None = None
    #: Tasks that stopped running since the last `mark`, moved ones and those of lost nodes left out.
    restarts: int | None = None


class EventEntry(_Entry, frozen=True, kw_only=True):
    """Something that happens at a time; exactly one of the others is given."""

    at: str
    #: Nodes: stop takes the power away, start gives it back; kill ends the agent alone, and revive starts it again.
    stop: str | None = None
    start: str | None = None
    kill: str | None = None
    revive: str | None = None
    join: NodeEntry | None = None
    partition: str | None = None
    heal: str | None = None
    drain: str | None = None
    pause: str | None = None
    activate: str | None = None
    remove_node: str | None = None
    #: {node: {label: value, or null to take it away}}
    label: Mapping[str, Mapping[str, str | None]] | None = None
    #: {node: new memory}
    memory: Mapping[str, str] | None = None
    #: Services.
    deploy: Mapping[str, ServiceEntry] | None = None
    update: Mapping[str, ServiceEntry] | None = None
    scale: Mapping[str, int] | None = None
    rollback: str | None = None
    remove: str | None = None
    #: From here on restarts are counted anew.
    mark: str | None = None
    expect: Expectation | None = None
    #: Stop and start that node `times` times, `every` so often.
    flap: str | None = None
    times: int = 10
    every: str = "30s"

    def actions(self) -> tuple[str, ...]:
        """The names of what is given."""
        given = {name: getattr(self, name) for name in self.__struct_fields__}
        return tuple(
            name for name, value in given.items() if name not in ("at", "times", "every") and value is not None
        )


class Scenario(_Entry, frozen=True, kw_only=True):
    """A story with expectations."""

    description: str
    #: Where it comes from: a thread, a paper, a requirement.
    source: str = ""
    #: Strategies under which it is to run; the first one is the default.
    strategies: tuple[str, ...] = ("spread",)
    nodes: tuple[NodeEntry, ...] = ()
    services: Mapping[str, ServiceEntry] = field(default_factory=dict)
    events: tuple[EventEntry, ...] = ()
    #: How long it runs.
    until: str
    heartbeat: str = "5s"
    settle: str = "1s"
    history: int = 5
    delay: str = "1ms~0.3"
    breaks: float = 0.0
    tasks: TaskEntry = TaskEntry()

    def network(self) -> NetworkModel:
        """The model of its wire."""
        return NetworkModel(delay=Spread.parse(self.delay), breaks=self.breaks, notice=Spread(median=seconds(15)))

    def executor(self) -> ExecutorModel:
        """The models of its tasks, those of services deployed later included."""
        entries = list(self.services.items())
        for event in self.events:
            entries += [*(event.deploy or {}).items(), *(event.update or {}).items()]
        return ExecutorModel(
            default=self.tasks.model(),
            versions={(name, entry.image): entry.tasks.model() for name, entry in entries if entry.tasks is not None},
        )


def load_scenario(path: Path) -> Scenario:
    """The scenario in that file.

    Raises:
        InvalidSpec: It is not there, is no YAML, or its content is no scenario; the message names file and place.
    """
    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InvalidSpec(f"scenario {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise InvalidSpec(f"scenario {path}: {error}") from error
    try:
        scenario = msgspec.convert(document, Scenario)
    except msgspec.ValidationError as error:
        raise InvalidSpec(f"scenario {path}: {error}") from error
    for number, event in enumerate(scenario.events, 1):
        if len(event.actions()) != 1:
            raise InvalidSpec(
                f"scenario {path}: event {number} at {event.at}: wanted exactly one action, "
                f"found {', '.join(event.actions()) or 'none'}"
            )
    return scenario


def availability(word: str) -> Availability:
    """The availability that the action `word` sets."""
    return {"drain": Availability.DRAIN, "pause": Availability.PAUSE, "activate": Availability.ACTIVE}[word]


def _generic(text: str) -> tuple[GenericResource, ...]:
    return parse_generic_resources(text) if text else ()


W = TypeVar("W", bound=IntEnum)


def _word(words: type[W], text: str, what: str) -> W:
    name = text.replace("-", "_").upper()
    if name not in words.__members__:
        wanted = ", ".join(word.lower().replace("_", "-") for word in words.__members__)
        raise InvalidSpec(f"{what} {text!r}: wanted one of {wanted}")
    return words[name]
