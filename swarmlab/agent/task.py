"""One task on its node, as a state machine.

Drawn from `MOVES` by `diagram`:

    ASSIGNED --> ACCEPTED --> PREPARING --prepare--> READY --> STARTING --start--> RUNNING --wait--> COMPLETE
    PREPARING, READY: a failed operation --> REJECTED
    STARTING, RUNNING: a failed operation --> FAILED
    ASSIGNED .. RUNNING: desired SHUTDOWN or REMOVE, or no longer assigned --shutdown--> SHUTDOWN

ASSIGNED, ACCEPTED and READY are pauses: they are left only while the desired state is higher. A failed start or wait
that tells no exit code may have left something running: it is terminated before the task is FAILED.
"""

from collections.abc import Callable

from msgspec.structs import replace

from swarmlab.agent.exec import Dependencies, Execute, Executed, Interrupt, Kept, Operation, Persist
from swarmlab.api import (
    MILLISECOND,
    SECOND,
    ContainerStatus,
    Duration,
    ExecutorError,
    Instant,
    Task,
    TaskState,
    TaskStatus,
    Value,
    after,
)
from swarmlab.component import CancelTimer, Effect, Record, SetTimer

#: The first wait after a temporary error; it doubles with each one that follows.
RETRY_FIRST = Duration(100 * MILLISECOND)
#: The longest wait after a temporary error.
RETRY_LONGEST = Duration(10 * SECOND)

#: States that are left only while the desired state is higher.
PAUSES = (TaskState.ASSIGNED, TaskState.ACCEPTED, TaskState.READY)
#: Operations that are broken off when another is wanted. What stops or removes a task is never broken off.
BREAKABLE = (Operation.PREPARE, Operation.START, Operation.WAIT)


class Move(Value, frozen=True):
    """A legal move of the observed state."""

    start: TaskState
    end: TaskState
    #: What has to be done for it; None: nothing.
    operation: Operation | None = None
    #: The operation's failure leads here, not its success.
    fails: bool = False
    #: The word for it in `TaskStatus.message`; empty keeps the last one.
    message: str = ""


_S = TaskState
_FORWARD = (
    Move(_S.ASSIGNED, _S.ACCEPTED, None, message="accepted"),
    Move(_S.ACCEPTED, _S.PREPARING, None, message="preparing"),
    Move(_S.PREPARING, _S.READY, Operation.PREPARE, message="prepared"),
    Move(_S.READY, _S.STARTING, None, message="starting"),
    Move(_S.STARTING, _S.RUNNING, Operation.START, message="started"),
    Move(_S.RUNNING, _S.COMPLETE, Operation.WAIT, message="finished"),
)
#: Nothing was made on the node before PREPARING, so there is nothing to stop either.
_STOPPED = tuple(
    Move(move.start, _S.SHUTDOWN, None if move.start < _S.PREPARING else Operation.SHUTDOWN, message="shutdown")
    for move in _FORWARD
)
_FAILED = (
    Move(_S.PREPARING, _S.REJECTED, Operation.PREPARE, fails=True),
    Move(_S.STARTING, _S.FAILED, Operation.START, fails=True),
    Move(_S.RUNNING, _S.FAILED, Operation.WAIT, fails=True),
    Move(_S.PREPARING, _S.REJECTED, Operation.TERMINATE, fails=True),
    Move(_S.READY, _S.REJECTED, Operation.TERMINATE, fails=True),
    Move(_S.STARTING, _S.FAILED, Operation.TERMINATE, fails=True),
    Move(_S.RUNNING, _S.FAILED, Operation.TERMINATE, fails=True),
)
#: Every legal move. An ended task does not move again.
MOVES = _FORWARD + _STOPPED + _FAILED

_NEXT = {move.start: move for move in _FORWARD}
_STOP = {move.start: move for move in _STOPPED}
_ENDS = {state: frozenset(move.end for move in MOVES if move.start is state) for state in _NEXT}


