"""How a command ends: one table of exit codes, and the errors that the command line itself raises."""

from collections.abc import Sequence
from difflib import get_close_matches
from enum import IntEnum


class Exit(IntEnum):
    """The exit code of every command; the words in `MEANING` are those of the documentation."""

    OK = 0
    ERROR = 1
    USAGE = 2
    TIMED_OUT = 3
    NOT_FOUND = 4
    CONFLICT = 5
    UNREACHABLE = 6
    INVALID = 7
    REFUSED = 8
    STATE = 9
    VIOLATED = 10
    INTERRUPTED = 130


MEANING: dict[Exit, str] = {
    Exit.OK: "done",
    Exit.ERROR: "failed; the message says how",
    Exit.USAGE: "the command line is wrong: unknown command or flag, a value that cannot be read",
    Exit.TIMED_OUT: "--wait reached its --timeout before the cluster came to rest",
    Exit.NOT_FOUND: "no node, service, task, secret, config, stack or strategy of that name or id",
    Exit.CONFLICT: "the name is taken, or the object changed in the meantime: read it again and repeat",
    Exit.UNREACHABLE: "no cluster answers at the control socket, or it cannot write its state",
    Exit.INVALID: "a spec, stack file, scenario, strategy or plugin is wrong, whatever the state of the cluster",
    Exit.REFUSED: "the state of the cluster forbids it now, or it is never possible",
    Exit.STATE: "a state directory or a socket path cannot be used",
    Exit.VIOLATED: "`violations` found tasks that break a hard affinity term",
    Exit.INTERRUPTED: "stopped by Ctrl-C",
}


def exit_table() -> str:
    """The exit codes, one a line, for the end of a help text."""
    return "exit codes:\n" + "\n".join(f"  {int(code):<4} {words}" for code, words in MEANING.items())


class CommandError(Exception):
    """A command ended for a reason that its message says; `exit` is its exit code."""

    exit = Exit.ERROR


class UsageError(CommandError):
    """The command line is wrong; `see` is the command whose help shows what is right."""

    exit = Exit.USAGE

    def __init__(self, message: str, see: str = "") -> None:
        super().__init__(message)
        self.see = see


class TimedOut(CommandError):
    """The cluster did not come to rest in the time allowed."""

    exit = Exit.TIMED_OUT


class Missing(CommandError):
    """Nothing of that name or id."""

    exit = Exit.NOT_FOUND


class Conflict(CommandError):
    """A name or an id that fits more than one thing, or is taken."""

    exit = Exit.CONFLICT


class Unreachable(CommandError):
    """No cluster answers."""

    exit = Exit.UNREACHABLE


class Invalid(CommandError):
    """A file or a spec is wrong."""

    exit = Exit.INVALID


class Refused(CommandError):
    """Not now, or never."""

    exit = Exit.REFUSED


class StateUnusable(CommandError):
    """A directory or a socket path cannot be used."""

    exit = Exit.STATE


class Violated(CommandError):
    """Something is where it must not be."""

    exit = Exit.VIOLATED


def near(word: str, known: Sequence[str]) -> str:
    """A hint for a mistyped `word`: `; did you mean "a" or "b"?`, empty where nothing known looks alike."""
    found = get_close_matches(word, known, n=3, cutoff=0.65 if len(word) > 3 else 0.5)
    found += [name for name in sorted(known) if word and name.startswith(word) and name not in found][: 3 - len(found)]
    return f"; did you mean {' or '.join(quoted(name) for name in found)}?" if found else ""


def quoted(word: str) -> str:
    """`word` in double quotes, as every message shows what it saw."""
    return f'"{word}"'


def exit_of(error: BaseException) -> Exit:
    """The exit code for an error of this room or of the error tree."""
    from swarmlab import api

    if isinstance(error, CommandError):
        return error.exit
    kinds: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Exit], ...] = (
        ((api.NotFound, api.UnknownPlugin), Exit.NOT_FOUND),
        ((api.AlreadyExists, api.OutOfSequence), Exit.CONFLICT),
        ((api.NotLeader, api.ProposalDropped, api.ProposalUnknown), Exit.UNREACHABLE),
        ((api.InvalidSpec, api.TooLarge, api.PluginError), Exit.INVALID),
        ((api.Precondition, api.Forbidden, api.Unsupported), Exit.REFUSED),
        (api.StateError, Exit.STATE),
    )
    return next((code for kind, code in kinds if isinstance(error, kind)), Exit.ERROR)
