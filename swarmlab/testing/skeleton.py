"""The files that a new strategy or plugin begins with; its tests pass as they are."""

import re

from swarmlab.api import PluginError
from swarmlab.plugin import API

KINDS = ("strategy", "filter", "score", "observe")
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

_BODIES = {
    "strategy": '''"""Tasks go where most memory is free."""

import numpy as np

from swarmlab.plugin import Scores, Strategy{hookimpl}


class {title}(Strategy):
    """The node with the largest share of its memory free is served first."""

    name = "{name}"

    def score(self, group, nodes, view):
        return Scores(np.clip(nodes.memory_free / np.maximum(nodes.memory_total, 1), 0.0, 1.0))
''',
    "filter": '''"""Tasks stay off nodes that are labelled for something else."""

from swarmlab.plugin import Refusals, hookimpl


@hookimpl
def swarmlab_filter(group, nodes):
    """A node with the label `only` takes tasks of the service of that name alone."""
    only = nodes.label("node.labels.only")
    return Refusals((only != "") & (only != group.service_name), "node kept for another service")
''',
    "score": '''"""Tasks go where most memory is free."""

import numpy as np

from swarmlab.plugin import Scores, hookimpl


@hookimpl
def swarmlab_score(nodes):
    """The larger the share of its memory that is free, the better the node."""
    return Scores(np.clip(nodes.memory_free / np.maximum(nodes.memory_total, 1), 0.0, 1.0))
''',
    "observe": '''"""Says on standard error what was decided."""

import sys

from swarmlab.plugin import hookimpl


@hookimpl
def swarmlab_observe(decision):
    """One line for each decision."""
    placed, pending = len(decision.placed), len(decision.pending)
    print(f"{{decision.service_name}}: {{placed}} placed, {{pending}} wait", file=sys.stderr)
''',
}

_REGISTER = {
    "strategy": """

@hookimpl
def swarmlab_register_strategies():
    return [{title}]
""",
}
_REGISTER_PLUGIN = """

@hookimpl
def swarmlab_register_plugins():
    return {{"{name}": sys.modules[__name__]}}
"""

_HEAD = '''"""What {name} does, and that it does nothing else."""

from pathlib import Path

import {module}

from swarmlab.plugin import Host
from swarmlab.testing import Desk, a_node, a_service, assert_conforms{more}, tasks_of

'''
_TESTS = {
    "strategy": _HEAD
    + """WEB = a_service("web", 2, memory=512 * MIB)


def test_the_node_with_more_free_memory_is_served_first():
    host = Host({module}.{title}(), strict=True)
    desk = Desk([a_node("n1", memory=1024 * MIB), a_node("n2", memory=4096 * MIB)], WEB, host=host)
    desk.create(*tasks_of(WEB, 2))
    assert desk.on() == {{"n1": 1, "n2": 1}}


def test_it_keeps_the_promises_of_every_strategy():
    assert_conforms(class_spec({module}.{title}), cases=10)
""",
    "filter": _HEAD
    + """DB, WEB = a_service("db"), a_service("web")
FILE = str(Path({module}.__file__))


def test_a_node_that_is_kept_for_one_service_takes_no_other():
    host = Host.load("spread", [FILE], strict=True)
    desk = Desk([a_node("n1", labels={{"only": "db"}}), a_node("n2")], [DB, WEB], host=host)
    desk.create(*tasks_of(WEB, 2))
    assert desk.on() == {{"n1": 0, "n2": 2}}


def test_it_keeps_the_promises_of_every_plugin():
    assert_conforms("spread", [FILE], cases=10)
""",
    "score": _HEAD
    + """WEB = a_service("web", 2, memory=512 * MIB)
FILE = str(Path({module}.__file__))


def test_the_node_with_more_free_memory_scores_better():
    host = Host.load("spread", [FILE], strict=True)
    desk = Desk([a_node("n1", memory=4096 * MIB), a_node("n2", memory=4096 * MIB)], WEB, host=host)
    desk.create(*tasks_of(WEB, 1))
    view = desk.seen()
    assert view.scores(view.group_of(WEB.id)).tolist() == [0.875, 1.0]


def test_it_keeps_the_promises_of_every_plugin():
    assert_conforms("spread", [FILE], cases=10)
""",
    "observe": _HEAD
    + """WEB = a_service("web", 2)
FILE = str(Path({module}.__file__))


def test_each_decision_is_told(capsys):
    desk = Desk([a_node("n1")], WEB, host=Host.load("spread", [FILE], strict=True))
    desk.create(*tasks_of(WEB, 2))
    assert capsys.readouterr().err == "web: 2 placed, 0 wait\\n"


def test_it_keeps_the_promises_of_every_plugin():
    assert_conforms("spread", [FILE], cases=10)
""",
}

_PROJECT = """[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "swarmlab-{name}"
version = "0.1.0"
description = "A {kind} for swarmlab, plugin API {api}"
requires-python = ">=3.11"
dependencies = ["swarmlab"]

[project.entry-points.swarmlab]
{name} = "{module}"

[tool.setuptools]
packages = ["{module}"]

[tool.pytest.ini_options]
testpaths = ["tests"]
pythonpath = ["."]
"""


def skeleton(name: str, kind: str = "strategy", *, package: bool = True) -> dict[str, str]:
    """{path: text} of a new package NAME, or of one file and its test.

    Raises PluginError where `name` cannot be the name of both a plugin and a module.
    """
    if not _NAME.fullmatch(name):
        raise PluginError(name, "", "is no name for a plugin, wanted lower case words and digits joined by '-'")
    title = "".join(word.capitalize() for word in name.split("-"))
    alone = name.replace("-", "_")
    module = f"swarmlab_{alone}" if package else alone
    words = {
        "name": name,
        "kind": kind,
        "title": title,
        "module": module,
        "api": ".".join(map(str, API)),
        "hookimpl": ", hookimpl" if package else "",
        "more": ", class_spec" if kind == "strategy" else "",
    }
    body = _BODIES[kind]
    tests = _TESTS[kind]
    if "MIB" in tests:
        tests = tests.replace("import Desk", "import MIB, Desk", 1)
    if "Path(" not in tests:
        tests = tests.replace("from pathlib import Path\n\n", "", 1)
    if package:
        body += _REGISTER.get(kind, _REGISTER_PLUGIN)
        if kind != "strategy" and "import sys\n" not in body:
            first = "import numpy" if "import numpy" in body else "from swarmlab"
            body = body.replace(first, f"import sys\n\n{first}", 1)
    text, test = body.format_map(words), tests.format_map(words)
    if not package:
        return {f"{module}.py": text, f"test_{module}.py": test}
    return {
        f"{name}/pyproject.toml": _PROJECT.format_map(words),
        f"{name}/{module}/__init__.py": text,
        f"{name}/tests/test_{alone}.py": test,
    }
