"""`sim run`: the result of a scenario, its log, and how it fails."""

import hashlib
import json
from pathlib import Path

import pytest

from swarmlab.cli.exits import Exit
from swarmlab.cli.main import main

SCENARIO = str(Path(__file__).resolve().parents[2] / "examples" / "scenarios" / "rejoin.yml")


def test_the_same_seed_writes_the_same_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs = []
    for name in ("a", "b"):
        words = ["--strategy", "rebalance", "--seed", "5", "--log", str(tmp_path / name), "-o", "json"]
        assert main(["sim", "run", "--scenario", SCENARIO, *words]) == Exit.OK
        result = json.loads(capsys.readouterr().out)
        logs.append((tmp_path / name).read_bytes())
        assert hashlib.sha256(logs[-1]).hexdigest() == result["log_sha256"]
        assert (result["scenario"], result["strategy"], result["seed"], result["moves"]) == (
            "rejoin",
            "rebalance",
            5,
            2,
        )
    assert logs[0] == logs[1]
    assert all(isinstance(json.loads(line), dict) for line in logs[0].splitlines())


def test_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "run", "--scenario", SCENARIO, "--strategy", "rebalance"]) == Exit.OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["scenario:      rejoin", "strategy:      rebalance", "seed:          0"]
    assert lines[-1] == "web:           w1=1 w2=1 w3=1 w4=1"


def test_the_regret_is_told_and_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Chance costs 8 more than the best plan that there was; the log is the same with and without the question."""
    words = ["sim", "run", "--scenario", SCENARIO, "--strategy", "random", "--seed", "1", "-o", "json"]
    main(words)
    plain = json.loads(capsys.readouterr().out)
    main([*words, "--regret"])
    told = json.loads(capsys.readouterr().out)
    regret = told.pop("regret")
    assert told == plain
    assert regret == {
        "objective": "spread",
        "plans": 2,
        "judged": 2,
        "best": 1,
        "regret": {"spread": 8.0},
        "worst": pytest.approx(0.2),
    }
    assert main(["sim", "run", "--scenario", SCENARIO, "--strategy", "rebalance", "--regret"]) == Exit.OK
    line = capsys.readouterr().out.splitlines()[-1]
    assert line == "regret:        none (spread; 2 of 2 plans are the best possible; worst 0.0%)"


def test_what_was_expected_and_did_not_hold_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario = tmp_path / "wrong.yml"
    scenario.write_text(Path(SCENARIO).read_text().replace("moves: 2, restarts", "moves: 77, restarts"))
    assert main(["sim", "run", "--scenario", str(scenario), "--strategy", "rebalance"]) == Exit.ERROR
    assert "Failed: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], Exit.USAGE, "--scenario FILE is wanted"),
        (["--scenario", "none.yml"], Exit.INVALID, "none.yml: no such file"),
        (["--scenario", SCENARIO, "--strategy", "spred"], Exit.NOT_FOUND, "did you mean spread?"),
        (["--scenario", SCENARIO, "--log", "/no/such/log"], Exit.STATE, "/no/such/log: its directory does not exist"),
        (["--scenario", SCENARIO, "--objective", "pack"], Exit.USAGE, "--regret is missing"),
        (["--scenario", SCENARIO, "--regret", "--objective", "best"], Exit.INVALID, "wanted spread, pack, load"),
        (["--scenario", SCENARIO, "--seed", "x"], Exit.USAGE, "--seed: 'x', wanted: a whole number >= 0"),
    ],
)
def test_how_it_fails(words: list[str], code: Exit, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "run", *words]) == code
    assert message in capsys.readouterr().err
