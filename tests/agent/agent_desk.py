"""An agent in virtual time, driven by words; the test is its manager and its executor."""

import random
from collections.abc import Sequence
from typing import Any

from swarmlab.agent import Agent
from swarmlab.agent.exec import (
    Configure,
    Describe,
    Described,
    Execute,
    Executed,
    Interrupt,
    Kept,
    Leaving,
    Operation,
    Persist,
    Restored,
    Retire,
)
from swarmlab.api import (
    Assignment,
    AssignmentAction,
    AssignmentChange,
    AssignmentsMessage,
    AssignmentsRequest,
    AssignmentsType,
    Availability,
    Config,
    ConfigId,
    ConfigReference,
    ContainerSpec,
    ContainerStatus,
    EncryptionKey,
    ExecutorError,
    HeartbeatRequest,
    HeartbeatResponse,
    InvalidSpec,
    Node,
    NodeDescription,
    NodeId,
    NodeSpec,
    NodeState,
    NodeStatus,
    NotFound,
    Peer,
    PortConfig,
    PortStatus,
    ResourceReference,
    ResourceType,
    Secret,
    SecretId,
    SecretReference,
    SessionMessage,
    SessionRequest,
    Task,
    TaskId,
    TaskSpec,
    TaskState,
    TaskStatus,
    UpdateTaskStatusRequest,
    UpdateTaskStatusResponse,
    VolumeAssignment,
    WeightedPeer,
    parse_duration,
)
from swarmlab.component import Assembly, CancelTimer, Disconnected, Received, Record, Send, SetTimer, TimerFired
from swarmlab.testing import Time, Timers

#: What a task without any dependency says of itself.
PLAIN = TaskSpec(container=ContainerSpec(image="web"))


class Desk:
    """Interprets commands; every effect becomes a line with the time since the start in seconds.

    The newest call of each kind is remembered, so answers need no numbers.
    """

    def __init__(self) -> None:
        self.time = Time()
        self.timers = Timers(self.time, lambda name, timer: self.assembly.post(name, TimerFired(timer)))
        self.assembly = Assembly(
            [Agent("host", random.Random(1), node_id=NodeId("n1"))],
            {
                SetTimer: lambda source, effect: self.timers.set(source, effect.name, effect.at),
                CancelTimer: lambda source, effect: self.timers.cancel(source, effect.name),
                Send: lambda _, effect: self._sent(effect),
                Record: lambda _, effect: self._say("record", effect.name, **effect.fields),
                Execute: lambda _, effect: self._execute(effect),
                Interrupt: lambda _, effect: self._say("interrupt", effect.task_id),
                Describe: lambda _, effect: self._say("describe"),
                Persist: lambda _, effect: self._persist(effect),
                Configure: lambda _, effect: self._configure(effect),
                Retire: lambda _, effect: self._say("retire"),
            },
            self.time.clock,
        )
        self.lines: list[str] = []
        self.calls = {"session": 0, "heartbeat": 0, "assignments": 0, "report": 0}
        self.reference = 0

    def __call__(self, line: str) -> Sequence[str]:
        """Do one command; gives the lines that it caused. `_` in a value stands for a blank."""
        self.lines = []
        command, *words = line.split()
        pairs = {
            key: value.replace("_", " ") for key, _, value in (word.partition("=") for word in words if "=" in word)
        }
        plain = [word for word in words if "=" not in word]
        getattr(self, f"do_{command}")(*plain, **pairs)
        return self.lines

    # The life of the worker

    def do_restore(self, *tasks: str) -> None:
        kept = []
        for word in tasks:
            task = _task(word)
            kept.append(Kept(task, task.status))
        self._post(Restored(tuple(kept)))

    def do_describe(self, host: str = "host", error: str = "") -> None:
        if error:
            self._post(Described(error=ExecutorError(error, temporary=True) if error != "none" else None))
        else:
            self._post(Described(NodeDescription(hostname=host)))

    def do_done(self, task: str, operation: str, *how: str, error: str = "", exit: str = "", ports: str = "") -> None:  # noqa: A002
        """The end of an operation: well, or with an error."""
        code = int(exit) if exit else None
        failed = ExecutorError(error, temporary="temporary" in how, exit_code=code) if error else None
        container = ContainerStatus(f"c-{task}", pid=7) if "container" in how else None
        published = PortStatus((PortConfig(target_port=80, published_port=int(ports)),)) if ports else None
        self._post(Executed(TaskId(task), Operation(operation), failed, container, published))

    def do_leave(self) -> None:
        self._post(Leaving())

    def do_advance(self, span: str) -> None:
        self.time.advance(parse_duration(span))

    # The manager

    def do_greet(self, session: str = "S1", call: str = "", node: str = "", keys: str = "0", peers: str = "m1") -> None:
        managers = tuple(WeightedPeer(Peer(NodeId(name), name), 10) for name in peers.split(","))
        me = Node(
            id=NodeId("n1"), status=NodeStatus(NodeState.READY, node), spec=NodeSpec(availability=Availability.ACTIVE)
        )
        if node == "PAUSE":
            me = Node(id=NodeId("n1"), spec=NodeSpec(availability=Availability.PAUSE))
        told = tuple(EncryptionKey(lamport_time=key) for key in range(int(keys)))
        self._answer(
            "session", SessionMessage(session_id=session, node=me, managers=managers, network_bootstrap_keys=told), call
        )

    def do_beat(self, period: str) -> None:
        self._answer("heartbeat", HeartbeatResponse(parse_duration(period)))

    def do_confirm(self) -> None:
        self._answer("report", UpdateTaskStatusResponse())

    def do_complete(self, *words: str, call: str = "") -> None:
        """A complete set: tasks as ID:STATE:DESIRED:USES, secrets as s.., configs as c.., volumes as v.."""
        self._assign(AssignmentsType.COMPLETE, words, call)

    def do_amend(self, *words: str, call: str = "", after: str = "") -> None:
        """Changes; a leading minus takes away."""
        self._assign(AssignmentsType.INCREMENTAL, words, call, after)

    def do_odd(self, kind: str) -> None:
        """Something that no manager should send."""
        match kind:
            case "type":
                self._answer("assignments", AssignmentsMessage(type=AssignmentsType(7)))
            case "answer":
                self._answer("report", HeartbeatResponse(parse_duration("1s")))
            case "empty":
                change = AssignmentChange()
                self._answer("assignments", AssignmentsMessage(changes=(change,)))
            case "sender":
                self._post(Received("n2", SessionMessage(), self.calls["session"]))
                self._post(Disconnected("n2"))

    def do_error(self, kind: str, error: str) -> None:
        self._answer(kind, {"NotFound": NotFound("not registered"), "InvalidSpec": InvalidSpec("not valid")}[error])

    def do_break(self) -> None:
        self._post(Disconnected("manager"))

    def _assign(self, kind: AssignmentsType, words: Sequence[str], call: str, after: str = "") -> None:
        before = after or (str(self.reference) if kind is AssignmentsType.INCREMENTAL else "")
        self.reference += 1
        message = AssignmentsMessage(
            type=kind, applies_to=before, results_in=str(self.reference), changes=tuple(map(_change, words))
        )
        self._answer("assignments", message, call)

    def _answer(self, kind: str, message: Any, call: str = "") -> None:
        self._post(Received("manager", message, int(call or self.calls[kind])))

    def _post(self, event: Any) -> None:
        self.assembly.post("agent", event)

    # What comes of it

    def _sent(self, effect: Send) -> None:
        assert effect.to == "manager"
        match effect.message:
            case SessionRequest(description, session_id):
                self.calls["session"] = effect.call
                said = f"session {description.hostname if description else '?'} {session_id or '-'}"
            case HeartbeatRequest(session_id):
                self.calls["heartbeat"] = effect.call
                said = f"beat {session_id}"
            case AssignmentsRequest(session_id):
                self.calls["assignments"] = effect.call
                said = f"assignments {session_id}"
            case UpdateTaskStatusRequest(session_id, updates):
                self.calls["report"] = effect.call
                said = f"report {session_id} " + " ".join(
                    f"{update.task_id}={_told(update.status)}" for update in updates if update.status
                )
            case _:
                raise AssertionError(f"unexpected message {effect.message}")
        self._say(f"-> #{effect.call} {said}")

    def _execute(self, effect: Execute) -> None:
        seen = [secret.id for secret in effect.secrets] + [config.id for config in effect.configs]
        self._say(f"execute {effect.task_id} {effect.operation.value}", " ".join(map(str, seen)))

    def _persist(self, effect: Persist) -> None:
        kept = effect.kept
        self._say(f"keep {effect.task_id} {_told(kept.status)}" if kept else f"forget {effect.task_id}")

    def _configure(self, effect: Configure) -> None:
        managers = ",".join(peer.peer.addr for peer in effect.managers if peer.peer)
        availability = effect.node.spec.availability.name if effect.node else "?"
        self._say(f"configure {availability} managers={managers} keys={len(effect.network_bootstrap_keys)}")

    def _say(self, *words: str, **fields: Any) -> None:
        said = " ".join([*words, *(f"{key}={value}" for key, value in fields.items())])
        self.lines.append(f"{self.time.elapsed:.3f} {said.rstrip()}")


