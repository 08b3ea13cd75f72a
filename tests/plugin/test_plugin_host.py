"""The host: every hook asked, every answer checked and named, every fault contained or raised."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scheduling import Desk, Later, a_node, a_service, a_task, tasks_of

from swarmlab.api import MILLISECOND, Annotations, ServiceId, Task, TaskState
from swarmlab.plugin import (
    ClusterView,
    Decision,
    Group,
    Host,
    Moves,
    NodeTable,
    Option,
    Placement,
    Plan,
    PluginError,
    Refusals,
    Scores,
    Strategy,
    Term,
    Terms,
    Trigger,
    hookimpl,
    hookspecs,
    merged,
)
from swarmlab.plugin.loading import Catalog, installed

WEB = a_service("web", 3, cpus=1)
ROOT = Path(__file__).parents[2]


class Plain(Strategy):
    """Best first by no score at all: by id."""

    name = "plain"


def plugin(**hooks: Callable[..., Any]) -> Any:
    """A plugin with these hooks, written without their prefix."""
    return SimpleNamespace(**{f"swarmlab_{name}": hookimpl(function) for name, function in hooks.items()})


def a_host(strategy: Strategy | None = None, strict: bool = True, **plugins: Any) -> Host:
    return Host(strategy or Plain(), plugins, strict=strict, fallback=None if strict else Plain())


def a_view(host: Host, *, nodes: int = 3) -> ClusterView:
    desk = Desk([a_node(f"n{number}") for number in range(nodes)], WEB, host=host, lead=False)
    desk.columns.led(desk.view)
    return desk.seen()


SHIPPED = ["balanced", "binpack", "dotproduct", "least-allocated", "optimal", "random", "rebalance", "spread"]


def flags(*values: int) -> np.ndarray:
    return np.array(values, np.bool_)


# One test for each hook


def test_swarmlab_register_strategies() -> None:
    assert set(installed().strategies) == set(SHIPPED)
    names = [info.name for info in Host.load("binpack", strict=True).strategies()]
    assert names == SHIPPED


def test_swarmlab_register_plugins() -> None:
    assert set(installed().plugins) == {"affinity", "decisions", "flapping", "prefer"}


def test_swarmlab_add_options() -> None:
    own = plugin(add_options=lambda: [Option("size", 3, "how many"), Option("on", False)])
    host = Host(Plain(), {"own": own}, parameters={"own.size": "7"}, strict=True)
    assert host.options == {"own.size": 7, "own.on": False}


def test_swarmlab_filter() -> None:
    host = a_host(
        first=plugin(filter=lambda group, nodes: Refusals(flags(1, 0, 0), f"no {group.service_name} here")),
        second=plugin(filter=lambda view: [Refusals(flags(0, 0, 1), "two"), Refusals(flags(0, 0, 0), "nobody")]),
        third=plugin(filter=lambda: None),
    )
    view = a_view(host)
    group = view.group_of(WEB.id)
    assert [(found.plugin, found.reason, found.mask.tolist()) for found in view.refusals(group)] == [
        ("first", "no web here", [True, False, False]),
        ("second", "two", [False, False, True]),
    ]
    assert view.capacity(group).tolist() == [0, 1, 0]


def test_swarmlab_score() -> None:
    host = a_host(
        first=plugin(score=lambda nodes: Scores(np.linspace(0.0, 1.0, len(nodes)), 2.0)),
        second=plugin(score=lambda options: None),
        third=plugin(score=lambda: Scores(np.array([1, 1, 0], np.int32))),
    )
    view = a_view(host)
    group = view.group_of(WEB.id)
    assert [(part.plugin, part.weight) for part in view.score_parts(group)] == [("first", 2.0), ("third", 1.0)]
    assert view.scores(group).tolist() == [1.0, 2.0, 2.0]


def test_swarmlab_affinity() -> None:
    term = Term(service="db", avoid=True)
    host = a_host(own=plugin(affinity=lambda group: Terms((term,)) if group.service_name == "web" else None))
    view = a_view(host)
    assert host.has_affinity
    assert host.affinity(view.group_of(WEB.id), view) == (("own", term),)


def test_swarmlab_observe() -> None:
    told: list[tuple[Decision, Mapping[str, Any]]] = []
    own = plugin(
        observe=lambda decision, options: told.append((decision, options)), add_options=lambda: [Option("x", 1)]
    )
    desk = Desk([a_node("n0", cpus=2)], WEB, host=Host(Plain(), {"own": own}, strict=True))
    desk.create(*tasks_of(WEB, 3))
    placed, pending = (decision for decision, _ in told)
    assert (placed.strategy, placed.group, placed.service, placed.service_name) == ("plain", "web@1", "web", "web")
    assert (placed.version, placed.at, placed.spec_version) == (3, desk.now, 1)
    assert placed.placed == (("web.01", "n0"), ("web.02", "n0"))
    assert (pending.placed, pending.pending) == ((), ("web.03",))
    assert pending.shortages[0].text == "insufficient resources on 1 node"
    assert told[0][1] == {"own.x": 1}


def test_observers_do_not_hear_of_what_was_refused() -> None:
    told: list[Decision] = []
    proposer = Later()
    host = a_host(own=plugin(observe=lambda decision: told.append(decision)))
    desk = Desk([a_node("n0")], host=host, proposer=proposer, debounce=MILLISECOND)
    desk.create(a_task("a"), a_task("b"))
    proposer.at_once = False
    desk.change(Task, "a", annotations=Annotations("renamed"))
    desk.pass_time(MILLISECOND)
    proposer.answer()
    assert told == [], "the assignment of b is still under way"
    proposer.answer()
    assert [decision.placed for decision in told] == [(("b", "n0"),)]


HOOKS = sorted(name for name in vars(hookspecs) if name.startswith("swarmlab_"))


def test_each_hook_has_a_test_of_its_name() -> None:
    assert [name for name in HOOKS if f"test_{name}" not in globals()] == []


@pytest.mark.parametrize("hook", HOOKS)
def test_the_readme_names_each_hook_with_its_signature(hook: str) -> None:
    arguments = ", ".join(inspect.signature(getattr(hookspecs, hook)).parameters)
    assert f"`{hook}({arguments})`" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("hook", HOOKS)
def test_each_hook_has_a_shipped_user(hook: str) -> None:
    files = [*(ROOT / "plugins").glob("*.py"), *(ROOT / "strategies").glob("*.py")]
    assert any(f"def {hook}(" in file.read_text() for file in files)


# Answers that break the contract, each with the name of who gave it


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda: 7, "bad: swarmlab_filter: gave of the type int, wanted Refusals"),
        (lambda: Refusals(np.zeros(2, np.bool_), "x"), "its mask has the shape (2,), wanted (3,)"),
        (lambda: Refusals(np.zeros(3), "x"), "its mask has the type float64, wanted bool"),
        (lambda: Refusals([True], "x"), "its mask is of the type list, wanted an array"),  # type: ignore[arg-type]
        (lambda: Refusals(flags(1, 0, 0), " "), "gave no reason for its refusals"),
        (lambda: Refusals(flags(1, 0, 0), "x", need=np.zeros(3)), "its column 'need' has the type float64"),  # type: ignore[arg-type]
        (lambda: Refusals(flags(1, 0, 0), "x", have=np.zeros(1, np.int64)), "its have has the shape (1,)"),
        (lambda: {}["x"], "bad: swarmlab_filter: raised KeyError: 'x' (test_plugin_host.py, line"),
        (lambda nodes: nodes.cpu_free.__setitem__(0, 1), "ValueError: assignment destination is read-only"),
    ],
)
def test_bad_refusals(answer: Callable[..., Any], message: str) -> None:
    view = a_view(a_host(bad=plugin(filter=answer)))
    with pytest.raises(PluginError) as caught:
        view.refusals(view.group_of(WEB.id))
    assert message in str(caught.value)
    assert (caught.value.plugin, caught.value.hook) == ("bad", "swarmlab_filter")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda: np.ones(3), "gave an array of float64 of shape (3,), wanted Scores"),
        (lambda: Scores(np.ones(4)), "its scores has the shape (4,), wanted (3,): one entry per node"),
        (lambda: Scores(np.array([0.5, np.nan, 1.0])), "its score of node 1 of 3 is nan, wanted 0.0 to 1.0"),
        (lambda: Scores(np.array([0.5, 0.5, 1.5])), "its score of node 2 of 3 is 1.5, wanted 0.0 to 1.0"),
        (lambda: Scores(np.array([-0.5, 0.5, 1.0])), "its score of node 0 of 3 is -0.5"),
        (lambda: Scores(np.array(["a", "b", "c"])), "its scores have the type <U1, wanted floats"),  # type: ignore[arg-type]
        (lambda: Scores(np.ones(3), -1.0), "its weight is -1.0, wanted a number >= 0"),
        (lambda: Scores(np.ones(3), float("nan")), "its weight is nan"),
        (lambda: Scores(np.ones(3), "2"), "its weight is '2'"),  # type: ignore[arg-type]
        (lambda: 1 / 0, "raised ZeroDivisionError: division by zero"),
    ],
)
def test_bad_scores(answer: Callable[..., Any], message: str) -> None:
    view = a_view(a_host(bad=plugin(score=answer)))
    with pytest.raises(PluginError) as caught:
        view.scores(view.group_of(WEB.id))
    assert message in str(caught.value)
    assert (caught.value.plugin, caught.value.hook) == ("bad", "swarmlab_score")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda: [Term(service="x", avoid=True)], "gave of the type list, wanted Terms"),
        (lambda: Terms(("x",)), "has a term that is of the type str, wanted Term"),  # type: ignore[arg-type]
        (lambda: Terms((Term(service="x", avoid=True, hard=False, weight=-1.0),)), "the weight of a term is -1.0"),
        (lambda: Terms((Term(service="x", node="y", avoid=True),)), "a term with service and node, wanted one of them"),
        (lambda: Terms((Term(service="x", avoid=False, most=2),)), "a term with most=2, wanted 1 or more, and avoid"),
        (
            lambda: Terms((Term(service="x", avoid=True, otherwise=("y",)),)),  # type: ignore[arg-type]
            "has a choice that is of the type str, wanted Term",
        ),
    ],
)
def test_bad_terms(answer: Callable[..., Any], message: str) -> None:
    with pytest.raises(PluginError, match="bad: swarmlab_affinity") as caught:
        a_view(a_host(bad=plugin(affinity=answer)))
    assert message in str(caught.value)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


class Answering(Strategy):
    """Gives what it was made with."""

    name = "answering"

    def __init__(self) -> None:
        self.plan: Any = Plan()
        self.moves: Any = Moves()
        self.values: Any = None
        self.stands: Any = None

    def place(self, groups: Sequence[Group], view: ClusterView) -> Any:
        return self.plan() if callable(self.plan) else self.plan

    def rebalance(self, view: ClusterView, trigger: Trigger) -> Any:
        return self.moves

    def score(self, group: Group, nodes: NodeTable, view: ClusterView) -> Any:
        return self.values

    def standing(self, group: Group, view: ClusterView) -> Any:
        return self.stands


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (None, "answering: place: gave None, wanted Plan"),
        (Plan((7,)), "has a placement that is of the type int"),  # type: ignore[arg-type]
        (Plan((Placement("other@1", ints(0), ints(1)),)), "places the group 'other@1', which it was not given"),
        (Plan((Placement("web@1", ints(3), ints(1)),)), "nodes that are not ascending numbers from 0 to 2"),
        (Plan((Placement("web@1", ints(-1), ints(1)),)), "nodes that are not ascending numbers"),
        (Plan((Placement("web@1", ints(1, 1), ints(1, 1)),)), "nodes that are not ascending numbers"),
        (Plan((Placement("web@1", ints(0, 1), ints(1)),)), "has 2 nodes and 1 counts"),
        (Plan((Placement("web@1", ints(0), ints(0)),)), "gives 0 tasks to a node, wanted 1 or more"),
        (Plan((Placement("web@1", np.array([0.0]), ints(1)),)), "nodes that are an array of float64"),  # type: ignore[arg-type]
        (Plan((Placement("web@1", ints(0), ints(4)),)), "places 1 tasks too many of the group web@1"),
        (
            Plan((Placement("web@1", ints(0), ints(2)), Placement("big@1", ints(0), ints(1)))),
            "its plan does not fit: 1 tasks of the group big@1 on node n0, which can take 0",
        ),
        (lambda: [][1], "raised IndexError: list index out of range"),
    ],
)
def test_bad_plans(plan: Any, message: str) -> None:
    strategy = Answering()
    strategy.plan = plan
    host = a_host(strategy)
    big = a_service("big", cpus=3)
    desk = Desk([a_node(f"n{number}") for number in range(3)], [WEB, big], host=host, lead=False)
    desk.columns.led(desk.view)
    view = desk.seen()
    groups = [view.group_of(WEB.id, 3), view.group_of(big.id, 1)]
    with pytest.raises(PluginError) as caught:
        host.place(groups, view)
    assert message in str(caught.value)
    assert (caught.value.plugin, caught.value.hook) == ("answering", "place")


def test_a_placement_of_nothing_is_no_fault() -> None:
    strategy = Answering()
    strategy.plan = Plan((Placement("web@1", ints(), ints()),))
    host = a_host(strategy)
    view = a_view(host)
    assert host.place([view.group_of(WEB.id, 3)], view)[0].placements[0].total == 0


def test_bad_moves() -> None:
    from swarmlab.plugin import Move

    strategy = Answering()
    host = a_host(strategy)
    desk = Desk([a_node("n0"), a_node("n1")], WEB, host=host, lead=False)
    desk.create(a_task("t", WEB, node="n0", state=TaskState.RUNNING), a_task("new", WEB, state=TaskState.NEW))
    desk.columns.led(desk.view)
    view = desk.seen()
    trigger = Trigger("manual")
    fine = Moves(moves=(Move("t", "n1", "why not"),), bound=1)  # type: ignore[arg-type]
    strategy.moves = fine
    assert host.rebalance(view, trigger) is fine
    for bad, message in [
        (None, "gave None, wanted Moves"),
        (Moves(moves=(Move("new", "n1", ""),)), "moves the task 'new', which is on no node"),  # type: ignore[arg-type]
        (Moves(moves=(Move("gone", "n1", ""),)), "moves the task 'gone'"),  # type: ignore[arg-type]
        (Moves(moves=(Move("t", "n7", ""),)), "to 'n7', which is no node"),  # type: ignore[arg-type]
        (Moves(moves=(Move("t", "n1", ""), Move("t", "n0", ""))), "moves the task t twice"),  # type: ignore[arg-type]
        (Moves(imbalance_after=float("nan")), "imbalance_after is nan"),
    ]:
        strategy.moves = bad
        with pytest.raises(PluginError) as caught:
            host.rebalance(view, trigger)
        assert message in str(caught.value)
        assert (caught.value.plugin, caught.value.hook) == ("answering", "rebalance")


def test_a_bad_standing_costs_the_explanation_alone() -> None:
    strategy = Answering()
    strategy.stands = np.array([np.nan, 1.0, 2.0])
    strict, live = a_host(strategy), a_host(strategy, strict=False)
    view = a_view(strict)
    group = view.group_of(WEB.id)
    with pytest.raises(PluginError, match="has entries that are no numbers"):
        strict.standing(strategy, group, view)
    assert live.standing(strategy, group, view) is None
    assert live.standing(strategy, group, view) is None
    assert [fault.hook for fault in live.take_faults()] == ["standing"]


# What a live host makes of faults


def test_a_live_host_goes_on_without_a_faulty_plugin_and_asks_it_again_next_time() -> None:
    calls: list[int] = []

    def bad(nodes: NodeTable) -> Refusals:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("not today")
        return Refusals(np.ones(len(nodes), np.bool_), "closed")

    host = a_host(None, strict=False, bad=plugin(filter=bad), good=plugin(filter=lambda: None))
    desk = Desk([a_node("n0")], WEB, host=host)
    desk.create(a_task("a", WEB), a_task("b"))
    assert [desk.task(name).node_id for name in "ab"] == ["n0", "n0"]
    assert len(calls) == 1, "not asked again in the same round"
    assert [record.name for record in desk.records] == ["plugin-failed", "placed", "placed"]
    assert "bad: swarmlab_filter: raised RuntimeError: not today" in desk.records[0].fields["error"]
    desk.create(a_task("c", WEB))
    assert desk.pending() == {"c": "no suitable node (closed on 1 node)"}


def test_a_live_host_falls_back_when_the_strategy_fails_and_keeps_what_both_agree_on() -> None:
    strategy = Answering()
    strategy.plan = lambda: [][1]
    host = a_host(strategy, strict=False)
    view = a_view(host)
    plan, by = host.place([view.group_of(WEB.id, 3)], view)
    assert (by.name, sum(placement.total for placement in plan.placements)) == ("plain", 3)
    (fault,) = host.take_faults()
    assert (fault.plugin, fault.hook) == ("answering", "place")
    assert host.take_faults() == ()


def test_a_live_host_takes_the_fall_back_when_the_score_of_the_strategy_fails() -> None:
    """Without its score every node looked the same, and all tasks went to the first one."""

    class Blind(Strategy):
        name = "blind"

        def score(self, group: Group, nodes: NodeTable, view: ClusterView) -> Scores | None:
            raise RuntimeError("cannot see")

    host = Host(Blind(), fallback=Plain())
    view = a_view(host)
    plan, by = host.place([view.group_of(WEB.id, 3)], view)
    assert (by.name, sum(placement.total for placement in plan.placements)) == ("plain", 3)
    assert [(fault.plugin, fault.hook) for fault in host.take_faults()] == [("blind", "score")]


def test_a_live_host_places_nothing_when_the_fall_back_fails_too() -> None:
    class Worse(Answering):
        name = "worse"

    first, second = Answering(), Worse()
    first.plan = second.plan = None
    host = Host(first, fallback=second)
    view = a_view(host)
    assert host.place([view.group_of(WEB.id, 3)], view) == (Plan(), first) or host.take_faults()
    desk = Desk([a_node("n0")], WEB, host=Host(first, fallback=second))
    desk.create(a_task("t", WEB))
    assert desk.pending() == {"t": "no suitable node (strategy answering held it back)"}
    assert [record.fields["plugin"] for record in desk.records if record.name == "plugin-failed"] == [
        "answering",
        "worse",
    ]


def test_a_live_host_moves_nothing_when_the_strategy_fails() -> None:
    strategy = Answering()
    strategy.moves = None
    host = a_host(strategy, strict=False)
    assert host.rebalance(a_view(host), Trigger("manual")) == Moves()
    assert [fault.hook for fault in host.take_faults()] == ["rebalance"]


def test_an_observer_that_fails_changes_nothing_but_is_named() -> None:
    def bad(decision: Decision) -> None:
        raise OSError("disk full")

    desk = Desk([a_node("n0")], WEB, host=a_host(None, strict=False, bad=plugin(observe=bad)))
    desk.create(a_task("t", WEB))
    assert desk.task("t").node_id == "n0"
    assert [record.name for record in desk.records] == ["placed", "plugin-failed"]
    strict = Desk([a_node("n0")], WEB, host=a_host(bad=plugin(observe=bad)))
    with pytest.raises(PluginError, match="disk full"):
        strict.create(a_task("t", WEB))


def test_a_fault_of_a_hook_under_a_strategy_keeps_the_name_of_the_plugin() -> None:
    """Strict: not "the strategy raised", although it was the strategy that asked."""
    host = a_host(None, strict=True, bad=plugin(score=lambda: 1 / 0))
    view = a_view(host)
    with pytest.raises(PluginError) as caught:
        host.place([view.group_of(WEB.id, 3)], view)
    assert (caught.value.plugin, caught.value.hook) == ("bad", "swarmlab_score")


def test_what_could_not_be_loaded_is_a_fault_of_the_first_round() -> None:
    host = Host(Plain(), catalog=Catalog(broken={"their = module": "ImportError: gone"}))
    assert [str(fault) for fault in host.take_faults()] == ["their = module: ImportError: gone"]


# Registration


@pytest.mark.parametrize(
    ("hooks", "message"),
    [
        ({"filter": lambda group, nodez: None}, "is not a valid plugin"),
        ({"fliter": lambda group: None}, "unknown hook 'swarmlab_fliter'"),
        ({"add_options": lambda: ["size"]}, "gave 'size', wanted Option"),
        ({"add_options": lambda: [Option("size", [])]}, "wanted Option"),  # type: ignore[arg-type]
        ({"add_options": lambda: 1 / 0}, "own: swarmlab_add_options: raised ZeroDivisionError"),
    ],
)
def test_a_plugin_that_cannot_be_registered(hooks: dict[str, Callable[..., Any]], message: str) -> None:
    with pytest.raises(PluginError) as caught:
        Host(Plain(), {"own": plugin(**hooks)})
    assert message in str(caught.value)


def test_coroutines_and_wrappers_are_refused() -> None:
    async def slow(nodes: NodeTable) -> None: ...

    with pytest.raises(PluginError, match="own: swarmlab_score: is a coroutine"):
        Host(Plain(), {"own": plugin(score=slow)})

    def around(nodes: NodeTable) -> Any:
        return (yield)

    wrapper = SimpleNamespace(swarmlab_score=hookimpl(wrapper=True)(around))
    with pytest.raises(PluginError, match="own: swarmlab_score: is a wrapper"):
        Host(Plain(), {"own": wrapper})


def test_an_observer_that_gives_an_awaitable_is_a_fault() -> None:
    async def later() -> None: ...

    kept: list[Any] = []

    def observe(decision: Decision) -> Any:
        kept.append(later())
        return kept[-1]

    desk = Desk([a_node("n0")], host=a_host(own=plugin(observe=observe)))
    with pytest.raises(PluginError, match="own: swarmlab_observe: gave an awaitable"):
        desk.create(a_task("t"))
    kept[0].close()


def test_parameters_of_the_plugins_in_use_alone() -> None:
    own = plugin(add_options=lambda: [Option("size", 3)])
    for parameters, message in [
        ({"own.size": "many"}, "own.size is 'many', wanted int such as 3"),
        ({"own.siez": 1}, "has no option own.siez; there are: own.size"),
        ({"other.size": 1}, "other.size is set, but that plugin is not in use; in use: own"),
    ]:
        with pytest.raises(PluginError) as caught:
            Host(Plain(), {"own": own}, parameters=parameters)
        assert message in str(caught.value)


def test_plugins_are_asked_in_the_order_of_their_naming() -> None:
    told: list[str] = []

    def noting(name: str) -> Any:
        return plugin(filter=lambda: told.append(name))

    host = a_host(b=noting("b"), a=noting("a"), c=noting("c"))
    view = a_view(host)
    view.refusals(view.group_of(WEB.id))
    assert told == ["b", "a", "c"]


def test_merged_scores_of_nobody_are_zeros() -> None:
    assert merged([], 3).tolist() == [0.0, 0.0, 0.0]


def test_a_service_that_is_not_there_has_no_group() -> None:
    from swarmlab.plugin import NotFound

    with pytest.raises(NotFound, match="service nobody not found"):
        a_view(a_host()).group_of(ServiceId("nobody"))
