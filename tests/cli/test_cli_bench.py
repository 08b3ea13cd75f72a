"""The benches on the command line: one JSON object with the parameters, seconds and their parts, peak memory."""

import json

import pytest

from swarmlab.cli.main import main


@pytest.mark.parametrize(("words", "services"), [(["--one-off"], 0), (["--services", "4"], 4), ([], 1)])
def test_the_scheduler_bench(words: list[str], services: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "scheduler", "--nodes", "10", "--tasks", "100", *words]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["bench"], result["nodes"], result["tasks"], result["services"]) == ("scheduler", 10, 100, services)
    assert result["placed"] == 100
    parts = result["seconds_decide"] + result["seconds_commit"]
    assert result["seconds_total"] == pytest.approx(parts, abs=0.001)
    assert result["peak_rss_bytes"] > 1 << 20


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--one-off", "--services", "3"], 2, "--one-off and --services exclude each other"),
        (["--distinct"], 2, "--distinct goes with --one-off alone"),
        (["--nodes", "0"], 2, "--nodes: '0', wanted: a whole number >= 1"),
        (["--strategy", "spred"], 4, "did you mean spread?"),
    ],
)
def test_bad_benches(words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "scheduler", *words]) == code
    assert message in capsys.readouterr().err


def test_a_bench_that_did_not_do_its_work_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("9 of 10 tasks were placed")

    monkeypatch.setattr("swarmlab.bench.scheduler_bench", fail)
    assert main(["bench", "scheduler"]) == 1
    assert capsys.readouterr().err == "Error: 9 of 10 tasks were placed\n"


def test_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "scheduler", "--nodes", "5", "--tasks", "10", "-o", "table"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == ["bench           scheduler", "nodes           5"]
