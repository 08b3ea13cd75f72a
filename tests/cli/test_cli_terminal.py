"""What a terminal shows: short ids, colours, names in place of ids, and the live view on its own screen."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_ground import Ground, a_node, a_service, a_task
from patience import PATIENCE_SECONDS

from swarmlab.api import Instant, LabEvent, TaskState
from swarmlab.cli import demo, events, explain, logs, output

W1 = a_node("w1")


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if standard output were a terminal of 120 columns."""
    for module in (output, events, logs, explain, demo):
        monkeypatch.setattr(module, "on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")


def test_ids_are_cut_in_tables_alone(ground: Ground, on_terminal: None) -> None:
    web = a_service("web", 1)
    ground.put(W1, web, a_task(web, 1, W1))
    lines = ground.cli("service", "ps", "web").lines
    assert lines[0].split() == ["ID", "NAME", "IMAGE", "NODE", "DESIRED", "STATE", "CURRENT", "STATE", "ERROR", "PORTS"]
    assert lines[2].split()[:6] == ["web1-task-01", "web.1", "img:1", "w1", "Running", "Running"]
    assert ground.cli("service", "ps", "--no-trunc", "web").lines[2].split()[0] == "web1-task-0123456789abc"
    assert ground.cli("service", "ps", "-q", "web").lines == ["web1-task-0123456789abc"]


def test_a_long_error_is_folded_and_not_cut(ground: Ground, on_terminal: None) -> None:
    web = a_service("web", 1)
    reason = "no suitable node (" + "; ".join(f"reason {n} on {n} nodes" for n in range(2, 9)) + ")"
    ground.put(web, a_task(web, 1, None, TaskState.PENDING, err=reason))
    out = ground.cli("service", "ps", "web").out
    assert all(f"reason {n} on" in re.sub(r"\s+", " ", out) or f"{n} nodes" in out for n in range(2, 9))
    assert "…" not in out


def test_explanations_and_logs_are_coloured(ground: Ground, on_terminal: None) -> None:
    web = a_service("web", 1)
    ground.put(W1, web, a_task(web, 1, W1, id="t1"))
    assert "\033[33mpending\033[0m" in ground.cli("explain", "web.1").out
    ground.do(lambda: ground.served.output.write("t1", 1, "hello\n"))
    assert ground.cli("service", "logs", "web").out == "\033[36mweb.1.t1@w1\033[0m    | hello\n"


def test_events_have_names_in_place_of_ids(ground: Ground, on_terminal: None) -> None:
    unknown = "9" * 25
    fields = f'{{"node":"{W1.id}","group":"{unknown}","reason":"","nodes":{{"{W1.id}":2}}}}'
    ground.put(W1)
    event = LabEvent(index=9, at=Instant(0), component="scheduler", name="placed", fields=fields)
    ground.do(lambda: ground.served.lab.story.append(event))
    line = ground.cli("events", "--tail", "1").lines[0]
    assert line.endswith('\033[36mscheduler  \033[0m \033[1mplaced\033[0m node=w1 nodes={"w1":2} group=99999999')
    assert unknown in ground.cli("events", "--tail", "1", "-o", "wide").out


class Screen:
    """A program on a pseudo-terminal."""

    def __init__(self, *words: str, columns: int = 100, rows: int = 30) -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": str(rows)}
        self.process = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        self._ours = ours
        self.text = ""

    def until(self, *wanted: str) -> None:
        """Read until all of `wanted` were shown."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not all(word in self.text for word in wanted):
            assert time.monotonic() < deadline, f"{wanted} not in {self.text[-3000:]!r}"
            self._read(0.2)

    def end(self) -> int:
        """Read to the end; the exit code."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._read(0.2) or self.process.poll() is None:
            assert time.monotonic() < deadline, self.text[-3000:]
        return self.process.wait(PATIENCE_SECONDS)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE_SECONDS)
        os.close(self._ours)

    def _read(self, seconds: float) -> bool:
        if not select.select([self._ours], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # the other end is closed
            return False
        self.text += data.decode(errors="replace")
        return bool(data)


@pytest.fixture
def screen(run_dir: Path) -> Iterator[Screen]:
    words = (sys.executable, "-m", "swarmlab", "--executor", "sim", "--socket", str(run_dir / "c.sock"))
    found = Screen(*words)
    try:
        yield found
    finally:
        found.close()


def test_the_live_view_has_its_own_screen_and_leaves_it_clean(screen: Screen, run_dir: Path) -> None:
    screen.until("\033[?1049h", "strategy", "w4", "no services yet", "SWARMLAB_SOCKET", "node-ready")
    socket = ("--socket", str(run_dir / "c.sock"))
    words = (
        sys.executable,
        "-m",
        "swarmlab",
        "service",
        "create",
        *socket,
        "--name",
        "web",
        "--replicas",
        "4",
        "any",
        "x",
    )
    subprocess.run(words, check=True, capture_output=True, timeout=PATIENCE_SECONDS)
    screen.until("SERVICE", "replicated", "4/4")
    screen.process.send_signal(signal.SIGINT)
    assert screen.end() == 0
    last = screen.text.rpartition("\033[?1049l")[2]
    assert "stopping 4 tasks of 1 services ..." in last
    assert last.rstrip().endswith("stopped: 4 tasks, 4 workers; nothing of it is left")
    assert screen.text.count("\033[?1049h") == screen.text.count("\033[?1049l") == 1


def test_waiting_rewrites_one_line(ground: Ground) -> None:
    web = a_service("web", 1)
    ground.put(W1, web, a_task(web, 1, W1))
    words = ("service", "scale", "web=1", "--wait", "--socket", str(ground.served.path))
    screen = Screen(sys.executable, "-m", "swarmlab", *words)
    try:
        assert screen.end() == 0
    finally:
        screen.close()
    assert screen.text == "web scaled to 1\r\n\r\033[Kweb: 1 of 1 tasks run\r\n"
