"""What users asked for in public threads about placement; each test is named after its thread."""

import pytest
from scheduling import Desk, a_node, a_service, a_task, tasks_of

from swarmlab.api import Annotations, Node, NodeSpec, NodeState, Service, TaskId, TaskState
from swarmlab.manager.controlapi import service_warnings
from swarmlab.plugin import Host


def affine(name: str, *terms: str, replicas: int = 1, **asks: object) -> Service:
    labels = {f"swarmlab.affinity.{number}": term for number, term in enumerate(terms)}
    return a_service(name, replicas, labels=labels, **asks)  # type: ignore[arg-type]


def a_desk(*objects: object, strategy: str = "spread") -> Desk:
    return Desk(*objects, host=Host.load(strategy, ["affinity"], strict=True))  # type: ignore[arg-type]


def nodes(*labels: dict[str, str]) -> list[Node]:
    return [a_node(f"n{number}", labels=given) for number, given in enumerate(labels)]


def gone(desk: Desk, node: str, task: str) -> None:
    """The node is lost, and with it the task."""
    desk.change(Node, node, status=a_node(node, state=NodeState.DOWN).status)
    desk.report(task, TaskState.ORPHANED)


@pytest.mark.parametrize("strategy", ["spread", "binpack", "random"])
def test_swarmkit_1442_who_is_avoided_does_not_come_when_it_is_rescheduled(strategy: str) -> None:
    """A avoids B, and only A says so; B is rescheduled, and A's node is the one that is empty otherwise."""
    a, b = affine("a", "service!=b"), affine("b")
    desk = a_desk(nodes({}, {}, {}), [a, b], strategy=strategy)
    desk.create(a_task("ta", a, node="n0", state=TaskState.RUNNING))
    desk.create(a_task("tb", b, node="n1", state=TaskState.RUNNING))
    desk.create(*(a_task(f"x{number}", node="n2", state=TaskState.RUNNING) for number in range(5)))
    gone(desk, "n1", "tb")
    desk.create(a_task("tb2", b))
    assert desk.task("tb2").node_id == "n2"


def test_swarmkit_1442_one_way_alone_where_it_is_asked_for() -> None:
    a, b = affine("a", "service!=b symmetric=no"), affine("b")
    desk = a_desk(nodes({}), [a, b])
    desk.create(a_task("ta", a, node="n0", state=TaskState.RUNNING))
    desk.create(a_task("tb", b))
    assert desk.task("tb").node_id == "n0"


@pytest.mark.parametrize("strategy", ["spread", "binpack", "random"])
def test_moby_41399_the_second_data_centre_while_the_first_is_away(strategy: str) -> None:
    """All four tasks to the first one as long as it lives, however the strategy would spread them; then back again."""
    web = affine("web", "node.labels.dc==1 else node.labels.dc==2", replicas=4)
    there = nodes({"dc": "1"}, {"dc": "2"}, {"dc": "3"})
    desk = a_desk(there, web, strategy=strategy)
    desk.create(*tasks_of(web, 4))
    assert desk.on() == {"n0": 4, "n1": 0, "n2": 0}
    desk.change(Node, "n0", status=a_node("n0", state=NodeState.DOWN).status)
    for slot in range(1, 5):
        desk.report(f"web.{slot:02}", TaskState.ORPHANED)
    desk.create(*(a_task(f"second{slot}", web, slot=slot) for slot in range(1, 5)))
    assert desk.on() == {"n0": 0, "n1": 4, "n2": 0}
    desk.change(Node, "n0", status=there[0].status)
    assert desk.on() == {"n0": 0, "n1": 4, "n2": 0}
    desk.report("second1", TaskState.FAILED)
    desk.create(a_task("third", web))
    assert desk.on() == {"n0": 1, "n1": 3, "n2": 0}
    gone(desk, "n1", "second2")
    gone(desk, "n0", "third")
    desk.create(a_task("fourth", web))
    assert desk.pending() == {
        "fourth": "no suitable node (2 nodes not available for new tasks; none of the choices holds: "
        "node.labels.dc==1 else node.labels.dc==2 on 1 node)"
    }


def test_moby_41399_what_the_first_choice_cannot_hold_goes_to_the_second() -> None:
    web = affine("web", "node.labels.dc==1 else any", replicas=6, cpus=2)
    desk = a_desk(nodes({"dc": "2"}, {"dc": "1"}, {"dc": "2"}), web)
    desk.create(*tasks_of(web, 5))
    assert desk.on() == {"n0": 2, "n1": 2, "n2": 1}


def test_swarmkit_2784_two_services_on_the_same_host_and_a_third_apart_from_both() -> None:
    """`service.name != myservice`, and the database on the host of the application."""
    db, app = affine("db"), affine("app", "service==db")
    other = affine("other", "service!=db", "service!=app")
    desk = a_desk(nodes({}, {}, {}), [db, app, other])
    desk.create(a_task("first", app), a_task("second", other))
    assert desk.pending() == {
        "first": "no suitable node (must be where db is on 3 nodes; must be apart from other on 1 node)"
    }
    desk.create(a_task("third", db))
    on = {name: desk.task(name).node_id for name in ("first", "second", "third")}
    assert on["first"] == on["third"] != on["second"]
    assert desk.pending() == {}


