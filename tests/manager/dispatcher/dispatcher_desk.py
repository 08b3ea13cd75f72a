"""A dispatcher on a store in virtual time, driven by words."""

import random
from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from swarmlab.api import (
    Annotations,
    AssignmentAction,
    AssignmentChange,
    AssignmentsMessage,
    AssignmentsRequest,
    Availability,
    Changes,
    Cluster,
    ClusterSpec,
    Config,
    ConfigId,
    ConfigReference,
    ContainerSpec,
    ContainerStatus,
    Create,
    Delete,
    DispatcherConfig,
    EncryptionKey,
    HeartbeatRequest,
    HeartbeatResponse,
    Instant,
    Node,
    NodeDescription,
    NodeId,
    NodeState,
    NodeStatus,
    NotLeader,
    Peer,
    ProposalDropped,
    ProposalUnknown,
    RootCA,
    Secret,
    SecretId,
    SecretReference,
    SessionMessage,
    SessionRequest,
    StoreObject,
    Task,
    TaskId,
    TasksMessage,
    TaskSpec,
    TasksRequest,
    TaskState,
    TaskStatus,
    TaskStatusUpdate,
    Update,
    UpdateTaskStatusRequest,
    UpdateTaskStatusResponse,
    UpdateVolumeStatusRequest,
    WeightedPeer,
    parse_duration,
)
from swarmlab.component import (
    Assembly,
    CancelTimer,
    Disconnected,
    Propose,
    Proposed,
    Received,
    Record,
    Send,
    SetTimer,
    TimerFired,
)
from swarmlab.manager.dispatcher import Dispatcher, ManagersChanged
from swarmlab.store import Committed, Entry, Led, Outcome, Store
from swarmlab.testing import Time, Timers

ERRORS = {"dropped": ProposalDropped("no quorum"), "unknown": ProposalUnknown("too late"), "lost": NotLeader("m2")}


#: Of a command that causes more lines the records are left out; longer lists show their ends.
MANY = 20


class Reins:
    """A proposer that commits at once, holds back, or fails, as it is told."""

    max_entry_bytes: int | None = None

    def __init__(self) -> None:
        self.mode = "pass"
        self.held: list[Callable[[Exception | None], None]] = []

    def propose(self, _: Entry, done: Callable[[Exception | None], None]) -> None:
        if self.mode == "hold":
            self.held.append(done)
        else:
            done(ERRORS.get(self.mode))

    def release(self) -> None:
        held, self.held, self.mode = self.held, [], "pass"
        for done in held:
            done(None)


