"""The rebalancer: when it asks, what it lets pass, and how it follows the moves to their end."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from swarmlab.api import (
    MINUTE,
    SECOND,
    Annotations,
    Availability,
    Change,
    Changes,
    ContainerSpec,
    Create,
    Delete,
    Instant,
    Node,
    NodeDescription,
    NodeId,
    NodeSpec,
    NodeState,
    NodeStatus,
    ReplicatedService,
    ResourceRequirements,
    Resources,
    Service,
    ServiceId,
    ServiceSpec,
    StoreObject,
    Task,
    TaskId,
    TaskSpec,
    TaskState,
    TaskStatus,
    Update,
    UpdateState,
    UpdateStatus,
    Version,
)
from swarmlab.component import CancelTimer, Effect, Event, Record, SetTimer, Tell, TimerFired
from swarmlab.manager.orchestrator import MOVE_FROM, MOVE_TO, MovesWished
from swarmlab.manager.rebalancer import Rebalancer
from swarmlab.plugin import ClusterView, Host, Kept, Move, Moves, Strategy, Trigger
from swarmlab.store import EMPTY, Committed, Led, Snapshot, apply


class Script(Strategy):
    """Gives what it is told to, and remembers what it was asked."""

    name = "script"

    def __init__(self) -> None:
        self.answers: list[Moves | Exception | Callable[[ClusterView], Moves]] = []
        self.asked: list[Trigger] = []

    def rebalance(self, view: ClusterView, trigger: Trigger) -> Moves:
        self.asked.append(trigger)
        answer = self.answers.pop(0) if self.answers else Moves()
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Moves) else answer(view)


@dataclass
class World:
    """A store, a clock and timers around a rebalancer; the orchestrator's part is played by the tests."""

    strategy: Script = field(default_factory=Script)
    view: Snapshot = EMPTY
    now: int = 1_000 * SECOND
    timers: dict[str, int] = field(default_factory=dict)
    wished: list[Move] = field(default_factory=list)
    records: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rebalancer = Rebalancer(Host(self.strategy), random.Random(1))

    def step(self, event: Event) -> None:
        self._carry_out(self.rebalancer.step(event, Instant(self.now)))

    def lead(self) -> None:
        self.step(Led(self.view))

    def _carry_out(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case SetTimer(name, at):
                    self.timers[name] = at
                case CancelTimer(name):
                    self.timers.pop(name, None)
                case Record(name, fields):
                    self.records.append((name, dict(fields)))
                case Tell(component, MovesWished(moves)):
                    assert component == "replicated"
                    self.wished += moves
                case _:
                    raise AssertionError(effect)

    def commit(self, changes: Changes) -> None:
        applied = apply(self.view, changes.groups, Instant(self.now), self.view.version + 1)
        assert not applied.refused, applied.refused
        self.view = applied.snapshot
        self._hear(applied.changes)

    def _hear(self, changes: tuple[Change, ...]) -> None:
        self.step(Committed(self.view, changes))

    def put(self, *objects: StoreObject) -> None:
        self.commit(Changes.atomic(*map(Create, objects)))

    def change(self, *objects: StoreObject) -> None:
        self.commit(Changes.atomic(*map(Update, objects)))

    def drop(self, obj: StoreObject) -> None:
        self.commit(Changes.atomic(Delete(type(obj), obj.id)))

    def wait(self, span: float) -> None:
        """Let time pass, and the timers in it fire in order."""
        end = self.now + round(span * SECOND)
        while due := sorted((at, name) for name, at in self.timers.items() if at <= end):
            at, name = due[0]
            del self.timers[name]
            self.now = max(self.now, at)
            self.step(TimerFired(name))
        self.now = end

    def plans(self) -> list[dict[str, object]]:
        return [fields for name, fields in self.records if name == "rebalance-plan"]

    def done(self) -> list[dict[str, object]]:
        return [fields for name, fields in self.records if name == "rebalance-done"]

    # what others do

    def state(self, name: str, state: NodeState) -> None:
        held = self.view.node(NodeId(name))
        self.change(replace(held, status=NodeStatus(state=state)))

    def bounce(self, name: str) -> None:
        self.state(name, NodeState.DOWN)
        self.state(name, NodeState.READY)

    def begin(self, move: Move) -> TaskId:
        """The orchestrator's answer: a new task in the slot."""
        old = self.view.task(move.task)
        labels = {MOVE_FROM: move.task, MOVE_TO: move.to}
        new = replace(
            old,
            id=TaskId(f"{old.id}+"),
            node_id=move.to,
            annotations=Annotations("", labels),
            status=TaskStatus(state=TaskState.ASSIGNED),
        )
        self.put(new)
        return new.id

    def observe(self, name: str, state: TaskState, desired: TaskState | None = None) -> None:
        held = self.view.task(TaskId(name))
        status = replace(held.status, state=state)
        self.change(replace(held, status=status, desired_state=desired or held.desired_state))

    def finish(self, move: Move) -> None:
        """All of a move that goes well."""
        new = self.begin(move)
        self.observe(new, TaskState.RUNNING)
        self.observe(move.task, TaskState.RUNNING, TaskState.SHUTDOWN)
        self.observe(move.task, TaskState.SHUTDOWN)


def node(name: str, state: NodeState = NodeState.READY, cpus: int = 8) -> Node:
    return Node(
        id=NodeId(name),
        status=NodeStatus(state=state),
        description=NodeDescription(hostname=name, resources=Resources(cpus * 10**9, 2**40)),
    )


def service(name: str = "web", replicas: int = 4, cpus: int = 0, labels: dict[str, str] | None = None) -> Service:
    reserved = ResourceRequirements(reservations=Resources(cpus * 10**9)) if cpus else None
    return Service(
        id=ServiceId(name),
        spec_version=Version(0),
        spec=ServiceSpec(
            annotations=Annotations(name, labels or {}),
            task=TaskSpec(container=ContainerSpec(image="nginx"), resources=reserved),
            replicated=ReplicatedService(replicas),
        ),
    )


def task(slot: int, on: str, owner: Service) -> Task:
    return Task(
        id=TaskId(f"{owner.id}{slot}"),
        service_id=owner.id,
        slot=slot,
        node_id=NodeId(on),
        spec=owner.spec.task,
        spec_version=Version(0),
        status=TaskStatus(state=TaskState.RUNNING),
        desired_state=TaskState.RUNNING,
    )


def move(name: str, to: str = "n2") -> Move:
    return Move(TaskId(name), NodeId(to), "because")


def crowded(replicas: int = 4, cpus: int = 0) -> list[StoreObject]:
    """All tasks of a service on the first of two nodes."""
    web = service(replicas=replicas, cpus=cpus)
    return [node("n1"), node("n2", NodeState.DOWN), web, *(task(slot, "n1", web) for slot in range(1, replicas + 1))]


@pytest.fixture
def world() -> World:
    """A leader over a crowded node; the other one is down."""
    world = World()
    world.put(*crowded())
    world.lead()
    world.wait(60)
    world.strategy.asked.clear()
    return world


class Still(Strategy):
    """Moves nothing."""

    name = "still"


def test_a_strategy_that_does_not_move_tasks_is_never_asked() -> None:
    rebalancer = Rebalancer(Host(Still()), random.Random(1))
    assert rebalancer.step(Led(EMPTY), Instant(0)) == []
    assert rebalancer.step(TimerFired("settle"), Instant(0)) == []


def test_a_new_leader_asks_once() -> None:
    world = World()
    world.put(*crowded())
    world.lead()
    world.wait(60)
    assert world.strategy.asked == [Trigger("drift")]
    assert world.records == []


def test_a_node_that_returns_is_answered_after_the_settle_time(world: World) -> None:
    world.state("n2", NodeState.READY)
    world.wait(0.9)
    assert world.strategy.asked == []
    world.wait(0.1)
    assert world.strategy.asked == [Trigger("return", (NodeId("n2"),))]
    assert world.plans() == [
        {
            "trigger": "return",
            "nodes": ["n2"],
            "version": world.view.version,
            "strategy": "script",
            "moves": [],
            "bound": 0,
            "before": 0.0,
            "after": 0.0,
            "kept": [],
            "refused": [],
        }
    ]


def test_a_node_that_was_never_there_joins(world: World) -> None:
    world.put(node("n3", NodeState.UNKNOWN))
    world.state("n3", NodeState.READY)
    world.wait(1)
    assert world.strategy.asked == [Trigger("join", (NodeId("n3"),))]


def test_an_activated_node_returns_and_a_draining_one_does_not(world: World) -> None:
    closed = replace(world.view.node(NodeId("n1")), spec=NodeSpec(availability=Availability.DRAIN))
    world.change(closed)
    world.wait(5)
    assert world.strategy.asked == []
    world.change(replace(world.view.node(NodeId("n1")), spec=NodeSpec()))
    world.wait(5)
    assert world.strategy.asked == [Trigger("return", (NodeId("n1"),))]


def test_a_burst_of_joins_is_one_plan(world: World) -> None:
    for number in range(5):
        world.put(node(f"m{number}"))
        world.wait(0.5)
    world.state("n2", NodeState.READY)
    world.wait(1)
    assert world.strategy.asked == [Trigger("return", (*(NodeId(f"m{number}") for number in range(5)), NodeId("n2")))]


def test_a_burst_without_end_is_answered_after_ten_settle_times(world: World) -> None:
    for number in range(30):
        world.put(node(f"m{number:02}"))
        world.wait(0.5)
    assert len(world.strategy.asked) == 1
    assert len(world.strategy.asked[0].nodes) == 20


def test_a_node_that_goes_away_meanwhile_cancels(world: World) -> None:
    world.state("n2", NodeState.READY)
    world.wait(0.5)
    world.state("n2", NodeState.DOWN)
    assert "settle" not in world.timers
    world.wait(5)
    assert world.strategy.asked == []
    world.state("n2", NodeState.READY)
    world.drop(world.view.node(NodeId("n2")))
    world.wait(5)
    assert world.strategy.asked == []


def test_good_moves_are_handed_over_and_told(world: World) -> None:
    world.strategy.answers = [
        Moves(
            moves=(move("web3"), move("web4")),
            kept=(Kept(ServiceId("api"), "no room"),),
            imbalance_before=4.0,
            imbalance_after=0.0,
            bound=2,
        )
    ]
    world.state("n2", NodeState.READY)
    world.wait(1)
    assert world.wished == [move("web3"), move("web4")]
    (plan,) = world.plans()
    assert plan["moves"] == [
        {"task": name, "service": "web", "from": "n1", "to": "n2", "reason": "because"} for name in ("web3", "web4")
    ]
    assert (plan["before"], plan["after"], plan["bound"], plan["refused"]) == (4.0, 0.0, 2, [])
    assert plan["kept"] == [{"service": "api", "reason": "no room"}]


@pytest.mark.parametrize(
    ("objects", "wish", "why"),
    [
        (crowded(), move("web1", "n1"), "the task is there already"),
        (crowded(1), move("web1"), "the service has one replica"),
        (crowded(2, 10), move("web1"), "the target cannot take it now: insufficient resources"),
    ],
)
def test_bad_moves_are_refused_with_the_reason(objects: list[StoreObject], wish: Move, why: str) -> None:
    world = World()
    world.put(*objects)
    world.lead()
    world.wait(60)
    world.strategy.answers = [Moves(moves=(wish,))]
    world.state("n2", NodeState.READY)
    world.wait(1)
    assert world.wished == []
    assert world.plans()[-1]["refused"] == [{"task": "web1", "to": wish.to, "why": why}]
    assert world.plans()[-1]["moves"] == []


@pytest.mark.parametrize("policy", ["never", "plan"])
def test_a_service_that_says_no_is_left_alone_whatever_the_strategy_wants(policy: str) -> None:
    world = World()
    web = service(replicas=2, labels={"swarmlab.rebalance": policy})
    world.put(node("n1"), node("n2", NodeState.DOWN), web, task(1, "n1", web), task(2, "n1", web))
    world.lead()
    world.strategy.answers = [Moves(), Moves(moves=(move("web1"),))]
    world.wait(1)
    world.state("n2", NodeState.READY)
    world.wait(1)
    assert world.wished == []
    assert world.plans()[0]["refused"] == [
        {"task": "web1", "to": "n2", "why": f"the service says swarmlab.rebalance={policy}"}
    ]


def test_a_service_that_is_being_updated_is_asked_about_again_afterwards(world: World) -> None:
    web = world.view.service(ServiceId("web"))
    world.change(replace(web, update_status=UpdateStatus(state=UpdateState.UPDATING)))
    world.strategy.answers = [Moves(moves=(move("web1"),)), Moves(moves=(move("web1"),))]
    world.state("n2", NodeState.READY)
    world.wait(1)
    assert world.plans()[0]["refused"] == [{"task": "web1", "to": "n2", "why": "the service is being updated"}]
    web = world.view.service(ServiceId("web"))
    world.change(replace(web, update_status=UpdateStatus(state=UpdateState.COMPLETED)))
    world.wait(10)
    assert world.strategy.asked[1:] == [Trigger("drift")]
    assert world.wished == [move("web1")]


def test_every_new_task_must_fit_while_all_old_ones_are_there() -> None:
    """What counts on the room that another move frees is left for the next plan."""
    world = World()
    world.put(*crowded(4, 4)[:-2])
    world.lead()
    world.wait(60)
    world.strategy.answers = [Moves(moves=(move("web1"), move("web2"))), Moves()]
    held = world.view.node(NodeId("n2"))
    world.change(replace(held, description=node("n2", cpus=4).description, status=NodeStatus(state=NodeState.READY)))
    world.wait(1)
    assert world.wished == [move("web1")]
    why = "the target cannot take it now: insufficient resources"
    assert world.plans()[0]["refused"] == [{"task": "web2", "to": "n2", "why": why}]


def test_no_plan_is_made_while_moves_are_under_way(world: World) -> None:
    world.strategy.answers = [Moves(moves=(move("web4"),))]
    world.state("n2", NodeState.READY)
    world.wait(1)
    new = world.begin(move("web4"))
    world.put(node("n3"))
    world.wait(30)
    assert len(world.strategy.asked) == 1
    world.observe(new, TaskState.RUNNING)
    world.observe("web4", TaskState.RUNNING, TaskState.SHUTDOWN)
    world.wait(30)
    assert len(world.strategy.asked) == 1
    world.observe("web4", TaskState.SHUTDOWN)
    assert world.done() == [{"moved": 1, "failed": 0}]
    world.wait(1)
    assert world.strategy.asked[1:] == [Trigger("join", (NodeId("n3"),))]


def test_after_the_last_move_the_strategy_is_asked_again_until_it_is_content(world: World) -> None:
    world.strategy.answers = [Moves(moves=(move("web4"),)), Moves(moves=(move("web3"),))]
    world.state("n2", NodeState.READY)
    world.wait(1)
    world.finish(move("web4"))
    world.wait(1)
    world.finish(move("web3"))
    world.wait(60)
    assert [trigger.kind for trigger in world.strategy.asked] == ["return", "drift", "drift"]
    assert len(world.plans()) == 2


def test_moves_that_come_to_nothing_are_not_tried_for_ever(world: World) -> None:
    world.strategy.answers = [Moves(moves=(move("web4"),))] * 5
    world.state("n2", NodeState.READY)
    world.wait(1)
    new = world.begin(move("web4"))
    world.observe(new, TaskState.FAILED)
    assert world.done() == [{"moved": 0, "failed": 1}]
    world.wait(600)
    assert len(world.strategy.asked) == 1


def test_a_wish_without_an_answer_is_given_up(world: World) -> None:
    world.strategy.answers = [Moves(moves=(move("web4"), move("web3")))]
    world.state("n2", NodeState.READY)
    world.wait(1)
    world.begin(move("web3"))
    world.wait(10)
    assert world.done() == []
    world.observe("web3+", TaskState.RUNNING)
    world.observe("web3", TaskState.SHUTDOWN, TaskState.SHUTDOWN)
    assert world.done() == [{"moved": 1, "failed": 1}]


def test_without_any_answer_the_plan_ends(world: World) -> None:
    world.strategy.answers = [Moves(moves=(move("web4"),))]
    world.state("n2", NodeState.READY)
    world.wait(7)
    assert world.done() == [{"moved": 0, "failed": 1}]
    world.wait(60)
    assert len(world.strategy.asked) == 1


def test_a_cancelled_move_ends(world: World) -> None:
    world.strategy.answers = [Moves(moves=(move("web4"),))]
    world.state("n2", NodeState.READY)
    world.wait(1)
    new = world.begin(move("web4"))
    world.observe(new, TaskState.ASSIGNED, TaskState.REMOVE)
    assert world.done() == [{"moved": 0, "failed": 1}]


def test_the_old_task_of_a_node_that_does_not_answer_is_not_waited_for(world: World) -> None:
    world.strategy.answers = [Moves(moves=(move("web4"),))]
    world.state("n2", NodeState.READY)
    world.wait(1)
    new = world.begin(move("web4"))
    world.observe(new, TaskState.RUNNING)
    world.observe("web4", TaskState.RUNNING, TaskState.SHUTDOWN)
    world.state("n1", NodeState.DOWN)
    assert world.done() == [{"moved": 1, "failed": 0}]


def test_a_plan_of_an_earlier_term_is_found_and_waited_for(world: World) -> None:
    world.state("n2", NodeState.READY)
    new = world.begin(move("web4"))
    world.strategy.asked.clear()
    world.lead()
    world.wait(30)
    assert world.strategy.asked == []
    world.observe(new, TaskState.RUNNING)
    world.observe("web4", TaskState.SHUTDOWN, TaskState.SHUTDOWN)
    world.wait(1)
    assert world.strategy.asked == [Trigger("drift")]


@pytest.mark.parametrize(("first", "second"), [("web4+", "web4-"), ("web4-", "web4+")])
def test_a_move_that_came_to_nothing_is_not_mixed_up_with_the_next_one_of_its_task(
    world: World, first: str, second: str
) -> None:
    """Found by a story of faults: a new leader read both from the history, and stumbled over the second."""
    world.state("n2", NodeState.READY)
    attempt = world.begin(move("web4"))
    world.observe(attempt, TaskState.FAILED, TaskState.SHUTDOWN)
    made = world.view.task(attempt)
    world.drop(made)
    again = replace(made, status=TaskStatus(state=TaskState.ASSIGNED), desired_state=TaskState.RUNNING)
    world.put(replace(made, id=TaskId(first)), replace(again, id=TaskId(second)))
    world.lead()
    world.observe(second, TaskState.RUNNING)
    world.strategy.asked.clear()
    world.wait(30)
    assert world.strategy.asked == []
    world.observe("web4", TaskState.SHUTDOWN, TaskState.SHUTDOWN)
    world.wait(1)
    assert world.strategy.asked == [Trigger("drift")]
    world.lead()


def test_a_task_that_came_by_a_move_long_ago_is_no_move(world: World) -> None:
    world.state("n2", NodeState.READY)
    world.wait(1)
    world.finish(move("web4"))
    world.lead()
    world.strategy.asked.clear()
    world.wait(1)
    assert world.strategy.asked == [Trigger("drift")]
    world.drop(world.view.task(TaskId("web4+")))
    world.put(node("n3"))
    world.wait(1)
    assert world.strategy.asked[1:] == [Trigger("join", (NodeId("n3"),))]


def test_room_that_comes_free_where_it_was_lacking_is_worth_asking_again(world: World) -> None:
    web = world.view.service(ServiceId("web"))
    world.put(task(9, "n2", service("other")))
    world.strategy.answers = [Moves(kept=(Kept(web.id, "no room on n2"),))]
    world.state("n2", NodeState.READY)
    world.wait(1)
    world.observe("other9", TaskState.COMPLETE)
    world.wait(8)
    assert len(world.strategy.asked) == 1
    world.wait(3)
    assert world.strategy.asked[1:] == [Trigger("drift")]
    world.put(task(8, "n2", service("other")))
    world.drop(world.view.task(TaskId("other8")))
    world.wait(60)
    assert len(world.strategy.asked) == 2


def test_a_service_that_wants_to_stay_is_not_asked_about_again(world: World) -> None:
    """What was kept on purpose waits for no room."""
    web = world.view.service(ServiceId("web"))
    labels = Annotations("web", {"swarmlab.rebalance": "never"})
    world.change(replace(web, spec=replace(web.spec, annotations=labels)))
    world.strategy.answers = [Moves(kept=(Kept(web.id, "it says never"),))]
    world.state("n2", NodeState.READY)
    world.wait(1)
    world.observe("web1", TaskState.FAILED)
    world.wait(60)
    assert len(world.strategy.asked) == 1


def test_cockroach_66818_a_flapping_node_is_left_alone_until_it_is_stable(world: World) -> None:
    """Twenty times in ten minutes: two plans at most until it stays for a minute, and it is named as suspect."""
    seen: list[list[bool]] = []

    def look(view: ClusterView) -> Moves:
        seen.append(view.nodes.suspect.tolist())
        return Moves(moves=(move("web1"),) if view.nodes.suspect[1] else ())

    world.strategy.answers = [look] * 50
    for _ in range(20):
        world.bounce("n2")
        world.wait(30)
    assert len(world.strategy.asked) == 2
    assert [fields["node"] for name, fields in world.records if name == "node-flapping"] == ["n2"]
    world.put(node("n3"))
    world.wait(1)
    assert seen[-1] == [False, True, False]
    assert world.plans()[-1]["refused"] == [{"task": "web1", "to": "n2", "why": "the target comes and goes"}]
    assert world.wished == []
    world.wait(60)
    assert world.strategy.asked[-1] == Trigger("return", (NodeId("n2"),))
    assert seen[-1] == [False, False, False]


def test_a_flapping_node_that_leaves_is_not_trusted_while_it_is_away(world: World) -> None:
    for _ in range(3):
        world.bounce("n2")
        world.wait(2)
    asked = len(world.strategy.asked)
    world.state("n2", NodeState.DOWN)
    assert "stable" not in world.timers
    world.wait(120)
    assert len(world.strategy.asked) == asked
    world.drop(world.view.node(NodeId("n2")))
    world.put(node("n2"))
    world.wait(1)
    assert world.strategy.asked[-1] == Trigger("join", (NodeId("n2"),))


def test_arrivals_far_apart_are_no_flapping(world: World) -> None:
    for _ in range(6):
        world.bounce("n2")
        world.wait(3 * MINUTE / SECOND)
    assert len(world.strategy.asked) == 6


def test_a_strategy_that_fails_is_reported_and_nothing_moves(world: World) -> None:
    world.strategy.answers = [ValueError("no idea")]
    world.state("n2", NodeState.READY)
    world.wait(1)
    assert world.wished == []
    (fault,) = [fields for name, fields in world.records if name == "plugin-failed"]
    assert (fault["plugin"], fault["hook"]) == ("script", "rebalance")
    assert "no idea" in str(fault["error"])


def test_a_late_timer_does_nothing(world: World) -> None:
    for name in ("settle", "answer", "stable", "other"):
        world.step(TimerFired(name))
    assert world.strategy.asked == []
    assert world.wished == []
