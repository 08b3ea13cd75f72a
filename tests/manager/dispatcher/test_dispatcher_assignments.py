"""The chain of assignments against a plain reading of the store."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from swarmlab.api import (
    AssignmentAction,
    AssignmentsMessage,
    AssignmentsType,
    Changes,
    Config,
    ConfigId,
    ConfigReference,
    ContainerSpec,
    Create,
    Delete,
    Instant,
    NodeId,
    Secret,
    SecretId,
    SecretReference,
    Task,
    TaskId,
    TaskSpec,
    TaskState,
    TaskStatus,
    Update,
    configs_of,
    is_dead,
    secrets_of,
)
from swarmlab.manager.dispatcher.assignments import (
    BATCH_CHANGES,
    BATCH_LONGEST,
    BATCH_QUIET,
    Assignments,
    Pace,
    concerns_agent,
)
from swarmlab.store import EMPTY, Snapshot, apply

N1 = NodeId("n1")
NUMBERS = st.integers(0, 2)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("create"), st.integers(0, 5), NUMBERS, NUMBERS),
        st.tuples(st.just("state"), st.integers(0, 5), st.sampled_from([192, 256, 512, 576, 704, 832])),
        st.tuples(st.just("desired"), st.integers(0, 5), st.sampled_from([512, 640, 800])),
        st.tuples(st.just("delete"), st.integers(0, 5)),
        st.tuples(st.just("send")),
    ),
    max_size=40,
)


def start() -> Snapshot:
    secrets = [Create(Secret(id=SecretId(f"s{number}"))) for number in range(3)]
    configs = [Create(Config(id=ConfigId(f"c{number}"))) for number in range(3)]
    return apply(EMPTY, Changes.each([*secrets, *configs]).groups, Instant(1), 1).snapshot


def action_of(view: Snapshot, step: tuple[object, ...]) -> Create | Update | Delete | None:
    task_id = TaskId(f"t{step[1]}")
    task = view.task(task_id)
    match step:
        case ("create", _, secret, config) if task is None:
            container = ContainerSpec(
                secrets=(SecretReference(SecretId(f"s{secret}")),),
                configs=(ConfigReference(config_id=ConfigId(f"c{config}")),),
            )
            status = TaskStatus(state=TaskState.PENDING)
            return Create(Task(id=task_id, node_id=N1, spec=TaskSpec(container=container), status=status))
        case ("state", _, int(state)) if task is not None and task.status.state < state:
            return Update(replace(task, status=TaskStatus(state=TaskState(state))))
        case ("desired", _, int(desired)) if task is not None and task.desired_state < desired:
            return Update(replace(task, desired_state=TaskState(desired)))
        case ("delete", _) if task is not None:
            return Delete(Task, task_id)
    return None


class Agent:
    """What an agent makes of the messages, in the plainest way."""

    def __init__(self, first: AssignmentsMessage) -> None:
        assert (first.type, first.applies_to) == (AssignmentsType.COMPLETE, "")
        self.reference = first.results_in
        self.tasks: dict[str, Task] = {}
        self.needs: set[str] = set()
        self.apply(first)

    def follow(self, message: AssignmentsMessage) -> None:
        assert (message.type, message.applies_to) == (AssignmentsType.INCREMENTAL, self.reference)
        assert message.changes, "an empty message"
        self.reference = message.results_in
        self.apply(message)

    def apply(self, message: AssignmentsMessage) -> None:
        for change in message.changes:
            item, keep = change.assignment, change.action is AssignmentAction.UPDATE
            assert item is not None
            need = item.secret or item.config
            if need is not None:
                assert (need.id in self.needs) is not keep, "sent twice, or taken back unsent"
                (self.needs.add if keep else self.needs.remove)(need.id)
            elif item.task is not None and keep:
                self.tasks[item.task.id] = item.task
            elif item.task is not None:
                del self.tasks[item.task.id]


@given(STEPS)
def test_the_messages_add_up_to_what_the_store_holds(steps: list[tuple[object, ...]]) -> None:
    """However changes fall into messages: the node has its tasks as wished, and what its living tasks need, no more."""
    view = start()
    stream = Assignments(N1, 1, Instant(0))
    agent = Agent(stream.first(view))
    marked: set[TaskId] = set()
    for step in [*steps, ("send",)]:
        if step == ("send",):
            message = stream.following(view, marked)
            marked = set()
            if message is not None:
                agent.follow(message)
            continue
        action = action_of(view, step)
        if action is None:
            continue
        applied = apply(view, ((action,),), Instant(1), view.version + 1)
        view = applied.snapshot
        marked |= {change.object.id for change in applied.changes if concerns_agent(change)}
    tasks = [task for task in view.tasks_on(N1) if task.status.state >= TaskState.ASSIGNED]
    assert {task.id: task.desired_state for task in tasks} == {
        task.id: task.desired_state for task in agent.tasks.values()
    }
    living = [task for task in tasks if not is_dead(task.status.state)]
    needed = [secrets_of(task.spec) + configs_of(task.spec) for task in living]
    assert agent.needs == {str(key) for keys in needed for key in keys}
    assert stream.missing == []
    # A new stream says the same at once.
    again = Agent(Assignments(N1, 2, Instant(0)).first(view))
    assert again.needs == agent.needs
    assert again.tasks.keys() == agent.tasks.keys()


@given(st.lists(st.tuples(st.integers(0, 300_000_000), st.integers(1, 60)), max_size=60))
def test_no_change_waits_longer_than_a_second_and_lone_ones_do_not_wait(bursts: list[tuple[int, int]]) -> None:
    """After quiet at once; else after 100 ms of quiet, with 100 changes, or after a second."""
    now, sent, due, number = Instant(0), Instant(0), None, 0
    oldest: Instant | None = None
    pace = Pace(now)
    for gap, count in bursts:
        then = Instant(now + gap)
        if due is not None and due <= then:
            assert oldest is not None
            assert due - oldest <= BATCH_LONGEST
            assert len(pace.take()) > 0
            pace.sent(due)
            sent, oldest = due, None
        now = then
        waiting = 0 if oldest is None else 1
        for _ in range(count):
            number += 1
            pace.mark(TaskId(f"t{number}"))
        due = pace.due(now)
        assert due is not None
        if oldest is None:
            oldest = now
        if (not waiting and now - sent >= BATCH_QUIET) or count >= BATCH_CHANGES:
            assert due == now
        if due == now:
            assert len(pace.take()) >= count
            pace.sent(now)
            sent, oldest, due = now, None, None
        else:
            assert due <= now + BATCH_QUIET
    assert pace.due(now) is None or oldest is not None
