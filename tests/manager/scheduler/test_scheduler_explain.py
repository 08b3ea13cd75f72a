"""Explanations: why it waits, what would help, why it is where it is."""

import re

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from scheduling import MIB, Desk, a_node, a_service, a_spec, a_task, an_endpoint, tasks_of

from swarmlab.api import (
    Annotations,
    Availability,
    Explanation,
    Node,
    NodeState,
    NotFound,
    Platform,
    Service,
    Task,
    TaskId,
    TaskSpec,
    TaskState,
    parse_bytes,
    parse_cpus,
)
from swarmlab.manager.scheduler.journal import Journal, Judgement
from swarmlab.manager.scheduler.suggestions import at_most
from swarmlab.plugin import Host


def explain(desk: Desk, task: str) -> Explanation:
    return desk.scheduler.explain(TaskId(task), desk.view, desk.now)


def reasons(found: Explanation) -> dict[str, dict[str, str]]:
    return {verdict.node_id: dict(verdict.refusals) for verdict in found.nodes}


def test_a_waiting_task_names_every_reason_of_every_node() -> None:
    web = a_service("web", cpus=2, memory=512 * MIB, constraints=["node.labels.zone == a"])
    nodes = [
        a_node("n0", cpus=1, labels={"zone": "a"}, memory=100 * MIB),
        a_node("n1", labels={"zone": "b"}, availability=Availability.PAUSE),
        a_node("n2", state=NodeState.DOWN, cpus=0.5, labels={"zone": "a"}),
        a_node("n3", availability=Availability.DRAIN, labels={"zone": "a"}),
    ]
    desk = Desk(nodes, web)
    desk.create(a_task("t", web))
    found = explain(desk, "t")
    assert (found.verdict, found.state, found.service_name, found.strategy) == (
        "pending",
        TaskState.PENDING,
        "web",
        "spread",
    )
    assert found.summary == desk.task("t").status.err
    assert reasons(found) == {
        "n0": {"resources": "needs 2 CPUs, has 1 free; needs 512MiB of memory, has 100MiB free"},
        "n1": {"ready": "is paused", "constraints": "node.labels.zone == a does not hold"},
        "n2": {"ready": "is DOWN", "resources": "needs 2 CPUs, has 0.5 free"},
        "n3": {"ready": "is drained"},
    }
    assert [(shortage.filter, shortage.nodes) for shortage in found.shortages] == [
        ("ready", 3),
        ("resources", 2),
        ("constraints", 1),
    ]
    assert found.suggestions == (
        "fits if node host-n3 is made active; it is drained",
        "fits if the CPU reservation is <= 1 and the memory reservation is <= 100MiB (node host-n0)",
    )
    assert (found.version, found.decided_at) == (desk.commits and 3, desk.now)
    assert found.story == (
        "2001-09-09T01:46:40.000Z created for web",
        f"2001-09-09T01:46:40.000Z PENDING {desk.task('t').status.err}",
    )


@pytest.mark.parametrize(
    ("spec", "node", "reason"),
    [
        (a_spec(platforms=[Platform("arm64", "linux")]), a_node("n0"), "is linux/amd64"),
        (a_spec(platforms=[Platform("arm64", "linux")]), a_node("n0", platform=None), "is of an unknown platform"),
        (a_spec(logs="splunk"), a_node("n0", plugins=[("Log", "json-file")]), "lacks Log splunk"),
        (a_spec(generic="gpu=2"), a_node("n0", generic="gpu=u1"), "needs 2 gpu, has 1 free"),
        (a_spec(constraints=["node.role == manager", "rack == 1"]), a_node("n0"), "node.role == manager does not hold"),
    ],
)
def test_the_words_of_each_filter(spec: TaskSpec, node: Node, reason: str) -> None:
    desk = Desk(node)
    desk.create(a_task("t", spec=spec))
    (verdict,) = explain(desk, "t").nodes
    assert reason in "; ".join(verdict.refusals.values())


