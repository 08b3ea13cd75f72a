"""The flags of `swarmlab` itself: a whole cluster in the foreground."""

from swarmlab.cli.parser import Parser
from swarmlab.cli.quantities import count, positive

EXECUTORS = ("auto", "docker", "process", "sim")


def run_arguments(parser: Parser) -> None:
    """`swarmlab [flags]`."""
    add_cluster(parser)
    parser.value("--stack", metavar="FILE", what="deploy this compose file at the start")
    parser.value("--state-dir", metavar="DIR", what="keep the cluster there over restarts")
    parser.value("--socket", metavar="PATH", what="control socket (or $SWARMLAB_SOCKET)")
    parser.value(
        "--managers",
        metavar="N",
        of=positive,
        what="managers (default 1); several are nodes m1, m2, ... of their own, over the loopback",
    )
    parser.switch("--plain", what="one line for each event; the default where output is no terminal")


def add_cluster(parser: Parser) -> None:
    """What shapes a cluster of this machine."""
    parser.value("--strategy", metavar="NAME|FILE:CLASS", what="who places tasks (default spread)")
    parser.many("--set", metavar="KEY=VALUE", what="parameter of the strategy, or PLUGIN.KEY=VALUE of a plugin")
    parser.many("--plugin", metavar="NAME|FILE", what="plugin to load")
    parser.value("--workers", metavar="N", of=count, what="workers (default 4)")
    parser.value(
        "--executor",
        metavar="NAME",
        choices=EXECUTORS,
        what="what runs tasks: docker, process, sim (nothing real), auto: docker where an Engine answers, else process",
    )
    parser.value("--seed", metavar="N", of=count, what="seed of every random choice")
