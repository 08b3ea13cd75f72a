"""Reports on their way into the store, and what a commit costs."""

import random
from collections.abc import Iterable
from typing import Any

import pytest
from msgspec.structs import replace

from swarmlab.api import (
    AssignmentsMessage,
    AssignmentsRequest,
    Change,
    ChangeKind,
    Changes,
    Create,
    Duration,
    HeartbeatRequest,
    Instant,
    InvalidSpec,
    Node,
    NodeDescription,
    NodeId,
    NodeState,
    NodeStatus,
    OutOfSequence,
    Refused,
    SessionMessage,
    SessionRequest,
    StoreObject,
    Task,
    TaskId,
    TaskState,
    TaskStatus,
    TaskStatusUpdate,
    Update,
    UpdateTaskStatusRequest,
    Version,
)
from swarmlab.component import Disconnected, Effect, Propose, Proposed, Received, Record, Send, SetTimer
from swarmlab.manager.dispatcher import Dispatcher
from swarmlab.manager.dispatcher.batch import Batch, NodeWish
from swarmlab.store import EMPTY, Committed, Led, Snapshot, apply

N1 = NodeId("n1")
RUNNING = TaskStatus(state=TaskState.RUNNING)


def a_view(*objects: StoreObject) -> Snapshot:
    return apply(EMPTY, Changes.each(Create(obj) for obj in objects).groups, Instant(1), 1).snapshot


def written(changes: Changes) -> list[Any]:
    return [action.object for group in changes.groups for action in group if isinstance(action, Update)]


def test_a_newer_wish_keeps_the_description_of_one_that_waits() -> None:
    """A node that registers and breaks off within one batch is still described in the store."""
    batch = Batch("m1")
    description = NodeDescription(hostname="one")
    batch.want_node(N1, NodeWish(NodeState.READY, "", description, "10.0.0.1"))
    batch.want_node(N1, NodeWish(NodeState.DISCONNECTED, "lost"))
    changes, as_wished = batch.flush(a_view(Node(id=N1)), Instant(5))
    assert as_wished == ()
    [node] = written(changes)
    assert node.description == description
    assert node.status == NodeStatus(NodeState.DISCONNECTED, "lost", "10.0.0.1")
    assert node.meta.version == Version(1), "the version that was read"


def test_what_is_refused_goes_behind_what_was_wished_since() -> None:
    """A refused wish fills in what a newer one leaves open, and a refused status gives way to a higher one only."""
    view = a_view(Node(id=N1), Task(id=TaskId("t1"), node_id=N1), Task(id=TaskId("t2"), node_id=N1))
    batch = Batch("m1")
    description = NodeDescription(hostname="one")
    batch.want_node(N1, NodeWish(NodeState.READY, "", description))
    batch.want_status(TaskId("t1"), RUNNING)
    batch.want_status(TaskId("t2"), RUNNING)
    batch.flush(view, Instant(5))
    batch.want_node(N1, NodeWish(NodeState.DISCONNECTED))
    batch.want_status(TaskId("t1"), TaskStatus(state=TaskState.STARTING))
    batch.want_status(TaskId("t2"), TaskStatus(state=TaskState.FAILED))
    stale = tuple(Refused(number, OutOfSequence("stale")) for number in range(3))
    assert batch.settle(Proposed("", refused=stale)) == ((), [])
    node, first, second = written(batch.flush(view, Instant(6))[0])
    assert (node.status.state, node.description) == (NodeState.DISCONNECTED, description)
    assert (first.status.state, second.status.state) == (TaskState.RUNNING, TaskState.FAILED)
    assert (first.status.applied_by, first.status.applied_at) == ("m1", 6)


def test_what_will_never_be_taken_is_given_up_and_noted() -> None:
    batch = Batch("m1")
    batch.want_status(TaskId("t1"), RUNNING)
    batch.flush(a_view(Task(id=TaskId("t1"))), Instant(5))
    assert batch.under_way
    nodes, records = batch.settle(Proposed("", refused=(Refused(0, InvalidSpec("too strange")),)))
    assert nodes == ()
    assert [record.name for record in records] == ["report-refused"]
    assert records[0].fields == {"node": None, "task": "t1", "error": "too strange"}
    assert len(batch) == 0
    assert not batch.under_way


def test_a_node_that_is_gone_is_not_written() -> None:
    batch = Batch("m1")
    batch.want_node(N1, NodeWish(NodeState.READY))
    assert batch.flush(EMPTY, Instant(5)) == (Changes(), (N1,))
    batch.want_node(N1, NodeWish(NodeState.READY))
    batch.forget_node(N1)
    assert len(batch) == 0


