"""The task's state machine by itself: its table, and what holds whatever happens."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

import swarmlab.agent.task
from swarmlab.agent import MOVES, Reporter, TaskMachine, diagram
from swarmlab.agent.exec import Dependencies, Execute, Executed, Interrupt, Operation, Persist
from swarmlab.api import ExecutorError, Instant, Task, TaskId, TaskState, TaskStatus, is_dead
from swarmlab.component import Effect, SetTimer

S = TaskState


def a_machine(state: TaskState = S.ASSIGNED, desired: TaskState = S.RUNNING) -> TaskMachine:
    task = Task(id=TaskId("t1"), desired_state=desired, status=TaskStatus(state=state))
    return TaskMachine(task, task.status, lambda _: Dependencies())


def test_the_diagram_in_the_manual_is_drawn_from_the_table() -> None:
    text = swarmlab.agent.task.__doc__
    assert text is not None
    assert "\n".join("    " + line for line in diagram().splitlines()) in text


def test_every_move_is_one_that_an_agent_may_make() -> None:
    """The permitted transitions of SwarmKit's model, agent side; and READY and later ones may be stopped, too."""
    forward = [S.ASSIGNED, S.ACCEPTED, S.PREPARING, S.READY, S.STARTING, S.RUNNING]
    allowed = set(pairwise(forward))
    allowed |= {(state, S.REJECTED) for state in forward[:-1]}
    allowed |= {(S.RUNNING, S.COMPLETE), (S.RUNNING, S.FAILED), (S.STARTING, S.FAILED)}
    allowed |= {(state, S.SHUTDOWN) for state in forward}
    assert {(move.start, move.end) for move in MOVES} <= allowed
    assert all(move.start < move.end for move in MOVES)
    assert {move.start for move in MOVES} == set(forward), "every living state has a way on"


def test_a_state_of_a_later_manager_counts_as_the_one_below() -> None:
    """Numbers have gaps for states to come; a task in one of them is taken up where we know it."""
    assert a_machine(TaskState(400)).status.state is S.READY
    assert a_machine(TaskState(100)).status.state is S.ASSIGNED
    assert a_machine(TaskState(700)).status.state == 700


class Told:
    """Watches what a machine asks for."""

    def __init__(self, machine: TaskMachine) -> None:
        self.machine = machine
        self.in_hand: Operation | None = None
        self.interrupted = False
        self.retry = False
        self.kept: TaskState | None = None

    def take(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Execute(_, operation):
                    assert self.in_hand is None, "two operations in hand"
                    assert self.kept is self.machine.status.state, "an operation ahead of its record"
                    self.in_hand, self.interrupted = operation, False
                case Interrupt():
                    assert self.in_hand is not None
                    assert not self.interrupted, "broken off twice"
                    self.interrupted = True
                case Persist(_, kept):
                    assert kept is None or self.kept is None or self.kept <= kept.status.state, "the record fell"
                    self.kept = None if kept is None else kept.status.state
                case SetTimer():
                    self.retry = True


HAPPENINGS = st.one_of(
    st.just("well"), st.just("temporary"), st.just("final"), st.just("exit"), st.just("timer"), st.just("unassign"),
    st.sampled_from([S.READY, S.RUNNING, S.COMPLETE, S.SHUTDOWN, S.REMOVE]),
)  # fmt: skip
ERRORS = {
    "well": None,
    "temporary": ExecutorError("later", temporary=True),
    "final": ExecutorError("never"),
    "exit": ExecutorError("task: non-zero exit (3)", exit_code=3),
}


@given(st.sampled_from(sorted({move.start for move in MOVES})), st.lists(HAPPENINGS, max_size=30))
def test_whatever_happens_a_task_goes_its_legal_way_and_can_always_be_taken_off(
    start: TaskState, happenings: list[str | TaskState]
) -> None:
    """One operation at a time, records ahead of operations, states that only rise; and in the end it can be removed."""
    machine = a_machine(start, S.READY)
    told = Told(machine)
    now = Instant(0)
    seen = [machine.status.state]
    told.take(machine.advance(now))
    for happening in [*happenings, "unassign", *["temporary", "timer"] * 2, *["well", "timer"] * 4]:
        now = Instant(now + 1)
        if isinstance(happening, TaskState):
            machine.assign(Task(id=TaskId("t1"), desired_state=happening))
        elif happening == "unassign":
            machine.unassign()
        elif happening == "timer":
            if told.retry:
                told.retry = False
                machine.retry()
        elif told.in_hand is not None:
            operation, told.in_hand = told.in_hand, None
            assert machine.executed(Executed(TaskId("t1"), operation, ERRORS[happening]), now)
        told.take(machine.advance(now))
        seen.append(machine.status.state)
    assert seen == sorted(seen)
    assert machine.gone
    assert told.in_hand is None
    assert told.kept is None, "its record is forgotten"
    assert is_dead(machine.status.state)


def test_reporter_keeps_the_newest_and_never_a_lower_one() -> None:
    """One call at a time; a lower state never takes the place of a higher one (TestReporter)."""
    reporter = Reporter()
    running, starting = TaskStatus(state=S.RUNNING), TaskStatus(state=S.STARTING)
    reporter.report(TaskId("t1"), running)
    reporter.report(TaskId("t1"), starting)
    assert [(update.task_id, update.status) for update in reporter.next_call()] == [("t1", running)]
    reporter.report(TaskId("t2"), starting)
    assert reporter.next_call() == ()
    reporter.report(TaskId("t2"), running)
    reporter.confirmed()
    assert [(update.task_id, update.status) for update in reporter.next_call()] == [("t2", running)]
    reporter.report(TaskId("t3"), running)
    reporter.forget(TaskId("t3"))
    reporter.confirmed()
    assert reporter.next_call() == ()


def test_reporter_sends_everything_again_in_a_new_session() -> None:
    """What was under way may not have arrived; and calls have a limit."""
    reporter = Reporter()
    statuses = [(TaskId(f"t{number:04}"), TaskStatus(state=S.RUNNING)) for number in range(1_500)]
    reporter.start_again(statuses)
    assert len(reporter.next_call()) == 1_000
    reporter.start_again(statuses)
    first = reporter.next_call()
    reporter.confirmed()
    second = reporter.next_call()
    assert [update.task_id for update in first + second] == [task_id for task_id, _ in statuses]
