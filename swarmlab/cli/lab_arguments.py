"""The flags of what docker has no word for: events, explanations, strategies, simulations, stories, benches."""

from swarmlab.cli.parser import Parser, add_connection, add_output
from swarmlab.cli.quantities import count, positive
from swarmlab.cli.run_arguments import EXECUTORS

STRATEGIES = "spread,rebalance"
#: Nodes that `explain` shows where --nodes says nothing.
NODES = 10


def events_arguments(parser: Parser) -> None:
    """`events [-f]`."""
    add_connection(parser)
    add_output(parser)
    parser.switch("-f", "--follow", what="go on with what comes")
    parser.value("--since", metavar="TIME", what="only events since then: 10m, or 2026-01-31T12:00:00Z")
    parser.value("-n", "--tail", metavar="N", of=count, what="only the last N of those that are kept")
    parser.many("--filter", metavar="KEY=VALUE", what="keys: component, name")


def explain_arguments(parser: Parser) -> None:
    """`explain TASK...`."""
    add_connection(parser)
    add_output(parser)
    parser.value("--nodes", metavar="N", of=count, what=f"nodes shown of each decision (default {NODES})")
    parser.add_argument("tasks", metavar="TASK", nargs="+", help="task id, SERVICE.SLOT, or SERVICE for all its tasks")


def violations_arguments(parser: Parser) -> None:
    """`violations`."""
    add_connection(parser)
    add_output(parser)


def status_arguments(parser: Parser) -> None:
    """`status`."""
    add_connection(parser)
    add_output(parser)


def ls_arguments(parser: Parser) -> None:
    """`strategy ls`."""
    add_output(parser)
    parser.switch("-q", "--quiet", what="only names, one a line")
    parser.many("--plugin", metavar="NAME|FILE", what="look into this plugin too")


def show_arguments(parser: Parser) -> None:
    """`strategy show NAME`."""
    add_output(parser)
    parser.many("--plugin", metavar="NAME|FILE", what="look into this plugin too")
    parser.add_argument("name", metavar="NAME")


def run_arguments(parser: Parser) -> None:
    """`sim run --scenario FILE`."""
    parser.value("--scenario", metavar="FILE", what="scenario file")
    parser.value("--strategy", metavar="NAME|FILE:CLASS", what="who places tasks (default: what the scenario says)")
    parser.many("--set", metavar="KEY=VALUE", what="parameter of the strategy")
    parser.value("--seed", metavar="N", of=count, what="seed of every random choice (default 0)")
    parser.value("--log", metavar="FILE", what="write the decision log there, one JSON object a line")
    parser.switch("-q", "--quiet", what="no progress")
    add_output(parser)


def rejoin_arguments(parser: Parser) -> None:
    """`demo rejoin`."""
    parser.description = (
        "Four workers run two services, of 4 and of 6 tasks. Worker 4 dies, its tasks move away, and it comes back.\n"
        "Shown for each strategy: tasks on each node before, after the loss and after the return, moves and restarts."
    )
    parser.value("--strategies", metavar="NAME,NAME", what=f"strategies to compare (default {STRATEGIES})")
    parser.value("--executor", metavar="NAME", choices=EXECUTORS, what="what runs the tasks (default auto)")
    parser.value("--image", metavar="IMAGE", what="image with a `sleep`, in place of one made on the spot")
    parser.value("--seed", metavar="N", of=count, what="seed of every random choice")
    parser.switch("-q", "--quiet", what="no progress")
    add_output(parser)


def scheduler_arguments(parser: Parser) -> None:
    """`bench scheduler`."""
    parser.value("--nodes", metavar="N", of=positive, what="nodes (default 1000)")
    parser.value("--tasks", metavar="N", of=positive, what="tasks (default 10000)")
    parser.value("--services", metavar="N", of=positive, what="services that the tasks belong to (default 1)")
    parser.switch("--one-off", what="tasks without a service")
    parser.switch("--distinct", what="one-off tasks that all differ, so that each is a group of its own")
    parser.value("--strategy", metavar="NAME|FILE:CLASS", what="who places (default spread)")
    parser.value("--seed", metavar="N", of=count, what="seed of every random choice (default 0)")
    add_output(parser, "json")


def start_arguments(parser: Parser) -> None:
    """`bench start`."""
    parser.value("--executor", metavar="NAME", choices=EXECUTORS[1:], what="what runs the tasks (default docker)")
    parser.value("--replicas", metavar="N", of=positive, what="tasks (default 20)")
    parser.value("--workers", metavar="N", of=positive, what="workers (default 4)")
    parser.value("--rounds", metavar="N", of=positive, what="times, bare runtime and cluster in turn (default 3)")
    parser.value("--strategy", metavar="NAME|FILE:CLASS", what="who places (default spread)")
    parser.value("--image", metavar="IMAGE", what="image with a `sleep`, in place of one made on the spot")
    parser.switch("-q", "--quiet", what="no progress")
    add_output(parser, "json")