def test_moby_31014_a_label_removed_and_put_back() -> None:
    """What waits for the label runs again as soon as it is back, without anybody touching the service."""
    web = affine("web", "node.labels.disk==ssd")
    desk = a_desk(nodes({"disk": "ssd"}, {}), web)
    desk.change(Node, "n0", spec=NodeSpec())
    desk.create(a_task("t", web))
    assert desk.pending() == {"t": "no suitable node (node.labels.disk == ssd does not hold on 2 nodes)"}
    desk.change(Node, "n0", spec=NodeSpec(annotations=Annotations(labels={"disk": "ssd"})))
    assert desk.task("t").node_id == "n0"


def test_classicswarm_1785_constraints_in_conflict_are_both_named_with_their_nodes() -> None:
    """The port is free where the wanted service is not, and the other way round."""
    data = affine("data", "service==store", port=80)
    store, proxy = affine("store"), affine("proxy", port=80)
    desk = a_desk(nodes({}, {}), [data, store, proxy])
    desk.create(a_task("s", store, node="n0", state=TaskState.RUNNING))
    desk.create(a_task("p", proxy, node="n0", state=TaskState.RUNNING))
    desk.create(a_task("d", data))
    assert desk.pending() == {
        "d": "no suitable node (host-mode port already in use on 1 node; must be where store is on 1 node)"
    }
    told = desk.scheduler.explain(TaskId("d"), desk.view, desk.now)
    assert {node.node_id: dict(node.refusals) for node in told.nodes} == {
        "n0": {"host-ports": "in use: 80/tcp"},
        "n1": {"affinity": "must be where store is (has 0, at least 1)"},
    }


def test_classicswarm_1905_the_node_that_meets_more_wishes_is_taken() -> None:
    """And the decision tells what each wish was worth."""
    web = affine("web", "node.labels.type==prod weight=1", "node.labels.res==public weight=1")
    desk = a_desk(nodes({"type": "prod"}, {"res": "public", "type": "prod"}, {"res": "public"}), web)
    desk.create(a_task("t", web))
    assert desk.task("t").node_id == "n1"
    chosen, *others = desk.scheduler.explain(TaskId("t"), desk.view, desk.now).nodes
    public, prod = "affinity: node.labels.res==public weight=1", "affinity: node.labels.type==prod weight=1"
    assert dict(chosen.scores) == {public: 1.0, prod: 1.0}
    assert sorted(sorted(dict(other.scores).values()) for other in others) == [[0.0, 1.0], [0.0, 1.0]]


def test_portainer_2260_a_key_that_is_not_there_is_said_with_the_near_match() -> None:
    desk = a_desk(nodes({"rack": "1"}))
    web = a_service("web", constraints=["rack == 1"], labels={"swarmlab.affinity.1": "service!=self domain=rak"})
    assert service_warnings(desk.view, web.spec) == (
        "constraint rack == 1: no node can meet it, there is no key rack; did you mean node.labels.rack?",
        "affinity service!=self domain=rak: no node has the label node.labels.rak; did you mean node.labels.rack?",
    )


def test_at_most_two_in_a_rack_however_many_come_at_once() -> None:
    web = affine("web", "service!=self domain=rack max=2", replicas=9)
    desk = a_desk(nodes(*({"rack": rack} for rack in "aaabbc")), web)
    desk.create(*tasks_of(web, 9))
    assert desk.on() == {"n0": 1, "n1": 1, "n2": 0, "n3": 1, "n4": 1, "n5": 2}
    assert set(desk.pending().values()) == {
        "no suitable node (at most 2 tasks of the service in one place by node.labels.rack on 6 nodes)"
    }


# What is broken now


def seen(desk: Desk) -> list[tuple[str, str, str, str]]:
    """(task, node, term, reason) of all violations."""
    found = desk.scheduler.violations(desk.view, desk.now)
    return [(one.task_id, one.hostname, one.term, one.reason) for one in found]


def test_what_labels_and_losses_have_broken_is_listed() -> None:
    web = affine("web", "service!=self domain=rack", "node.labels.disk==ssd", replicas=2)
    app, db = affine("app", "service==db"), affine("db")
    there = nodes({"rack": "a", "disk": "ssd"}, {"rack": "b", "disk": "ssd"})
    desk = a_desk(there, [web, app, db])
    desk.create(*tasks_of(web, 2), a_task("d", db))
    desk.create(a_task("p", app))
    assert seen(desk) == []
    desk.change(Node, "n1", spec=NodeSpec(annotations=Annotations(labels={"rack": "a"})))
    desk.report("d", TaskState.FAILED)
    there_too = "2 tasks there, its own among them, at most 1"
    assert [desk.task(name).node_id for name in ("p", "web.01", "web.02")] == ["n0", "n0", "n1"]
    assert seen(desk) == [
        ("p", "host-n0", "service==db", "none of them there"),
        ("web.02", "host-n1", "service!=self domain=rack", there_too),
        ("web.02", "host-n1", "node.labels.disk==ssd", "node.labels.disk == ssd does not hold"),
    ]


def test_of_ranked_choices_one_is_enough() -> None:
    web = affine("web", "node.labels.dc==1 else service!=b", replicas=2)
    b = affine("b")
    desk = a_desk(nodes({"dc": "1"}, {}), [web, b])
    desk.create(a_task("w0", web, node="n0", state=TaskState.RUNNING))
    desk.create(a_task("w1", web, node="n1", slot=2, state=TaskState.RUNNING))
    assert seen(desk) == []
    desk.create(*(a_task(f"b{number}", b, node=f"n{number}", state=TaskState.RUNNING) for number in range(2)))
    assert seen(desk) == [("w1", "host-n1", "node.labels.dc==1 else service!=b", "none of the choices holds")]
