"""A cluster in the foreground, and the command line in a second terminal: real processes over a real socket."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_ground import Answer
from patience import PATIENCE_SECONDS, patient, wait_until

from swarmlab.cli.exits import Exit
from swarmlab.cli.main import main
from swarmlab.cli.names import names_file

#: A task that says who it is, and then waits.
TALKER = ("sh", "-c", "echo hello from $NAME; exec sleep 1000")


class Terminal:
    """A running `swarmlab --plain`, and commands against it."""

    def __init__(self, run_dir: Path, *flags: str) -> None:
        self.socket = run_dir / "control.sock"
        self.log = run_dir / "log"
        words = (sys.executable, "-m", "swarmlab", "--plain", "--socket", str(self.socket), *flags)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def ready(self, capsys: pytest.CaptureFixture[str]) -> "Terminal":
        """Wait until it answers; what commands print is read from `capsys`."""
        self._capsys = capsys
        wait_until(self._answers, self.log.read_text)
        return self

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return self.cli("status").code == 0

    def cli(self, *words: str) -> Answer:
        self._capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SWARMLAB_SOCKET", str(self.socket))
            code = main(patient(words))
        out, err = self._capsys.readouterr()
        return Answer(code, out, err)

    def ok(self, *words: str) -> str:
        answer = self.cli(*words)
        assert answer.code == 0, answer.err
        return answer.out

    def stop(self, number: int = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)

    def until_logged(self, service: str, wanted: str, besides: str = "") -> None:
        """Wait until its tasks have printed these lines and no others but `besides`: they run before they print."""

        def logged() -> str:
            lines = self.ok("service", "logs", "--raw", service).splitlines(keepends=True)
            return "".join(line for line in lines if line != besides)

        wait_until(lambda: logged() == wanted, logged)

    def tasks(self, service: str) -> dict[str, list[str]]:
        """{node: names of tasks that run there}"""
        found: dict[str, list[str]] = {}
        for task in json.loads(self.ok("service", "ps", service, "-o", "json", "--filter", "state=running")):
            if task["desired_state"] == "running":
                found.setdefault(task["node"], []).append(task["name"])
        return found


REBALANCING = ("--strategy", "rebalance", "--executor", "process")


@pytest.fixture
def own_terminal(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    """Four workers that run processes, for one test alone."""
    found = Terminal(run_dir, *REBALANCING)
    try:
        yield found.ready(capsys)
    finally:
        found.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def shared_terminal() -> Iterator[Terminal]:
    """Four workers that run processes, for one test after another."""
    path = Path(tempfile.mkdtemp(prefix="sl-"))
    found = Terminal(path, *REBALANCING)
    yield found
    assert found.stop() == 0, found.log.read_text()
    shutil.rmtree(path)


@pytest.fixture
def terminal(shared_terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    """The shared cluster, without services at the end."""
    yield shared_terminal.ready(capsys)
    left = shared_terminal.ok("service", "ls", "-q").split()
    if left:
        shared_terminal.ok("service", "rm", "--wait", *left)


def spread_of(tasks: dict[str, list[str]]) -> list[int]:
    return sorted(len(names) for names in tasks.values())


def test_the_life_of_a_service(terminal: Terminal) -> None:
    quick = ("--update-monitor", "100ms", "--rollback-monitor", "100ms", "--rollback-parallelism", "0")
    flags = ("--replicas", "3", "-e", "NAME=web", "--stop-signal", "SIGKILL", *quick)
    terminal.ok("service", "create", "--name", "web", *flags, "--wait", "any", *TALKER)
    assert spread_of(terminal.tasks("web")) == [1, 1, 1]
    terminal.until_logged("web", "hello from web\n" * 3)
    terminal.ok("service", "scale", "web=5", "--wait")
    assert spread_of(terminal.tasks("web")) == [1, 1, 1, 2]
    terminal.ok("service", "update", "--env-add", "NAME=new", "--update-parallelism", "0", "--wait", "web")
    terminal.until_logged("web", "hello from new\n" * 5, "hello from web\n")
    terminal.ok("service", "rollback", "--wait", "web")
    service = json.loads(terminal.ok("service", "inspect", "web"))[0]
    assert service["spec"]["task"]["container"]["env"] == ["NAME=web"]
    assert service["update_status"]["state"] == "rollback_completed"
    terminal.ok("service", "rm", "--wait", "web")
    assert terminal.ok("service", "ls", "-q") == ""


def test_a_node_dies_and_returns(terminal: Terminal) -> None:
    terminal.ok(
        "service", "create", "--name", "web", "--replicas", "4", "--stop-signal", "SIGKILL", "--wait", "any", *TALKER
    )
    terminal.ok("node", "stop", "w4", "--wait")
    assert "w4" not in terminal.tasks("web")
    assert sum(spread_of(terminal.tasks("web"))) == 4
    assert json.loads(terminal.ok("node", "ls", "-o", "json", "--filter", "name=w4"))[0]["status"]["state"] == "down"
    terminal.ok("node", "start", "w4", "--wait")
    wait_until(lambda: spread_of(terminal.tasks("web")) == [1, 1, 1, 1], terminal.log.read_text)
    assert "rebalance" in terminal.ok("events", "--filter", "component=rebalancer")


def test_drain_and_activate(terminal: Terminal) -> None:
    terminal.ok(
        "service", "create", "--name", "web", "--replicas", "4", "--stop-signal", "SIGKILL", "--wait", "any", *TALKER
    )
    terminal.ok("node", "update", "--availability", "drain", "--wait", "w1")
    assert "w1" not in terminal.tasks("web")
    terminal.ok("node", "update", "--availability", "active", "--wait", "w1")
    assert json.loads(terminal.ok("node", "inspect", "w1"))[0]["spec"]["availability"] == "active"


def test_an_impossible_reservation_is_explained(terminal: Terminal) -> None:
    terminal.ok("service", "create", "--name", "big", "--reserve-memory", "900g", "any", "sleep", "1")
    reason = "insufficient resources on 4 nodes"
    wait_until(lambda: reason in terminal.ok("service", "ps", "big", "-o", "json"), terminal.log.read_text)
    answer = terminal.cli("service", "scale", "big=1", "--wait", "--timeout", "1s")
    assert answer.code == Exit.TIMED_OUT
    assert "Error: not at rest after 1s: big: 0 of 1 tasks run" in answer.err
    assert reason in answer.err
    explanation = json.loads(terminal.ok("explain", "big.1", "-o", "json"))[0]
    assert explanation["verdict"] == "pending"
    assert explanation["shortages"][0]["nodes"] == 4
    text = terminal.ok("explain", "big.1")
    assert "insufficient resources" in text
    assert terminal.ok("service", "ls", "-o", "name") == "big\n"


def test_a_failing_update_is_rolled_back_and_said_so(terminal: Terminal) -> None:
    flags = (
        "--stop-signal",
        "SIGKILL",
        "--restart-delay",
        "100ms",
        "--update-monitor",
        "1m",
        "--rollback-monitor",
        "100ms",
    )
    words = (
        "--name",
        "web",
        "--replicas",
        "2",
        *flags,
        "--update-failure-action",
        "rollback",
        "--wait",
        "any",
        "sleep",
        "1000",
    )
    terminal.ok("service", "create", *words)
    answer = terminal.cli("service", "update", "--args", "false", "--wait", "web")
    assert answer.code == Exit.ERROR
    assert "Error: service web: " in answer.err
    assert json.loads(terminal.ok("service", "inspect", "web"))[0]["spec"]["task"]["container"]["args"] == [
        "sleep",
        "1000",
    ]


def test_a_failing_update_that_is_paused_ends_the_wait(terminal: Terminal) -> None:
    stops = ("--stop-signal", "SIGKILL", "--restart-delay", "100ms", "--update-monitor", "1m")
    terminal.ok("service", "create", "--name", "web", "--replicas", "2", *stops, "--wait", "any", "sleep", "1000")
    answer = terminal.cli("service", "update", "--args", "false", "--wait", "web")
    assert answer.code == Exit.ERROR
    assert "Error: service web: update paused due to failure or early termination of task " in answer.err


def test_jobs(terminal: Terminal) -> None:
    words = ("--name", "job", "--mode", "replicated-job", "--replicas", "3", "--wait", "any", "true")
    assert "job: 3 of 3 tasks complete" in terminal.cli("service", "create", *words).err
    assert terminal.ok("service", "ls").splitlines()[1].split()[2:4] == ["replicated", "job"]


def test_a_stack(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_text("content of a config\n")
    file = tmp_path / "stack.yml"
    file.write_text(
        """\