def diagram() -> str:
    """`MOVES` as text, the way forward first."""
    chain = _FORWARD[0].start.name
    for move in _FORWARD:
        chain += f" --{move.operation.value}--> " if move.operation else " --> "
        chain += move.end.name
    lines = [chain]
    for end in (_S.REJECTED, _S.FAILED):
        starts = sorted({move.start for move in MOVES if move.end is end})
        lines.append(f"{', '.join(start.name for start in starts)}: a failed operation --> {end.name}")
    first, last = _STOPPED[0].start.name, _STOPPED[-1].start.name
    wish = "desired SHUTDOWN or REMOVE, or no longer assigned"
    lines.append(f"{first} .. {last}: {wish} --shutdown--> SHUTDOWN")
    return "\n".join(lines)


class TaskMachine:
    """Brings one task to its desired state, one operation at a time.

    `assign`, `unassign`, `executed` and `retry` say what happened; `advance` then goes as far as it can and gives what
    is to be done. The machine is `gone` when the task was unassigned and nothing of it is left on the node.
    """

    def __init__(
        self, task: Task, status: TaskStatus, dependencies: Callable[[Task], Dependencies], *, kept: bool = False
    ) -> None:
        self.task = task
        self.status = _known(status)
        #: No PREPARE and START while this holds: what the task refers to may still come.
        self.held = False
        self.removing = False
        self.gone = False
        self.in_hand: Operation | None = None
        self._dependencies = dependencies
        self._interrupted = False
        self._retrying: Operation | None = None
        self._attempts = 0
        #: It would not stop when asked.
        self._terminating = False
        #: Why it fails, while what may still run of it is being terminated.
        self._failure: ExecutorError | None = None
        #: Something of it may be on the node.
        self._made = status.state >= TaskState.PREPARING
        self._unkept = not kept
        self._news = False
        self._effects: list[Effect] = []

    def take_news(self) -> bool:
        """Whether the status changed since the last call."""
        news, self._news = self._news, False
        return news

    def assign(self, task: Task) -> None:
        """Take the newest wish of the manager. The observed state is ours; a lower desired state is not followed."""
        if self.removing or task.desired_state < self.task.desired_state:
            return
        if replace(task, status=self.task.status, meta=self.task.meta) != self.task:
            self.task = task
            self._unkept = True

    def unassign(self) -> None:
        """Stop the task and take everything of it off the node."""
        self.removing = True

    def retry(self) -> None:
        """The wait after a temporary error is over."""
        self._retrying = None

    def executed(self, event: Executed, now: Instant) -> bool:
        """Take the end of the operation in hand; False if that is not the one that ended."""
        if event.operation is not self.in_hand:
            return False
        broken_off, self._interrupted, self.in_hand = self._interrupted, False, None
        if event.error is None:
            self._attempts = 0
            self._succeeded(event, now)
        elif not event.error.temporary:
            self._attempts = 0
            self._failed(event, event.error, now)
        elif not broken_off:
            self._tried(event, event.error, now)
        return True

    def advance(self, now: Instant) -> list[Effect]:
        """Go on as far as possible without waiting; gives what is to be done, the record to keep first."""
        while not self.gone:
            move = self._wanted()
            if move is None:
                break
            if self.in_hand is not None:
                if move.operation is not self.in_hand and self.in_hand in BREAKABLE and not self._interrupted:
                    self._interrupted = True
                    self._effects.append(Interrupt(self.task.id))
                break
            if self._retrying is not None:
                if self._retrying is move.operation:
                    break
                self._effects.append(CancelTimer(self._timer))
                self._retrying, self._attempts = None, 0
            if move.operation is not None:
                self._execute(move.operation)
                break
            if move.start is move.end:
                self.gone = True
            else:
                self._become(move.end, move.message, now)
        return self._taken()

    @property
    def _timer(self) -> str:
        return f"retry/{self.task.id}"

    def _wanted(self) -> Move | None:
        """The next move; None where the task stays. A move onto itself takes the task off the node."""
        state = self.status.state
        if state > TaskState.RUNNING:
            return Move(state, state, Operation.REMOVE if self._made else None) if self.removing else None
        if self._failure is not None:
            return Move(state, TaskState.FAILED, Operation.TERMINATE)
        if self.removing or self.task.desired_state >= TaskState.SHUTDOWN:
            stop = _STOP[state]
            return replace(stop, operation=Operation.TERMINATE) if self._terminating else stop
        if state in PAUSES and state >= self.task.desired_state:
            return None
        move = _NEXT[state]
        if self.held and move.operation in (Operation.PREPARE, Operation.START):
            return None
        return move

    def _execute(self, operation: Operation) -> None:
        needs = self._dependencies(self.task)
        self.in_hand = operation
        self._made = True
        self._effects.append(Execute(self.task.id, operation, self.task, needs.secrets, needs.configs))

    def _succeeded(self, event: Executed, now: Instant) -> None:
        match event.operation:
            case Operation.REMOVE:
                self.gone = True
            case Operation.TERMINATE if self._failure is not None:
                self._become(TaskState.FAILED, "", now, event, self._failure)
            case Operation.SHUTDOWN | Operation.TERMINATE:
                stop = _STOP[self.status.state]
                self._become(stop.end, stop.message, now, event)
            case _:
                move = _NEXT[self.status.state]
                self._become(move.end, move.message, now, event)

    def _failed(self, event: Executed, error: ExecutorError, now: Instant) -> None:
        if event.operation is Operation.REMOVE:
            fields = {"task": self.task.id, "node": self.task.node_id, "error": str(error)}
            self._effects.append(Record("task-left-behind", fields))
            self.gone = True
        elif event.operation is Operation.SHUTDOWN:
            self._terminating = True
            self._note(event, error)
        elif event.operation in (Operation.START, Operation.WAIT) and error.exit_code is None:
            self._failure = error
            self._note(event, error)
        else:
            end = TaskState.REJECTED if self.status.state < TaskState.STARTING else TaskState.FAILED
            self._become(end, "", now, event, self._failure or error)

    def _tried(self, event: Executed, error: ExecutorError, now: Instant) -> None:
        """A temporary error: the same again, later."""
        wait = min(RETRY_FIRST << min(self._attempts, 30), RETRY_LONGEST)
        self._attempts += 1
        self._retrying = event.operation
        self._effects.append(SetTimer(self._timer, after(now, wait)))
        self._note(event, error)

    def _note(self, event: Executed, error: ExecutorError) -> None:
        """Let users see why it takes so long; the state and its time stay."""
        noted = _with_runtime(replace(self.status, err=str(error)), event)
        if noted != self.status:
            self.status = noted
            self._unkept = self._news = True

    def _become(
        self,
        state: TaskState,
        message: str,
        now: Instant,
        event: Executed | None = None,
        error: ExecutorError | None = None,
    ) -> None:
        old = self.status
        assert state in _ENDS[old.state], f"task {self.task.id}: {old.state.name} -> {state.name} is no legal move"
        status = TaskStatus(
            timestamp=now,
            state=state,
            message=message or old.message,
            err="" if error is None else str(error),
            container=old.container,
            port_status=old.port_status,
        )
        if event is not None:
            status = _with_runtime(status, event)
        if error is not None and error.exit_code is not None:
            container = replace(status.container or ContainerStatus(), exit_code=error.exit_code)
            status = replace(status, container=container)
        self.status = status
        self._unkept = self._news = True

    def _taken(self) -> list[Effect]:
        """The effects so far. The record comes first, so that no operation and no report runs ahead of it."""
        effects, self._effects = self._effects, []
        if self.gone:
            return [Persist(self.task.id, None), *effects]
        if self._unkept:
            self._unkept = False
            return [Persist(self.task.id, Kept(self.task, self.status)), *effects]
        return effects


def _known(status: TaskStatus) -> TaskStatus:
    """`status`; in a state between two that we know, of a later manager, it counts as the lower one."""
    if status.state in _ENDS or status.state > TaskState.RUNNING:
        return status
    lower = [state for state in _ENDS if state < status.state]
    return replace(status, state=max(lower, default=TaskState.ASSIGNED))


def _with_runtime(status: TaskStatus, event: Executed) -> TaskStatus:
    """`status` with what the runtime told at the end of an operation."""
    if event.container is None and event.ports is None:
        return status
    return replace(status, container=event.container or status.container, port_status=event.ports or status.port_status)