class Manager:
    """A dispatcher with a store that commits when it is told to."""

    def __init__(self, *objects: StoreObject, **options: Any) -> None:
        self.view = a_view(*objects)
        self.now = Instant(10**18)
        self.dispatcher = Dispatcher(random.Random(1), manager_id="m1", **options)
        self.step(Led(self.view))
        self.sessions: dict[str, str] = {}

    def step(self, event: Any) -> list[Effect]:
        """Take the event and all the commits that it causes."""
        effects = list(self.dispatcher.step(event, self.now))
        for effect in tuple(effects):
            if isinstance(effect, Propose):
                effects += self.commit(effect.changes.groups)
                effects += self.step(Proposed(effect.tag, self.view.version))
        return effects

    def commit(self, groups: Any) -> list[Effect]:
        applied = apply(self.view, groups, self.now, self.view.version + 1)
        assert not applied.refused
        self.view = applied.snapshot
        return self.step(Committed(self.view, applied.changes))

    def connect(self, nodes: Iterable[str]) -> None:
        for node in nodes:
            self.now = Instant(self.now + 10**9)
            effects = self.step(Received(node, SessionRequest(NodeDescription(hostname=node)), 1))
            [message] = [effect.message for effect in effects if isinstance(effect, Send)]
            assert isinstance(message, SessionMessage)
            self.sessions[node] = message.session_id
            self.step(Received(node, AssignmentsRequest(message.session_id), 2))
        self.now = Instant(self.now + 10**9)


def test_ten_thousand_reports_do_not_wait() -> None:
    """The batch is written when it is full, however short the last one ago."""
    tasks = [Task(id=TaskId(f"t{number:05}"), node_id=N1) for number in range(10_001)]
    manager = Manager(Node(id=N1), *tasks)
    manager.connect(["n1"])
    session = manager.sessions["n1"]

    def report(numbers: Iterable[int]) -> list[Effect]:
        updates = tuple(TaskStatusUpdate(tasks[number].id, RUNNING) for number in numbers)
        return manager.step(Received("n1", UpdateTaskStatusRequest(session, updates), 9))

    assert any(isinstance(effect, Propose) for effect in report([0]))
    effects = report(range(1, 10_000))
    assert not any(isinstance(effect, Propose) for effect in effects)
    assert SetTimer("flush", Instant(manager.now + 100_000_000)) in effects
    effects = report([10_000])
    [propose] = [effect for effect in effects if isinstance(effect, Propose)]
    assert len(propose.changes.groups) == 10_000


@pytest.mark.parametrize("connected", [True, False])
def test_a_state_that_is_not_so_is_written_again(connected: bool) -> None:
    """The last write of an earlier term, committed after the first of this one, does not stay."""
    manager = Manager(Node(id=N1))
    manager.connect(["n1"])
    if not connected:
        manager.step(Disconnected("n1"))
    right = NodeState.READY if connected else NodeState.DISCONNECTED
    node = manager.view.node(N1)
    assert node is not None
    assert node.status.state is right
    manager.now = Instant(manager.now + 10**9)
    manager.commit(((Update(replace(node, status=NodeStatus(NodeState.UNKNOWN))),),))
    node = manager.view.node(N1)
    assert node is not None
    assert node.status.state is right


class Narrow:
    """A view that only looks up by id: anything that walks over the cluster fails."""

    def __init__(self, view: Snapshot) -> None:
        self._view = view

    def __getattr__(self, name: str) -> Any:
        if name not in ("task", "node", "secret", "config", "cluster", "version"):
            raise AssertionError(f"a commit of one task asked for {name}")
        return getattr(self._view, name)


def test_a_commit_costs_what_it_changes() -> None:
    """A commit looks at the objects that it changed, never over all nodes or tasks."""
    nodes = [f"n{number:02}" for number in range(50)]
    manager = Manager(*(Node(id=NodeId(node)) for node in nodes))
    manager.connect(nodes)
    task = Task(id=TaskId("t1"), node_id=NodeId("n07"), status=TaskStatus(state=TaskState.ASSIGNED))
    view = apply(manager.view, ((Create(task),),), manager.now, 99).snapshot
    committed = Committed(Narrow(view), (Change(ChangeKind.CREATED, task),))  # type: ignore[arg-type]
    effects = manager.step(committed)
    sent = [effect for effect in effects if isinstance(effect, Send)]
    assert [effect.to for effect in sent] == ["n07"]
    assert isinstance(sent[0].message, AssignmentsMessage)
    assert [effect.fields["to"] for effect in effects if isinstance(effect, Record)] == ["ASSIGNED"]


def test_a_beat_does_not_move_the_timer_each_time() -> None:
    """Ten thousand nodes beat two thousand times a second; one timer for each moves every three periods."""
    manager = Manager(Node(id=N1))
    manager.connect(["n1"])
    beat = Received("n1", HeartbeatRequest(manager.sessions["n1"]), 3)
    timers = [effect for _ in range(5) for effect in manager.step(beat) if isinstance(effect, SetTimer)]
    assert len(timers) <= 1


@pytest.mark.parametrize("bound", [Duration(1), Duration(10**9)])
def test_the_bound_of_orphans_is_an_argument(bound: Duration) -> None:
    """It counts from the write that made the node DOWN, so a leader that comes later sets what is left of it."""
    node = Node(id=N1, status=NodeStatus(NodeState.DOWN))
    view = a_view(node)
    effects = Dispatcher(random.Random(1), orphan_after=bound).step(Led(view), Instant(10**18))
    assert effects == [SetTimer("orphan/n1", Instant(1 + bound))]
