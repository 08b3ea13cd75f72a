"""`optimal`: what it finds, what it says of it, and what becomes of a solver that fails."""

import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scheduling import MIB, Desk, a_node, a_service, a_task, tasks_of
from swarmlab_strategies import cpsat, solver

from swarmlab.api import PluginError, TaskState
from swarmlab.plugin import Group, Host, Plan, Proof
from swarmlab.sim import Regret, run_scenario

ROOT = Path(__file__).parents[2]
SPREAD = Host.load("optimal", strict=True)
PACK = Host.load("optimal", parameters={"objective": "pack"}, strict=True)


def four_nodes(host: Host, **more: Any) -> Desk:
    """Four of a (2 CPUs each) and three of b (3 CPUs each): spread leaves two of b without a node."""
    services = [a_service("a", 4, cpus=2, **more), a_service("b", 3, cpus=3, **more)]
    nodes = [
        a_node(f"n{at}", cpus=cpus, labels={"disk": "ssd"} if at == 3 else {}) for at, cpus in enumerate([4, 4, 6, 3])
    ]
    desk = Desk(nodes, services, host=host, lead=False)
    desk.create(*tasks_of(services[0], 4), *tasks_of(services[1], 3))
    return desk.lead()


def event(desk: Desk, name: str) -> dict[str, Any]:
    [record] = [record for record in desk.records if record.name == name]
    return dict(record.fields)


def test_the_whole_batch_is_placed_where_greedy_leaves_tasks_waiting() -> None:
    greedy = four_nodes(Host.load("spread", strict=True))
    assert len(greedy.pending()) == 2
    desk = four_nodes(SPREAD)
    assert desk.pending() == {}
    assert (desk.on("a"), desk.on("b")) == ({"n0": 2, "n1": 2, "n2": 0, "n3": 0}, {"n0": 0, "n1": 0, "n2": 2, "n3": 1})
    assert event(desk, "proof") == {
        "strategy": "optimal",
        "goal": "unplaced",
        "value": 0.0,
        "bound": 0.0,
        "gap": 0.0,
        "start": 2.0,
        "outcome": "optimal",
        "why": "",
    }


def test_explain_tells_how_good_the_plan_was() -> None:
    desk = four_nodes(SPREAD)
    told = desk.scheduler.explain(desk.task("a.01").id, desk.view, desk.now).summary
    assert told.endswith("; the best plan: unplaced 0, greedy 2, bound 0, gap 0.0%")


def test_pack_uses_the_fewest_nodes() -> None:
    """Best fit opens a third node: 3 + 3 fill one, and what is left would need more room than the other has."""
    services = [a_service("a", 2, cpus=2), a_service("b", 2, cpus=3), a_service("c", 1, cpus=2)]
    desk = Desk([a_node(f"n{at}", cpus=6) for at in range(4)], services, host=PACK, lead=False)
    for service in services:
        desk.create(*tasks_of(service, service.spec.replicated.replicas))
    desk.lead()
    assert (desk.pending(), sum(bool(count) for count in desk.on().values())) == ({}, 2)
    assert event(desk, "proof")["bound"] == 2.0


def test_load_evens_out_the_shares() -> None:
    """Six small tasks and two large ones on two nodes: one large and three small ones on each."""
    host = Host.load("optimal", parameters={"objective": "load"}, strict=True)
    services = [a_service("large", 2, cpus=3, memory=512 * MIB), a_service("small", 6, cpus=0.5, memory=128 * MIB)]
    desk = Desk([a_node("n0", cpus=8), a_node("n1", cpus=8)], services, host=host, lead=False)
    desk.create(*tasks_of(services[0], 2), *tasks_of(services[1], 6))
    desk.lead()
    assert (desk.on("large"), desk.on("small")) == ({"n0": 1, "n1": 1}, {"n0": 3, "n1": 3})


def test_scores_of_plugins_count_in_the_objective() -> None:
    web = a_service("web", 1, labels={"swarmlab.prefer": "node.labels.disk == ssd"})
    nodes = [a_node("n0"), a_node("n1", labels={"disk": "ssd"})]
    for weight, chosen in ((1, "n0"), (9, "n1")):
        host = Host.load("optimal", ["prefer"], {"prefer.weight": weight}, strict=True)
        desk = Desk(nodes, web, host=host)
        desk.create(a_task("busy", node="n1", state=TaskState.RUNNING), a_task("t", web))
        assert desk.task("t").node_id == chosen, weight


def test_the_least_of_two_equals_stays_greedy() -> None:
    """Where greedy is as good as can be, its plan is kept as it is, node for node."""
    web = a_service("web", 5)
    for name in ("spread", "optimal"):
        desk = Desk([a_node(f"n{at}") for at in range(3)], web, host=Host.load(name, strict=True))
        desk.create(*tasks_of(web, 5))
        assert desk.on() == {"n0": 2, "n1": 2, "n2": 1}


