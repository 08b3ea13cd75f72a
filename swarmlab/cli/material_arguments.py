"""The flags of the secret and config commands."""

from swarmlab.cli.parser import Parser, add_connection, add_listing, add_output


def create_arguments(parser: Parser) -> None:
    """`create NAME [FILE|-]`."""
    add_connection(parser)
    parser.many("-l", "--label", metavar="KEY=VALUE", what="label")
    parser.value("--template-driver", metavar="NAME", choices=("golang",), what="expand templates in it for each task")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("file", metavar="FILE|-", nargs="?", default="-", help="file (default: standard input)")


def ls_arguments(parser: Parser) -> None:
    """`ls`."""
    add_listing(parser, "id, name, label")


def inspect_arguments(parser: Parser) -> None:
    """`inspect NAME...`."""
    add_connection(parser)
    add_output(parser, "json")
    parser.switch("--pretty", what="the same as -o table")
    parser.add_argument("names", metavar="NAME", nargs="+")


def rm_arguments(parser: Parser) -> None:
    """`rm NAME...`."""
    add_connection(parser)
    parser.add_argument("names", metavar="NAME", nargs="+")
