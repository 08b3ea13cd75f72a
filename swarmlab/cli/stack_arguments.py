"""The flags of the stack commands."""

from swarmlab.cli.parser import Parser, add_connection, add_listing, add_output, add_waiting
from swarmlab.cli.service_arguments import CONVERGED


def deploy_arguments(parser: Parser) -> None:
    """`stack deploy -c FILE NAME`."""
    parser.many("-c", "--compose-file", metavar="FILE", what="compose file, - for standard input")
    parser.switch("--prune", what="remove services of the stack that the file no longer has")
    parser.switch("--with-registry-auth", what="accepted; credentials stay with the Engine of each node")
    parser.value(
        "--resolve-image",
        metavar="WHEN",
        choices=("always", "changed", "never"),
        what="accepted; names are never resolved here",
    )
    add_waiting(parser, CONVERGED)
    parser.add_argument("stack", metavar="NAME")


def ls_arguments(parser: Parser) -> None:
    """`stack ls`."""
    add_connection(parser)
    add_output(parser)


def services_arguments(parser: Parser) -> None:
    """`stack services NAME`."""
    add_listing(parser, "id, name, label, mode")
    parser.add_argument("stack", metavar="NAME")


def ps_arguments(parser: Parser) -> None:
    """`stack ps NAME`."""
    add_listing(parser, "id, name, node, desired-state, state")
    parser.add_argument("stack", metavar="NAME")


def rm_arguments(parser: Parser) -> None:
    """`stack rm NAME...`."""
    add_waiting(parser, "their tasks are gone")
    parser.add_argument("stacks", metavar="NAME", nargs="+")
