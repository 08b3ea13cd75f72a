"""Spread: SwarmKit's order, as if the tasks came one by one."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduling import CPU, Desk, a_node, a_service, a_task, tasks_of

from swarmlab.api import MILLISECOND, TaskState
from swarmlab.plugin import ClusterView, Group, Host


def one_by_one(group: Group, view: ClusterView) -> list[int]:
    """The order of spread, applied to one task after the other with plain numbers."""
    nodes = view.nodes
    n = len(nodes)
    room = view.capacity(group).tolist()
    own, tasks = nodes.tasks_of(group.service).tolist(), nodes.tasks.tolist()
    failures = nodes.failures_of(group).tolist()
    values = [nodes.label(key).tolist() for key in group.preferences]
    start_own, start_tasks = list(own), list(tasks)
    given_ = [0] * n

    def branch(paths: Sequence[Sequence[str]], level: int) -> Sequence[int]:
        inside = [node for node in range(n) if all(values[at][node] == paths[at] for at in range(level))]
        if level == len(values):
            return inside
        found = sorted({values[level][node] for node in inside})
        open_ = []
        for value in found:
            of_branch = [node for node in inside if values[level][node] == value]
            if any(room[node] for node in of_branch):
                held = sum(own[node] for node in of_branch)
                others = sum(start_tasks[node] - start_own[node] for node in of_branch)
                open_.append((held, others, value))
        return branch([*paths, min(open_)[2]], level + 1) if open_ else []

    for _ in range(group.count):
        usable = [node for node in branch([], 0) if room[node]]
        if not usable:
            break
        best = min(
            usable,
            key=lambda node: (failures[node] if failures[node] >= 5 else 0, own[node], tasks[node], node),
        )
        for column, step in ((room, -1), (own, 1), (tasks, 1), (given_, 1)):
            column[best] += step
    return given_


@st.composite
def clusters(draw: st.DrawFn) -> Desk:
    """Some nodes with zones and racks, tasks of two services on them, some of which have failed."""
    web = a_service(
        "web",
        cpus=draw(st.sampled_from([0, 1])),
        preferences=draw(st.sampled_from([(), ("node.labels.zone",), ("node.labels.zone", "node.labels.rack")])),
        max_replicas=draw(st.sampled_from([0, 0, 3])),
    )
    other = a_service("other")
    count = draw(st.integers(1, 7))
    nodes = [
        a_node(
            f"n{number}",
            cpus=draw(st.integers(0, 5)),
            labels={key: draw(st.sampled_from("ab")) for key in ("zone", "rack") if draw(st.booleans())},
        )
        for number in range(count)
    ]
    desk = Desk(nodes, [web, other], host=HOST)
    tasks = [
        a_task(f"t{number:02}", service, node=f"n{node % count}", state=TaskState.RUNNING)
        for number, (service, node) in enumerate(
            draw(st.lists(st.tuples(st.sampled_from([web, other]), st.integers(0, 6)), max_size=12))
        )
    ]
    desk.create(*tasks)
    faulty = draw(st.lists(st.integers(0, count - 1), max_size=2))
    for number, place in enumerate(node for node in faulty for _ in range(5 + node % 2)):
        desk.create(a_task(f"f{number}", web, node=f"n{place}", state=TaskState.RUNNING))
        desk.report(f"f{number}", TaskState.FAILED)
    return desk


HOST = Host.load("spread", strict=True)


@given(clusters(), st.integers(1, 15))
@settings(max_examples=150, deadline=None)
def test_spread_is_the_greedy_order_one_by_one(desk: Desk, count: int) -> None:
    view = desk.seen()
    group = view.group_of("web", count)
    plan, _ = HOST.place([group], view)
    counts = np.zeros(len(view.nodes), np.int64)
    for placement in plan.placements:
        counts[placement.nodes] += placement.counts
    assert counts.tolist() == one_by_one(group, view)


def test_fewest_tasks_of_the_service_come_first_then_fewest_in_all() -> None:
    web, other = a_service("web", 3), a_service("other", 4)
    desk = Desk([a_node(f"n{number}") for number in range(3)], [web, other])
    desk.create(
        a_task("w", web, node="n0", state=TaskState.RUNNING), *tasks_of(other, 3, node="n1", state=TaskState.RUNNING)
    )
    desk.create(a_task("next", web))
    assert desk.task("next").node_id == "n2"
    desk.create(a_task("then", web))
    assert desk.task("then").node_id == "n1"


def test_as_evenly_as_the_resources_allow() -> None:
    """TestSchedulerResourceConstraintHA: the node with little room takes what it can."""
    web = a_service("web", 10, cpus=1)
    desk = Desk([a_node("n0", cpus=2), a_node("n1", cpus=8), a_node("n2", cpus=8)], web)
    desk.create(*tasks_of(web, 10))
    assert desk.on() == {"n0": 2, "n1": 4, "n2": 4}


def test_the_preference_tree() -> None:
    """TestMultiplePreferences: 12 tasks over zones, then racks; az1 has room for 5 alone, so az2 takes 7 as 4 + 3."""
    web = a_service("web", 12, memory=10**8, preferences=("node.labels.az", "node.labels.rack"))
    nodes = [
        a_node("id0", labels={"az": "az1", "rack": "rack1"}, memory=10**8),
        a_node("id1", labels={"az": "az1", "rack": "rack1"}, memory=10**8),
        a_node("id2", labels={"az": "az2", "rack": "rack1"}, memory=10**9),
        a_node("id3", labels={"az": "az2", "rack": "rack1"}, memory=10**9),
        a_node("id4", labels={"az": "az1", "rack": "rack2"}, memory=10**8),
        a_node("id5", labels={"az": "az1", "rack": "rack2"}, memory=2 * 10**8),
        a_node("id6", labels={"az": "az2", "rack": "rack2"}, memory=10**9),
    ]
    desk = Desk(nodes, web)
    desk.create(*tasks_of(web, 12))
    on = desk.on()
    assert on["id0"] + on["id1"] + on["id4"] + on["id5"] == 5
    racks = on["id2"] + on["id3"], on["id6"]
    assert sorted(racks) == [3, 4]
    assert abs(on["id2"] - on["id3"]) <= 1


def test_defect_05_stale_branch_counts_do_not_unbalance_the_zones() -> None:
    """Zone a is nearly full and starts with most; once it is full, b and c still end equal."""
    web = a_service("web", 20, cpus=1, preferences=("node.labels.zone",))
    desk = Desk([a_node(f"{zone}{n}", cpus=size, labels={"zone": zone}) for zone, n, size in ZONES], web)
    held = [a_task(f"old{number}", web, node=node, state=TaskState.RUNNING) for number, node in enumerate(["b0"] * 3)]
    desk.create(*held)
    desk.create(*tasks_of(web, 14))
    on = desk.on()
    assert {zone: on[f"{zone}0"] + on.get(f"{zone}1", 0) for zone in "abc"} == {"a": 2, "b": 8, "c": 7}


ZONES = [("a", 0, 2), ("b", 0, 20), ("b", 1, 20), ("c", 0, 20)]


def test_defect_05_remainders_do_not_depend_on_the_order_of_anything() -> None:
    """Of equally loaded zones the one with fewer tasks of others gets the odd one; of equal ones the first by name."""
    web, other = a_service("web", preferences=("node.labels.zone",)), a_service("other")
    for order in (["b", "a", "c"], ["c", "b", "a"]):
        desk = Desk([a_node(zone, labels={"zone": zone}) for zone in order], [web, other])
        desk.create(a_task("o", other, node="a", state=TaskState.RUNNING))
        desk.create(a_task("w", web))
        assert desk.task("w").node_id == "b"


def test_a_missing_label_is_a_branch_of_its_own() -> None:
    web = a_service("web", 4, preferences=("node.labels.zone",))
    desk = Desk([a_node("n0", labels={"zone": "a"}), a_node("n1", labels={"zone": "a"}), a_node("n2")], web)
    desk.create(*tasks_of(web, 4))
    assert desk.on() == {"n0": 1, "n1": 1, "n2": 2}


def test_a_preference_for_no_label_is_left_out() -> None:
    web = a_service("web", 2, preferences=("node.hostname", "NODE.LABELS.zone"))
    desk = Desk([a_node("n0", labels={"zone": "a"}), a_node("n1", labels={"zone": "b"})], web)
    desk.create(*tasks_of(web, 2))
    assert desk.on() == {"n0": 1, "n1": 1}


@pytest.mark.parametrize(("failures", "taken"), [(4, "n0"), (5, "n1")])
def test_five_failures_in_five_minutes_make_a_node_a_last_choice(failures: int, taken: str) -> None:
    """TestSchedulerFaultyNode."""
    web = a_service("web")
    desk = Desk([a_node("n0"), a_node("n1")], web)
    desk.create(a_task("busy", web, node="n1", state=TaskState.RUNNING))
    for number in range(failures):
        desk.create(a_task(f"f{number}", web, node="n0", state=TaskState.RUNNING))
        desk.report(f"f{number}", TaskState.FAILED)
    desk.create(a_task("next", web))
    assert desk.task("next").node_id == taken


def test_failures_of_another_spec_version_do_not_count_nor_do_old_ones() -> None:
    """TestSchedulerFaultyNodeSpecVersion: a new version starts clean."""
    web, newer = a_service("web"), a_service("web", version=2)
    desk = Desk([a_node("n0"), a_node("n1")], web)
    desk.create(a_task("busy", web, node="n1", state=TaskState.RUNNING))
    for number in range(6):
        desk.create(a_task(f"f{number}", web, node="n0", state=TaskState.RUNNING))
        desk.report(f"f{number}", TaskState.REJECTED)
    desk.create(a_task("same", web), a_task("newer", newer))
    assert (desk.task("newer").node_id, desk.task("same").node_id) == ("n0", "n1")
    desk.pass_time(5 * 60_000 * MILLISECOND + 1)
    desk.report("newer", TaskState.RUNNING)
    desk.create(a_task("later", web))
    assert desk.task("later").node_id == "n0"


def test_a_faulty_node_is_still_taken_when_there_is_no_other() -> None:
    web = a_service("web")
    desk = Desk([a_node("n0")], web)
    for number in range(7):
        desk.create(a_task(f"f{number}", web, node="n0", state=TaskState.RUNNING))
        desk.report(f"f{number}", TaskState.FAILED)
    desk.create(a_task("next", web))
    assert desk.task("next").node_id == "n0"
    assert [record.fields for record in desk.records if record.name == "faulty"] == [
        {"service": "web", "version": 1, "node": "n0"}
    ]


def test_scores_decide_among_nodes_that_hold_equally_many() -> None:
    """With the plugin `prefer`: the wish comes after the service's own spread."""
    web = a_service("web", 3, labels={"swarmlab.prefer": "node.labels.disk == ssd"})
    desk = Desk(
        [a_node("n0"), a_node("n1", labels={"disk": "ssd"}), a_node("n2", labels={"disk": "ssd"})],
        web,
        host=Host.load("spread", ["prefer"], strict=True),
    )
    desk.create(a_task("w1", web))
    desk.create(a_task("w2", web))
    desk.create(a_task("w3", web))
    assert [desk.task(name).node_id for name in ("w1", "w2", "w3")] == ["n1", "n2", "n0"]


def test_where_the_order_sees_each_node() -> None:
    """`standing` agrees with who is served first."""
    web = a_service("web", cpus=1)
    desk = Desk([a_node("n0"), a_node("n1"), a_node("n2")], web)
    desk.create(a_task("w", web, node="n0", state=TaskState.RUNNING), a_task("o", node="n1", state=TaskState.RUNNING))
    view = desk.seen()
    standing = HOST.strategy.standing(view.group_of("web"), view)
    assert np.argsort(standing, kind="stable").tolist() == [2, 1, 0]
    assert view.nodes.cpu_free.tolist() == [3 * CPU, 4 * CPU, 4 * CPU]