def test_a_higher_priority_is_placed_first() -> None:
    from msgspec.structs import replace

    services = [a_service("small", 2, cpus=2), a_service("large", 1, cpus=3)]
    desk = Desk(a_node("n0"), services, host=SPREAD, lead=False)
    desk.columns.led(desk.view)
    view = desk.seen()
    small, large = view.group_of("small", 2), view.know(replace(view.group_of("large"), priority=1))
    plan, _ = SPREAD.place([large, small], view)
    assert [(placement.group, placement.total) for placement in plan.placements] == [("large@1", 1)]
    plan, _ = SPREAD.place([replace(large, priority=0), small], view)
    assert [(placement.group, placement.total) for placement in plan.placements] == [("small@1", 2)]


def test_a_batch_that_is_too_large_is_placed_greedily_at_once() -> None:
    web = a_service("web", 8)
    desk = Desk(
        [a_node(f"n{at}") for at in range(3)], web, host=Host.load("optimal", parameters={"cells": 2}, strict=True)
    )
    desk.create(*tasks_of(web, 8))
    assert desk.on() == {"n0": 3, "n1": 3, "n2": 2}
    proof = event(desk, "proof")
    assert (proof["outcome"], proof["bound"], proof["gap"]) == ("greedy", None, None)
    assert proof["why"] == "the batch has 3 numbers to choose, more than cells=2"
    told = desk.scheduler.explain(desk.task("web.01").id, desk.view, desk.now).summary
    assert told.endswith("; the greedy plan: the batch has 3 numbers to choose, more than cells=2")


def test_many_equal_nodes_are_one_class() -> None:
    """2,000 nodes of two kinds, three tasks: six numbers to choose."""
    web = a_service("web", 3, cpus=1)
    nodes = [a_node(f"n{at:05}", cpus=4 + at % 2) for at in range(2000)]
    host = Host.load("optimal", parameters={"cells": 6}, strict=True)
    desk = Desk(nodes, web, host=host)
    desk.create(*tasks_of(web, 3))
    assert desk.pending() == {}
    assert event(desk, "proof")["outcome"] == "optimal"


