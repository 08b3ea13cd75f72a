"""`strategy ls` and `strategy show` need no cluster."""

import json
from pathlib import Path

import pytest

from swarmlab.cli.exits import Exit
from swarmlab.cli.main import main

SHIPPED = ["balanced", "binpack", "dotproduct", "least-allocated", "optimal", "random", "rebalance", "spread"]


def test_what_is_installed(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["ls", "-q"], ["list", "-o", "name"]):
        assert main(["strategy", *words]) == Exit.OK
        assert set(SHIPPED) <= set(capsys.readouterr().out.split())
    assert main(["strategy", "ls"]) == Exit.OK
    rows = {line.split()[0]: line.split()[1] for line in capsys.readouterr().out.splitlines()}
    assert (rows["NAME"], rows["rebalance"], rows["spread"]) == ("REBALANCES", "yes", "no")
    assert main(["strategy", "ls", "-o", "json"]) == Exit.OK
    listed = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert listed["spread"]["origin"] == "swarmlab_strategies"


def test_one_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["strategy", "show", "rebalance"]) == Exit.OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("rebalance: ")
    assert "  rebalances: yes" in lines
    assert any(line.startswith("  --set ") for line in lines)
    assert main(["strategy", "show", "rebalance", "-o", "json"]) == Exit.OK
    assert json.loads(capsys.readouterr().out)["rebalances"] is True
    assert main(["strategy", "show", "rebalance", "-o", "name"]) == Exit.OK
    assert capsys.readouterr().out == "rebalance\n"


def test_the_formula_with_the_weights_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["strategy", "show", "least-allocated", "--set", "memory_weight=3", "--plugin", "prefer"]) == Exit.OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[3] == (
        "  formula:    (1 x free(cpu) + 3 x free(memory) + 1 x free(each generic kind asked for)) "
        "/ (sum of these weights), where free(r) = (free - need) / total"
    )
    assert lines[4].startswith("  plugin:     prefer prefer.weight=")
    assert "  --set memory_weight=3" in lines
    for name in SHIPPED:
        assert main(["strategy", "show", name, "-o", "json"]) == Exit.OK
        assert json.loads(capsys.readouterr().out)["formula"], name
    assert main(["strategy", "show", "balanced", "--set", "free_weight=-1"]) == Exit.INVALID
    assert "free_weight is -1, wanted 0 or more" in capsys.readouterr().err


def test_an_unknown_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["strategy", "show", "spred"]) == Exit.NOT_FOUND
    assert capsys.readouterr().err == 'Error: strategy not found: "spred"; did you mean "spread"?\n'


def test_a_plugin_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["strategy", "ls", "--plugin", "nothing"]) == Exit.NOT_FOUND
    assert main(["strategy", "ls", "--plugin", str(tmp_path / "none.py")]) == Exit.INVALID
    assert "there is no such file" in capsys.readouterr().err
