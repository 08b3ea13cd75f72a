"""The simulated executor keeps the words of `agent/exec/ports.py` in virtual time; models decide how long and how.

What every executor keeps is asked of this one, too, in `tests/edges/test_executor_contract.py`, in real time.
"""

import random
from collections.abc import Callable

import pytest

from swarmlab.agent.exec import Execute, Executed, Interrupt, Operation
from swarmlab.api import Annotations, ContainerSpec, ServiceId, Task, TaskId, TaskSpec, between, seconds
from swarmlab.sim import ExecutorModel, Heap, SimExecutor, TaskModel
from swarmlab.sim.chance import Spread

PREPARE, START, WAIT = Operation.PREPARE, Operation.START, Operation.WAIT
SHUTDOWN, TERMINATE, REMOVE = Operation.SHUTDOWN, Operation.TERMINATE, Operation.REMOVE


def spread(count: float) -> Spread:
    return Spread(median=seconds(count))


STEADY = TaskModel(prepare=spread(2), start=spread(1), stop=spread(3))


class Node:
    """A node that runs models; `told` are its answers as texts with their times."""

    def __init__(self, model: TaskModel = STEADY, seed: int = 1) -> None:
        self.heap = Heap()
        self.executor = SimExecutor(self.heap.clock, self.heap.at, random.Random(seed), ExecutorModel(default=model).of)
        self.told: list[str] = []
        self.answers: list[Executed] = []
        self.executor.connect(self._hear)

    def do(self, *operations: Operation, task: str = "t", wait: float = 3_600) -> list[str]:
        """Give these steps, each after the answer to the one before; what is told meanwhile."""
        self.told.clear()
        for operation in operations:
            self.executor.execute(Execute(TaskId(task), operation, _task(task)))
            self.pass_time(wait)
        return list(self.told)

    def begin(self, operation: Operation, task: str = "t") -> None:
        """Give a step."""
        self.executor.execute(Execute(TaskId(task), operation, _task(task)))

    def pass_time(self, span: float) -> list[str]:
        """What is told in so many seconds at most, up to the next answer."""
        before, end = len(self.told), self.heap.now + seconds(span)
        while len(self.told) == before and (due := self.heap.next_due()) is not None and due <= end:
            self.heap.run_until(due)
        return self.told[before:]

    def _hear(self, event: Executed) -> None:
        self.answers.append(event)
        result = f": {event.error}" if event.error is not None else ""
        self.told.append(f"{between(self.heap.start, self.heap.now) / 1e9:g} {event.operation.value}{result}")


def _task(name: str) -> Task:
    return Task(id=TaskId(name), service_id=ServiceId("s"), spec=TaskSpec(container=ContainerSpec(image="app:1")))


def test_steps_take_their_time() -> None:
    node = Node()
    assert node.do(PREPARE, START, SHUTDOWN, REMOVE) == ["2 prepare", "3 start", "6 shutdown", "6 remove"]


def test_a_step_that_is_done_is_done_again_in_no_time() -> None:
    node = Node()
    told = node.do(PREPARE, PREPARE, START, START, SHUTDOWN, SHUTDOWN, START, TERMINATE, REMOVE, REMOVE)
    assert told == [
        *("2 prepare", "2 prepare", "3 start", "3 start", "6 shutdown", "6 shutdown", "6 start"),
        *("6 terminate", "6 remove", "6 remove"),
    ]


def test_a_task_without_end_is_waited_for_until_it_is_stopped() -> None:
    node = Node()
    node.do(PREPARE, START)
    assert node.executor.running == ("t",)
    node.begin(WAIT)
    assert node.pass_time(1e6) == []
    node.executor.interrupt(Interrupt(TaskId("t")))
    assert node.pass_time(1) == ["3 wait: wait was interrupted"]
    assert node.answers[-1].error is not None
    assert node.answers[-1].error.temporary
    assert node.do(SHUTDOWN, WAIT) == ["6 shutdown", "6 wait: task: non-zero exit (143)"]
    assert not node.executor.running


def test_terminate_kills() -> None:
    node = Node()
    assert node.do(PREPARE, START, TERMINATE, WAIT)[-2:] == ["3 terminate", "3 wait: task: non-zero exit (137)"]


@pytest.mark.parametrize(("exit_code", "result"), [(0, ""), (7, ": task: non-zero exit (7)")])
def test_a_run_ends_in_its_time_with_its_code(exit_code: int, result: str) -> None:
    node = Node(TaskModel(prepare=spread(2), start=spread(1), run=spread(10), exit_code=exit_code))
    assert node.do(PREPARE, START, WAIT, WAIT) == ["2 prepare", "3 start", f"13 wait{result}", f"13 wait{result}"]
    assert node.answers[-1].container is not None
    assert node.answers[-1].container.exit_code == exit_code
    assert not node.executor.running


def test_a_run_that_nobody_waits_for_ends_all_the_same() -> None:
    """The agent is gone when it ends; what then runs on the node is nothing, and the next life hears how it ended."""
    node = Node(TaskModel(prepare=spread(2), start=spread(1), run=spread(10), exit_code=7))
    node.do(PREPARE, START)
    node.begin(WAIT)
    node.executor.connect(lambda _: None)
    node.heap.run_until(node.heap.start + seconds(12.9))  # type: ignore[arg-type]
    assert node.executor.running == ("t",)
    node.heap.run_until(node.heap.start + seconds(13))  # type: ignore[arg-type]
    assert not node.executor.running
    node.executor.connect(node._hear)
    assert node.do(SHUTDOWN, WAIT) == ["13 shutdown", "13 wait: task: non-zero exit (7)"]


