"""A store in front of an allocator, and what lies in it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from swarmlab.api import (
    Annotations,
    Change,
    Changes,
    Create,
    Delete,
    Driver,
    EndpointSpec,
    Instant,
    Network,
    NetworkAttachmentConfig,
    NetworkId,
    NetworkSpec,
    PortConfig,
    Refused,
    ReplicatedService,
    Service,
    ServiceId,
    ServiceSpec,
    StoreObject,
    Task,
    TaskId,
    TaskSpec,
    TaskState,
    TaskStatus,
    Update,
)
from swarmlab.component import Effect, Event, Propose, Proposed, Record, SetTimer
from swarmlab.manager.allocator import Allocator
from swarmlab.store import EMPTY, Committed, Led, Snapshot, apply


@dataclass
class World:
    """A store in front of an allocator; commits happen at once unless they are held."""

    view: Snapshot = EMPTY
    allocator: Allocator = field(default_factory=Allocator)
    now: int = 0
    held: bool = False
    waiting: list[Propose] = field(default_factory=list)
    records: list[tuple[str, object]] = field(default_factory=list)
    timers: list[SetTimer] = field(default_factory=list)
    proposals: int = 0

    def lead(self) -> None:
        self._carry_out(self.allocator.step(Led(self.view), Instant(self.now)))

    def step(self, event: Event) -> None:
        self._carry_out(self.allocator.step(event, Instant(self.now)))

    def commit(self, changes: Changes) -> tuple[Refused, ...]:
        self.now += 1
        applied = apply(self.view, changes.groups, Instant(self.now), self.view.version + 1)
        self.view = applied.snapshot
        if applied.changes:
            self._tell(applied.changes)
        return applied.refused

    def put(self, *objects: StoreObject) -> None:
        assert not self.commit(Changes.atomic(*map(Create, objects)))

    def change(self, obj: StoreObject) -> None:
        assert not self.commit(Changes.atomic(Update(obj)))

    def drop(self, *objects: StoreObject) -> None:
        assert not self.commit(Changes.atomic(*(Delete(type(obj), obj.id) for obj in objects)))

    def finish(self) -> None:
        """Commit the proposal that was held."""
        self._finish(self.waiting.pop(0))

    def _tell(self, changes: tuple[Change, ...]) -> None:
        self.step(Committed(self.view, changes))

    def _carry_out(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Propose():
                    self.proposals += 1
                    if self.held:
                        self.waiting.append(effect)
                    else:
                        self._finish(effect)
                case Record(name, fields):
                    self.records.append((name, dict(fields)))
                case SetTimer():
                    self.timers.append(effect)

    def _finish(self, proposal: Propose) -> None:
        refused = self.commit(proposal.changes)
        self.step(Proposed(proposal.tag, version=self.view.version, refused=refused))

    def ports(self, service: str) -> list[int]:
        endpoint = self.view.service(ServiceId(service)).endpoint
        return [port.published_port for port in endpoint.ports] if endpoint else []

    def state(self, task: str) -> tuple[TaskState, str]:
        status = self.view.task(TaskId(task)).status
        return status.state, status.err


def port(published: int = 0, target: int = 80, **more: object) -> PortConfig:
    return PortConfig(target_port=target, published_port=published, **more)


def wish(*ports: PortConfig, name: str = "web", **more: object) -> ServiceSpec:
    return ServiceSpec(
        annotations=Annotations(name),
        replicated=ReplicatedService(1),
        endpoint=EndpointSpec(ports=ports) if ports else None,
        **more,
    )


def service(name: str, *ports: PortConfig, **more: object) -> Service:
    return Service(id=ServiceId(name), spec=wish(*ports, name=name), **more)


def task(name: str, service: str = "web", desired: TaskState = TaskState.RUNNING, *networks: str) -> Task:
    attachments = tuple(NetworkAttachmentConfig(target=target) for target in networks)
    return Task(
        id=TaskId(name),
        service_id=ServiceId(service),
        slot=1,
        spec=TaskSpec(networks=attachments),
        desired_state=desired,
        status=TaskStatus(state=TaskState.NEW, message="created"),
    )


def network(name: str, driver: str = "", **more: object) -> Network:
    return Network(
        id=NetworkId(name), spec=NetworkSpec(annotations=Annotations(name), driver_config=Driver(driver)), **more
    )
