"""Binpack: the fullest node that fits, by dominant share."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduling import CPU, MIB, Desk, a_node, a_service, a_task, tasks_of

from swarmlab.api import TaskState
from swarmlab.plugin import Host

HOST = Host.load("binpack", strict=True)


def test_one_node_is_filled_before_the_next_is_touched() -> None:
    web = a_service("web", 6, cpus=1)
    desk = Desk([a_node(f"n{number}", cpus=4) for number in range(4)], web, host=HOST)
    desk.create(*tasks_of(web, 6))
    assert desk.on() == {"n0": 4, "n1": 2, "n2": 0, "n3": 0}


def test_full_is_the_largest_share_of_any_resource() -> None:
    """n0 is nearly full of memory, n1 half full of CPU; a small task goes where the larger share is."""
    web, big, wide = (
        a_service("web", cpus=0.5, memory=64 * MIB),
        a_service("big", memory=3 * 1024 * MIB),
        a_service("wide", cpus=2),
    )
    desk = Desk([a_node("n0"), a_node("n1"), a_node("n2")], [web, big, wide], host=HOST)
    desk.create(
        a_task("b", big, node="n0", state=TaskState.RUNNING), a_task("w", wide, node="n1", state=TaskState.RUNNING)
    )
    desk.create(a_task("t", web))
    assert desk.task("t").node_id == "n0"


def test_a_smaller_node_is_fuller_with_the_task_in_place() -> None:
    web = a_service("web", cpus=1)
    desk = Desk([a_node("n0", cpus=16), a_node("n1", cpus=2)], web, host=HOST)
    desk.create(a_task("t", web))
    assert desk.task("t").node_id == "n1"


def test_generic_resources_count_when_they_are_asked_for() -> None:
    web = a_service("web", generic="gpu=1")
    desk = Desk([a_node("n0", generic="gpu=8"), a_node("n1", generic="gpu=2"), a_node("n2")], web, host=HOST)
    desk.create(*tasks_of(web, 3))
    assert desk.on() == {"n0": 1, "n1": 2, "n2": 0}


def test_tasks_that_reserve_nothing_keep_together() -> None:
    web = a_service("web", 5)
    desk = Desk([a_node("n0"), a_node("n1")], web, host=HOST)
    desk.create(a_task("old", web, node="n1", state=TaskState.RUNNING))
    desk.create(*tasks_of(web, 5))
    assert desk.on() == {"n0": 0, "n1": 6}


def test_preferences_are_kept_and_each_branch_is_packed() -> None:
    web = a_service("web", 4, cpus=1, preferences=("node.labels.zone",))
    nodes = [a_node(f"{zone}{number}", labels={"zone": zone}) for zone in "ab" for number in range(2)]
    desk = Desk(nodes, web, host=HOST)
    desk.create(*tasks_of(web, 4))
    assert desk.on() == {"a0": 2, "a1": 0, "b0": 2, "b1": 0}


def test_a_node_where_the_tasks_fail_comes_last() -> None:
    web = a_service("web", cpus=1)
    desk = Desk([a_node("n0"), a_node("n1")], web, host=HOST)
    desk.create(a_task("busy", node="n0", state=TaskState.RUNNING, cpus=2))
    for number in range(5):
        desk.create(a_task(f"f{number}", web, node="n0", state=TaskState.RUNNING))
        desk.report(f"f{number}", TaskState.FAILED)
    desk.create(a_task("next", web))
    assert desk.task("next").node_id == "n1"
    view = desk.seen()
    assert np.argsort(HOST.strategy.standing(view.group_of("web"), view)).tolist() == [1, 0]


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(0, 8)), min_size=1, max_size=6), st.integers(1, 20))
@settings(max_examples=80, deadline=None)
def test_no_node_is_opened_while_an_open_one_has_room(nodes: list[tuple[int, int]], count: int) -> None:
    """Of equal tasks: at most one used node is left partly filled."""
    web = a_service("web", cpus=1)
    desk = Desk([a_node(f"n{number}", cpus=size) for number, (size, _) in enumerate(nodes)], web, host=HOST)
    view = desk.seen()
    group = view.group_of("web", count)
    plan, _ = HOST.place([group], view)
    room = view.capacity(group)
    counts = np.zeros(len(nodes), np.int64)
    for placement in plan.placements:
        counts[placement.nodes] = placement.counts
    used = np.flatnonzero(counts)
    assert counts.sum() == min(count, sum(size for size, _ in nodes))
    assert sum(bool(counts[node] < min(room[node], view.nodes.cpu_total[node] // CPU)) for node in used) <= 1
