"""Near and far: the plugin `affinity`, and what the scheduler makes of its terms."""

import pytest
from scheduling import Desk, a_node, a_service, a_task, tasks_of

from swarmlab.api import TaskState
from swarmlab.plugin import Host


def desk(*services: object, nodes: int = 3, zones: str = "") -> Desk:
    made = [a_node(f"n{number}", labels={"zone": zones[number]} if zones else {}) for number in range(nodes)]
    return Desk(made, list(services), host=Host.load("spread", ["affinity"], strict=True))  # type: ignore[arg-type]


def test_a_keeps_apart_from_b() -> None:
    """moby/swarmkit#1442, one way round: B is there, A comes."""
    a, b = a_service("a", labels={"swarmlab.affinity.b": "service!=b"}), a_service("b")
    here = desk(a, b)
    here.create(a_task("tb", b, node="n0", state=TaskState.RUNNING))
    here.create(*tasks_of(a, 4))
    assert here.on("a") == {"n0": 0, "n1": 2, "n2": 2}


def test_b_is_kept_apart_from_a_though_only_a_says_so() -> None:
    """moby/swarmkit#1442, as it was asked: B is rescheduled and must not land on A's node."""
    a, b = a_service("a", labels={"swarmlab.affinity.b": "service!=b"}), a_service("b")
    here = desk(a, b, nodes=2)
    here.create(a_task("ta", a, node="n0", state=TaskState.RUNNING))
    here.create(*tasks_of(b, 2))
    assert here.on("b") == {"n0": 0, "n1": 2}


def test_why_it_waits_is_told_in_the_words_of_the_wish() -> None:
    a, b = a_service("a", labels={"swarmlab.affinity.b": "service!=b"}), a_service("b")
    here = desk(a, b, nodes=1)
    here.create(a_task("tb", b))
    here.create(a_task("ta", a))
    assert here.pending() == {"ta": "no suitable node (must be apart from b on 1 node)"}
    here.report("tb", TaskState.FAILED)
    assert here.pending() == {}


def test_two_that_come_in_one_round_are_kept_apart() -> None:
    a, b = a_service("a", labels={"swarmlab.affinity.b": "service!=b"}), a_service("b")
    here = desk(a, b, nodes=2)
    here.create(a_task("ta", a), a_task("tb", b))
    assert here.task("ta").node_id != here.task("tb").node_id


def test_together_waits_for_the_other() -> None:
    a, b = a_service("a", 2, labels={"swarmlab.affinity.b": "service==b"}), a_service("b")
    here = desk(a, b)
    here.create(*tasks_of(a, 2))
    assert here.pending()["a.01"] == "no suitable node (must be where b is on 3 nodes)"
    here.create(a_task("tb", b, node="n1", state=TaskState.RUNNING))
    here.create(a_node("n9"))
    assert here.on("a") == {"n0": 0, "n1": 2, "n2": 0, "n9": 0}


def test_a_place_may_be_wider_than_a_node() -> None:
    a, b = a_service("a", 2, labels={"swarmlab.affinity.b": "service!=b domain=zone"}), a_service("b")
    here = desk(a, b, zones="xxy")
    here.create(a_task("tb", b, node="n0", state=TaskState.RUNNING))
    here.create(*tasks_of(a, 2))
    assert here.on("a") == {"n0": 0, "n1": 0, "n2": 2}


@pytest.mark.parametrize(("domain", "count"), [("node.id", 3), ("node.labels.zone", 2)])
def test_a_service_that_keeps_apart_from_itself(domain: str, count: int) -> None:
    """One for each place, all of one round too."""
    web = a_service("web", 4, labels={"swarmlab.affinity.own": f"service!=web domain={domain}"})
    here = desk(web, zones="xxy")
    here.create(*tasks_of(web, 4))
    assert sum(here.on().values()) == count
    assert max(here.on().values()) == 1
    left = 4 - count
    assert len(here.pending()) == left
    by = "" if domain == "node.id" else f" by {domain}"
    assert set(here.pending().values()) == {f"no suitable node (a task of the service is there already{by} on 3 nodes)"}


@pytest.mark.parametrize(
    ("term", "there"), [("service!=b weight=1", "n1"), ("service==b weight=1", "n0"), ("service==c weight=1", "n1")]
)
def test_a_preference_scores(term: str, there: str) -> None:
    """Between nodes with equally many tasks of the service; without it, fewer tasks in all decide."""
    a, b = a_service("a", labels={"swarmlab.affinity.b": term}), a_service("b")
    here = desk(a, b, nodes=2)
    here.create(a_task("tb", b, node="n0", state=TaskState.RUNNING))
    here.create(a_task("ta", a))
    assert here.task("ta").node_id == there


def test_a_service_that_is_not_there_binds_nobody_or_everybody() -> None:
    free, bound = (
        a_service("free", labels={"swarmlab.affinity.x": "service!=nobody"}),
        a_service("bound", labels={"swarmlab.affinity.x": "service==nobody"}),
    )
    here = desk(free, bound)
    here.create(a_task("tf", free), a_task("tb", bound))
    assert here.pending() == {"tb": "no suitable node (must be where nobody is on 3 nodes)"}
