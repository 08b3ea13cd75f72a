"""The agent and its executor: what the one asks for, what the other answers, and the live shape of an executor.

The agent's core speaks in effects (`Execute`, `Interrupt`, `Describe`, `Persist`, `Configure`, `Retire`) and hears
events (`Executed`, `Described`, `Restored`, `Leaving`). A simulated executor answers them in virtual time. Live, an
edge runs them on an `Executor` and its `Controller`s.

One `Execute`, one `Executed`: every `Execute` is answered exactly once, an interrupted one too, and while one is in
hand the agent gives no other for the same task. So no answer can ever be taken for that of another step.
"""

from collections.abc import AsyncIterator, Collection
from enum import Enum
from typing import Protocol

from swarmlab.api import (
    Config,
    ContainerStatus,
    EncryptionKey,
    ExecutorError,
    Instant,
    LogStream,
    Node,
    NodeDescription,
    PortStatus,
    Secret,
    Task,
    TaskId,
    TaskStatus,
    Value,
    WeightedPeer,
)
from swarmlab.component import Effect, Event


class Operation(Enum):
    """A step of a task on its node. Each is idempotent: done twice it is as if done once, and the second succeeds."""

    #: Get all that START needs: images, directories, networks; create but do not run. Done already: success.
    PREPARE = "prepare"
    #: Run it; ends when it runs and, where there is a health check, is healthy. Started already, even ended: success.
    START = "start"
    #: Ends when the task has: exit code 0 is success, any other an error with `exit_code`.
    WAIT = "wait"
    #: Ask it to stop by its stop signal, then after its grace period make it. Not running or never made: success.
    SHUTDOWN = "shutdown"
    #: Make it stop now. Not running or never made: success.
    TERMINATE = "terminate"
    #: Stop it and delete everything it left on the node, logs too. Nothing there: success.
    REMOVE = "remove"


class Execute(Effect, frozen=True):
    """Do `operation` of that task; the answer is one `Executed`.

    `task` is the task as assigned, with its newest desired state. `secrets` and `configs` are those that it refers to
    and that are on this node, sorted by id: one that is missing was not sent.
    """

    task_id: TaskId
    operation: Operation
    task: Task
    secrets: tuple[Secret, ...] = ()
    configs: tuple[Config, ...] = ()


class Interrupt(Effect, frozen=True):
    """Break off the operation in hand for that task; its `Executed` comes soon, with whatever result.

    A step that was broken off answers with a temporary `ExecutorError`; one that ended first with its own result. The
    answer says that nothing of the step goes on which could still change the node. No operation in hand: no answer.
    """

    task_id: TaskId


class Describe(Effect, frozen=True):
    """Find out what this node is and has; the answer is one `Described`."""


class Kept(Value, frozen=True):
    """A task that this worker has taken charge of, and how far it is."""

    task: Task
    status: TaskStatus


class Persist(Effect, frozen=True):
    """Keep the record of that task in place of an earlier one, or with None forget it.

    It has to outlive this process, killed at any moment, and is handed over in the order of the effects, before any
    `Send` that follows.
    """

    task_id: TaskId
    kept: Kept | None = None


class Configure(Effect, frozen=True, kw_only=True):
    """Use what the managers say of this node and of themselves; given when it differs from the last one.

    `managers` is the complete list, never empty. Empty keys and an empty root mean no change.
    """

    node: Node | None = None
    managers: tuple[WeightedPeer, ...] = ()
    network_bootstrap_keys: tuple[EncryptionKey, ...] = ()
    root_ca: bytes = b""


class Retire(Effect, frozen=True):
    """All tasks of a leaving worker are removed: it may be stopped."""


class Executed(Event, frozen=True, gc=True):
    """The end of an `Execute`.

    `error` None is success. A temporary one is tried again with back-off; any other ends the task: REJECTED before
    STARTING, FAILED from then on. `container` and `ports` are what the runtime tells of the task after the step, where
    it tells anything.
    """

    task_id: TaskId
    operation: Operation
    error: ExecutorError | None = None
    container: ContainerStatus | None = None
    ports: PortStatus | None = None