def test_ports_and_replicas_in_words() -> None:
    web = a_service("web", 2, max_replicas=1)
    desk = Desk(a_node("n0"), web)
    desk.create(*tasks_of(web, 2))
    found = explain(desk, "web.02")
    assert reasons(found) == {"n0": {"max-replicas": "has 1 of at most 1"}}
    assert found.suggestions == ("fits if max replicas per node is >= 2 (node host-n0)",)
    desk.create(a_task("p", endpoint=an_endpoint(80, 81)))
    desk.create(a_task("q", endpoint=an_endpoint(81)))
    found = explain(desk, "q")
    assert reasons(found) == {"n0": {"host-ports": "in use: 81/tcp"}}
    assert found.suggestions == ("fits when the host port 81/tcp is free (node host-n0)",)


@pytest.mark.parametrize(
    ("spec", "node", "suggestion"),
    [
        (
            a_spec(constraints=["node.labels.disk == ssd", "node.hostname == other"]),
            a_node("n0"),
            "fits if node host-n0 gets the label disk=ssd and the constraint node.hostname == other goes "
            "(node host-n0 has 'host-n0')",
        ),
        (
            a_spec(constraints=["rack == 1"]),
            a_node("n0"),
            "fits if the constraint rack == 1 goes: there is no such key",
        ),
        (a_spec(), a_node("n0", state=NodeState.DOWN), "fits when node host-n0 is back; it is DOWN"),
        (
            a_spec(),
            a_node("n0", availability=Availability.PAUSE),
            "fits if node host-n0 is made active; it is paused",
        ),
        (
            a_spec(platforms=[Platform("arm64", "linux")]),
            a_node("n0"),
            "fits if the platform linux/amd64 will do (node host-n0)",
        ),
        (a_spec(generic="gpu=2"), a_node("n0", generic="gpu=1"), "fits if the gpu reservation is <= 1 (node host-n0)"),
    ],
)
def test_what_would_help(spec: TaskSpec, node: Node, suggestion: str) -> None:
    desk = Desk(node)
    desk.create(a_task("t", spec=spec))
    assert explain(desk, "t").suggestions == (suggestion,)


def test_nothing_helps_where_two_filters_refuse_or_nothing_is_left() -> None:
    desk = Desk([a_node("n0", cpus=0), a_node("n1", cpus=1, platform=None)])
    desk.create(a_task("t", cpus=2, platforms=[Platform("amd64", "linux")]))
    assert explain(desk, "t").suggestions == ()
    desk.create(a_task("u", platforms=[Platform("arm64", "windows")], cpus=1))
    assert explain(desk, "u").suggestions == ()


@given(
    st.lists(
        st.tuples(st.integers(0, 8), st.integers(0, 5000), st.sampled_from("ab"), st.sampled_from(list(Availability))),
        min_size=1,
        max_size=4,
    ),
    st.integers(1, 9),
    st.integers(1, 5000),
)
@settings(max_examples=100, deadline=None)
def test_a_suggestion_that_is_followed_makes_the_task_fit(
    nodes: list[tuple[int, int, str, Availability]], cpus: int, memory: int
) -> None:
    made = [
        a_node(f"n{number}", cpus=own / 2, memory=size * MIB + 17, labels={"zone": zone}, availability=availability)
        for number, (own, size, zone, availability) in enumerate(nodes)
    ]
    asks = {"cpus": cpus, "memory": memory * MIB, "constraints": ("node.labels.zone == a",)}
    desk = Desk(made, host=HOST)
    desk.create(a_task("t", **asks))
    if desk.task("t").node_id:
        return
    for line in explain(desk, "t").suggestions:
        followed = Desk(made, host=HOST)
        changed = dict(asks)
        if found := re.search(r"CPU reservation is <= ([\d.]+)", line):
            changed["cpus"] = parse_cpus(found[1]) / 1e9
        if found := re.search(r"memory reservation is <= (\w+)", line):
            changed["memory"] = parse_bytes(found[1])
        if found := re.search(r"node host-(\w+) gets the label zone=a", line):
            node = followed.view.node(found[1])  # type: ignore[arg-type]
            assert node is not None
            followed.change(Node, node.id, spec=replace(node.spec, annotations=Annotations(labels={"zone": "a"})))
        if found := re.search(r"node host-(\w+) is made active", line):
            node = followed.view.node(found[1])  # type: ignore[arg-type]
            assert node is not None
            followed.change(Node, node.id, spec=replace(node.spec, availability=Availability.ACTIVE))
        followed.create(a_task("t", **changed))
        assert followed.task("t").node_id, line


