"""`optimal` against every possible placement of small batches, and against the greedy strategies on larger ones."""

import itertools
import random
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduling import MIB, Desk, a_node, a_service, a_task

from swarmlab.api import Node, Service, Task, TaskState
from swarmlab.manager.scheduler.view import View
from swarmlab.plugin import Group, Host, Plan

OBJECTIVES = ("spread", "pack", "load")
GREEDY = {"spread": "spread", "pack": "binpack", "load": "least-allocated"}
#: Enough for a proof of every small case; the test fails where one is missing.
HOSTS = {name: Host.load("optimal", parameters={"objective": name, "effort": 60}, strict=True) for name in OBJECTIVES}
HASTY = {
    name: Host.load("optimal", parameters={"objective": name, "effort": 0.002}, strict=True) for name in OBJECTIVES
}

#: Tasks of each group on one node.
Row = tuple[int, ...]


def a_case(rng: random.Random, nodes: int, tasks: int, groups: int, **more: object) -> tuple[Desk, list[int]]:
    """Nodes of a few sizes, some of them in use, and services with tasks to place: how many of each."""
    sizes = [(rng.randint(1, 6), rng.choice([512, 1024])) for _ in range(rng.randint(1, 3))]
    own: list[Node] = []
    for at in range(rng.randint(1, nodes)):
        cpus, memory = rng.choice(sizes)
        own.append(a_node(f"n{at}", cpus=cpus, memory=memory * MIB, labels={"zone": rng.choice("ab")}))
    counts = [1] * rng.randint(1, groups)
    for _ in range(rng.randint(0, tasks - len(counts))):
        counts[rng.randrange(len(counts))] += 1
    services: list[Service] = []
    for at, count in enumerate(counts):
        asks = {"cpus": rng.randint(0, 6) / 2, "memory": rng.choice([0, 64, 128, 300]) * MIB}
        limit = rng.choice([0, 0, 0, 1, 2])
        services.append(a_service(f"s{at}", count, max_replicas=limit, **asks, **more))
    running: list[Task] = []
    for at in range(rng.randint(0, 4)):
        node, of = rng.choice(own), rng.choice([None, *services])
        fields = {} if of is not None else {"cpus": rng.randint(0, 2) / 2}
        running.append(a_task(f"t{at}", of, node=node.id, slot=90 + at, state=TaskState.RUNNING, **fields))
    desk = Desk(own, services, running, lead=False)
    desk.columns.led(desk.view)
    return desk, counts


def node_cost(view: View, groups: Sequence[Group], node: int, row: Row, objective: str) -> int:
    """What one node costs with these further tasks on it."""
    nodes = view.nodes
    tasks = int(nodes.tasks[node]) + sum(row)
    if objective == "pack":
        return int(tasks > 0)
    if objective == "spread":
        own = (int(nodes.tasks_of(group.service)[node]) + count for group, count in zip(groups, row, strict=True))
        return tasks**2 + sum(number**2 for number in own)
    cost = 0
    for total, free, needs in (
        (nodes.cpu_total[node], nodes.cpu_free[node], [group.reservation.nano_cpus for group in groups]),
        (nodes.memory_total[node], nodes.memory_free[node], [group.reservation.memory_bytes for group in groups]),
    ):
        used = round(1000 * (max(0, int(total - free)) / int(total)))
        parts = (round(1000 * need / int(total)) * count for need, count in zip(needs, row, strict=True))
        cost += (used + sum(parts)) ** 2
    return cost


def rows(view: View, groups: Sequence[Group], node: int, left: Row) -> Iterator[Row]:
    """Every number of tasks of each group that the node could take of those that are left."""
    rooms = [min(int(view.capacity(group)[node]), count) for group, count in zip(groups, left, strict=True)]
    for row in itertools.product(*(range(room + 1) for room in rooms)):
        cpu = sum(group.reservation.nano_cpus * count for group, count in zip(groups, row, strict=True))
        memory = sum(group.reservation.memory_bytes * count for group, count in zip(groups, row, strict=True))
        if (not cpu or cpu <= view.nodes.cpu_free[node]) and (not memory or memory <= view.nodes.memory_free[node]):
            yield row


