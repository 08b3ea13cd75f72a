"""The flags of the node commands."""

from swarmlab.cli.parser import Parser, add_connection, add_listing, add_output, add_waiting


def ls_arguments(parser: Parser) -> None:
    """`node ls`."""
    add_listing(parser, "id, name, label, node.label, role, availability, status")


def inspect_arguments(parser: Parser) -> None:
    """`node inspect NODE...`."""
    add_connection(parser)
    add_output(parser, "json")
    parser.switch("--pretty", what="the same as -o table")
    parser.add_argument("nodes", metavar="NODE", nargs="+")


def ps_arguments(parser: Parser) -> None:
    """`node ps NODE...`."""
    add_listing(parser, "id, name, desired-state, state")
    parser.add_argument("nodes", metavar="NODE", nargs="+")


def update_arguments(parser: Parser) -> None:
    """`node update [flags] NODE`."""
    parser.value(
        "--availability",
        metavar="WORD",
        choices=("active", "pause", "drain"),
        what="whether it takes tasks: active, pause (no new ones), drain (none)",
    )
    parser.many("--label-add", metavar="KEY=VALUE", what="add or change a label")
    parser.many("--label-rm", metavar="KEY", what="remove a label")
    parser.value(
        "--role", metavar="ROLE", choices=("worker", "manager"), what="its part in the cluster: worker or manager"
    )
    add_waiting(parser, "no task runs on it (with --availability drain) or its tasks have come to rest")
    parser.add_argument("node", metavar="NODE")


def promote_arguments(parser: Parser) -> None:
    """`node promote NODE...`."""
    add_waiting(parser, "they take part in consensus")
    parser.add_argument("nodes", metavar="NODE", nargs="+")


def demote_arguments(parser: Parser) -> None:
    """`node demote NODE...`."""
    add_waiting(parser, "they are workers")
    parser.add_argument("nodes", metavar="NODE", nargs="+")


def rm_arguments(parser: Parser) -> None:
    """`node rm NODE...`."""
    parser.switch("-f", "--force", what="remove it even while it is ready")
    add_waiting(parser, "nothing: the node is gone at once")
    parser.add_argument("nodes", metavar="NODE", nargs="+")


def stop_arguments(parser: Parser) -> None:
    """`node stop NAME...`."""
    add_waiting(parser, "the cluster has noticed, and every wanted task runs elsewhere")
    parser.add_argument("nodes", metavar="NODE", nargs="+")


def start_arguments(parser: Parser) -> None:
    """`node start NAME...`."""
    add_waiting(parser, "it is ready")
    parser.add_argument("nodes", metavar="NODE", nargs="+")