services:
  reader:
    image: any
    command: [sh, -c, "echo $$GREETING; exec sleep 1000"]
    environment: {GREETING: "${GREETING:-hi}"}
    stop_signal: SIGKILL
    deploy: {replicas: 2, update_config: {monitor: 100ms, parallelism: 0}}
  each:
    image: any
    command: sleep 1000
    stop_signal: SIGKILL
    deploy: {mode: global}
configs:
  page: {file: page.txt}
"""
    )
    terminal.ok("stack", "deploy", "-c", str(file), "--wait", "s")
    assert spread_of(terminal.tasks("s_each")) == [1, 1, 1, 1]
    terminal.until_logged("s_reader", "hi\nhi\n")
    before = terminal.tasks("s_each"), terminal.tasks("s_reader")
    terminal.ok("stack", "deploy", "-c", str(file), "--wait", "s")
    assert (terminal.tasks("s_each"), terminal.tasks("s_reader")) == before
    terminal.ok("stack", "rm", "--wait", "s")
    assert terminal.ok("stack", "ls", "-o", "name") == ""
    assert terminal.ok("config", "ls", "-q") == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything(own_terminal: Terminal, number: int) -> None:
    terminal = own_terminal
    marker = f"{number}{os.getpid()}"
    terminal.ok("service", "create", "--name", "web", "--replicas", "3", "--wait", "any", "sleep", f"1000.{marker}")
    assert len(sleeping(marker)) == 3
    assert json.loads(names_file(terminal.socket).read_text())["node"] == ["w1", "w2", "w3", "w4"]
    assert terminal.stop(number) == 0
    assert sleeping(marker) == []
    assert terminal.log.read_text().splitlines()[-1] == "stopped: 3 tasks, 4 workers; nothing of it is left"
    assert not terminal.socket.exists()
    assert not names_file(terminal.socket).exists()
    assert terminal.cli("node", "ls").code == Exit.UNREACHABLE


def test_a_follower_is_told_when_the_cluster_ends(own_terminal: Terminal) -> None:
    terminal = own_terminal
    flags = ("--name", "web", "--stop-signal", "SIGKILL", "-e", "NAME=web", "--wait")
    terminal.ok("service", "create", *flags, "any", *TALKER)
    words = (
        sys.executable,
        "-m",
        "swarmlab",
        "service",
        "logs",
        "-f",
        "--raw",
        "--socket",
        str(terminal.socket),
        "web",
    )
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == "hello from web\n"
        assert terminal.stop() == 0
        _, err = follower.communicate(timeout=PATIENCE_SECONDS)
    assert follower.returncode == Exit.UNREACHABLE
    assert err.startswith("Error: ")


def sleeping(marker: str) -> list[int]:
    """Processes whose command line holds the marker."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if f"1000.{marker}" in path.read_text():
                found.append(int(path.parent.name))
        except OSError:  # it ended in between
            continue
    return found


