"""Scenario files: a cluster, its services, what happens to it when, and what is then expected.

A scenario is YAML. Its keys are the fields of `Scenario`, with `-` for `_`; spans are texts such as "1m30s", sizes such
as "512MiB", CPUs decimal numbers.
"""

from collections.abc import Iterator, Mapping

from msgspec import field

from swarmlab.api import Availability, InvalidSpec, seconds
from swarmlab.node import ReplicaConfig
from swarmlab.sim.chance import Spread
from swarmlab.sim.disk import DiskModel
from swarmlab.sim.entries import Entry, NodeEntry, ServiceEntry, TaskEntry
from swarmlab.sim.executor import ExecutorModel
from swarmlab.sim.machine import GroupModel
from swarmlab.sim.mesh import MeshModel
from swarmlab.sim.network import NetworkModel
from swarmlab.sim.proposer import CommitModel


class Expectation(Entry, frozen=True, kw_only=True):
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
    #: Every service runs what it should, every node what the store says, and nothing was committed for a minute.
    at_rest: bool | None = None


class EventEntry(Entry, frozen=True, kw_only=True):
    """Something that happens at a time; exactly one of the others is given."""

    at: str
    #: Nodes: stop takes the power away, start gives it back; kill ends the agent alone, and revive starts it again.
    stop: str | None = None
    start: str | None = None
    kill: str | None = None
    revive: str | None = None
    join: NodeEntry | None = None
    #: A node is cut off. Of several managers also: one of them, from the others; or sides, such as "m1 w1 | m2 m3 w2";
    #: or one way, "m1 > m2 m3". Workers that stand on no side reach everybody.
    partition: str | None = None
    heal: str | None = None
    #: The connection of that node breaks; both ends notice.
    hang_up: str | None = None
    #: The manager's process ends, and starts again after that span; of several managers it is the one that leads.
    restart_manager: str | None = None
    #: Managers, where there are several; they are called m1, m2 and so on. Power goes and comes back.
    manager_down: str | None = None
    manager_up: str | None = None
    #: The machine of whoever leads has no power for that span; `times` times, `every` so often.
    kill_leader: str | None = None
    #: Whoever leads hands over; the text says why.
    hand_over: str | None = None
    #: {manager: how its disk is from now on: `stalls`, `fails`, `well`, or how long a write takes, "20ms~1"}
    disk: Mapping[str, str] | None = None
    #: A new machine of that name becomes a manager, or one that was demoted does so again.
    promote: str | None = None
    demote: str | None = None
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
    #: From here on nothing fails by chance: no wire, no commit, no task, nor is one of the first two slower than usual;
    #: and only tasks of jobs end by themselves.
    calm: str | None = None
    expect: Expectation | None = None
    #: Stop and start that node `times` times, `every` so often.
    flap: str | None = None
    #: 10 for a node that flaps, once for a leader that is killed.
    times: int | None = None
    every: str = "30s"

    @property
    def occurrences(self) -> int:
        """How often it happens."""
        return self.times if self.times is not None else 10 if self.flap is not None else 1

    def actions(self) -> tuple[str, ...]:
        """The names of what is given."""
        given = {name: getattr(self, name) for name in self.__struct_fields__}
        return tuple(
            name for name, value in given.items() if name not in ("at", "times", "every") and value is not None
        )


class GroupEntry(Entry, frozen=True, kw_only=True):
    """How several managers are among themselves."""

    delay: str = "1ms~0.3"
    #: Probabilities that a message is lost, and that it comes twice.
    loses: float = 0.0
    duplicates: float = 0.0
    #: How long a write takes until it is durable.
    disk: str = "2ms~0.5"
    #: Entries of the log between two snapshots, 0: as the cluster says; and those kept behind one for slow followers.
    snapshot_every: int = 0
    slow_entries: int = 500

    def model(self) -> GroupModel:
        """The model of such a group.

        Raises:
            InvalidSpec: A span is none, a probability is not from 0 to 1, or a number is negative.
        """
        for name in ("loses", "duplicates"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidSpec(f"{name} {getattr(self, name)}: wanted a probability, 0 to 1")
        for name in ("snapshot_every", "slow_entries"):
            if getattr(self, name) < 0:
                raise InvalidSpec(f"{name.replace('_', '-')} {getattr(self, name)}: wanted 0 or more")
        return GroupModel(
            mesh=MeshModel(delay=Spread.parse(self.delay), loses=self.loses, duplicates=self.duplicates),
            disk=DiskModel(delay=Spread.parse(self.disk)),
            raft=ReplicaConfig(snapshot_every=self.snapshot_every, slow_entries=self.slow_entries),
        )


class LoadEntry(Entry, frozen=True, kw_only=True):
    """Clients that write and read at any manager, of several; what they see has to be linearizable."""

    clients: int = 3
    #: How long each rests between two requests.
    pace: str = "500ms~0.5"
    #: When they stop, and every manager is read once more.
    until: str


class Scenario(Entry, frozen=True, kw_only=True):
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
    commit_delay: str = "0s"
    commit_drops: float = 0.0
    #: With more than one, they replicate, and how commits are is no matter of a model.
    managers: int = 1
    group: GroupEntry = GroupEntry()
    load: LoadEntry | None = None
    tasks: TaskEntry = TaskEntry()
    #: An event that the cluster refuses, or that comes while the manager is down, is passed over.
    lenient: bool = False

    def network(self) -> NetworkModel:
        """The model of its wire."""
        return NetworkModel(delay=Spread.parse(self.delay), breaks=self.breaks, notice=Spread(median=seconds(15)))

    def commits(self) -> CommitModel:
        """The model of how changes become final."""
        return CommitModel(delay=Spread.parse(self.commit_delay), drops=self.commit_drops)

    def executor(self) -> ExecutorModel:
        """The models of its tasks, those of services deployed later included."""
        return ExecutorModel(
            default=self.tasks.model(),
            versions={
                (name, entry.image): entry.tasks.model() for name, entry in self._entries() if entry.tasks is not None
            },
        )

    def calm_executor(self) -> ExecutorModel:
        """The same tasks, of which none fails, and none ends but those of jobs."""
        return ExecutorModel(
            default=self.tasks.calm(ends=False).model(),
            versions={
                (name, entry.image): (entry.tasks or self.tasks).calm(ends=entry.is_job).model()
                for name, entry in self._entries()
            },
        )

    def _entries(self) -> Iterator[tuple[str, ServiceEntry]]:
        yield from self.services.items()
        for event in self.events:
            yield from (event.deploy or {}).items()
            yield from (event.update or {}).items()


def availability(word: str) -> Availability:
    """The availability that the action `word` sets."""
    return {"drain": Availability.DRAIN, "pause": Availability.PAUSE, "activate": Availability.ACTIVE}[word]