class Desk:
    """Interprets commands; every effect and commit becomes a line with the time since the start in seconds."""

    def __init__(self) -> None:
        self.time = Time()
        self.reins = Reins()
        self.store = Store(self.reins, self.time.clock, on_commit=self._committed)
        self.managers: list[WeightedPeer] = [_peer("m1")]
        self.lines = []
        self.sessions: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self._appoint("m1", "24h")

    def _appoint(self, manager: str, orphan_after: str) -> None:
        """A new dispatcher, as on a manager that begins to lead."""
        self.dispatcher = Dispatcher(
            random.Random(1),
            managers=lambda: self.managers,
            manager_id=manager,
            orphan_after=parse_duration(orphan_after),
            address_of=lambda node_id: f"10.0.0.{node_id[1:]}",
        )
        self.timers = Timers(self.time, lambda name, timer: self.assembly.post(name, TimerFired(timer)))
        self.assembly = Assembly(
            [self.dispatcher],
            {
                SetTimer: lambda source, effect: self.timers.set(source, effect.name, effect.at),
                CancelTimer: lambda source, effect: self.timers.cancel(source, effect.name),
                Send: lambda _, effect: self._sent(effect),
                Record: lambda _, effect: self._say("record " + _words(effect.name, effect.fields)),
                Propose: self._propose,
            },
            self.time.clock,
        )

    def __call__(self, line: str) -> Sequence[str]:
        """Do one command; gives the lines that it caused."""
        self.lines: list[str] = []
        command, *words = line.split()
        pairs = dict(word.split("=", 1) for word in words if "=" in word)
        plain = [word for word in words if "=" not in word]
        getattr(self, f"do_{command}")(*plain, **pairs)
        if len(self.lines) > MANY:
            return [line for line in self.lines if " record " not in line]
        return self.lines

    # The store

    def do_cluster(self, period: str = "5s", keys: str = "0", root: str = "") -> None:
        old = self.store.view.cluster()
        cluster = replace(
            old or Cluster(id="cluster"),
            spec=ClusterSpec(
                annotations=Annotations(name="default"), dispatcher=DispatcherConfig(parse_duration(period))
            ),
            network_bootstrap_keys=tuple(EncryptionKey(lamport_time=key) for key in range(1, int(keys) + 1)),
            root_ca=RootCA(ca_cert=root.encode()),
        )
        self._write(Update(cluster) if old else Create(cluster))

    def do_node(self, name: str, state: str = "UNKNOWN", pause: str = "") -> None:
        old = self.store.view.node(NodeId(name))
        node = old or Node(id=NodeId(name), status=NodeStatus(NodeState[state]))
        if pause:
            node = replace(node, spec=replace(node.spec, availability=Availability.PAUSE))
        self._write(Update(node) if old else Create(node))

    def do_secret(self, name: str) -> None:
        self._write(Create(Secret(id=SecretId(name))))

    def do_config(self, name: str) -> None:
        self._write(Create(Config(id=ConfigId(name))))

    def do_task(self, name: str, **pairs: str) -> None:
        """Create a task, or change what `pairs` say of it."""
        old = self.store.view.task(TaskId(name))
        task = old or Task(
            id=TaskId(name), desired_state=TaskState.RUNNING, status=TaskStatus(state=TaskState.ASSIGNED)
        )
        for key, value in pairs.items():
            match key:
                case "node":
                    task = replace(task, node_id=NodeId(value))
                case "state":
                    task = replace(task, status=replace(task.status, state=TaskState[value]))
                case "desired":
                    task = replace(task, desired_state=TaskState[value])
                case "uses":
                    task = replace(task, spec=_using(value.split(",")))
        self._write(Update(task) if old else Create(task))

    def do_tasks(self, count: str, **pairs: str) -> None:
        """Create many tasks in one commit."""
        node, status = NodeId(pairs["node"]), TaskStatus(state=TaskState.ASSIGNED)
        tasks = [Task(id=TaskId(f"x{number:03}"), node_id=node, status=status) for number in range(int(count))]
        self._write(*(Create(task) for task in tasks))

    def do_delete(self, kind: str, name: str) -> None:
        self._write(Delete({"task": Task, "node": Node, "secret": Secret}[kind], name))

    def do_proposer(self, mode: str) -> None:
        if mode == "release":
            self.reins.release()
        else:
            self.reins.mode = mode

    def _write(self, *actions: Create | Update | Delete) -> None:
        """Commit at once, whatever the proposer does to the dispatcher."""
        mode, self.reins.mode = self.reins.mode, "pass"
        outcomes: list[Outcome] = []
        self.store.propose(Changes.atomic(*actions), outcomes.append)
        self.reins.mode = mode
        assert not outcomes[0].refused, outcomes

    # Leadership and time

    def do_lead(self, manager: str = "", orphan_after: str = "24h") -> None:
        if manager:
            self.timers.close()
            self._appoint(manager, orphan_after)
        self.assembly.broadcast(Led(self.store.view))

    def do_advance(self, span: str) -> None:
        self.time.advance(parse_duration(span))

    def do_stall(self, span: str) -> None:
        """The manager stands still for so long; its timers are due all at once then."""
        self.time.stand_still(parse_duration(span))
        self.time.advance(0)

    def do_managers(self, *names: str) -> None:
        self.managers = [_peer(name) for name in names]
        self.assembly.post("dispatcher", ManagersChanged())

    # Calls

    def do_session(self, node: str, call: str, host: str = "", resume: str = "") -> None:
        description = NodeDescription(hostname=host or node)
        self._call(node, SessionRequest(description, self._session_id(node) if resume else ""), call)

    def do_beat(self, node: str, call: str, session: str = "") -> None:
        self._call(node, HeartbeatRequest(session or self._session_id(node)), call)

    def do_assignments(self, node: str, call: str, session: str = "") -> None:
        self._call(node, AssignmentsRequest(session or self._session_id(node)), call)

    def do_list(self, node: str, call: str) -> None:
        self._call(node, TasksRequest(self._session_id(node)), call)

    def do_volumes(self, node: str, call: str) -> None:
        self._call(node, UpdateVolumeStatusRequest(self._session_id(node)), call)

    def do_report(self, node: str, call: str, *, exit: str = "", **states: str) -> None:  # noqa: A002
        container = ContainerStatus(container_id="c1", exit_code=int(exit)) if exit else None
        updates = tuple(
            TaskStatusUpdate(TaskId(task), _status(self.time.now, state, container)) for task, state in states.items()
        )
        self._call(node, UpdateTaskStatusRequest(self._session_id(node), updates), call)

    def do_break(self, node: str) -> None:
        self.assembly.post("dispatcher", Disconnected(node))

    def _call(self, node: str, message: Any, call: str) -> None:
        self.assembly.post("dispatcher", Received(node, message, int(call)))

    def _session_id(self, node: str) -> str:
        return self.sessions.get(node, "")

    # What comes of it

    def _propose(self, source: str, effect: Propose) -> None:
        def done(outcome: Outcome) -> None:
            self.assembly.post(source, Proposed(effect.tag, outcome.version, outcome.refused, outcome.error))

        self.store.propose(effect.changes, done)

    def _committed(self, event: Committed) -> None:
        said = []
        for change in event.changes:
            obj = change.object
            if isinstance(obj, Task):
                who = f" by {obj.status.applied_by}" if obj.status.applied_by else ""
                said.append(f"{obj.id}={obj.status.state.name}{who}")
            elif isinstance(obj, Node):
                host = obj.description.hostname if obj.description else "?"
                said.append(f"{obj.id}={obj.status.state.name}({host} {obj.status.addr})")
        if said:
            self._say(f"commit {_short(said)}")
        self.assembly.broadcast(event)

    def _sent(self, effect: Send) -> None:
        self._say(f"-> {effect.to} #{effect.call} {self._shown(effect.to, effect.message)}")

    def _say(self, text: str) -> None:
        self.lines.append(f"{self.time.elapsed:.3f} {text}")

    def _shown(self, node: str, message: Any) -> str:
        match message:
            case SessionMessage():
                self.sessions[node] = message.session_id
                name = self.names.setdefault(message.session_id, f"S{len(self.names) + 1}")
                managers = ",".join(peer.peer.addr for peer in message.managers if peer.peer)
                keys = len(message.network_bootstrap_keys)
                availability = message.node.spec.availability.name if message.node else "?"
                return f"session {name} {availability} managers={managers} keys={keys} root={message.RootCA.decode()}"
            case HeartbeatResponse(period):
                return f"beat again in {period / 1e9:.3f}"
            case AssignmentsMessage():
                changes = _short(list(map(_changed, message.changes)))
                return f"{message.type.name} {message.applies_to or '-'}->{message.results_in} {changes}".rstrip()
            case TasksMessage(tasks):
                return f"tasks {' '.join(task.id for task in tasks)}"
            case UpdateTaskStatusResponse():
                return "taken"
            case Exception():
                return f"{type(message).__name__}: {message}"
        raise AssertionError(f"unexpected message {message}")


