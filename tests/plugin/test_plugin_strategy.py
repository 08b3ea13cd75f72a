"""What a strategy inherits: each task to the node that scores best at that moment."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from scheduling import CPU, Desk, a_node, a_service, a_task, tasks_of

from swarmlab.api import TaskState
from swarmlab.plugin import (
    ClusterView,
    Group,
    Host,
    Moves,
    NodeTable,
    Placement,
    Reservation,
    Scores,
    Strategy,
    TaskView,
    Trigger,
)


class Roomiest(Strategy):
    """The larger share of free CPUs first."""

    name = "roomiest"

    def score(self, group: Group, nodes: NodeTable, view: ClusterView) -> Scores:
        return Scores(np.clip(nodes.cpu_free / np.maximum(nodes.cpu_total, 1), 0.0, 1.0))


class Fullest(Strategy):
    """The larger share of used CPUs first."""

    name = "fullest"

    def score(self, group: Group, nodes: NodeTable, view: ClusterView) -> Scores:
        return Scores(nodes.usage("cpu"))


class Nothing(Strategy):
    """No opinion at all."""

    name = "nothing"


def one_by_one(group: Group, view: ClusterView) -> list[int]:
    counts = np.zeros(len(view.nodes), np.int64)
    for _ in range(group.count):
        room, scores = view.capacity(group), view.scores(group)
        usable = [node for node in range(len(counts)) if room[node] > 0]
        if not usable:
            break
        best = max(usable, key=lambda node: (scores[node], -node))
        counts[best] += 1
        view = view.after(Placement(group.id, np.array([best], np.int64), np.array([1], np.int64)))
    return counts.tolist()


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=6),
    st.integers(1, 20),
    st.sampled_from([Roomiest(), Fullest(), Nothing()]),
    st.sampled_from([0, 2]),
)
@settings(max_examples=120, deadline=None)
def test_the_inherited_place_is_one_by_one(sizes: list[int], count: int, strategy: Strategy, limit: int) -> None:
    host = Host(strategy, strict=True)
    web = a_service("web", cpus=0.5, max_replicas=limit)
    desk = Desk([a_node(f"n{number}", cpus=size) for number, size in enumerate(sizes)], web, host=host, lead=False)
    desk.columns.led(desk.view)
    view = desk.seen()
    group = view.group_of(web.id, count)
    plan, _ = host.place([group], view)
    counts = np.zeros(len(sizes), np.int64)
    for placement in plan.placements:
        counts[placement.nodes] += placement.counts
    assert counts.tolist() == one_by_one(group, view)


def test_later_groups_count_on_what_earlier_ones_left() -> None:
    first, second = a_service("a", 3, cpus=1), a_service("b", 1, cpus=2)
    desk = Desk([a_node("n0", cpus=3), a_node("n1", cpus=2)], [first, second], host=Host(Roomiest(), strict=True))
    desk.create(*tasks_of(first, 3), *tasks_of(second, 1))
    assert desk.on("a") == {"n0": 2, "n1": 1}
    assert list(desk.pending()) == ["b.01"]


def test_the_inherited_answers() -> None:
    desk = Desk(a_node("n0"), a_service("web"), host=Host(Nothing(), strict=True))
    view = desk.seen()
    group = view.group_of("web")
    strategy = Nothing()
    assert strategy.score(group, view.nodes, view) is None
    assert strategy.rebalance(view, Trigger("manual")) == Moves()
    assert strategy.standing(group, view).tolist() == [0.0]
    assert Roomiest().standing(group, view).tolist() == [0.0], "the view asks the strategy that is in use"


# What the words of the API say of themselves


def test_a_reservation_is_true_when_it_books_anything() -> None:
    assert not Reservation()
    assert Reservation(1)
    assert Reservation(0, 1)
    assert Reservation(generic={"gpu": 1})


@pytest.mark.parametrize(
    ("state", "desired", "active"),
    [
        (TaskState.ASSIGNED, TaskState.RUNNING, True),
        (TaskState.RUNNING, TaskState.COMPLETE, True),
        (TaskState.RUNNING, TaskState.SHUTDOWN, False),
        (TaskState.COMPLETE, TaskState.RUNNING, False),
        (TaskState.PENDING, TaskState.RUNNING, False),
    ],
)
def test_active_tasks(state: TaskState, desired: TaskState, active: bool) -> None:
    view = TaskView(id="t", node_id="n", state=state, desired_state=desired)  # type: ignore[arg-type]
    assert view.active is active


def test_what_a_view_tells_of_services_and_tasks() -> None:
    web, job = a_service("web", 3, labels={"a": "b"}), a_service("all", mode="global")
    desk = Desk([a_node("n0"), a_node("n1")], [web, job], lead=False)
    desk.create(
        a_task("t1", web, node="n1", state=TaskState.RUNNING, slot=2),
        a_task("t0", web, node="n0", state=TaskState.ASSIGNED, desired=TaskState.SHUTDOWN),
        a_task("t2", web, node="n0", state=TaskState.FAILED),
        a_task("t3", web),
    )
    desk.pass_time(5)
    desk.columns.led(desk.view)
    view = desk.seen()
    assert [(found.id, found.mode, found.replicas) for found in view.services.values()] == [
        ("all", "global", 0),
        ("web", "replicated", 3),
    ]
    assert (view.services[web.id].labels, view.services[web.id].spec_version) == ({"a": "b"}, 1)
    assert [(task.id, task.slot, task.active, task.age) for task in view.tasks_of(web.id)] == [
        ("t0", 1, False, 5),
        ("t1", 2, True, 5),
    ]
    assert view.task("t2") is None  # type: ignore[arg-type]
    found = view.task("t1")  # type: ignore[arg-type]
    assert found is not None
    assert found.node_id == "n1"
    assert view.nodes[1].age == 5
    assert (view.version, view.now) == (desk.view.version, desk.now)
    assert view.options == {}


def test_the_columns_are_read_only_and_a_branch_has_its_own() -> None:
    desk = Desk([a_node("n0"), a_node("n1")], a_service("web", cpus=1))
    view = desk.seen()
    group = view.group_of("web", 4)
    branch = view.after(Placement(group.id, np.array([1], np.int64), np.array([2], np.int64)))
    assert branch.nodes.cpu_free.tolist() == [4 * CPU, 2 * CPU]
    assert view.nodes.cpu_free.tolist() == [4 * CPU, 4 * CPU]
    columns: Sequence[np.ndarray] = (
        view.nodes.cpu_free,
        view.nodes.tasks,
        view.nodes.ready,
        view.nodes.tasks_of(group.service),
        view.nodes.label("node.id"),
        view.nodes.domain("node.id")[0],
        view.nodes.usage("cpu"),
        view.capacity(group),
        branch.nodes.cpu_free,
        branch.nodes.tasks,
        view.scores(group),
    )
    for column in columns:
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 0


def test_a_group_that_is_made_smaller_is_judged_for_itself() -> None:
    """What is remembered of a group is not taken for another one of the same name."""
    desk = Desk(a_node("n0", cpus=4, labels={"disk": "ssd"}), a_service("web", cpus=3))
    view = desk.seen()
    group = view.group_of("web", 9)
    smaller = replace(group, reservation=Reservation(CPU), labels={"swarmlab.prefer": "node.labels.disk == ssd"})
    assert view.capacity(group).tolist() == [1]
    assert view.capacity(smaller).tolist() == [4]
    assert view.capacity(replace(smaller, count=2)).tolist() == [2]
    scored = desk.seen(Host.load("spread", ["prefer"], strict=True))
    assert (scored.scores(group).tolist(), scored.scores(smaller).tolist()) == ([0.0], [1.0])


def test_a_placement_from_a_column() -> None:
    placement = Placement.of("g", np.array([0, 3, 0, 1], np.int64))
    assert (placement.nodes.tolist(), placement.counts.tolist(), placement.total) == ([1, 3], [3, 1], 4)


def test_the_inherited_place_chooses_the_branch_first() -> None:
    """Two in zone b, where one node holds both; the roomier nodes of zone a get no more than their share."""
    web = a_service("web", 4, cpus=1, preferences=("node.labels.zone",))
    nodes = [a_node(f"a{at}", cpus=16, labels={"zone": "a"}) for at in range(2)] + [a_node("b0", labels={"zone": "b"})]
    desk = Desk(nodes, web, host=Host(Roomiest(), strict=True))
    desk.create(*tasks_of(web, 4))
    assert desk.on() == {"a0": 1, "a1": 1, "b0": 2}
    assert Roomiest().formula() == ""
