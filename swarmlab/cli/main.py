"""The entry point: finds the command, reads its flags, runs it, and ends with its exit code."""

import os
import signal
import sys
from argparse import Namespace
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from swarmlab.cli.commands import BY_WORDS, Command, find, group_help, overview
from swarmlab.cli.exits import CommandError, Exit, UsageError, exit_of, exit_table
from swarmlab.cli.parser import Parser

_ABOUT = """A laboratory for cluster scheduling that is also a real cluster.

Without a command, or with flags alone, `swarmlab` starts a cluster on this machine and shows it live.
Everything else is typed in a second terminal."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return int(_run(words))
    except SystemExit as stop:  # argparse after --help
        return stop.code if isinstance(stop.code, int) else Exit.OK
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # The reader of our output left, and nobody is there to be told. Python would complain again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except Exception as error:
        return _complain(error)


def _complain(error: Exception) -> int:
    """Say what went wrong on standard error; the exit code. An error outside the trees is a bug and keeps its trace."""
    from swarmlab.api import SwarmlabError

    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if not isinstance(error, CommandError | SwarmlabError):
        raise error
    print(f"Error: {error}", file=sys.stderr)
    if isinstance(error, UsageError) and error.see:
        print(f"See '{error.see} --help'.", file=sys.stderr)
    return exit_of(error)


def _run(words: list[str]) -> int:
    if words[:1] == ["__complete"]:
        from swarmlab.cli.completion import complete

        return complete(words[1:])
    if words in (["--help"], ["-h"], ["help"]):
        print(_help())
        return Exit.OK
    if words == ["--version"]:
        print(f"swarmlab {_version()}")
        return Exit.OK
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    command, group, rest = find(_socket_last(words))
    if command is None and group:
        if rest and rest[0] not in ("--help", "-h"):
            raise UsageError(f"{group}: a command is wanted before {rest[0]}", f"swarmlab {group}")
        print(group_help(group))
        return Exit.OK if rest else Exit.USAGE
    call = build_call(words)
    result = call.command.function()(call.options)
    if isinstance(result, Coroutine):
        result = _awaited(result)
    return Exit.OK if result is None else int(result)


class Call(NamedTuple):
    """A command and its options."""

    command: Command
    options: Namespace


def build_call(arguments: Sequence[str]) -> Call:
    """The command that `arguments` name, `run` where they name none, and its options, read and checked.

    Raises:
        UsageError: There is no such command or flag, or a value cannot be read.
    """
    command, _, rest = find(_socket_last(list(arguments)))
    command = command or BY_WORDS["run"]
    prog = "swarmlab" if command.words == "run" else f"swarmlab {command.words}"
    parser = Parser(prog, f"{command.summary}.", exit_table())
    command.declare(parser)
    return Call(command, parser.read(rest))


def _awaited(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of `work`. A signal that ends the process ends `work` first, which cleans up after itself."""
    import asyncio

    tasks: list[asyncio.Task[Any]] = []

    async def guarded() -> Any:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None, "a coroutine runs in a task"
        tasks.append(task)
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, task.cancel)
        return await work

    with asyncio.Runner() as runner:
        try:
            return runner.run(guarded())
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
        except BaseException:
            # What breaks out of the loop, such as a signal's handler that raises, leaves tasks behind. The runner would
            # cancel all of them at once, also those that the work needs for its end: it ends first.
            for task in (task for task in tasks if not task.done()):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    runner.get_loop().run_until_complete(task)
            raise


def _socket_last(words: list[str]) -> list[str]:
    """`swarmlab --socket PATH node ls` as `swarmlab node ls --socket PATH`, as docker's -H is used."""
    if not words or not words[0].startswith("--socket"):
        return words
    taken = 1 if "=" in words[0] else 2
    rest = words[taken:]
    if not rest or rest[0].startswith("-"):
        return words
    _, _, after = find(rest)
    named = len(rest) - len(after)
    return [*rest[:named], *words[:taken], *rest[named:]]


def _help() -> str:
    parser = Parser("swarmlab", _ABOUT, f"{overview()}\n\n{exit_table()}")
    BY_WORDS["run"].declare(parser)
    return parser.format_help()


def _version() -> str:
    from importlib.metadata import version

    return version("swarmlab")