HOST = Host.load("spread", strict=True)


@given(st.integers(0, 2**45))
def test_at_most_reads_back_to_no_more_and_little_less(size: int) -> None:
    read = parse_bytes(at_most(size))
    assert size * 0.99 <= read <= size


def test_a_placed_task_names_the_grounds_and_the_next_best() -> None:
    web = a_service("web", 2)
    desk = Desk([a_node("n0"), a_node("n1"), a_node("n2"), a_node("n3", state=NodeState.DOWN)], web)
    desk.create(a_task("w", web, node="n2", state=TaskState.RUNNING), a_task("o", node="n1", state=TaskState.RUNNING))
    desk.create(a_task("t", web))
    found = explain(desk, "t")
    assert (found.verdict, found.strategy, found.node_id, found.hostname) == ("placed", "spread", "n0", "host-n0")
    assert found.summary == (
        "spread chose host-n0 of 3 that would do: it had 0 of the service, 0 in all; "
        "next best host-n1: it had 0 of the service, 1 in all"
    )
    assert [(verdict.node_id, verdict.placed) for verdict in found.nodes] == [("n0", 1), ("n1", 0), ("n2", 0)]
    assert found.story[1] == "2001-09-09T01:46:40.000Z ASSIGNED to host-n0 by spread, on version 4"
    desk.report("t", TaskState.RUNNING, message="started")
    assert explain(desk, "t").story[2] == "2001-09-09T01:46:40.000Z RUNNING started"


def test_a_scoring_strategy_shows_its_scores() -> None:
    web = a_service("web", cpus=1, labels={"swarmlab.prefer": "node.labels.disk == ssd"})
    desk = Desk(
        [a_node("n0"), a_node("n1", labels={"disk": "ssd"})], web, host=Host.load("binpack", ["prefer"], strict=True)
    )
    desk.create(a_task("t", web))
    found = explain(desk, "t")
    assert [(verdict.node_id, verdict.scores) for verdict in found.nodes] == [
        ("n1", {"binpack": 0.25, "prefer": 1.0}),
        ("n0", {"binpack": 0.25, "prefer": 0.0}),
    ]
    assert "binpack chose host-n1 of 2 that would do: it had 0 of the service, 0 in all, binpack 0.25, prefer 1" in (
        found.summary
    )


def test_many_tasks_on_many_nodes_stay_small() -> None:
    """A record has at most 8 KB at 10,000 nodes, and an explanation goes through 50 nodes at most."""
    web = a_service("web", 10_000, cpus=1)
    desk = Desk([a_node(f"n{number:05}") for number in range(10_000)], web)
    desk.create(*(a_task(f"t{number:05}", web, slot=number + 1) for number in range(10_000)))
    record = desk.scheduler._journal.of(TaskId("t00000"))
    assert record is not None
    assert len(msgspec.json.encode(record)) <= 8_192
    found = explain(desk, "t00777")
    assert "one of 10000 nodes that took 10000" in found.summary
    assert (len(found.nodes), found.nodes_left_out) == (16, 9_984)
    desk.create(a_task("big", cpus=64))
    found = explain(desk, "big")
    assert (len(found.nodes), found.nodes_left_out) == (50, 9_950)


def test_after_a_restart_the_grounds_are_said_to_be_unknown() -> None:
    web = a_service("web")
    desk = Desk(a_node("n0"), web)
    desk.create(a_task("t", web))
    desk.lead()
    found = explain(desk, "t")
    assert (found.verdict, found.version, found.decided_at, found.strategy) == ("placed", 0, None, "")
    assert found.summary == "on host-n0; placed before this manager led, so the grounds are not known"


