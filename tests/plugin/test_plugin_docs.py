"""The samples of docs/plugins.md do what the text says."""

import re
from pathlib import Path

from scheduling import MIB, Desk, a_node, a_service, a_task, tasks_of

from swarmlab.api import TaskState
from swarmlab.plugin import Host
from swarmlab.testing import assert_conforms

TEXT = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text()
STRATEGY, FILTER, SCORER = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_the_strategy(tmp_path: Path) -> None:
    """At most one task of a service on a node; the others stay pending and say why."""
    file = tmp_path / "sample.py"
    file.write_text(STRATEGY)
    web = a_service("web", 4)
    desk = Desk([a_node(f"n{number}") for number in range(3)], web, host=Host.load(f"{file}:OneEach", strict=True))
    desk.create(*tasks_of(web, 4))
    assert desk.on() == {"n0": 1, "n1": 1, "n2": 1}
    assert desk.pending() == {"web.04": "no suitable node (strategy one-each held it back)"}


def test_the_filter(tmp_path: Path) -> None:
    file = tmp_path / "sample.py"
    file.write_text(FILTER)
    night, day = a_service("night", labels={"shift": "night"}), a_service("day")
    nodes = [a_node("n0", labels={"quiet": "yes"}), a_node("n1")]
    desk = Desk(nodes, [night, day], host=Host.load("spread", [str(file)], strict=True))
    desk.create(*tasks_of(night, 2))
    desk.create(a_task("d", day))
    assert desk.on("night") == {"n0": 0, "n1": 2}
    assert desk.on("day") == {"n0": 1, "n1": 0}


def test_the_scorer(tmp_path: Path) -> None:
    """In fifteen lines or fewer, and it keeps the promises of every plugin."""
    assert len(SCORER.splitlines()) <= 15
    file = tmp_path / "sample.py"
    file.write_text(SCORER)
    web = a_service("web", 1, memory=1024 * MIB)
    nodes = [a_node("n0", memory=2048 * MIB), a_node("n1", memory=8192 * MIB), a_node("n2", memory=0)]
    desk = Desk(nodes, web, host=Host.load("spread", [str(file)], strict=True))
    desk.create(a_task("old", web, node="n1", state=TaskState.RUNNING))
    view = desk.seen()
    assert view.scores(view.group_of(web.id)).tolist() == [2.0, 1.75, 0.0]
    assert_conforms("spread", [str(file)], cases=5)
