"""Nodes and services as scenario files have them: spans and sizes are texts, and what is left out has a default."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, TypeVar

import msgspec
from msgspec import field

from swarmlab.api import (
    Annotations,
    ContainerSpec,
    EndpointSpec,
    EngineDescription,
    FailureAction,
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
)
from swarmlab.api.quantities import parse_bytes, parse_cpus, parse_duration, parse_generic_resources
from swarmlab.sim.chance import Spread
from swarmlab.sim.executor import TaskModel


class Entry(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """What stands in a file: unknown keys are errors, and what is optional has a default."""


class NodeEntry(Entry, frozen=True, kw_only=True):
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
                generic=parse_generic_resources(self.generic),
            ),
            engine=EngineDescription(engine_version="sim", labels=self.engine_labels),
        )


class UpdateEntry(Entry, frozen=True, kw_only=True):
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
            order=word(UpdateOrder, self.order, "order"),
            failure_action=word(FailureAction, self.failure_action, "failure-action"),
            max_failure_ratio=self.max_failure_ratio,
        )


class RestartEntry(Entry, frozen=True, kw_only=True):
    """When a task of a service is replaced."""

    condition: str = "any"
    delay: str = "5s"
    max_attempts: int = 0
    window: str = "0s"

    def policy(self) -> RestartPolicy:
        """The same as the object model has it."""
        return RestartPolicy(
            condition=word(RestartCondition, self.condition, "condition"),
            delay=parse_duration(self.delay),
            max_attempts=self.max_attempts,
            window=parse_duration(self.window),
        )


class TaskEntry(Entry, frozen=True, kw_only=True):
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
        """The model of such tasks.

        Raises:
            InvalidSpec: A span is none, or a probability is not from 0 to 1.
        """
        for name in ("prepare_fails", "start_fails", "run_fails"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidSpec(f"{name.replace('_', '-')} {getattr(self, name)}: wanted a probability, 0 to 1")
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

    def calm(self, *, ends: bool) -> "TaskEntry":
        """The same, but none fails, and it ends by itself only if it `ends`."""
        return TaskEntry(prepare=self.prepare, start=self.start, stop=self.stop, run=self.run if ends else None)


class ServiceEntry(Entry, frozen=True, kw_only=True):
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

    @property
    def is_job(self) -> bool:
        """Its tasks are meant to end."""
        return self.mode.endswith("-job")

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
                        generic=parse_generic_resources(self.generic),
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


W = TypeVar("W", bound=IntEnum)


def word(words: type[W], text: str, what: str) -> W:
    """The word that a file names in lower case, with `-` for `_`.

    Raises:
        InvalidSpec: There is no such word; the message begins with `what` and lists those there are.
    """
    name = text.replace("-", "_").upper()
    if name not in words.__members__:
        wanted = ", ".join(word.lower().replace("_", "-") for word in words.__members__)
        raise InvalidSpec(f"{what} {text!r}: wanted one of {wanted}")
    return words[name]
