"""The flags of the plugin commands."""

from swarmlab.cli.parser import Parser, add_output
from swarmlab.cli.quantities import count


def new_arguments(parser: Parser) -> None:
    """`plugin new NAME`."""
    kinds = parser.add_mutually_exclusive_group()
    for kind, what in (
        ("strategy", "who places tasks (the default)"),
        ("filter", "what forbids nodes"),
        ("score", "what likes nodes better or worse"),
        ("observe", "what hears of decisions"),
    ):
        kinds.add_argument(f"--{kind}", dest="kind", action="store_const", const=kind, default="strategy", help=what)
    shapes = parser.add_mutually_exclusive_group()
    shapes.add_argument(
        "--package", dest="package", action="store_true", default=True, help="a package that installs (the default)"
    )
    shapes.add_argument("--file", dest="package", action="store_false", help="one file, and its test, in this folder")
    parser.add_argument("name", metavar="NAME", help="lower case words joined by '-'")


def check_arguments(parser: Parser) -> None:
    """`plugin check NAME|FILE`."""
    parser.description = f"{parser.description}\n\nExit code 0: it keeps all promises; 1: it does not."
    _subject(parser)
    parser.value("--cases", metavar="N", of=count, what="clusters drawn by chance (default 60)")
    parser.value("--seed", metavar="N", of=count, what="seed that they are drawn with (default 0)")
    parser.many("--allow", metavar="CHECK", what="a check whose breach is meant, such as all-placed")
    add_output(parser)


def trace_arguments(parser: Parser) -> None:
    """`plugin trace NAME|FILE`."""
    parser.description = f"{parser.description}\n\nThe cluster is placed and rebalanced once."
    _subject(parser)
    parser.value("--seed", metavar="N", of=count, what="draw the cluster with this seed (default: three equal nodes)")
    add_output(parser)


def test_arguments(parser: Parser) -> None:
    """`plugin test [PATH]`."""
    parser.add_argument("path", metavar="PATH", nargs="?", default=".", help="folder or test file (default .)")


def ls_arguments(parser: Parser) -> None:
    """`plugin ls`."""
    add_output(parser)
    parser.switch("-q", "--quiet", what="only names, one a line")


def _subject(parser: Parser) -> None:
    parser.value("--strategy", metavar="NAME|FILE:CLASS", what="who places, where a plugin is meant (default spread)")
    parser.many("--set", metavar="KEY=VALUE", what="parameter of the strategy, or plugin.option")
    parser.add_argument("subject", metavar="NAME|FILE[:CLASS]", help="a strategy or a plugin")
