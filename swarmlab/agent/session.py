"""The agent's session with the managers: one at a time, made again whenever anything about it fails."""

import random
from typing import Any

from msgspec.structs import replace

from swarmlab.agent.exec import Configure
from swarmlab.agent.reporter import Reporter
from swarmlab.agent.worker import Worker
from swarmlab.api import (
    MILLISECOND,
    SECOND,
    AssignmentsMessage,
    AssignmentsRequest,
    AssignmentsType,
    Duration,
    HeartbeatRequest,
    HeartbeatResponse,
    Instant,
    InvalidSpec,
    Meta,
    Node,
    NodeDescription,
    NodeId,
    NodeStatus,
    OutOfSequence,
    Precondition,
    ProposalUnknown,
    SessionMessage,
    SessionRequest,
    UpdateTaskStatusRequest,
    UpdateTaskStatusResponse,
    after,
)
from swarmlab.component import CancelTimer, Effect, Record, Send, SetTimer

#: Back-off after a failure: the bound becomes `min(FIRST + 2 x bound, LONGEST)`, the wait is uniform below it.
BACKOFF_FIRST = Duration(100 * MILLISECOND)
BACKOFF_LONGEST = Duration(8 * SECOND)
#: How long a call may take that wants one answer, and the first message of a session.
CALL_TIMEOUT = Duration(5 * SECOND)

#: Timers of a session.
RETRY, BEAT = "session", "beat"
#: {kind of call: the timer that bounds it}
LATE = {"session": "session/late", "heartbeat": "heartbeat/late", "report": "report/late"}


