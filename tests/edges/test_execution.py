"""How the agent's effects are carried out: one answer each, whatever happens."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection

import pytest
from msgspec.structs import replace
from patience import PATIENCE_SECONDS

from swarmlab.agent.exec import (
    Configure,
    Controller,
    Dependencies,
    Described,
    Execute,
    Executed,
    Interrupt,
    LogMessage,
    LogOptions,
    Operation,
    Runtime,
)
from swarmlab.api import (
    ContainerSpec,
    ContainerStatus,
    EncryptionKey,
    ExecutorError,
    Instant,
    LogStream,
    Node,
    NodeDescription,
    NotFound,
    Task,
    TaskId,
    TaskSpec,
)
from swarmlab.component import Event
from swarmlab.edges.execution import Execution

TASK = Task(id=TaskId("t1"), spec=TaskSpec(container=ContainerSpec(image="a")))
SEEN = Runtime(ContainerStatus(container_id="c1", pid=7))


class ScriptedController:
    """Does what the test says."""

    def __init__(self, executor: "ScriptedExecutor", task: Task, dependencies: Dependencies) -> None:
        self.executor = executor
        self.task = task
        self.dependencies = dependencies
        self.closed = 0

    async def _step(self, name: str) -> None:
        self.executor.done.append((name, self.task.id))
        await self.executor.step(name)

    async def prepare(self) -> None:
        await self._step("prepare")

    async def start(self) -> None:
        await self._step("start")

    async def wait(self) -> None:
        await self._step("wait")

    async def shutdown(self) -> None:
        await self._step("shutdown")

    async def terminate(self) -> None:
        await self._step("terminate")

    async def remove(self) -> None:
        await self._step("remove")

    async def status(self) -> Runtime:
        await self._step("status")
        return SEEN

    async def logs(self, options: LogOptions) -> AsyncIterator[LogMessage]:
        yield LogMessage(timestamp=Instant(1), stream=LogStream.LOG_STREAM_STDOUT, data=self.task.id.encode())

    async def close(self) -> None:
        self.closed += 1


class ScriptedExecutor:
    """Controllers that do what `step` says."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str]] = []
        self.made: list[ScriptedController] = []
        self.step: Callable[[str], Awaitable[None]] = at_once
        self.refuse: Exception | None = None
        self.described: Callable[[], NodeDescription] = lambda: NodeDescription(hostname="h")
        self.adopting: list[Exception | None] = []
        self.configured: list[Node | None] = []

    async def describe(self) -> NodeDescription:
        return self.described()

    async def adopt(self, tasks: Collection[TaskId]) -> None:
        error = self.adopting.pop(0)
        if error is not None:
            raise error

    def controller(self, task: Task, dependencies: Dependencies) -> Controller:
        if self.refuse is not None:
            raise self.refuse
        made = ScriptedController(self, task, dependencies)
        self.made.append(made)
        return made

    async def configure(self, node: Node | None, keys: tuple[EncryptionKey, ...]) -> None:
        self.configured.append(node)
        if node is None:
            raise ExecutorError("no node")

    async def close(self) -> None:
        pass


async def at_once(name: str) -> None:
    pass


async def for_ever(name: str) -> None:
    await asyncio.get_running_loop().create_future()


class Bench:
    """An execution and the events that came of it."""

    def __init__(self) -> None:
        self.executor = ScriptedExecutor()
        self.events: list[Event] = []
        self.came = asyncio.Event()
        self.execution = Execution(self.executor, self.take)

    def take(self, event: Event) -> None:
        self.events.append(event)
        self.came.set()

    async def next(self) -> Event:
        """The newest event, once there is a new one."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.came.wait()
        self.came.clear()
        return self.events[-1]

    def give(self, operation: Operation, task: Task = TASK) -> None:
        self.execution.execute(Execute(task.id, operation, task))

    async def do(self, operation: Operation, task: Task = TASK) -> Executed:
        self.give(operation, task)
        event = await self.next()
        assert isinstance(event, Executed)
        return event


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    async with bench.execution:
        yield bench


async def until_begun(bench: Bench, name: str) -> None:
    """Let the loop run until that step is in hand."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (name, TASK.id) not in bench.executor.done:  # noqa: ASYNC110 - one turn of the loop is all it takes
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("operation", "steps", "told"),
    [
        (Operation.PREPARE, ["prepare"], False),
        (Operation.START, ["start", "status"], True),
        (Operation.WAIT, ["wait", "status"], True),
        (Operation.SHUTDOWN, ["shutdown", "status"], True),
        (Operation.TERMINATE, ["terminate", "status"], True),
        (Operation.REMOVE, ["remove"], False),
    ],
)
async def test_each_operation_is_its_step_and_its_answer(
    bench: Bench, operation: Operation, steps: list[str], told: bool
) -> None:
    answer = await bench.do(operation)
    assert [name for name, _ in bench.executor.done] == steps
    assert answer == Executed(TASK.id, operation, None, SEEN.container if told else None)