def test_a_greedy_plan_that_reaches_the_bound_asks_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Even numbers, and the one node that is enough, are known to be the best without any search."""
    monkeypatch.setattr(solver, "PROGRAM", program(tmp_path, "sys.exit(1)"))
    for objective, value in (("spread", 2 * (4 + 4 + 1)), ("pack", 2)):
        web = a_service("web", 5, cpus=1)
        host = Host.load("optimal", parameters={"objective": objective}, strict=True)
        desk = Desk([a_node(f"n{at}") for at in range(3)], web, host=host, lead=False)
        desk.create(*tasks_of(web, 5))
        desk.lead()
        proof = event(desk, "proof")
        assert (proof["goal"], proof["value"], proof["bound"], proof["outcome"]) == (objective, value, value, "optimal")


def test_out_of_budget_is_the_greedy_answer_marked_so() -> None:
    services = [a_service(f"s{at}", 9, cpus=1 + at % 3, memory=(90 + 37 * at) * MIB) for at in range(5)]
    nodes = [a_node(f"n{at}", cpus=5 + at % 7, memory=(900 + 61 * at) * MIB) for at in range(12)]
    host = Host.load("optimal", parameters={"objective": "load", "effort": 1e-6}, strict=True)
    desk = Desk(nodes, services, host=host, lead=False)
    for service in services:
        desk.create(*tasks_of(service, 9))
    desk.lead()
    proof = event(desk, "proof")
    assert (proof["outcome"], proof["why"]) in (("greedy", "the budget ran out"), ("better", "the budget ran out"))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"objective": "best"}, "objective is 'best', wanted spread, pack, load"),
        ({"effort": 0}, "effort is 0, wanted more than 0"),
        ({"seed": -1}, "seed is -1, wanted 0 to 2147483647"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        Host.load("optimal", parameters=parameters)


def test_without_or_tools_choosing_it_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PluginError, match=r"optimal.*needs OR-Tools, which is not installed: pip install"):
        Host.load("optimal")


def test_or_tools_is_never_imported_here() -> None:
    """Neither where it is not chosen, nor where it is: the solver is another process."""
    code = (
        "import sys; from swarmlab.plugin import Host; Host.load('spread').strategies(); Host.load('optimal'); "
        "print(sorted(name for name in sys.modules if name.startswith('ortools')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "[]\n"


def placed(host: Host) -> tuple[Plan, str]:
    """A batch that has to be searched: even numbers would not fit."""
    desk = Desk([a_node("n0", cpus=1), a_node("n1")], a_service("web", 4, cpus=1), lead=False)
    desk.columns.led(desk.view)
    view = desk.seen(host)
    plan, strategy = host.place([view.group_of("web", 4)], view)
    return plan, strategy.name


def program(tmp_path: Path, body: str) -> Path:
    file = tmp_path / "program.py"
    file.write_text(f"import sys, time\nfor line in sys.stdin:\n    {body}\n")
    return file


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("time.sleep(600)", "its solver gave no answer: nothing came for 0.2 s"),
        ("sys.exit(3)", "its solver gave no answer: it ended"),
        ("print('nonsense', flush=True)", "its solver gave no answer: Expecting value"),
        ("""print('{"error":"no memory"}', flush=True)""", "its solver failed: no memory"),
    ],
)
def test_a_solver_that_fails_is_named_and_the_fallback_places(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str, message: str
) -> None:
    monkeypatch.setattr(solver, "PROGRAM", program(tmp_path, body))
    if "sleep" in body:
        monkeypatch.setattr(solver, "PATIENCE", 0.2)
    with pytest.raises(PluginError, match=message):
        placed(Host.load("optimal", strict=True))
    live = Host.load("optimal")
    plan, name = placed(live)
    assert (sum(placement.total for placement in plan.placements), name) == (4, "spread")
    [fault] = live.take_faults()
    assert (fault.plugin, message in str(fault)) == ("optimal", True)


def test_after_a_failure_there_is_a_new_solver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(solver, "PROGRAM", program(tmp_path, "sys.exit(1)"))
        host = Host.load("optimal", strict=True)
        with pytest.raises(PluginError):
            placed(host)
    plan, name = placed(host)
    assert (plan.proof is not None and plan.proof.outcome, name) == ("optimal", "optimal")


def test_a_proof_with_numbers_that_cannot_be_is_refused() -> None:
    from swarmlab.plugin import ClusterView, Strategy

    class Boaster(Strategy):
        """Claims too much."""

        name = "boaster"

        def place(self, groups: Any, view: ClusterView) -> Plan:
            return Plan(proof=Proof(goal="all", value=1.0, start=2.0, bound=1.5))

    with pytest.raises(PluginError, match=r"its proof of all has bound 1.5, value 1.0 and start 2.0"):
        placed(Host(Boaster(), strict=True))


def test_the_regret_of_another_strategy(tmp_path: Path) -> None:
    """Spread leaves two tasks without a node that the best plan places."""
    spread = Host.load("spread", strict=True)
    desk = four_nodes(spread)
    fresh = Desk(
        [desk.view.node(f"n{at}") for at in range(4)],
        [a_service("a", 4, cpus=2), a_service("b", 3, cpus=3)],
        lead=False,
    )
    fresh.columns.led(fresh.view)
    view = fresh.seen(spread)
    groups: list[Group] = [view.group_of("a", 4), view.group_of("b", 3)]
    plan, _ = spread.place(groups, view)
    proof = SPREAD.strategy.judge(plan, groups, view, "spread")
    assert proof == Proof(goal="unplaced", value=0.0, start=2.0, bound=0.0)
    assert (proof.regret, proof.gap) == (2.0, 0.0)
    assert spread.strategy.judge(plan, groups, view, "spread") is None


def test_a_host_with_a_yardstick_keeps_what_it_says_of_each_plan() -> None:
    """Of binpack's plan too, whose own scores do not count; what is too large is known to be unknown."""
    host = Host.load("binpack", strict=True, yardstick="optimal", measure={"objective": "pack", "cells": 3})
    for nodes in (3, 4):
        services = [a_service("a", 1, cpus=1)]
        desk = Desk([a_node(f"n{at}", cpus=2 + at) for at in range(nodes)], services, host=host)
        desk.create(*tasks_of(services[0], 1))
    best, unknown = host.proofs
    assert best == Proof(goal="pack", value=1.0, start=1.0, bound=1.0)
    assert unknown is not None
    assert (unknown.goal, unknown.outcome, unknown.gap) == ("not searched", "greedy", None)


def test_the_sum_of_what_a_yardstick_said() -> None:
    proofs = [
        Proof(goal="spread", value=10, start=14, bound=10),
        Proof(goal="spread", value=10, start=11, bound=9, outcome="better"),
        Proof(goal="unplaced", value=0, start=2, bound=0),
        Proof(goal="spread", value=5, start=5, bound=5),
        Proof(goal="spread", value=5, start=5, bound=4, outcome="greedy"),
        Proof(goal="not searched", value=0, start=0, outcome="greedy"),
        None,
    ]
    assert Regret.of("spread", proofs) == Regret(
        objective="spread", plans=7, judged=5, best=1, regret={"spread": 5.0, "unplaced": 2.0}, worst=2.0
    )
    assert Regret.of("pack", []).worst == 0.0


