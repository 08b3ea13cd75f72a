"""The agent: everything that a worker decides."""

import random
from collections.abc import Sequence

from swarmlab.agent.exec import Describe, Described, Executed, Leaving, Restored, Retire
from swarmlab.agent.reporter import Reporter
from swarmlab.agent.session import Session
from swarmlab.agent.worker import Worker
from swarmlab.api import SECOND, Duration, ExecutorError, Instant, NodeId, ProposalUnknown, TaskId, after
from swarmlab.component import Disconnected, Effect, Event, Received, Record, SetTimer, TimerFired

#: How often the node is described anew; a difference makes a new session.
DESCRIBE_PERIOD = Duration(20 * SECOND)
#: How soon it is tried again while the node has no description at all, and so cannot register.
DESCRIBE_RETRY = Duration(1 * SECOND)

_DESCRIBE = "describe"
_TASK_RETRY = "retry/"


class Agent:
    """Runs the tasks that a manager assigns to this node, and reports on them.

    `Restored` starts it: the records of an earlier life go on where they were, the node is described, and a session is
    opened. Cut off from the managers, tasks go on as if nothing had happened. After `Leaving` everything is taken off
    the node, then comes `Retire`.

    Takes from the executor: `Restored`, `Described`, `Executed`, `Leaving`. The manager's address is `manager`.
    """

    name = "agent"

    def __init__(self, hostname: str, rng: random.Random, *, node_id: NodeId, manager: str = "manager") -> None:
        self._hostname = hostname
        self._node_id = node_id
        self._manager = manager
        self._reporter = Reporter()
        self._worker = Worker(self._reporter)
        self._session = Session(rng, node_id, manager, self._worker, self._reporter)
        self._described = False
        self._leaving = False
        self._retired = False

    def step(self, event: Event, now: Instant) -> Sequence[Effect]:
        """Take one event; give what is to be done, in order."""
        effects = self._take(event, now) + self._session.report(now)
        if self._leaving and not self._retired and self._worker.empty:
            self._retired = True
            effects += [*self._session.close(), Record("agent-left", {"node": self._node_id}), Retire()]
        return effects

    def _take(self, event: Event, now: Instant) -> list[Effect]:
        match event:
            case Restored(tasks):
                return [*self._worker.restore(tasks, now), Describe()]
            case Described():
                return self._take_description(event, now)
            case Executed():
                return self._worker.executed(event, now)
            case Received(sender, message, call) if sender == self._manager:
                return self._session.received(message, call, now)
            case Disconnected(peer) if peer == self._manager:
                return self._session.lost(ProposalUnknown("the connection to the manager is gone"), now)
            case TimerFired(timer):
                return self._fired(timer, now)
            case Leaving():
                self._leaving = True
                return self._worker.leave(now)
        return []

    def _fired(self, timer: str, now: Instant) -> list[Effect]:
        if timer == _DESCRIBE:
            return [] if self._retired else [Describe()]
        if timer.startswith(_TASK_RETRY):
            return self._worker.retry(TaskId(timer.removeprefix(_TASK_RETRY)), now)
        return self._session.fired(timer, now)

    def _take_description(self, event: Described, now: Instant) -> list[Effect]:
        if event.description is None:
            error = event.error or ExecutorError("the executor gave neither a description nor a reason")
            wait = DESCRIBE_PERIOD if self._described else DESCRIBE_RETRY
            failed = Record("describe-failed", {"node": self._node_id, "hostname": self._hostname, "error": str(error)})
            return [failed, SetTimer(_DESCRIBE, after(now, wait))]
        self._described = True
        timer = SetTimer(_DESCRIBE, after(now, DESCRIBE_PERIOD))
        if self._retired:
            return []
        return [timer, *self._session.describe(event.description, now)]