def brute_force(view: View, groups: Sequence[Group], objective: str) -> tuple[int, int]:
    """(tasks without a node, cost) of the best of all placements; of those that leave the same rest the cheapest."""
    best = {tuple(group.count for group in groups): 0}
    for node in range(len(view.nodes)):
        after: dict[Row, int] = {}
        costs: dict[Row, int] = {}
        for left, spent in best.items():
            for row in rows(view, groups, node, left):
                if row not in costs:
                    costs[row] = node_cost(view, groups, node, row, objective)
                rest = tuple(have - count for have, count in zip(left, row, strict=True))
                cost = spent + costs[row]
                after[rest] = min(cost, after.get(rest, cost))
        best = after
    return min((sum(rest), cost) for rest, cost in best.items())


def worth(view: View, groups: Sequence[Group], plan: Plan, objective: str) -> tuple[int, ...]:
    """(tasks without a node, unevenness over zones where there are preferences, cost) of a plan."""
    counts = {group.id: np.zeros(len(view.nodes), np.int64) for group in groups}
    for placement in plan.placements:
        counts[placement.group][placement.nodes] += placement.counts
    cost = sum(
        node_cost(view, groups, node, tuple(int(counts[group.id][node]) for group in groups), objective)
        for node in range(len(view.nodes))
    )
    zones = 0
    for group in groups:
        if group.preferences:
            held = view.nodes.tasks_of(group.service) + counts[group.id]
            for zone in "ab":
                zones += int(held[view.nodes.label("node.labels.zone") == zone].sum()) ** 2
    return sum(group.count for group in groups) - sum(int(c.sum()) for c in counts.values()), zones, cost


@pytest.mark.slow
@pytest.mark.timeout(280)
@pytest.mark.parametrize("part", range(5))
def test_it_equals_brute_force_on_all_small_cases(part: int) -> None:
    """500 random batches, 100 in each part: up to 8 nodes and 12 tasks; the best value, and the proof of it."""
    for seed in range(100 * part, 100 * part + 100):
        rng = random.Random(seed)
        desk, counts = a_case(rng, 8, 12, 3)
        objective = OBJECTIVES[seed % 3]
        host = HOSTS[objective]
        view = desk.seen(host)
        groups = [view.group_of(f"s{at}", count) for at, count in enumerate(counts)]
        plan, _ = host.place(groups, view)
        unplaced, _, cost = worth(view, groups, plan, objective)
        told = f"seed {seed}, {objective}: {plan}"
        assert (unplaced, cost) == brute_force(view, groups, objective), told
        assert plan.proof is not None, told
        assert (plan.proof.outcome, plan.proof.gap) == ("optimal", 0.0), told
        assert plan.proof.value == (cost if plan.proof.goal == objective else unplaced), told


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("hosts", [HOSTS, HASTY], ids=["enough", "hasty"])
@given(seed=st.integers(0, 10**6), zones=st.booleans())
@settings(max_examples=15, deadline=None)
def test_it_is_never_worse_than_greedy(hosts: dict[str, Host], objective: str, seed: int, zones: bool) -> None:
    """With a budget that is enough and with one that is not; the host checks that the plan fits."""
    more = {"preferences": ("node.labels.zone",)} if zones else {}
    desk, counts = a_case(random.Random(seed), 12, 30 if hosts is HASTY else 14, 4, **more)
    host = hosts[objective]
    view = desk.seen(host)
    groups = [view.group_of(f"s{at}", count) for at, count in enumerate(counts)]
    plan, _ = host.place(groups, view)
    greedy_host = Host.load(GREEDY[objective], strict=True)
    greedy_view = desk.seen(greedy_host)
    for group in groups:
        greedy_view.know(group)
    greedy, _ = greedy_host.place(groups, greedy_view)
    assert worth(view, groups, plan, objective) <= worth(view, groups, greedy, objective), f"seed {seed}"
    assert plan.proof is not None
    assert plan.proof.outcome in ("optimal", "better", "greedy")
    assert plan.proof.bound is None or plan.proof.bound <= plan.proof.value <= plan.proof.start
