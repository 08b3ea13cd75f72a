"""`demo rejoin`, the ledger that counts moves and restarts, and the task that does nothing."""

import io
import json
import platform
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from cli_ground import a_node, a_service, a_task
from docker_engine import engine, engine_at
from msgspec.structs import replace
from patience import PATIENCE_SECONDS, wait_until

from swarmlab.api import Annotations, Change, ChangeKind, ExecutorError, Task, TaskState
from swarmlab.cli.idle import IMAGE, idle_container, image_tar, make_image, program
from swarmlab.cli.main import main
from swarmlab.cli.rejoin import Ledger
from swarmlab.edges.docker import Engine
from swarmlab.manager.orchestrator import MOVE_FROM
from swarmlab.store import EMPTY, Committed

__all__ = ["engine", "engine_at"]


def gap(counts: dict[str, int]) -> int:
    return max(counts.values()) - min(counts.values())


def test_rejoin_shows_what_each_strategy_makes_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    """On models; the founding story of the integration tests is the same on processes and containers."""
    assert main(["demo", "rejoin", "--executor", "sim", "-q", "-o", "json"]) == 0
    out, err = capsys.readouterr()
    stories = {story["strategy"]: story for story in json.loads(out)}
    assert err == ""
    assert list(stories) == ["spread", "rebalance"]
    for story in stories.values():
        assert list(story) == [
            "strategy",
            "before",
            "after_loss",
            "after_return",
            "moves",
            "restarts_outside_moves",
            "seconds",
        ]
        for phase in ("before", "after_loss", "after_return"):
            assert {service: sum(counts.values()) for service, counts in story[phase].items()} == {"api": 6, "web": 4}
            assert all(list(counts) == ["w1", "w2", "w3", "w4"] for counts in story[phase].values())
        assert [counts["w4"] for counts in story["after_loss"].values()] == [0, 0]
        assert story["restarts_outside_moves"] == 0
        assert story["seconds"] > 0
    assert [counts["w4"] for counts in stories["spread"]["after_return"].values()] == [0, 0]
    assert stories["spread"]["moves"] == 0
    assert all(gap(counts) <= 1 for counts in stories["rebalance"]["after_return"].values())
    assert stories["rebalance"]["moves"] == 2  # six on three nodes are 2 2 2, four are 2 1 1: one move each


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "rejoin", "--executor", "sim", "--strategies", "spread"]) == 0
    out, err = capsys.readouterr()
    assert "w4 dies" in err
    rows = [line.split() for line in out.splitlines() if " api " in line or " web " in line]
    assert [row[:2] for row in rows] == [["spread", "api"], ["web", "1"]]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--strategies", "spread,"], 2, "--strategies: 'spread,', wanted: NAME,NAME"),
        (["--strategies", "spred"], 4, "did you mean spread?"),
    ],
)
def test_bad_demos(words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "rejoin", "--executor", "sim", *words]) == code
    assert message in capsys.readouterr().err


def test_a_demo_that_is_stopped_leaves_nothing() -> None:
    words = (sys.executable, "-m", "swarmlab", "demo", "rejoin", "--executor", "process")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        assert any("running: " in line for line in lines)
        group = children_of(process.pid)
        assert len(group) >= 10
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 130
        assert "interrupted\n" in list(lines)
    assert [pid for pid in group if Path(f"/proc/{pid}").exists()] == []


