"""`service logs`: whose lines, which of them, and how they look."""

import signal
import subprocess
import sys

import pytest
from cli_ground import Ground, a_node, a_service, a_task
from patience import PATIENCE_SECONDS

from swarmlab.api import LogStream

W1 = a_node("w1")


@pytest.fixture
def written(ground: Ground) -> Ground:
    web = a_service("web", 2)
    first, second = a_task(web, 1, W1, id="t1"), a_task(web, 2, W1, id="t2")
    ground.put(W1, web, first, second)
    output = ground.served.output
    ground.do(lambda: output.write("t1", 1_700_000_000_000_000_000, "hello\n"))
    ground.do(lambda: output.write("t1", 1_700_000_001_000_000_000, "trouble\n", LogStream.LOG_STREAM_STDERR))
    ground.do(lambda: output.write("t2", 1_700_000_002_000_000_000, "no newline"))
    return ground


def test_lines_carry_the_name_of_their_task(written: Ground) -> None:
    answer = written.cli("service", "logs", "web")
    assert sorted(answer.lines) == ["web.1.t1@w1    | hello", "web.2.t2@w1    | no newline"]
    assert answer.err == "web.1.t1@w1    | trouble\n"


@pytest.mark.parametrize("word", ["t1", "web.1", "web.1.t1"])
def test_one_task(written: Ground, word: str) -> None:
    assert written.cli("service", "logs", "--raw", word)[1:] == ("hello\n", "trouble\n")


def test_which_lines(written: Ground) -> None:
    assert written.cli("service", "logs", "--raw", "--tail", "1", "t1")[1:] == ("", "trouble\n")
    assert written.cli("service", "logs", "--raw", "--since", "1700000001", "web")[1:] == ("no newline\n", "")
    assert written.cli("service", "logs", "--raw", "-t", "--tail", "1", "t2").out == (
        "2023-11-14T22:13:22.000000000Z no newline\n"
    )
    assert written.cli("service", "logs", "--no-task-ids", "--tail", "1", "t2").out == "web.2@w1    | no newline\n"


def test_following_goes_on_until_ctrl_c(written: Ground) -> None:
    words = [
        sys.executable,
        "-m",
        "swarmlab",
        "service",
        "logs",
        "-f",
        "--raw",
        "t2",
        "--socket",
        str(written.served.path),
    ]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "no newline\n"
        written.do(lambda: written.served.output.write("t2", 1_700_000_003_000_000_000, "later\n"))
        assert process.stdout.readline() == "later\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=PATIENCE_SECONDS) == ("", "interrupted\n")
    assert process.returncode == 130


def test_bad_requests(written: Ground) -> None:
    answer = written.cli("service", "logs", "--tail", "few", "web")
    assert (answer.code, answer.err.splitlines()[0]) == (2, "Error: --tail: 'few', wanted: a whole number >= 0, or all")
    assert written.cli("service", "logs", "nothing").code == 4
