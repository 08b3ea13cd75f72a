"""`plugin new|check|test|ls|trace` need no cluster."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from swarmlab.cli.exits import Exit
from swarmlab.cli.main import main

LAZY = """
import numpy as np
from swarmlab.plugin import Placement, Plan, Strategy

class Lazy(Strategy):
    name = "lazy"

    def place(self, groups, view):
        return Plan()
"""


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", ["strategy", "filter", "score", "observe"])
@pytest.mark.parametrize("shape", ["package", "file"])
def test_the_tests_of_a_new_one_pass_as_they_are(kind: str, shape: str, here: Path) -> None:
    """In a process of its own, as `pytest` in the new folder."""
    assert main(["plugin", "new", "demo-two", f"--{kind}", f"--{shape}"]) == Exit.OK
    folder = here / "demo-two" if shape == "package" else here
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_a_new_one_writes_over_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "demo.py").write_text("mine")
    assert main(["plugin", "new", "demo", "--file"]) == Exit.CONFLICT
    assert capsys.readouterr().err == "Error: demo.py exists already\n"
    assert [path.name for path in here.iterdir()] == ["demo.py"]
    assert main(["plugin", "new", "My_Demo"]) == Exit.INVALID
    assert "is no name for a plugin" in capsys.readouterr().err


def test_what_is_checked_is_reported(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0 where all promises are kept, else 1, a file that does not load included."""
    (here / "lazy.py").write_text(LAZY)
    assert main(["plugin", "check", "lazy.py:Lazy", "--cases", "2", "-o", "json"]) == Exit.ERROR
    report = json.loads(capsys.readouterr().out)
    broken = {result["check"]: result["broken"] for result in report["results"] if "broken" in result}
    assert list(broken) == ["all-placed"]
    assert "though node n00 could take it" in broken["all-placed"]
    assert main(["plugin", "check", "lazy.py", "--cases", "2", "--allow", "all-placed"]) == Exit.OK
    assert "allowed  all-placed" in capsys.readouterr().out
    assert main(["plugin", "check", "flapping", "--cases", "2", "-o", "name"]) == Exit.OK
    assert capsys.readouterr().out == ""
    (here / "lazy.py").write_text(LAZY.replace("view)", "vew, x)"))
    assert main(["plugin", "check", "lazy.py:Lazy", "--cases", "2"]) == Exit.ERROR
    assert "BROKEN   loads: " in capsys.readouterr().out


def test_an_unknown_one_comes_with_near_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugin", "check", "flaping"]) == Exit.NOT_FOUND
    assert "there is no strategy or plugin of that name; did you mean flapping?" in capsys.readouterr().err


def test_a_plugin_that_answers_nothing_is_broken(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "idle.py").write_text("def swarmlab_filter(nodes): ...\n")
    assert main(["plugin", "check", "idle.py", "--cases", "1"]) == Exit.ERROR
    assert "idle: answers no hook" in capsys.readouterr().out


def test_the_tests_of_a_folder(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (here / "test_one.py").write_text("def test_one(): assert 1\n")
    assert main(["plugin", "test"]) == Exit.OK
    (here / "test_one.py").write_text("def test_one(): assert 0\n")
    assert main(["plugin", "test", "test_one.py"]) == Exit.ERROR
    assert "1 failed" in capfd.readouterr().out
    assert main(["plugin", "test", "nowhere"]) == Exit.NOT_FOUND


def test_what_is_installed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugin", "list", "-o", "json"]) == Exit.OK
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["flapping"]["hooks"] == ["swarmlab_filter"]
    assert rows["rebalance"] | {"hooks": []} == {
        "name": "rebalance", "kind": "strategy", "api": "1.0", "origin": "swarmlab_strategies", "hooks": [],
    }  # fmt: skip
    assert "rebalance" in rows["rebalance"]["hooks"]
    assert main(["plugin", "ls", "-q"]) == Exit.OK
    assert "spread" in capsys.readouterr().out.split()


def test_each_call_is_shown(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugin", "new", "demo", "--score", "--file"]) == Exit.OK
    capsys.readouterr()
    assert main(["plugin", "trace", "demo.py"]) == Exit.OK
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("swarmlab_score of s0@1")
    assert lines[at + 1] == "  demo: scores [1.0, 1.0, 1.0] weight 1"
    assert "place" in lines
    assert lines[-2:] == ["rebalance", "  spread: moves nothing"]
    assert main(["plugin", "trace", "demo.py", "-o", "json", "--seed", "3"]) == Exit.OK
    assert {call["plugin"] for call in json.loads(capsys.readouterr().out)} == {"demo", "spread"}