def test_a_yardstick_that_fails_is_a_fault_and_the_plan_stands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(solver, "PROGRAM", program(tmp_path, "sys.exit(3)"))
    host = Host.load("spread", yardstick="optimal")
    plan, name = placed(host)
    assert (sum(placement.total for placement in plan.placements), name, host.proofs) == (4, "spread", [])
    assert [(fault.plugin, fault.hook) for fault in host.take_faults()] == [("optimal", "place")]


def test_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    """Two runs under other hash seeds, and one in this process."""
    scenario = ROOT / "examples/scenarios/rejoin.yml"
    hashes = []
    for seed in ("1", "2"):
        log = tmp_path / f"log{seed}"
        code = (
            "import sys; from pathlib import Path; from swarmlab.sim import Regret, run_scenario; "
            "run_scenario(Path(sys.argv[1]), 'optimal', 5, Path(sys.argv[2]))"
        )
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", code, str(scenario), str(log)], check=True, env=environment, timeout=240)
        hashes.append(hashlib.sha256(log.read_bytes()).hexdigest())
    assert b'"proof"' in log.read_bytes()
    assert hashes == [run_scenario(scenario, "optimal", 5).log_sha256] * 2


def a_problem(**parts: Any) -> dict[str, Any]:
    """Two tasks of one group, two places with room for two each; even numbers are best."""
    squares = [(1, 0, [(0, 0, 1)]), (1, 0, [(0, 1, 1)])]
    goal = {"name": "even", "least": None, "constant": 0, "linear": [], "squares": squares, "used": []}
    unplaced = {
        **goal,
        "name": "unplaced",
        "least": 0,
        "constant": 2,
        "linear": [(0, 0, -1), (0, 1, -1)],
        "squares": [],
    }
    problem = {"count": [2], "room": [[2, 2]], "need": [[3]], "free": [[6], [6]], "limits": [], "chains": []}
    return {**problem, "goals": [unplaced, goal], "start": [[2, 0]], "effort": 5, "seed": 0, **parts}


def test_goal_after_goal() -> None:
    assert cpsat.solved(a_problem()) == {
        "counts": [[1, 1]],
        "goals": [{"value": 0, "bound": 0, "proven": True}, {"value": 2, "bound": 2, "proven": True}],
    }


def test_what_cannot_be_is_told() -> None:
    """The numbers to begin with would take more than there is, and no others place as many tasks."""
    short = a_problem(free=[[3], [0]])
    short["goals"][0]["least"] = 3
    assert cpsat.solved(short) == {"counts": None, "goals": []}


def test_limits_bind_groups_together() -> None:
    problem = a_problem(count=[1, 1], room=[[1, 0], [1, 1]], need=[[0], [0]], limits=[([0, 1], [1, 1])])
    problem["goals"] = [{**problem["goals"][0], "linear": [(0, 0, -1), (1, 0, -1), (1, 1, -1)]}]
    problem["start"] = [[0, 0], [1, 0]]
    assert cpsat.solved(problem)["counts"] == [[1, 0], [0, 1]]


def test_wide_squares_are_exact_too() -> None:
    """A load of 900 and one of 0, and six tasks of 301: the middle is not between the tangents' points by chance."""
    squares = [(1, 900, [(0, 0, 301)]), (1, 0, [(0, 1, 301)])]
    problem = a_problem(count=[6], room=[[6, 6]], need=[[0]], start=[[6, 0]])
    unplaced, even = problem["goals"]
    problem["goals"] = [{**unplaced, "constant": 6}, {**even, "squares": squares}]
    costs = {left: (900 + 301 * left) ** 2 + (301 * (6 - left)) ** 2 for left in range(7)}
    best = min(costs, key=costs.__getitem__)
    assert cpsat.solved(problem)["counts"] == [[best, 6 - best]]
    assert cpsat.solved(problem)["goals"][1]["value"] == costs[best]


def test_the_program_answers_line_by_line_and_names_errors(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [json.dumps(a_problem()), "{}", json.dumps(a_problem())]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines)))
    cpsat.main()
    first, second, third = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == third == cpsat.solved(a_problem())
    assert second == {"error": "KeyError: 'start'"}


def test_hosts_one_after_the_other_share_a_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    """A solver costs a second to start; what ran for one strategy serves the next, and never two at a time."""
    placed(Host.load("optimal", strict=True))
    started: list[object] = []
    monkeypatch.setattr("subprocess.Popen", lambda *words, **options: started.append(words))
    for _ in range(3):
        assert placed(Host.load("optimal", strict=True))[1] == "optimal"
    assert started == []
    [idle] = solver._IDLE
    assert idle.ready
    monkeypatch.setattr("os.getpid", lambda: 1)
    assert not idle.ready, "a fork must not talk into the pipes of its parent"