def test_bound_and_moved_tasks() -> None:
    everywhere, web = a_service("everywhere", mode="global", cpus=3), a_service("web", 2)
    desk = Desk([a_node("n0", cpus=2), a_node("n1")], [everywhere, web])
    desk.create(a_task("g0", everywhere, node="n0"), a_task("g1", everywhere, node="n1"))
    found = explain(desk, "g0")
    assert (found.verdict, found.summary, list(reasons(found))) == (
        "pending",
        "no suitable node (insufficient resources on 1 node)",
        ["n0"],
    )
    assert found.suggestions == ("fits if the CPU reservation is <= 2 (node host-n0)",)
    assert explain(desk, "g1").summary == "on host-n1, the node that it was made for"
    labels = {"swarmlab.move.from": "x", "swarmlab.move.to": "n1", "swarmlab.move.reason": "n1 has fewer"}
    desk.create(a_task("m", web, annotations=Annotations(labels=labels)))
    assert explain(desk, "m").summary == "moved to host-n1: n1 has fewer"


def test_tasks_for_which_no_node_is_looked_for() -> None:
    web = a_service("web", cpus=99)
    desk = Desk(a_node("n0"), web)
    desk.create(a_task("new", web, state=TaskState.NEW), a_task("t", web), a_task("r", web))
    assert explain(desk, "new").summary == "waits for the allocator; no node is looked for yet"
    desk.change(Task, "r", desired_state=TaskState.REMOVE)
    assert explain(desk, "r").summary == "was told to stop (REMOVE); no node is looked for"
    desk.remove(Service, "web")
    assert explain(desk, "t").summary == "its service is gone; no node is looked for"


def test_ended_tasks() -> None:
    web = a_service("web")
    desk = Desk(a_node("n0"), web)
    desk.create(a_task("t", web), a_task("never", web, state=TaskState.SHUTDOWN))
    desk.report("t", TaskState.FAILED, err="exit 3")
    found = explain(desk, "t")
    assert (found.verdict, found.summary, found.strategy) == ("ended", "ended as FAILED on host-n0: exit 3", "")
    assert explain(desk, "never").summary == "ended as SHUTDOWN before it had a node"


def test_a_task_that_would_fit_by_now() -> None:
    desk = Desk(debounce=10**9)
    desk.create(a_task("t"))
    desk.pass_time(10**9)
    desk.create(a_node("n0"))
    found = explain(desk, "t")
    assert found.summary == "waits for the next round; 1 of 1 nodes would take it now"
    assert (found.suggestions, reasons(found)) == ((), {"n0": {}})


def test_an_unknown_task_is_not_found() -> None:
    with pytest.raises(NotFound, match="task nobody not found"):
        explain(Desk(), "nobody")


def test_a_scheduler_that_does_not_lead_explains_from_the_view() -> None:
    desk = Desk(a_node("n0"), lead=False)
    desk.create(a_task("t", cpus=9))
    assert explain(desk, "t").shortages[0].text == "insufficient resources on 1 node"


def test_an_explanation_changes_no_later_decision() -> None:
    def run(ask: bool) -> dict[str, int]:
        web = a_service("web", 30)
        desk = Desk([a_node(f"n{number}") for number in range(7)], web, host=Host.load("random", strict=True))
        desk.create(a_task("stuck", cpus=99))
        if ask:
            explain(desk, "stuck")
        desk.create(*tasks_of(web, 30))
        return desk.on()

    assert run(True) == run(False)


def test_the_journal_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swarmlab.manager.scheduler.journal.TASKS", 5)
    monkeypatch.setattr("swarmlab.manager.scheduler.journal.JUDGEMENTS", 2)
    journal = Journal()
    made = [Judgement(version=number, at=0, strategy="s", group="g") for number in range(4)]  # type: ignore[arg-type]
    for number, judgement in enumerate(made):
        journal.note(judgement, [a_task(f"t{number}{part}") for part in range(2)])
    assert journal.of(TaskId("t00")) is None
    assert journal.of(TaskId("t10")) is None
    assert journal.of(TaskId("t30")) is made[3]
    journal.note(made[0], [a_task("t30")])
    assert journal.of(TaskId("t30")) is made[0]
    journal.forget(TaskId("t30"))
    assert journal.of(TaskId("t30")) is None