def children_of(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it ended in between
            continue
        if int(fields[1]) == parent:
            found.append(int(path.parent.name))
    return found


def commit(*tasks: Task) -> Committed:
    return Committed(EMPTY, tuple(Change(ChangeKind.UPDATED, task) for task in tasks))


def moved(task: Task, origin: Task) -> Task:
    return replace(task, annotations=Annotations(labels={MOVE_FROM: origin.id}))


def test_the_ledger_counts_moves_that_arrived_and_restarts_that_nobody_asked_for() -> None:
    web, w1 = a_service("web"), a_node("w1")
    lost, old, other = (a_task(web, slot, w1) for slot in (1, 2, 3))
    new = moved(a_task(web, 2, w1, TaskState.STARTING, id="new"), old)
    ledger = Ledger()
    ledger.lost = frozenset({lost.id})
    ledger.note(commit(replace(lost, desired_state=TaskState.SHUTDOWN), new))
    assert (ledger.moves, ledger.restarts) == (0, frozenset())
    ledger.note(commit(replace(new, status=replace(new.status, state=TaskState.RUNNING))))
    ledger.note(commit(replace(old, desired_state=TaskState.SHUTDOWN)))
    assert (ledger.moves, ledger.restarts) == (1, frozenset())
    ledger.note(commit(replace(other, status=replace(other.status, state=TaskState.FAILED))))
    assert (ledger.moves, ledger.restarts) == (1, frozenset({other.id}))


def test_a_move_that_never_arrived_is_none_and_its_end_counts() -> None:
    web, w1 = a_service("web"), a_node("w1")
    old = a_task(web, 1, w1)
    new = moved(a_task(web, 1, w1, TaskState.FAILED, TaskState.SHUTDOWN, id="new"), old)
    ledger = Ledger()
    ledger.note(commit(new))
    assert (ledger.moves, ledger.restarts) == (0, frozenset({new.id}))


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "aarch64"), reason="the idle program is for x86_64 and aarch64"
)
def test_the_idle_program_runs_here(tmp_path: Path) -> None:
    file = tmp_path / "idle"
    file.write_bytes(program(platform.machine()))
    file.chmod(0o755)
    with subprocess.Popen([file]) as process:
        stat = Path(f"/proc/{process.pid}/stat")

        def idles() -> bool:
            assert process.poll() is None
            return stat.read_text().split()[1:3] == ["(idle)", "S"]

        wait_until(idles, stat.read_text)
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == -signal.SIGTERM


def test_the_idle_image_holds_the_program_alone() -> None:
    with tarfile.open(fileobj=io.BytesIO(image_tar("aarch64"))) as tar:
        (entry,) = tar.getmembers()
        assert (entry.name, entry.mode, entry.size) == ("idle", 0o755, 120 + 7 * 4)
    with pytest.raises(ExecutorError, match="no idle program for riscv64, only for aarch64, x86_64; name an image"):
        program("riscv64")


def test_idle_containers() -> None:
    assert (idle_container("docker").image, idle_container("docker").command) == (IMAGE, ("/idle",))
    assert idle_container("docker", "busybox").command == ("sleep", "86400")
    assert idle_container("process").command == ("sleep", "86400")


@pytest.mark.docker
async def test_the_idle_image_is_made_once_and_runs(engine: Engine) -> None:
    await make_image(engine)
    await make_image(engine)
    assert len(await engine.call(lambda client: client.images(name=IMAGE))) == 1


@pytest.mark.docker
def test_rejoin_with_containers(
    engine_at: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine_at)
    words = ["demo", "rejoin", "--executor", "docker", "--strategies", "rebalance", "-q", "-o", "json"]
    assert main(words) == 0
    (story,) = json.loads(capsys.readouterr().out)
    assert (story["moves"], story["restarts_outside_moves"]) == (2, 0)
    assert all(gap(counts) <= 1 for counts in story["after_return"].values())


@pytest.mark.docker
@pytest.mark.skipif(shutil.which("docker") is None, reason="no docker command: it is what the bare runs are made with")
def test_the_start_bench(engine_at: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine_at)
    assert main(["bench", "start", "--executor", "docker", "--replicas", "3", "--rounds", "1", "-q"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["bench"], result["executor"], result["replicas"], result["rounds"]) == ("start", "docker", 3, 1)
    assert 0 < result["seconds_to_assigned"] <= result["seconds_to_ready"] <= result["seconds_total"]
    assert result["bare_seconds"] > 0
    assert result["peak_rss_bytes"] > 1 << 20


@pytest.mark.parametrize("executor", ["process", "sim"])
def test_the_start_bench_without_docker(executor: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "start", "--executor", executor, "--replicas", "3", "--rounds", "2", "-o", "json"]) == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert len(result["seconds_of_rounds"]) == 2
    assert ("ratio" in result) == (executor == "process")
    assert "round 2: 3 tasks run after" in err