def test_a_run_that_ends_while_it_is_being_stopped_ended_by_itself() -> None:
    node = Node(TaskModel(prepare=spread(2), start=spread(1), stop=spread(5), run=spread(2), exit_code=7))
    assert node.do(PREPARE, START, SHUTDOWN, WAIT) == [
        *("2 prepare", "3 start", "8 shutdown", "8 wait: task: non-zero exit (7)")
    ]


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (TaskModel(prepare=spread(2), prepare_fails=1.0), ["2 prepare: the model failed to prepare"]),
        (
            TaskModel(prepare=spread(2), start=spread(1), start_fails=1.0),
            ["2 prepare", "3 start: the model failed to start"],
        ),
        (
            TaskModel(prepare=spread(2), start=spread(1), run_fails=1.0),
            ["2 prepare", "3 start", "3 wait: task: non-zero exit (1)"],
        ),
    ],
)
def test_models_fail(model: TaskModel, told: list[str]) -> None:
    node = Node(model)
    assert node.do(*(PREPARE, START, WAIT)[: len(told)]) == told
    error = node.answers[-1].error
    assert error is not None
    assert not error.temporary
    assert not node.executor.running


def test_failures_come_with_their_probability() -> None:
    node = Node(TaskModel(prepare=spread(0), prepare_fails=0.25))
    for number in range(400):
        node.do(PREPARE, task=f"t{number}")
    assert sum(answer.error is not None for answer in node.answers) == pytest.approx(100, abs=20)


@pytest.mark.parametrize(
    ("before", "operation", "after"),
    [
        ((), PREPARE, lambda node: node.do(START)[0] == "1 start: not prepared on this node"),
        ((PREPARE,), START, lambda node: node.do(WAIT)[0] == "3 wait: nothing runs, and no exit code is known"),
        ((PREPARE, START), SHUTDOWN, lambda node: node.executor.running == ("t",)),
        ((PREPARE, START), REMOVE, lambda node: node.executor.running == ("t",)),
    ],
)
def test_a_step_that_is_broken_off_changes_nothing(
    before: tuple[Operation, ...], operation: Operation, after: Callable[[Node], bool]
) -> None:
    node = Node(TaskModel(prepare=spread(2), start=spread(2), stop=spread(2)))
    node.do(*before)
    node.begin(operation)
    node.heap.run_until(node.heap.now + seconds(1))  # type: ignore[arg-type]
    node.executor.interrupt(Interrupt(TaskId("t")))
    node.executor.interrupt(Interrupt(TaskId("t")))
    told = node.pass_time(100)
    assert len(told) == 1, "one step, one answer"
    assert told[0].endswith(f"{operation.value} was interrupted")
    assert node.pass_time(100) == []
    assert after(node)


def test_without_a_step_in_hand_an_interrupt_has_no_answer() -> None:
    node = Node()
    node.do(PREPARE)
    node.executor.interrupt(Interrupt(TaskId("t")))
    node.executor.interrupt(Interrupt(TaskId("never heard of")))
    assert node.pass_time(100) == []


def test_a_second_step_beside_one_in_hand_is_a_bug() -> None:
    node = Node()
    node.begin(PREPARE)
    with pytest.raises(AssertionError, match="two operations in hand for task t"):
        node.begin(START)


def test_tasks_outlive_their_agent_and_the_next_one_finds_them() -> None:
    node = Node()
    node.do(PREPARE, START)
    node.do(PREPARE, START, task="u")
    node.begin(WAIT)
    node.executor.connect(node._hear)
    node.executor.adopt((TaskId("t"),))
    assert node.executor.running == ("t",)
    assert node.executor.kept == ("t",)
    assert node.do(PREPARE, START) == ["6 prepare", "6 start"]
    assert node.do(START, task="u") == ["6 start: not prepared on this node"]


def test_a_step_of_the_last_agent_is_not_answered_to_the_next() -> None:
    node = Node()
    node.begin(PREPARE)
    node.executor.connect(node._hear)
    assert node.pass_time(100) == []
    assert node.do(START) == ["0 start: not prepared on this node"]


def test_without_power_nothing_is_left() -> None:
    node = Node()
    node.do(PREPARE, START)
    node.begin(WAIT)
    node.executor.power_off()
    assert node.executor.kept == node.executor.running == ()
    assert node.pass_time(100) == []


def test_the_container_is_told_while_there_is_one() -> None:
    node = Node()
    node.do(TERMINATE, PREPARE, START, REMOVE)
    containers = [answer.container.container_id if answer.container else None for answer in node.answers]
    assert containers == [None, "sim-t", "sim-t", None]


def test_the_model_is_that_of_the_service_and_its_image() -> None:
    old, new, other = (TaskModel(exit_code=code) for code in (1, 2, 3))
    model = ExecutorModel(default=other, versions={("web", "app:1"): old, ("web", "app:2"): new})

    def of(service: str, image: str) -> TaskModel:
        spec = TaskSpec(container=ContainerSpec(image=image))
        return model.of(Task(id=TaskId("t"), service_annotations=Annotations(name=service), spec=spec))

    assert of("web", "app:1") is old
    assert of("web", "app:2") is new
    assert of("web", "app:3") is other
    assert of("api", "app:1") is other
    assert model.of(Task(id=TaskId("t"))) is other


def test_the_same_seed_behaves_the_same() -> None:
    model = TaskModel(run=Spread(median=seconds(5), sigma=1.0), run_fails=0.5)

    def story(seed: int) -> list[str]:
        return Node(model, seed).do(PREPARE, START, WAIT, REMOVE, PREPARE, START, WAIT)

    assert story(1) == story(1)
    assert story(1) != story(2)
