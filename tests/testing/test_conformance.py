"""The suite finds what each broken strategy breaks, and says it with a small case; the shipped ones pass it."""

from pathlib import Path

import pytest
from hypothesis import given, settings

from swarmlab.plugin import Host, PluginError, UnknownPlugin
from swarmlab.plugin.loading import installed
from swarmlab.testing import CHECKS, CORNERS, Case, Machine, Wanted, assert_conforms, cases, conformance
from swarmlab.testing.judge import Books

BROKEN = Path(__file__).parent / "broken_strategies.py"
#: Hosts that raise; made once, for they are not changed by what is asked.
SPREAD = Host.load("spread", strict=True)


def broken(name: str, check: str) -> tuple[str, str]:
    """What the suite says of that check, and the case."""
    report = conformance(f"{BROKEN}:{name}", cases=25)
    assert not report.passed
    found = {result.check: result for result in report.results}
    return found[check].broken, found[check].case


@pytest.mark.parametrize("name", sorted(installed().strategies))
def test_every_shipped_strategy_conforms(name: str) -> None:
    assert_conforms(name, cases=6)


@pytest.mark.parametrize(
    ("name", "check", "words"),
    [
        ("Greedy", "contract", "1 tasks of the group s0@1 on node n00, which can take 0"),
        ("Nan", "contract", "its score of node 0 of 1 is nan, wanted 0.0 to 1.0"),
        ("TooGood", "scores", "its score of node 0 of 1 is 1.5, wanted 0.0 to 1.0"),
        ("Short", "contract", "its scores has the shape (0,), wanted (1,): one entry per node"),
        ("Lazy", "all-placed", "though node n00 could take it"),
        ("Moody", "deterministic", "who has seen others, differ: "),
        ("Hashed", "hash-seed", "PYTHONHASHSEED=1 and 4242 give different decisions"),
        ("Restless", "calm", "a second rebalance of the same load moves 1 tasks, "),
        ("Pusher", "moves-fit", "has no room when its turn comes: the node is down"),
    ],
)
def test_what_a_broken_strategy_breaks_is_said_in_a_sentence(name: str, check: str, words: str) -> None:
    said, case = broken(name, check)
    assert words in said
    assert case


def test_the_smallest_case_is_small() -> None:
    """One task too many for one node is all that it takes."""
    _, case = broken("Greedy", "contract")
    assert case == "1 nodes; n00: 4 CPUs, 4096 MiB, zone a, down; 1 services; s0: 1 to place"


def test_a_breach_that_is_meant_is_allowed() -> None:
    report = conformance(f"{BROKEN}:Lazy", cases=5, allow=["all-placed"])
    assert report.passed
    assert [result.check for result in report.results if result.broken] == ["all-placed"]
    assert "allowed  all-placed: nothing waits that some node could take" in str(report)


def test_an_unknown_check_or_strategy_is_named() -> None:
    with pytest.raises(PluginError, match="no check is called 'all-place'; there are: contract, "):
        conformance("spread", allow=["all-place"])
    with pytest.raises(UnknownPlugin, match="did you mean spread"):
        conformance("spred")


def test_a_report_names_every_check() -> None:
    report = conformance("spread", cases=1)
    assert [result.check for result in report.results] == list(CHECKS)
    assert {result.cases for result in report.results} == {len(CORNERS) + 1}
    with pytest.raises(AssertionError, match="BROKEN   all-placed"):
        assert_conforms(f"{BROKEN}:Lazy", cases=1)


@settings(max_examples=40)
@given(cases())
def test_drawn_clusters_begin_with_room(case: Case) -> None:
    """What runs was taken in one by one, so nothing is short before anybody decides."""
    books = Books(case)
    assert not [left for left in books._left if any(amount < 0 for amount in left.values())]
    tasks = case.desk(SPREAD).view.tasks()
    assert len(list(tasks)) == sum(wanted.count + sum(wanted.running) for wanted in case.services)


def test_a_case_says_what_it_is() -> None:
    case = Case(
        (Machine(), Machine(cpus=1, gpus=2, ready=False)),
        (Wanted(count=3, running=(1, 0), cpus=1, zone="a", spread=True, port=80, max_replicas=2),),
    )
    assert str(case) == (
        "2 nodes; n00: 4 CPUs, 4096 MiB, zone a; n01: 1 CPUs, 4096 MiB, zone a, 2 gpus, down; 1 services; "
        "s0: 3 to place, 1, 0 running on the nodes, 1 CPUs, 2 replicas per node at most, host port 80, "
        "only in zone a, spread over zones"
    )
