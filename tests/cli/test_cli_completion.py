"""What a shell offers after each beginning of a line."""

import shutil
import subprocess
from pathlib import Path

import pytest
from patience import PATIENCE_SECONDS

from swarmlab.cli.completion import candidates
from swarmlab.cli.main import main
from swarmlab.cli.names import names_file, read_names, remove_names, write_names

NAMES = {
    "node": ["w1", "w2"],
    "service": ["web", "api", "worker"],
    "secret": ["key"],
    "config": ["conf"],
    "stack": ["shop"],
    "strategy": ["spread", "rebalance"],
    "network": ["back"],
}


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    socket = tmp_path / "c.sock"
    write_names(socket, NAMES)
    monkeypatch.setenv("SWARMLAB_SOCKET", str(socket))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("no", ["node"]),
        ("s", ["secret", "service", "sim", "stack", "status", "strategy"]),
        ("node ", ["inspect", "ls", "ps", "rm", "start", "stop", "update"]),
        ("service r", ["rm", "rollback"]),
        ("node inspect ", ["w1", "w2"]),
        ("node inspect w1 ", ["w2"]),
        ("service ps w", ["web", "worker"]),
        ("service scale w", ["web=", "worker="]),
        ("service logs -f w", ["web", "worker"]),
        ("stack rm ", ["shop"]),
        ("stack down ", ["shop"]),
        ("secret rm ", ["key"]),
        ("config inspect ", ["conf"]),
        ("explain a", ["api"]),
        ("strategy show ", ["rebalance", "spread"]),
        ("node update --av", ["--availability"]),
        ("node update --availability ", ["active", "drain", "pause"]),
        ("node update --availability=d", ["--availability=drain"]),
        ("service create --secret ", ["key"]),
        ("service create --mode replicated", ["replicated", "replicated-job"]),
        ("service update --network-add ", ["back"]),
        ("node ls -o j", ["json", "jsonl"]),
        ("--strategy ", ["rebalance", "spread"]),
        ("--strategy=s", ["--strategy=spread"]),
        ("--strategy = ", ["rebalance", "spread"]),
        ("--strategy = s", ["spread"]),
        ("--strategy =", ["rebalance", "spread"]),
        ("service scale web =", []),
        ("--executor ", ["auto", "docker", "process", "sim"]),
        ("--work", ["--workers"]),
        ("completion ", ["bash", "fish", "zsh"]),
        ("service create ", []),
        ("nothing ", []),
        ("service nothing ", []),
    ],
)
def test_candidates(line: str, expected: list[str]) -> None:
    words = line.split(" ")
    assert candidates(words) == expected


def test_names_are_those_of_the_cluster_that_the_line_names(tmp_path: Path) -> None:
    other = tmp_path / "other.sock"
    write_names(other, {"node": ["n9"]})
    assert candidates(["--socket", str(other), "node", "ps", ""]) == ["n9"]
    assert candidates(["node", "ps", f"--socket={other}", ""]) == ["n9"]
    assert candidates(["node", "ps", "--socket", str(other), ""]) == ["n9"]


def test_without_a_cluster_there_are_no_names_and_no_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    socket = tmp_path / "gone.sock"
    monkeypatch.setenv("SWARMLAB_SOCKET", str(socket))
    assert candidates(["node", "ps", ""]) == []
    names_file(socket).write_text('{"node": ["w1"')
    assert candidates(["node", "ps", ""]) == []
    names_file(socket).write_text('["w1"]')
    assert candidates(["node", "ps", ""]) == []


def test_the_file_of_names_is_private_and_goes(tmp_path: Path) -> None:
    socket = tmp_path / "p.sock"
    write_names(socket, {"node": ["b", "a"]})
    assert names_file(socket).stat().st_mode & 0o777 == 0o600
    assert read_names("node", str(socket)) == ["a", "b"]
    remove_names(socket)
    remove_names(socket)
    assert read_names("node", str(socket)) == []


def test_the_command_prints_one_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["__complete", "node", "inspect", ""]) == 0
    assert capsys.readouterr().out == "w1\nw2\n"
    assert main(["__complete"]) == 0
    assert "node\n" in capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_takes_its_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "swarmlab __complete" in script
    program = shutil.which(shell)
    if program is not None:
        done = subprocess.run(
            [program, "-n"], input=script, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_bash_completes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The script as bash runs it, with a stand-in for the program."""
    bash = shutil.which("bash")
    assert bash is not None, "bash is part of every machine that this runs on"
    main(["completion", "bash"])
    (tmp_path / "swarmlab").write_text('#!/bin/sh\nshift\nfor word in "$@"; do echo "<$word>"; done\n')
    (tmp_path / "swarmlab").chmod(0o755)
    script = capsys.readouterr().out + (
        f"PATH={tmp_path}:$PATH; COMP_WORDS=(swarmlab node inspect w); COMP_CWORD=3; "
        '_swarmlab_complete; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run([bash, "-c", script], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True)
    assert done.stdout == "<node> <inspect> <w>\n"