class Described(Event, frozen=True, gc=True):
    """The answer to `Describe`: a description, or the reason why there is none now.

    Descriptions are compared as values, so lists come in a stable order (plugins by type, then name).
    """

    description: NodeDescription | None = None
    error: ExecutorError | None = None


class Restored(Event, frozen=True):
    """The records that an earlier life of this worker kept, maybe none. The agent's first event; it starts with it."""

    tasks: tuple[Kept, ...] = ()


class Leaving(Event, frozen=True):
    """The worker is to leave the cluster: every task is stopped and removed, then comes `Retire`."""


class Dependencies(Value, frozen=True):
    """What a task refers to and finds on its node, sorted by id."""

    secrets: tuple[Secret, ...] = ()
    configs: tuple[Config, ...] = ()


class Runtime(Value, frozen=True):
    """What the runtime tells of a task; None where it has nothing to tell."""

    container: ContainerStatus | None = None
    ports: PortStatus | None = None


class LogOptions(Value, frozen=True, kw_only=True):
    """Which log lines are wanted."""

    #: STDOUT and STDERR in any choice; empty means both.
    streams: tuple[LogStream, ...] = ()
    #: Go on with lines as they come, until the task has ended.
    follow: bool = False
    #: The newest lines of those that are there, or all of them with None; 0: only new ones.
    tail: int | None = None
    #: Only lines later than this.
    since: Instant | None = None


class LogMessage(Value, frozen=True, kw_only=True):
    """One line of a task's output. Whose it is, is known to who asked."""

    timestamp: Instant
    stream: LogStream
    #: Raw bytes, newline included where there was one.
    data: bytes
    #: Details of the log driver, as pairs.
    attrs: tuple[tuple[str, str], ...] = ()


class Controller(Protocol):
    """One task on this node, live.

    The six steps are those of `Operation`, which says what success is. Each may be called in any order and again, after
    a restart of the worker too: it looks at what is really there. One is called at a time; `status`, `logs` and `close`
    may be called meanwhile. Cancellation breaks a step off, and leaves things so that any step can follow.

    Raises (every step): `ExecutorError`, nothing else. `temporary=True` where the same step may succeed later with
    nothing else changed (the runtime does not answer, a pull timed out). Otherwise the error is final; `exit_code` is
    that of the task, where it ended by itself.
    """

    async def prepare(self) -> None: ...

    async def start(self) -> None:
        """As `Operation.START`. Final errors: not prepared; unhealthy; ended before it was healthy."""

    async def wait(self) -> None:
        """As `Operation.WAIT`. Nothing runs and no exit code is known, as after a crash of a worker: a final error."""

    async def shutdown(self) -> None: ...

    async def terminate(self) -> None: ...

    async def remove(self) -> None: ...

    async def status(self) -> Runtime:
        """What the runtime tells of the task now, empty if it was never made or is gone; silent runtime: temporary."""

    def logs(self, options: LogOptions) -> AsyncIterator[LogMessage]:
        """The wanted lines, oldest first; none of a task that never ran. Final `ExecutorError`: no logs to be had."""

    async def close(self) -> None:
        """Let go of what this object holds in this process; the task itself goes on. Closed already: nothing."""


class Executor(Protocol):
    """Runs tasks on this node, live."""

    async def describe(self) -> NodeDescription:
        """What this node is and has now, lists sorted. Raises `ExecutorError`, temporary when asking later may help."""

    async def adopt(self, tasks: Collection[TaskId]) -> None:
        """Called once, before any controller is made: look for what an earlier life of this worker left here.

        What belongs to `tasks` goes on and is found again by their controllers; what belongs to other tasks of ours is
        stopped and deleted. What is not ours is left alone. Raises `ExecutorError`, temporary when the runtime is
        silent.
        """

    def controller(self, task: Task, dependencies: Dependencies) -> Controller:
        """The controller of that task. Raises a final `ExecutorError` when no task of that spec can run here."""

    async def configure(self, node: Node | None, keys: tuple[EncryptionKey, ...]) -> None:
        """Use the node's network attachments and the keys of its networks; the same ones again change nothing."""

    async def close(self) -> None:
        """Let go of the runtime. Tasks go on where the runtime outlives this process, else they are stopped."""