async def test_an_executors_error_is_the_answer(bench: Bench) -> None:
    error = ExecutorError("no", exit_code=3)

    async def fail(name: str) -> None:
        if name == "wait":
            raise error

    bench.executor.step = fail
    assert await bench.do(Operation.WAIT) == Executed(TASK.id, Operation.WAIT, error, SEEN.container)


async def test_after_a_temporary_error_nothing_more_is_asked(bench: Bench) -> None:
    async def fail(name: str) -> None:
        raise ExecutorError("later", temporary=True)

    bench.executor.step = fail
    answer = await bench.do(Operation.START)
    assert answer.error is not None
    assert answer.error.temporary
    assert bench.executor.done == [("start", "t1")]


async def test_what_no_executor_should_raise_is_logged_and_final(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(name: str) -> None:
        raise KeyError("oops")

    bench.executor.step = fail
    answer = await bench.do(Operation.PREPARE)
    assert str(answer.error) == "prepare: KeyError: 'oops'"
    assert answer.error is not None
    assert not answer.error.temporary
    assert "step_broke task=t1 operation=prepare" in caplog.text
    assert "Traceback" in caplog.text


async def test_a_controller_that_cannot_be_made_is_an_answer(bench: Bench) -> None:
    bench.executor.refuse = ExecutorError("cannot run that")
    assert str((await bench.do(Operation.PREPARE)).error) == "cannot run that"
    bench.executor.refuse = ValueError("bug")
    assert str((await bench.do(Operation.PREPARE)).error) == "prepare: ValueError: bug"


async def test_a_status_that_cannot_be_had_does_not_spoil_the_step(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(name: str) -> None:
        if name == "status":
            raise ExecutorError("silent", temporary=True)

    bench.executor.step = fail
    assert await bench.do(Operation.START) == Executed(TASK.id, Operation.START)
    assert "status_unknown task=t1" in caplog.text


async def test_an_interrupt_before_the_step_began_is_answered_without_it(bench: Bench) -> None:
    bench.give(Operation.START)
    bench.execution.interrupt(Interrupt(TASK.id))
    event = await bench.next()
    assert isinstance(event, Executed)
    assert str(event.error) == "start was interrupted"
    assert bench.executor.done == []


async def test_an_interrupt_in_the_step_breaks_it_off(bench: Bench) -> None:
    bench.executor.step = for_ever
    bench.give(Operation.WAIT)
    await until_begun(bench, "wait")
    bench.execution.interrupt(Interrupt(TASK.id))
    event = await bench.next()
    assert isinstance(event, Executed)
    assert event.error is not None
    assert event.error.temporary
    bench.executor.step = at_once
    assert (await bench.do(Operation.SHUTDOWN)).error is None
    assert len(bench.events) == 2


async def test_an_interrupt_after_the_step_keeps_its_result(bench: Bench) -> None:
    async def slow_status(name: str) -> None:
        if name == "status":
            await for_ever(name)

    bench.executor.step = slow_status
    bench.give(Operation.START)
    await until_begun(bench, "status")
    bench.execution.interrupt(Interrupt(TASK.id))
    assert await bench.next() == Executed(TASK.id, Operation.START)


async def test_an_interrupt_of_nothing_is_nothing(bench: Bench) -> None:
    bench.execution.interrupt(Interrupt(TASK.id))
    assert (await bench.do(Operation.PREPARE)).error is None
    bench.execution.interrupt(Interrupt(TASK.id))
    assert (await bench.do(Operation.START)).error is None


async def test_tasks_do_not_wait_for_each_other(bench: Bench) -> None:
    bench.executor.step = for_ever
    bench.give(Operation.WAIT)
    await until_begun(bench, "wait")
    bench.executor.step = at_once
    assert (await bench.do(Operation.START, replace(TASK, id=TaskId("t2")))).error is None


async def test_the_agent_may_give_the_next_step_with_the_answer(bench: Bench) -> None:
    def take(event: Event) -> None:
        bench.events.append(event)
        if len(bench.events) < 3:
            bench.give(Operation.START)
        else:
            bench.came.set()

    bench.take = take  # type: ignore[method-assign]
    bench.execution._post = take
    bench.give(Operation.PREPARE)
    await bench.next()
    assert [event.operation for event in bench.events if isinstance(event, Executed)] == [
        Operation.PREPARE,
        Operation.START,
        Operation.START,
    ]


async def test_a_controller_serves_all_steps_of_a_task_and_a_changed_task_gets_a_new_one(bench: Bench) -> None:
    await bench.do(Operation.PREPARE)
    await bench.do(Operation.START, replace(TASK, status=replace(TASK.status, message="news")))
    assert len(bench.executor.made) == 1
    await bench.do(Operation.SHUTDOWN, replace(TASK, spec=TaskSpec(container=ContainerSpec(image="b"))))
    assert len(bench.executor.made) == 2
    assert bench.executor.made[0].closed == 1
    await bench.do(Operation.REMOVE, replace(TASK, spec=TaskSpec(container=ContainerSpec(image="b"))))
    assert bench.executor.made[1].closed == 1


async def test_describe_answers_with_a_description_or_the_reason(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.execution.describe()
    assert await bench.next() == Described(NodeDescription(hostname="h"))
    error = ExecutorError("silent", temporary=True)

    def fail() -> NodeDescription:
        raise error

    bench.executor.described = fail
    bench.execution.describe()
    assert await bench.next() == Described(error=error)

    def broken() -> NodeDescription:
        raise TypeError("bug")

    bench.executor.described = broken
    bench.execution.describe()
    event = await bench.next()
    assert isinstance(event, Described)
    assert str(event.error) == "describe: TypeError: bug"
    assert "describe_failed" in caplog.text


async def test_configure_is_handed_on_and_its_failure_is_logged(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.execution.configure(Configure(node=Node()))
    bench.execution.configure(Configure())
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(bench.executor.configured) < 2:  # noqa: ASYNC110 - one turn of the loop is all it takes
            await asyncio.sleep(0)
    assert bench.executor.configured == [Node(), None]
    assert "configure_failed error=no node" in caplog.text


async def test_adopt_waits_for_a_silent_runtime_and_not_for_a_final_error(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarmlab.edges.execution.ADOPT_RETRY_SECONDS", 0)
    bench.executor.adopting = [ExecutorError("silent", temporary=True), None]
    await bench.execution.adopt([TASK.id])
    bench.executor.adopting = [ExecutorError("never")]
    with pytest.raises(ExecutorError, match="never"):
        await bench.execution.adopt([TASK.id])


async def test_the_end_breaks_off_all_steps_without_an_answer_and_closes_the_controllers() -> None:
    bench = Bench()
    bench.executor.step = for_ever
    async with bench.execution:
        bench.give(Operation.WAIT)
        await until_begun(bench, "wait")
        bench.give(Operation.WAIT, replace(TASK, id=TaskId("t2")))
    assert bench.events == []
    assert [made.closed for made in bench.executor.made] == [1]
    bench.give(Operation.START)
    bench.execution.describe()
    assert bench.events == []


async def test_what_the_agent_raises_ends_the_execution() -> None:
    def take(event: Event) -> None:
        raise ZeroDivisionError

    async def live() -> None:
        async with Execution(ScriptedExecutor(), take) as execution:
            execution.execute(Execute(TASK.id, Operation.PREPARE, TASK))
            await asyncio.get_running_loop().create_future()

    with pytest.raises(ExceptionGroup) as caught:
        await live()
    assert isinstance(caught.value.exceptions[0], ZeroDivisionError)


async def test_two_steps_of_one_task_at_once_are_a_bug_of_ours(bench: Bench) -> None:
    bench.executor.step = for_ever
    bench.give(Operation.WAIT)
    with pytest.raises(AssertionError, match="two steps in hand for task t1"):
        bench.give(Operation.SHUTDOWN)


async def lines(execution: Execution, task: str) -> list[bytes]:
    return [message.data async for message in execution.logs(TaskId(task), LogOptions())]


async def test_logs_come_from_tasks_in_hand_and_from_those_that_are_remembered() -> None:
    bench = Bench()
    old = replace(TASK, id=TaskId("old"))
    bench.execution = Execution(bench.executor, bench.take, {old.id: old}.get)
    async with bench.execution:
        await bench.do(Operation.PREPARE)
        assert await lines(bench.execution, "t1") == [b"t1"]
        assert await lines(bench.execution, "old") == [b"old"]
        with pytest.raises(NotFound, match="task nowhere is not on this node"):
            await lines(bench.execution, "nowhere")
    assert [made.closed for made in bench.executor.made] == [1, 1, 1]