def _peer(name: str) -> WeightedPeer:
    return WeightedPeer(Peer(NodeId(name), name), 10)


def _status(now: Instant, state: str, container: ContainerStatus | None) -> TaskStatus | None:
    return None if state == "none" else TaskStatus(timestamp=now, state=TaskState[state], container=container)


def _using(names: list[str]) -> TaskSpec:
    """s.. are secrets, c.. are configs."""
    return TaskSpec(
        container=ContainerSpec(
            image="web",
            secrets=tuple(SecretReference(SecretId(name), name) for name in names if name.startswith("s")),
            configs=tuple(ConfigReference(config_id=ConfigId(name)) for name in names if name.startswith("c")),
        )
    )


def _changed(change: AssignmentChange) -> str:
    sign = "+" if change.action is AssignmentAction.UPDATE else "-"
    item = change.assignment
    assert item is not None
    obj: StoreObject | None = item.secret or item.config or item.task
    assert obj is not None
    if isinstance(obj, Task) and sign == "+":
        return f"+{obj.id}({obj.desired_state.name})"
    return f"{sign}{obj.id}"


def _short(words: list[str]) -> str:
    return " ".join(words) if len(words) <= MANY else f"{words[0]} .. {words[-1]} ({len(words)})"


def _words(name: str, fields: Any) -> str:
    return " ".join([name, *(f"{key}={value}" for key, value in fields.items())])
