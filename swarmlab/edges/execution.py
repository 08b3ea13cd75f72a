"""Carries out the agent's steps on a live executor: one step at a time for a task, all tasks at once."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection
from types import TracebackType
from typing import Self

from swarmlab.agent.exec import (
    Configure,
    Controller,
    Dependencies,
    Described,
    Execute,
    Executed,
    Executor,
    Interrupt,
    LogMessage,
    LogOptions,
    Operation,
    Runtime,
)
from swarmlab.api import ExecutorError, NotFound, Task, TaskId
from swarmlab.component import Event

_log = logging.getLogger(__name__)

#: After these the runtime has something new to tell; one look each.
_TELLING = frozenset({Operation.START, Operation.WAIT, Operation.SHUTDOWN, Operation.TERMINATE})
#: Between two tries to find what an earlier life left, while the runtime is silent.
ADOPT_RETRY_SECONDS = 1.0


class Execution:
    """The port of `Execute`, `Interrupt`, `Describe` and `Configure`, and the source of the node's logs.

    Used as a context: at its end the steps in hand are broken off without an answer, and the controllers let go. What
    runs goes on or ends as the executor says at its own `close`.

    `post` hands an event to the agent and may give further steps at once. What it raises ends the context. `recall`
    gives a task that this worker keeps and for which no step was asked yet in this life, for its logs.
    """

    def __init__(
        self,
        executor: Executor,
        post: Callable[[Event], None],
        recall: Callable[[TaskId], Task | None] = lambda _: None,
    ) -> None:
        self._executor = executor
        self._post = post
        self._recall = recall
        self._group = asyncio.TaskGroup()
        self._controllers: dict[TaskId, tuple[Execute, Controller]] = {}
        #: {task: its step in hand}
        self._in_hand: dict[TaskId, asyncio.Task[None]] = {}
        #: Steps in hand that have not begun; the loop would drop them without a word when they are cancelled.
        self._waiting: set[TaskId] = set()
        self._interrupted: set[TaskId] = set()
        self._closing = False

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        for step in self._in_hand.values():
            step.cancel()
        try:
            await self._group.__aexit__(kind, error, trace)
        finally:
            controllers = [controller for _, controller in self._controllers.values()]
            self._controllers.clear()
            for controller in controllers:
                await controller.close()

    async def adopt(self, tasks: Collection[TaskId]) -> None:
        """Find what an earlier life left of `tasks` and clear away the rest; waits as long as the runtime is silent."""
        while True:
            try:
                await self._executor.adopt(tasks)
            except ExecutorError as error:
                if not error.temporary:
                    raise
                _log.warning("adopt_waits error=%s", error)
                await asyncio.sleep(ADOPT_RETRY_SECONDS)
            else:
                return

    def execute(self, effect: Execute) -> None:
        """Begin a step; one `Executed` follows."""
        task_id = effect.task_id
        if self._closing:
            return
        assert task_id not in self._in_hand, f"two steps in hand for task {task_id}"
        self._waiting.add(task_id)
        self._in_hand[task_id] = self._group.create_task(self._step(effect), name=f"{effect.operation.value} {task_id}")

    def interrupt(self, effect: Interrupt) -> None:
        """Break off the step in hand for that task, if there is one."""
        step = self._in_hand.get(effect.task_id)
        if step is None:
            return
        self._interrupted.add(effect.task_id)
        if effect.task_id not in self._waiting:
            step.cancel()

    def describe(self) -> None:
        """Find out what this node is; one `Described` follows."""
        if not self._closing:
            self._group.create_task(self._describe(), name="describe")

    def configure(self, effect: Configure) -> None:
        """Hand the executor what the managers say of this node."""
        if not self._closing:
            self._group.create_task(self._configure(effect), name="configure")

    async def logs(self, task_id: TaskId, options: LogOptions) -> AsyncIterator[LogMessage]:
        """The wanted lines of a task on this node, oldest first. `NotFound` for a task that is not on it."""
        known = self._controllers.get(task_id)
        task = known[0].task if known is not None else self._recall(task_id)
        if task is None:
            raise NotFound(f"task {task_id} is not on this node")
        controller = self._executor.controller(task, Dependencies())
        try:
            async for message in controller.logs(options):
                yield message
        finally:
            await controller.close()

    async def _step(self, effect: Execute) -> None:
        task_id = effect.task_id
        self._waiting.discard(task_id)
        runtime = Runtime()
        error: ExecutorError | None = None
        try:
            if task_id in self._interrupted:
                error = _broken_off(effect)
            else:
                error, runtime = await self._carry_out(effect)
        except asyncio.CancelledError:
            self._accept_interruption(task_id)
            error = _broken_off(effect)
        self._interrupted.discard(task_id)
        del self._in_hand[task_id]
        if not self._closing:
            self._post(Executed(task_id, effect.operation, error, runtime.container, runtime.ports))

    async def _carry_out(self, effect: Execute) -> tuple[ExecutorError | None, Runtime]:
        """The step itself, and what the runtime tells then."""
        error: ExecutorError | None = None
        try:
            controller = await self._controller(effect)
        except ExecutorError as failed:
            return failed, Runtime()
        except Exception as failed:
            return _unforeseen(effect, failed), Runtime()
        try:
            await _STEPS[effect.operation](controller)
        except ExecutorError as failed:
            error = failed
        except Exception as failed:
            error = _unforeseen(effect, failed)
        if effect.operation is Operation.REMOVE and error is None:
            self._controllers.pop(effect.task_id, None)
            await controller.close()
        if effect.operation not in _TELLING or (error is not None and error.temporary):
            return error, Runtime()
        return error, await self._told(effect, controller)

    async def _told(self, effect: Execute, controller: Controller) -> Runtime:
        """What the runtime tells of the task; nothing where it does not answer, since the step itself is over."""
        try:
            return await controller.status()
        except asyncio.CancelledError:
            self._accept_interruption(effect.task_id)
        except ExecutorError as failed:
            _log.warning("status_unknown task=%s operation=%s error=%s", effect.task_id, effect.operation.value, failed)
        except Exception as failed:
            _unforeseen(effect, failed)
        return Runtime()

    def _accept_interruption(self, task_id: TaskId) -> None:
        """Called on cancellation: go on where it was an `Interrupt`, else let it end this step without an answer."""
        if self._closing or task_id not in self._interrupted:
            raise
        current = asyncio.current_task()
        assert current is not None
        current.uncancel()

    async def _controller(self, effect: Execute) -> Controller:
        """The controller that holds this task as it is assigned now, made anew where its spec or files changed."""
        known = self._controllers.get(effect.task_id)
        if known is not None:
            earlier, controller = known
            if _same_work(earlier, effect):
                return controller
            del self._controllers[effect.task_id]
            await controller.close()
        controller = self._executor.controller(effect.task, Dependencies(effect.secrets, effect.configs))
        self._controllers[effect.task_id] = (effect, controller)
        return controller

    async def _describe(self) -> None:
        try:
            event = Described(await self._executor.describe())
        except ExecutorError as error:
            event = Described(error=error)
        except Exception as error:
            _log.exception("describe_failed")
            event = Described(error=ExecutorError(f"describe: {type(error).__name__}: {error}"))
        if not self._closing:
            self._post(event)

    async def _configure(self, effect: Configure) -> None:
        try:
            await self._executor.configure(effect.node, effect.network_bootstrap_keys)
        except ExecutorError as error:
            _log.warning("configure_failed error=%s", error)


_STEPS = {
    Operation.PREPARE: lambda controller: controller.prepare(),
    Operation.START: lambda controller: controller.start(),
    Operation.WAIT: lambda controller: controller.wait(),
    Operation.SHUTDOWN: lambda controller: controller.shutdown(),
    Operation.TERMINATE: lambda controller: controller.terminate(),
    Operation.REMOVE: lambda controller: controller.remove(),
}


def _same_work(one: Execute, other: Execute) -> bool:
    """Both want the same run; status and desired state are no part of that."""
    return (
        one.task.spec == other.task.spec
        and one.task.endpoint == other.task.endpoint
        and one.task.networks == other.task.networks
        and one.task.volumes == other.task.volumes
        and one.secrets == other.secrets
        and one.configs == other.configs
    )


def _broken_off(effect: Execute) -> ExecutorError:
    return ExecutorError(f"{effect.operation.value} was interrupted", temporary=True)


def _unforeseen(effect: Execute, error: Exception) -> ExecutorError:
    """An error that no executor should let out: logged with its trace, final for the task."""
    _log.error("step_broke task=%s operation=%s", effect.task_id, effect.operation.value, exc_info=error)
    return ExecutorError(f"{effect.operation.value}: {type(error).__name__}: {error}")