def _task(word: str) -> Task:
    """ID:STATE:DESIRED:USES, with ASSIGNED and RUNNING where nothing is said."""
    name, state, desired, uses = [*word.split(":"), "", "", ""][:4]
    names = uses.split(",") if uses else []
    container = ContainerSpec(
        image="web",
        secrets=tuple(SecretReference(SecretId(used), used) for used in names if used.startswith("s")),
        configs=tuple(ConfigReference(config_id=ConfigId(used)) for used in names if used.startswith("c")),
    )
    extra = tuple(ResourceReference(used[1:], ResourceType.SECRET) for used in names if used.startswith("+"))
    return Task(
        id=TaskId(name),
        node_id=NodeId("n1"),
        spec=TaskSpec(container=container, resource_references=extra) if names else PLAIN,
        status=TaskStatus(state=TaskState[state or "ASSIGNED"]),
        desired_state=TaskState[desired or "RUNNING"],
    )


def _change(word: str) -> AssignmentChange:
    action = AssignmentAction.REMOVE if word.startswith("-") else AssignmentAction.UPDATE
    name = word.lstrip("-")
    if name.startswith("s"):
        return AssignmentChange(Assignment(secret=Secret(id=SecretId(name))), action)
    if name.startswith("c"):
        return AssignmentChange(Assignment(config=Config(id=ConfigId(name))), action)
    if name.startswith("v"):
        return AssignmentChange(Assignment(volume=VolumeAssignment(id=name)), action)
    return AssignmentChange(Assignment(task=_task(name)), action)


def _told(status: TaskStatus) -> str:
    parts = [status.state.name, status.message and f'"{status.message}"', status.err and f'err="{status.err}"']
    if status.container is not None:
        parts.append(f"container={status.container.container_id or '-'}/{status.container.exit_code}")
    if status.port_status is not None:
        parts.append(f"port={status.port_status.ports[0].published_port}")
    return ",".join(part for part in parts if part)
