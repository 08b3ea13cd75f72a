"""The shipped plugins, each in the use that it is for; `affinity` has its tests beside the scheduler's."""

import json
from pathlib import Path

from scheduling import Desk, a_node, a_service, a_task, tasks_of

from swarmlab.api import Node, NodeState, TaskState
from swarmlab.plugin import Host


def test_prefer_takes_the_second_best_while_the_best_is_away_and_the_best_again_later() -> None:
    """moby/moby#41399: prefer one data centre, fall back to the other."""
    web = a_service("web", labels={"swarmlab.prefer": "node.labels.dc == 1, node.labels.dc == 2"})
    nodes = [a_node(f"n{number}", labels={"dc": str(number)}) for number in range(3)]
    desk = Desk(nodes, web, host=Host.load("spread", ["prefer"], strict=True))
    desk.create(a_task("first", web))
    assert desk.task("first").node_id == "n1"
    desk.change(Node, "n1", status=a_node("n1", state=NodeState.DOWN).status)
    desk.report("first", TaskState.ORPHANED)
    desk.create(a_task("second", web))
    assert desk.task("second").node_id == "n2"
    desk.change(Node, "n1", status=nodes[1].status)
    desk.report("second", TaskState.FAILED)
    desk.create(a_task("third", web))
    assert desk.task("third").node_id == "n1"


def test_prefer_says_nothing_for_a_service_without_the_label() -> None:
    web = a_service("web", labels={"swarmlab.prefer": "nonsense"})
    desk = Desk(a_node("n0"), web, host=Host.load("spread", ["prefer"], strict=True))
    view = desk.seen()
    assert view.score_parts(view.group_of("web")) == ()


def test_the_weight_of_prefer_is_an_option() -> None:
    """Against binpack's own share, which is 1 at most."""
    labels = {"swarmlab.prefer": "node.labels.disk == SSD"}
    for weight, there in (("0.1", "full"), ("2", "ssd")):
        web = a_service("web", cpus=1, labels=labels)
        host = Host.load("binpack", ["prefer"], {"prefer.weight": weight}, strict=True)
        desk = Desk([a_node("full"), a_node("ssd", labels={"disk": "ssd"})], web, host=host)
        desk.create(a_task("old", cpus=2, node="full", state=TaskState.RUNNING))
        desk.create(a_task("t", web))
        assert desk.task("t").node_id == there


def test_decisions_are_lines_of_json(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    file.write_text("kept\n")
    web = a_service("web", 2, cpus=3)
    host = Host.load("spread", ["decisions"], {"decisions.path": str(file)}, strict=True)
    desk = Desk(a_node("n0"), web, host=host)
    desk.create(*tasks_of(web, 2))
    first, *lines = file.read_text().splitlines()
    assert first == "kept"
    placed, pending = map(json.loads, lines)
    assert placed["placed"] == [["web.01", "n0"]]
    assert (pending["pending"], pending["shortages"][0]["filter"]) == (["web.02"], "resources")
    assert (placed["strategy"], placed["service_name"], placed["version"]) == ("spread", "web", 3)


def test_flapping_nodes_keep_what_they_have() -> None:
    web = a_service("web", 2)
    desk = Desk([a_node("n0"), a_node("n1")], web, host=Host.load("spread", ["flapping"], strict=True))
    desk.create(a_task("old", web, node="n0", state=TaskState.RUNNING))
    for _ in range(3):
        desk.change(Node, "n0", status=a_node("n0", state=NodeState.DOWN).status)
        desk.change(Node, "n0", status=a_node("n0").status)
    desk.create(*tasks_of(web, 2))
    assert desk.on() == {"n0": 1, "n1": 2}