class Session:
    """Speaks with one manager and keeps the worker's assignments up to date.

    Any error of any call ends the whole session; the next one offers the id of the last. A new `SessionRequest` ends
    every earlier call, on both sides. What the session cannot say meanwhile waits; the worker goes on by itself.

    Assignments form a chain. A message that does not apply to what is here is not applied: the session is made again,
    and with it a complete message comes.
    """

    def __init__(self, rng: random.Random, node_id: NodeId, manager: str, worker: Worker, reporter: Reporter) -> None:
        self._rng = rng
        self._node_id = node_id
        self._manager = manager
        self._worker = worker
        self._reporter = reporter
        self._description: NodeDescription | None = None
        self._id = ""
        self._registered = False
        #: {number of a call of this session: its kind}
        self._calls: dict[int, str] = {}
        self._last_call = 0
        self._bound = 0
        #: `results_in` of the last message applied; None before the first.
        self._reference: str | None = None
        self._configured: Configure | None = None
        #: Why the last attempt failed; it is noted once, however often it comes again.
        self._failure = ""
        self._closed = False

    def describe(self, description: NodeDescription, now: Instant) -> list[Effect]:
        """Use the node's newest description. The first one opens a session, one that differs opens it again."""
        if description == self._description:
            return []
        first = self._description is None
        self._description = description
        if first or self._calls:
            return self._open(now)
        return []

    def close(self) -> list[Effect]:
        """End it for good: the worker leaves."""
        self._closed = True
        return self._drop()

    def fired(self, timer: str, now: Instant) -> list[Effect]:
        """A timer of the session is due."""
        if self._closed:
            return []
        if timer == RETRY:
            return self._open(now)
        if timer == BEAT:
            return self._beat(now)
        late = next((kind for kind, name in LATE.items() if name == timer), None)
        if late is None or late not in self._calls.values():
            return []
        return self.lost(ProposalUnknown(f"no answer to the {late} call within {CALL_TIMEOUT // SECOND} s"), now)

    def received(self, message: Any, call: int, now: Instant) -> list[Effect]:
        """Take a message of the manager. What answers an earlier session is not heard."""
        kind = self._calls.get(call)
        if kind is None:
            return []
        match kind, message:
            case _, Exception():
                return self.lost(message, now)
            case "session", SessionMessage():
                return self._greeted(message, now)
            case "assignments", AssignmentsMessage():
                return self._assigned(message, now)
            case "heartbeat", HeartbeatResponse():
                del self._calls[call]
                if message.period <= 0:
                    return self.lost(InvalidSpec(f"heartbeat period {message.period}, wanted more than 0"), now)
                return [CancelTimer(LATE[kind]), SetTimer(BEAT, after(now, message.period))]
            case "report", UpdateTaskStatusResponse():
                del self._calls[call]
                self._reporter.confirmed()
                return [CancelTimer(LATE[kind])]
        return self.lost(InvalidSpec(f"{type(message).__name__} as the answer to the {kind} call"), now)

    def lost(self, error: Exception, now: Instant) -> list[Effect]:
        """Give the session up and try again after a while."""
        if self._closed or not self._calls:
            return []
        effects = self._drop()
        self._bound = min(BACKOFF_FIRST + 2 * self._bound, BACKOFF_LONGEST)
        wait = self._rng.randrange(self._bound)
        failure = f"{type(error).__name__}: {error}"
        if failure != self._failure:
            self._failure = failure
            effects.append(Record("session-lost", {"node": self._node_id, "error": failure, "retry_ns": wait}))
        return [*effects, SetTimer(RETRY, after(now, wait))]

    def report(self, now: Instant) -> list[Effect]:
        """Send what waits to be reported, if it may be sent now."""
        if not self._registered:
            return []
        updates = self._reporter.next_call()
        return self._call("report", UpdateTaskStatusRequest(self._id, updates), now) if updates else []

    def _open(self, now: Instant) -> list[Effect]:
        effects = self._drop()
        return effects + self._call("session", SessionRequest(self._description, self._id), now)

    def _drop(self) -> list[Effect]:
        """Forget every call; answers to them are not heard any more."""
        self._registered = False
        self._reference = None
        self._calls = {}
        return [CancelTimer(timer) for timer in (RETRY, BEAT, *LATE.values())]

    def _call(self, kind: str, message: Any, now: Instant) -> list[Effect]:
        self._last_call += 1
        self._calls[self._last_call] = kind
        effects: list[Effect] = [Send(self._manager, message, self._last_call)]
        if kind in LATE:
            effects.append(SetTimer(LATE[kind], after(now, CALL_TIMEOUT)))
        return effects

    def _beat(self, now: Instant) -> list[Effect]:
        return self._call("heartbeat", HeartbeatRequest(self._id), now)

    def _greeted(self, message: SessionMessage, now: Instant) -> list[Effect]:
        effects = self._configure(message)
        if self._registered:
            return effects
        self._id = message.session_id
        self._registered = True
        self._bound = 0
        self._failure = ""
        self._reporter.start_again(self._worker.statuses())
        effects.append(CancelTimer(LATE["session"]))
        effects.append(Record("session-opened", {"node": self._node_id, "session": self._id}))
        effects += self._beat(now)
        effects += self._call("assignments", AssignmentsRequest(self._id), now)
        return effects

    def _configure(self, message: SessionMessage) -> list[Effect]:
        """Pass on what the managers say of this node, without what changes all the time."""
        node = message.node
        told = Configure(
            node=None if node is None else _lasting(node),
            managers=message.managers,
            network_bootstrap_keys=message.network_bootstrap_keys,
            root_ca=message.RootCA,
        )
        if told == self._configured:
            return []
        self._configured = told
        return [replace(told, node=node)]

    def _assigned(self, message: AssignmentsMessage, now: Instant) -> list[Effect]:
        if message.type is AssignmentsType.COMPLETE:
            self._reference = message.results_in
            return self._worker.replace(message.changes, now)
        if message.type is not AssignmentsType.INCREMENTAL:
            return self.lost(Precondition(f"assignments of the unknown type {message.type}"), now)
        if message.applies_to != self._reference:
            seen = f"assignments apply to {message.applies_to!r}, here is {self._reference!r}"
            return self.lost(OutOfSequence(seen), now)
        self._reference = message.results_in
        return self._worker.amend(message.changes, now)


def _lasting(node: Node) -> Node:
    """`node` without status and meta, which change with every sign of life."""
    return replace(node, status=NodeStatus(), meta=Meta())
