"""The benches on the command line: one JSON object with the parameters, seconds and their parts, peak memory."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from swarmlab.bench.live import LiveBench
from swarmlab.bench.raft import RaftBench
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


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], RaftBench()),
        (["--managers", "5", "--clients", "8", "--seconds", "0.5"], RaftBench(managers=5, clients=8, seconds=0.5)),
        (["--kill-leader"], RaftBench(kills=1)),
        (
            ["--kill-leader", "--kills", "3", "--workers", "2", "--tasks", "9", "--tick", "50"],
            RaftBench(kills=3, workers=2, tasks=9, tick_ms=50),
        ),
    ],
)
def test_what_the_raft_bench_is_asked(
    words: list[str], expected: RaftBench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Progress goes to standard error, the figures to standard output."""

    async def bench(asked: RaftBench, say: Callable[[str], None]) -> dict[str, Any]:
        assert asked == expected
        say("at it")
        return {"bench": "raft", "lost_writes": 0, "peak_rss_bytes": 7}

    monkeypatch.setattr("swarmlab.bench.raft.raft_bench", bench)
    assert main(["bench", "raft", *words]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"bench": "raft", "lost_writes": 0, "peak_rss_bytes": 7}
    assert shown.err == "at it\n"
    assert main(["bench", "raft", "-q", *words]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], LiveBench()),
        (["--workers", "1"], LiveBench(workers=1, processes=1)),
        (
            ["--workers", "9", "--tasks", "7", "--services", "7", "--processes", "3", "--idle-seconds", "1.5"],
            LiveBench(workers=9, tasks=7, services=7, processes=3, idle_seconds=1.5),
        ),
    ],
)
def test_what_the_live_bench_is_asked(
    words: list[str], expected: LiveBench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def bench(asked: LiveBench, _: Callable[[str], None]) -> dict[str, Any]:
        assert asked == expected
        return {"bench": "live", "peak_rss_bytes": 7}

    monkeypatch.setattr("swarmlab.bench.live.live_bench", bench)
    assert main(["bench", "live", *words]) == 0
    assert json.loads(capsys.readouterr().out) == {"bench": "live", "peak_rss_bytes": 7}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["raft", "--kills", "2"], "--kills goes with --kill-leader alone"),
        (["raft", "--workers", "2"], "--workers goes with --kill-leader alone"),
        (
            ["raft", "--kill-leader", "--managers", "2"],
            "--kill-leader: 2 managers, wanted: 3 at least, so that two are left to agree",
        ),
        (["raft", "--seconds", "0"], "--seconds: '0', wanted: a number of seconds, more than 0 and at most 3600"),
        (["raft", "--seconds", "nan"], "--seconds: 'nan', wanted: a number of seconds"),
        (["live", "--tasks", "2", "--services", "3"], "--services: 3, wanted: at most as many as --tasks, 2"),
        (["live", "--workers", "0"], "--workers: '0', wanted: a whole number >= 1"),
    ],
)
def test_bad_benches_of_processes(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *words]) == 2
    assert message in capsys.readouterr().err


def test_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "scheduler", "--nodes", "5", "--tasks", "10", "-o", "table"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == ["bench           scheduler", "nodes           5"]
