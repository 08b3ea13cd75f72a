"""least-allocated, balanced, dotproduct: their formulas, and the task by task order that follows from them."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduling import CPU, MIB, Desk, a_node, a_service, a_task, tasks_of

from swarmlab.api import PluginError, TaskState
from swarmlab.plugin import Host

NAMES = ("least-allocated", "balanced", "dotproduct")
GIB = 1024 * MIB


def seen_scores(name: str, desk: Desk, service: str = "web", **parameters: object) -> list[float]:
    """What the strategy says of each node for the next task, to four digits."""
    view = desk.seen(Host.load(name, parameters=parameters, strict=True))
    return np.round(view.scores(view.group_of(service)), 4).tolist()


def a_desk(*, cpus: float = 0, memory: int = 0, generic: str = "") -> Desk:
    """n0: empty, 4 CPUs, 4 GiB. n1: 2 CPUs used. n2: 3 GiB used. n3: 8 CPUs, 4 GiB, 2 gpus."""
    web = a_service("web", 9, cpus=cpus, memory=memory, generic=generic)
    desk = Desk([a_node("n0"), a_node("n1"), a_node("n2"), a_node("n3", cpus=8, generic="gpu=2")], web)
    desk.create(
        a_task("c", node="n1", state=TaskState.RUNNING, cpus=2),
        a_task("m", node="n2", state=TaskState.RUNNING, memory=3 * GIB),
    )
    return desk


def test_least_allocated_is_the_mean_of_the_free_shares_with_the_task_in_place() -> None:
    desk = a_desk(cpus=1, memory=GIB)
    assert seen_scores("least-allocated", desk) == [0.75, 0.5, 0.375, 0.8125]
    assert seen_scores("least-allocated", desk, memory_weight=0) == [0.75, 0.25, 0.75, 0.875]
    assert seen_scores("least-allocated", desk, cpu_weight=1, memory_weight=3) == [0.75, 0.625, 0.1875, 0.7813]


def test_generic_kinds_count_where_they_are_asked_for() -> None:
    desk = a_desk(cpus=1, generic="gpu=1")
    assert seen_scores("least-allocated", desk)[3] == round((7 / 8 + 1 + 1 / 2) / 3, 4)
    assert seen_scores("least-allocated", desk, generic_weight=0)[3] == round((7 / 8 + 1) / 2, 4)
    assert seen_scores("dotproduct", desk)[3] == round((1 / 8 + 1 / 2) / 3, 4)


def test_balanced_is_the_nearness_of_the_two_used_shares() -> None:
    desk = a_desk(cpus=1, memory=GIB)
    assert seen_scores("balanced", desk) == [1.0, 0.5, 0.25, 0.875]
    assert seen_scores("balanced", desk, free_weight=1) == [0.875, 0.5, 0.3125, 0.8438]


def test_dotproduct_goes_where_what_is_wanted_is_free() -> None:
    desk = a_desk(cpus=2)
    assert seen_scores("dotproduct", desk) == [0.25, 0.125, 0.25, 0.125]
    assert seen_scores("dotproduct", desk, largest="no") == [0.75, 0.875, 0.75, 0.875]
    assert seen_scores("dotproduct", a_desk(cpus=2, memory=GIB)) == [0.375, 0.25, 0.2813, 0.25]


@pytest.mark.parametrize("name", NAMES)
def test_of_equal_nodes_the_one_with_fewer_tasks_comes_first(name: str) -> None:
    """Tasks that reserve nothing make no difference to any share; they are not all put on one node."""
    web = a_service("web", 6)
    desk = Desk([a_node(f"n{number}") for number in range(3)], web, host=Host.load(name, strict=True))
    desk.create(*tasks_of(web, 6))
    assert desk.on() == {"n0": 2, "n1": 2, "n2": 2}


@pytest.mark.parametrize("name", NAMES)
def test_a_node_where_the_tasks_fail_comes_last(name: str) -> None:
    web = a_service("web", cpus=1)
    desk = Desk([a_node("n0", cpus=16), a_node("n1")], web, host=Host.load(name, strict=True))
    desk.create(a_task("busy", node="n1", state=TaskState.RUNNING, cpus=3, memory=GIB))
    for number in range(5):
        desk.create(a_task(f"f{number}", web, node="n0", state=TaskState.RUNNING))
        desk.report(f"f{number}", TaskState.FAILED)
    desk.create(a_task("next", web))
    assert desk.task("next").node_id == "n1"


@pytest.mark.parametrize("name", NAMES)
def test_preferences_come_before_the_score(name: str) -> None:
    web = a_service("web", 4, cpus=1, memory=GIB, preferences=("node.labels.zone",))
    nodes = [a_node("a0", cpus=16, memory=16 * GIB, labels={"zone": "a"})]
    nodes += [a_node(f"b{number}", labels={"zone": "b"}) for number in range(2)]
    desk = Desk(nodes, web, host=Host.load(name, strict=True))
    desk.create(*tasks_of(web, 4))
    assert desk.on() == {"a0": 2, "b0": 1, "b1": 1}


@pytest.mark.parametrize(
    ("name", "parameter", "message"),
    [
        ("least-allocated", {"cpu_weight": -1}, "cpu_weight is -1, wanted 0 or more"),
        ("least-allocated", {"cpu_weight": 0, "memory_weight": 0}, "both 0, wanted one above 0"),
        ("balanced", {"free_weight": -2}, "free_weight is -2, wanted 0 or more"),
    ],
)
def test_weights_that_make_no_sense_are_refused(name: str, parameter: dict[str, float], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        Host.load(name, parameters=parameter)


def plain_score(name: str, total: tuple[int, int], free: tuple[int, int], need: tuple[int, int]) -> float:
    """The formulas once more, of one node, in plain arithmetic."""
    left = [(f - n) / t for t, f, n in zip(total, free, need, strict=True)]
    if name == "least-allocated":
        return sum(left) / 2
    if name == "balanced":
        return 1 - abs(left[0] - left[1])
    return sum(n / t * f / t for t, f, n in zip(total, free, need, strict=True)) / 2


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_each_task_goes_to_the_best_node_by_the_formula(name: str, seed: int) -> None:
    """Against plain arithmetic, one task at a time; where two nodes are equal to a millionth either will do."""
    rng = random.Random(seed)
    total = [(rng.randint(1, 8), rng.randint(1, 8)) for _ in range(rng.randint(1, 5))]
    need = (rng.randint(0, 3), rng.randint(0, 3))
    count = rng.randint(1, 12)
    web = a_service("web", count, cpus=need[0], memory=need[1] * GIB)
    host = Host.load(name, strict=True)
    desk = Desk([a_node(f"n{at}", cpus=c, memory=m * GIB) for at, (c, m) in enumerate(total)], web, host=host)
    view = desk.seen()
    plan, _ = host.place([view.group_of("web", count)], view)
    counts = np.zeros(len(total), np.int64)
    for placement in plan.placements:
        counts[placement.nodes] = placement.counts
    free = list(total)
    held = [0] * len(total)
    for _ in range(count):
        fits = [at for at, left in enumerate(free) if left[0] >= need[0] and left[1] >= need[1]]
        if not fits:
            break
        scores = {at: plain_score(name, total[at], free[at], need) for at in fits}
        top = max(scores.values())
        at = min((at for at in fits if scores[at] > top - 1e-9), key=lambda at: (held[at], at))
        held[at] += 1
        free[at] = (free[at][0] - need[0], free[at][1] - need[1])
    assert counts.tolist() == held, f"seed {seed}: {total} x {need}"
    assert (view.nodes.cpu_free - counts * need[0] * CPU >= 0).all()
