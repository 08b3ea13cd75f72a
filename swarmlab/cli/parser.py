"""The argument parser of one command, and the flags that many commands share."""

import argparse
from collections.abc import Callable
from typing import NoReturn

from swarmlab.cli.exits import UsageError, near, quoted
from swarmlab.cli.quantities import span

FORMATS = ("table", "wide", "json", "jsonl", "yaml", "name")
#: How long --wait waits where --timeout says nothing.
DEFAULT_TIMEOUT = "30s"


class Parser(argparse.ArgumentParser):
    """argparse that raises `UsageError` with near names, takes no abbreviations, and reads `--flag=false`."""

    def __init__(self, prog: str, description: str, epilog: str = "") -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

        #: What must hold of the options beyond the single flag; each raises UsageError.
        self.checks: list[Callable[[argparse.Namespace], object]] = []

    def read(self, arguments: list[str]) -> argparse.Namespace:
        """The options that `arguments` give, checked."""
        options = self.parse_args(arguments)
        for check in self.checks:
            check(options)
        return options

    def format_usage(self) -> str:
        """`prog [flags] ARGUMENTS`: the flags are listed below it anyway."""
        frames = {"+": "{}...", "?": "[{}]", "...": "[{}]"}
        shown = [
            frames.get(str(action.nargs), "{}").format(action.metavar or action.dest)
            for action in self._actions
            if not action.option_strings
        ]
        return " ".join(["usage:", self.prog, "[flags]", *shown]) + "\n"

    def format_help(self) -> str:
        """Usage, description, flags, epilog."""
        self.usage = self.format_usage().removeprefix("usage: ").rstrip()
        return super().format_help()

    def flags(self) -> list[str]:
        """Every flag that help shows, in order of declaration."""
        return [
            name for action in self._actions if action.help is not argparse.SUPPRESS for name in action.option_strings
        ]

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print."""
        # argparse counts the rest of a line among what is missing, though it may be empty.
        message = message.replace(", COMMAND ARG...", "")
        unknown = message.partition("unrecognized arguments: ")[2].split(" ")[0].split("=")[0]
        if unknown.startswith("-"):
            message = f"unknown flag {unknown}{near(unknown, self.flags())}"
        elif unknown:
            message = f"unexpected argument {quoted(unknown)}"
        raise UsageError(message.removeprefix("argument "), self.prog)

    def switch(self, *names: str, what: str, dest: str | None = None) -> None:
        """A flag that is None unless given; `--flag`, `--flag=true`, `--flag=false` are understood, short ones too."""
        long = next(name for name in names if name.startswith("--"))
        target = dest or long[2:].replace("-", "_")
        self.add_argument(*names, dest=target, action="store_const", const=True, default=None, help=what)
        for words, value in ((("true", "1"), True), (("false", "0"), False)):
            self.add_argument(
                *(f"{name}={word}" for name in names for word in words),
                dest=target,
                action="store_const",
                const=value,
                help=argparse.SUPPRESS,
            )

    def many(self, *names: str, what: str, metavar: str) -> None:
        """A flag that may be repeated; an empty list unless given."""
        self.add_argument(*names, action="append", default=[], help=what, metavar=metavar)

    def value(
        self, *names: str, what: str, metavar: str, of: Callable[[str], object] = str, choices: tuple[str, ...] = ()
    ) -> None:
        """A flag with one value, None unless given; `of` reads it and raises ValueError with the whole message."""
        self.add_argument(
            *names,
            type=reading(of),
            default=None,
            help=what,
            metavar="{" + ",".join(choices) + "}" if choices else metavar,
            choices=choices or None,
        )


def reading(of: Callable[[str], object]) -> Callable[[str], object]:
    """`of` as argparse wants it: what its ValueError says becomes the message, whole."""

    def read(text: str) -> object:
        try:
            return of(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def add_connection(parser: Parser) -> None:
    """--socket."""
    parser.value("--socket", metavar="PATH", what="control socket of the cluster (or $SWARMLAB_SOCKET)")


def add_output(parser: Parser, default: str = "table") -> None:
    """-o."""
    parser.add_argument(
        "-o",
        "--output",
        choices=FORMATS,
        default=default,
        metavar="FORMAT",
        help=f"{', '.join(FORMATS)} (default {default})",
    )


def add_listing(parser: Parser, filters: str) -> None:
    """What every list takes: --socket, -o, -q, --filter; `filters` names the keys."""
    add_connection(parser)
    add_output(parser)
    parser.switch("-q", "--quiet", what="only ids, one a line")
    parser.many("-f", "--filter", metavar="KEY=VALUE", what=f"keys: {filters}; one key repeated means or, two keys and")
    parser.switch("--no-trunc", what="whole ids and texts on a terminal too")


def add_waiting(parser: Parser, until: str) -> None:
    """What every changing command takes: --socket, --wait, --timeout, --detach; `until` says what is waited for."""
    add_connection(parser)
    parser.switch("--wait", what=f"wait until {until}")
    parser.add_argument(
        "--timeout",
        type=reading(span),
        default=DEFAULT_TIMEOUT,
        metavar="SPAN",
        help=f"longest --wait, 0 for ever (default {DEFAULT_TIMEOUT}); reached: exit code 3",
    )
    parser.switch("-d", "--detach", what="do not wait (the default; --detach=false is --wait)")
    parser.switch("-q", "--quiet", what="no progress while waiting")
    parser.checks.append(waits)


def waits(options: argparse.Namespace) -> bool:
    """True where the command line asks to wait."""
    if options.wait and options.detach:
        raise UsageError("--wait and --detach exclude each other")
    return bool(options.wait) or options.detach is False
