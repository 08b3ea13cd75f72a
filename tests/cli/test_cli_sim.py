"""`sim run` and `sim soak`: the result of a scenario, its log, and how it fails; many seeds, and those that fail."""

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


def test_a_soak_of_seeds_that_go_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "soak", "--seeds", "2", "--start", "25", "--jobs", "1"]) == Exit.OK
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["seeds", "virtual time", "commits", "requests", "failed"]
    assert (lines[0], lines[-1]) == ("seeds:         25 to 26", "failed:        0")


def test_a_seed_that_fails_says_how_to_see_it_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the spot, and with its story as a file; the exit code tells scripts."""
    monkeypatch.setattr("swarmlab.sim.run.unmet", lambda *_: ["the sky is green"])
    words = ["--seeds", "1", "--start", "26", "--managers", "3", "--stories", str(tmp_path), "-o", "json"]
    assert main(["sim", "soak", *words]) == Exit.ERROR
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert (result["start"], result["seeds"], result["failed"]) == (26, 1, 1)
    [verdict] = result["verdicts"]
    assert (verdict["seed"], verdict["managers"]) == (26, 3)
    assert verdict["recipe"] == "swarmlab sim soak --seeds 1 --start 26 --managers 3"
    story = tmp_path / "seed-26.yml"
    [failed, again, shown] = err.splitlines()
    assert failed.startswith("Failed: seed 26: at ")
    assert failed.endswith(": the sky is green")
    assert again == f"Again:  {verdict['recipe']}"
    assert shown.startswith(f"Story:  swarmlab sim run --scenario {story} --strategy ")
    assert shown.endswith(" --seed 26")
    assert story.is_file()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--managers", "1"], Exit.USAGE, "--managers: 1, wanted: 2 to 7"),
        (["--managers", "8"], Exit.USAGE, "--managers: 8, wanted: 2 to 7"),
        (["--seeds", "0"], Exit.USAGE, "--seeds: '0', wanted: a whole number >= 1"),
        (["--stories", "/no/such"], Exit.STATE, "/no/such: no such directory"),
    ],
)
def test_how_a_soak_is_refused(words: list[str], code: Exit, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "soak", *words]) == code
    assert message in capsys.readouterr().err
