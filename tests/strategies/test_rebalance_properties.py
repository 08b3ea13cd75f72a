"""What holds for every cluster: fewest moves, level as far as there is room, room at every step, calm afterwards."""

import random

import pytest
from plain_view import PlainNode, PlainService, PlainView, cluster
from swarmlab_strategies.rebalance import Rebalance

from swarmlab.plugin import Moves, ServiceId, Trigger

JOIN = Trigger("join")


def fewest(have: list[int]) -> int:
    """The least number of moves to level equal tasks: every node ends at the mean, rounded down or up."""
    floor, more = divmod(sum(have), len(have))
    targets = [floor + (place < more) for place in range(len(have))]
    return sum(max(0, number - target) for number, target in zip(sorted(have, reverse=True), targets, strict=True))


def equal_tasks(rng: random.Random) -> PlainView:
    """Any number of nodes, some of them closed or unfit, and services that fit everywhere else."""
    count = rng.randint(1, 12)
    nodes = [
        PlainNode(f"n{n:02}", labels={"disk": rng.choice(["ssd", "hdd"])}, ready=rng.random() < 0.85)
        for n in range(count)
    ]
    services = []
    for number in range(rng.randint(1, 4)):
        needs = {"disk": "ssd"} if rng.random() < 0.3 else {}
        fit = [not needs or node.labels == needs for node in nodes]
        counts = [rng.choice([0, 0, 1, 2, rng.randint(0, 9)]) * at for at in fit]
        labels = {"swarmlab.rebalance": "never"} if rng.random() < 0.2 else {}
        services.append((PlainService(f"s{number}", sum(counts), needs=needs, labels=labels), counts))
    return cluster(nodes, *services)


@pytest.mark.parametrize("batch", range(10))
def test_equal_tasks_are_levelled_with_the_least_number_of_moves(batch: int) -> None:
    """1,000 random clusters in ten batches; a second run moves nothing."""
    for case in range(100):
        view = equal_tasks(random.Random(batch * 100 + case))
        moves = Rebalance().rebalance(view, JOIN)
        after = view.moved(moves)
        bound = 0
        for name, service in view.own_services.items():
            inside = [
                at
                for at, node in enumerate(view.own_nodes)
                if node.ready and all(node.labels.get(key) == value for key, value in service.needs.items())
            ]
            before, then = ([state.counts(name)[at] for at in inside] for state in (view, after))
            closed = [at for at in range(len(view.own_nodes)) if at not in inside]
            assert all(view.counts(name)[at] == after.counts(name)[at] for at in closed)
            mine = [move for move in moves.moves if view.task(move.task).service == name]
            if service.labels or service.replicas < 2 or not inside:
                assert not mine
                assert bool(inside and service.replicas > 1 and fewest(before)) == any(
                    kept.service == name for kept in moves.kept
                )
                continue
            assert len(mine) == fewest(before), (case, before)
            assert max(then) - min(then) <= 1
            bound += fewest(before)
        assert moves.bound == len(moves.moves) == bound
        assert Rebalance().rebalance(after, JOIN).moves == ()


def tight(rng: random.Random) -> PlainView:
    """Little room, several services that compete for it, host ports and limits per node."""
    nodes = [PlainNode(f"n{n}", cpus=rng.randint(2, 12)) for n in range(rng.randint(2, 7))]
    services: list[tuple[PlainService, list[int]]] = []
    free = [node.cpus for node in nodes]
    for number in range(rng.randint(1, 5)):
        cost = rng.randint(1, 4)
        limit = rng.choice([0, 0, 1, 2, 3])
        port = 8080 + number if rng.random() < 0.2 else 0
        counts = []
        for at in range(len(nodes)):
            most = min(free[at] // cost, limit or 99, 1 if port else 99)
            counts.append(rng.randint(0, most) if rng.random() < 0.7 else 0)
            free[at] -= counts[-1] * cost
        services.append((PlainService(f"s{number}", sum(counts), cost, limit, port), counts))
    return cluster(nodes, *services)


def assert_room_at_every_step(view: PlainView, moves: Moves) -> None:
    """The new task starts while the old one runs, then the old one goes; nothing is ever over what a node has."""
    where = {task.id: task.node_id for task in view.own_tasks.values()}
    spec = {task.id: view.own_services[task.service] for task in view.own_tasks.values()}
    sizes = {node.name: node.cpus for node in view.own_nodes}

    def assert_fits(node: str, extra: str = "") -> None:
        there = [task for task, at in where.items() if at == node] + ([extra] if extra else [])
        assert sum(spec[task].cpus for task in there) <= sizes[node]
        for service in {spec[task].name for task in there}:
            own = [task for task in there if spec[task].name == service]
            assert not spec[own[0]].max_replicas or len(own) <= spec[own[0]].max_replicas
            assert not spec[own[0]].port or len(own) == 1

    for move in moves.moves:
        assert where[move.task] != move.to
        assert_fits(move.to, move.task)
        where[move.task] = move.to
        assert_fits(move.to)


@pytest.mark.parametrize("batch", range(10))
def test_there_is_room_at_every_step_and_nothing_more_to_gain(batch: int) -> None:
    for case in range(100):
        view = tight(random.Random(10_000 + batch * 100 + case))
        moves = Rebalance().rebalance(view, JOIN)
        assert_room_at_every_step(view, moves)
        assert len({move.task for move in moves.moves}) == len(moves.moves)
        after = view.moved(moves)
        for name, service in view.own_services.items():
            if service.replicas < 2:
                continue
            counts = after.counts(name)
            room = after.capacity(after.group_of(ServiceId(name), 99)).tolist()
            gain = [at for at in range(len(counts)) if room[at] and counts[at] <= max(counts) - 2]
            waits = any(kept.service == name and "before other tasks" in kept.reason for kept in moves.kept)
            assert not gain or waits, (batch, case, name, counts, room)
        assert Rebalance().rebalance(after, JOIN).moves == (), (batch, case)


def test_the_same_cluster_gives_the_same_moves() -> None:
    for case in range(50):
        first = Rebalance().rebalance(tight(random.Random(case)), JOIN)
        assert first == Rebalance().rebalance(tight(random.Random(case)), JOIN)
