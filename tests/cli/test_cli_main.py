"""The entry point: finding commands, help, exit codes, near names."""

import asyncio
import io
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE_SECONDS

from swarmlab.api import (
    ExecutorError,
    InvalidSpec,
    NameConflict,
    NotFound,
    NotLeader,
    OutOfSequence,
    PluginError,
    Precondition,
    ProposalUnknown,
    StateError,
    TooLarge,
    UnknownPlugin,
    Unsupported,
)
from swarmlab.cli.commands import COMMANDS, GROUPS
from swarmlab.cli.exits import MEANING, CommandError, Exit, UsageError, exit_of
from swarmlab.cli.main import main
from swarmlab.cli.parser import Parser
from swarmlab.cli.paths import SOCKET_PATH_BYTES

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SWARMLAB_SOCKET", str(tmp_path / "none.sock"))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.words)
def test_every_command_declares_flags_with_help_and_has_a_function(command: object) -> None:
    parser = Parser("swarmlab", "")
    command.declare(parser)
    assert callable(command.function())
    for action in parser._actions:
        assert action.help or not action.option_strings, f"{command.words}: {action.option_strings} says nothing"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.words)
def test_every_command_has_help_with_the_exit_codes(command: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.words.split(), "--help"]) == 0
    out = capsys.readouterr().out
    assert command.summary in out or command.words in ("demo rejoin", "completion")
    assert "3    --wait reached its --timeout" in out


def test_the_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--help"], ["-h"], ["help"]):
        assert main(words) == 0
        out = capsys.readouterr().out
        for group in GROUPS:
            assert re.search(rf"^  {group} ", out, re.MULTILINE)
        for command in COMMANDS:
            assert command.words.rpartition(" ")[2] in out
        assert "exit codes:" in out


def test_a_group_alone_shows_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["service"]) == Exit.USAGE
    assert "service rollback  Take a service back to its previous spec" in capsys.readouterr().out
    assert main(["service", "--help"]) == Exit.OK
    assert main(["help", "service"]) == Exit.OK
    assert main(["help", "service", "ls"]) == Exit.OK


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nod", "ls"], 'unknown command "nod"; did you mean "node"?'),
        (["service", "crate"], 'unknown command "service crate"; did you mean "create"'),
        (["service", "--crate"], "service: a command is wanted before --crate"),
        (["--stratgy=spread"], 'unknown flag --stratgy; did you mean "--strategy"?'),
        (["node", "ls", "--filtre", "x"], 'unknown flag --filtre; did you mean "--filter"?'),
        (["node", "ls", "extra"], 'unexpected argument "extra"'),
        (["service", "ps"], "the following arguments are required: SERVICE"),
        (["--workers", "x"], "--workers: 'x', wanted: a whole number >= 0"),
        (["--executor", "podman"], "--executor: invalid choice: 'podman'"),
    ],
)
def test_mistakes_on_the_command_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == Exit.USAGE
    err = capsys.readouterr().err
    assert err.startswith("Error: ")
    assert message in err
    assert "See 'swarmlab" in err


def test_no_cluster(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    socket = tmp_path / "none.sock"
    for words in (["node", "ls"], ["node", "ls", "--socket", str(socket)], ["--socket", str(socket), "node", "ls"]):
        assert main(words) == Exit.UNREACHABLE
        assert capsys.readouterr().err == (
            f"Error: no cluster runs at {socket}; start one with 'swarmlab', or name its socket with --socket\n"
        )
    socket.write_text("not a socket")
    assert main(["node", "ls"]) == Exit.UNREACHABLE
    assert "there is something else at that path" in capsys.readouterr().err


def test_a_socket_path_that_is_too_long(capsys: pytest.CaptureFixture[str]) -> None:
    path = "/" + "x" * SOCKET_PATH_BYTES
    for words in (["node", "ls", "--socket", path], ["--socket", path]):
        assert main(words) == Exit.STATE
        assert (
            f"has {SOCKET_PATH_BYTES + 1} bytes, and at most {SOCKET_PATH_BYTES} are possible"
            in capsys.readouterr().err
        )


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFound("x"), 4),
        (UnknownPlugin("x", "no such", ("y",)), 4),
        (NameConflict("x"), 5),
        (OutOfSequence("x"), 5),
        (NotLeader("a"), 6),
        (ProposalUnknown("x"), 6),
        (InvalidSpec("x"), 7),
        (TooLarge("x"), 7),
        (PluginError("p", "h", "x"), 7),
        (Precondition("x"), 8),
        (Unsupported("x"), 8),
        (StateError("x"), 9),
        (ExecutorError("x"), 1),
        (CommandError("x"), 1),
        (UsageError("x"), 2),
    ],
)
def test_exit_codes(error: Exception, code: int) -> None:
    assert exit_of(error) == code


def test_the_documentation_has_the_same_table_of_exit_codes() -> None:
    text = (ROOT / "docs" / "cli.md").read_text()
    for code, words in MEANING.items():
        assert f"| {int(code)} | {words} |" in text


def test_our_own_bugs_keep_their_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("swarmlab.cli.completion.completion", broken)
    with pytest.raises(ZeroDivisionError):
        main(["completion", "bash"])


def test_an_error_inside_a_group_of_tasks_is_told_as_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(options: object) -> None:
        raise ExceptionGroup("group", [ExceptionGroup("inner", [NotFound("service x not found")])])

    monkeypatch.setattr("swarmlab.cli.completion.completion", broken)
    assert main(["completion", "bash"]) == Exit.NOT_FOUND
    assert capsys.readouterr().err == "Error: service x not found\n"


def test_ctrl_c_has_its_own_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("swarmlab.cli.completion.completion", interrupted)
    assert main(["completion", "bash"]) == 130


def test_a_reader_that_leaves_early_is_no_error() -> None:
    script = "import sys; from swarmlab.cli.main import main; sys.exit(main(['--help']))"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    complaint = process.stderr.read()
    process.stderr.close()
    assert (process.wait(PATIENCE_SECONDS), complaint) == (0, b"")


def test_light_commands_import_nothing_heavy() -> None:
    script = """
import sys
from swarmlab.cli.main import main
from swarmlab.cli.commands import COMMANDS
main(["--help"]); main(["__complete", "service", "create", "--"])
for command in COMMANDS:
    main([*command.words.split(), "--help"])
heavy = {"grpc", "numpy", "docker", "rich", "msgspec", "asyncio", "yaml", "swarmlab.api"} & set(sys.modules)
sys.exit(str(sorted(heavy)) if heavy else 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"swarmlab \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_work_that_is_broken_off_ends_before_what_it_stands_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler of a signal that raises breaks out of the loop: cancelled all at once, servers would never end."""
    ends: list[str] = []

    class Broken(BaseException):
        pass

    async def server() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("server")

    async def work(_: object) -> None:
        serving = asyncio.create_task(server())
        await asyncio.sleep(0)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            ends.append("work")
            assert not serving.done()

    def broken(*_: object) -> None:
        raise Broken

    monkeypatch.setattr("swarmlab.cli.completion.completion", work)
    before = signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)
    signal.signal(signal.SIGALRM, broken)
    try:
        with pytest.raises(Broken):
            main(["completion", "bash"])
    finally:
        # They are the test's own time-out.
        signal.signal(signal.SIGALRM, before[0])
        signal.setitimer(signal.ITIMER_REAL, *before[1])
    assert ends == ["work", "server"]


def test_no_data_for_a_secret(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    assert main(["secret", "create", "x"]) == Exit.USAGE
    assert "no data: name a file, or pipe the data in" in capsys.readouterr().err