def test_plain_output_says_what_to_type(terminal: Terminal) -> None:
    lines = terminal.log.read_text().splitlines()
    assert lines[0] == f"swarmlab: strategy rebalance, 4 workers, executor process, socket {terminal.socket}"
    assert lines[1:3] == ["In a second terminal:", f"  export SWARMLAB_SOCKET={terminal.socket}"]
    assert lines[5] == "Ctrl-C stops the cluster and all its tasks."


def test_a_second_cluster_at_the_same_socket_is_refused(terminal: Terminal) -> None:
    answer = terminal.cli("--socket", str(terminal.socket), "--executor", "sim", "--plain")
    assert answer.code == Exit.STATE
    assert "another server answers there" in answer.err


def test_a_state_directory_is_kept_and_used_by_one_cluster_alone(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--executor", "sim", "--workers", "2", "--state-dir", str(run_dir / "state"))
    first = Terminal(run_dir, *flags)
    try:
        first.ready(capsys).ok("service", "create", "--name", "web", "--replicas", "2", "--wait", "any", "x")
        second = main(["--plain", "--socket", str(run_dir / "other.sock"), *flags])
        assert second == Exit.STATE
        assert str(run_dir / "state") in capsys.readouterr().err
        assert first.stop() == 0
        assert first.log.read_text().splitlines()[-1].endswith(f"the cluster is kept in {run_dir / 'state'}")
        first = Terminal(run_dir, *flags)
        first.ready(capsys)
        assert first.ok("service", "ls", "-o", "name") == "web\n"
        first.ok("service", "scale", "web=2", "--wait")
    finally:
        first.stop(signal.SIGKILL)


def test_a_stack_at_the_start(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = run_dir / "shop.yml"
    file.write_text("services: {web: {image: any, command: [x]}}\n")
    started = Terminal(run_dir, "--executor", "sim", "--stack", str(file))
    try:
        started.ready(capsys)
        wait_until(lambda: started.ok("stack", "ls", "-o", "name") == "shop\n", started.log.read_text)
        assert started.stop() == 0
    finally:
        started.stop(signal.SIGKILL)


STRATEGY = """
from swarmlab.plugin import Strategy
class Good(Strategy):
    name = "good"
"""


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--strategy", "spred"), Exit.NOT_FOUND, "did you mean spread?"),
        (("--strategy", "FILE:Goood"), Exit.NOT_FOUND, "the file has no Goood; did you mean Good?"),
        (("--strategy", "BROKEN:Good"), Exit.INVALID, "raised on import: ZeroDivisionError"),
        (("--strategy", "./none.py:Good"), Exit.INVALID, "there is no such file"),
        (("--plugin", "nothing"), Exit.NOT_FOUND, "there is no plugin of that name"),
        (("--set", "x=1"), Exit.INVALID, "has no parameter 'x'"),
        (("--state-dir", "FILE"), Exit.STATE, "strategy.py"),
        (("--stack", "none.yml"), Exit.INVALID, "none.yml: No such file or directory"),
    ],
)
def test_what_keeps_a_cluster_from_starting(
    words: tuple[str, ...], code: Exit, message: str, tmp_path: Path, run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "strategy.py").write_text(STRATEGY)
    (tmp_path / "broken.py").write_text("1 / 0\n")
    files = {"FILE": str(tmp_path / "strategy.py"), "BROKEN": str(tmp_path / "broken.py")}
    filled = [word.replace("FILE", files["FILE"]).replace("BROKEN", files["BROKEN"]) for word in words]
    assert main(["--plain", "--executor", "sim", "--socket", str(run_dir / "c.sock"), *filled]) == code
    err = capsys.readouterr().err
    assert err.startswith("Error: ")
    assert message in err
