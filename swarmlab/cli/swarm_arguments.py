"""The flags of `swarmlab daemon` and of the swarm commands, as docker has them."""

from swarmlab.cli.parser import Parser, add_connection, add_output
from swarmlab.cli.quantities import count, positive, span
from swarmlab.cli.run_arguments import EXECUTORS

_AVAILABILITIES = ("active", "pause", "drain")
ROLES = ("worker", "manager")


def daemon_arguments(parser: Parser) -> None:
    """`daemon`."""
    parser.description = (
        "Run the node process of this machine in the foreground. It serves DIR/swarmlab.sock from its start, whether\n"
        "the node belongs to a swarm or not; `swarm init` and `swarm join` speak to it. SIGTERM ends it; tasks of the\n"
        "docker executor go on meanwhile."
    )
    _add_state_dir(parser)
    _add_process(parser)
    _add_addresses(parser)


def init_arguments(parser: Parser) -> None:
    """`swarm init`."""
    parser.description = (
        "Found a swarm of this node. Where no node process answers, one is started in the background first, with the\n"
        "flags of `swarmlab daemon`."
    )
    _add_target(parser)
    _add_addresses(parser)
    _add_availability(parser)
    parser.switch("--autolock", what="managers that start need an unlock key")
    parser.switch("--force-new-cluster", what="go on alone with what is here, after a lost quorum")
    parser.many("--default-addr-pool", metavar="CIDR", what="address pool of networks (default 10.0.0.0/8)")
    parser.value(
        "--default-addr-pool-mask-length", metavar="N", of=count, what="prefix length of networks (default 24)"
    )
    _add_settings(parser)
    _add_process(parser)


def join_arguments(parser: Parser) -> None:
    """`swarm join HOST:PORT`."""
    parser.description = (
        "Let this node join a swarm, in the role of the token. Where no node process answers, one is started in the\n"
        "background first, with the flags of `swarmlab daemon`."
    )
    _add_target(parser)
    _add_addresses(parser)
    _add_availability(parser)
    parser.value("--token", metavar="TOKEN", what="join token; `swarm join-token` shows it on a manager")
    _add_process(parser)
    parser.add_argument("remotes", metavar="HOST:PORT", nargs="+", help="a manager of the swarm")


def leave_arguments(parser: Parser) -> None:
    """`swarm leave`."""
    _add_target(parser)
    parser.switch("-f", "--force", what="leave even as a manager, whatever becomes of the swarm")


def unlock_arguments(parser: Parser) -> None:
    """`swarm unlock`."""
    parser.description = "Unlock this manager with its key, from the terminal or from standard input."
    _add_target(parser)


def status_arguments(parser: Parser) -> None:
    """`swarm status`."""
    _add_target(parser)
    add_output(parser)


def join_token_arguments(parser: Parser) -> None:
    """`swarm join-token worker|manager`."""
    add_connection(parser)
    parser.switch("--rotate", what="replace the token first")
    parser.switch("-q", "--quiet", what="only the token")
    add_output(parser)
    parser.add_argument("role", metavar="{worker,manager}", choices=ROLES)


def update_arguments(parser: Parser) -> None:
    """`swarm update`."""
    add_connection(parser)
    parser.switch("--autolock", what="managers that start need an unlock key; --autolock=false: no more")
    _add_settings(parser)


def unlock_key_arguments(parser: Parser) -> None:
    """`swarm unlock-key`."""
    add_connection(parser)
    parser.switch("--rotate", what="replace the key first")
    parser.switch("-q", "--quiet", what="only the key")
    add_output(parser)


def ca_arguments(parser: Parser) -> None:
    """`swarm ca`."""
    parser.description = "Show or rotate the root certificate of the swarm; --rotate replaces it on every node."
    add_connection(parser)
    parser.switch("--rotate", what="replace the root")
    parser.value("--ca-cert", metavar="FILE", what="the new root, PEM; default: one is made")
    parser.value("--ca-key", metavar="FILE", what="its key, PEM")
    parser.value("--cert-expiry", metavar="SPAN", of=span, what="life of node certificates from now on")
    parser.switch("-d", "--detach", what="do not wait until every node has changed over")
    parser.switch("-q", "--quiet", what="no progress while waiting")
    add_output(parser)


def _add_state_dir(parser: Parser) -> None:
    parser.value(
        "--state-dir",
        metavar="DIR",
        what="directory of the node (default /var/lib/swarmlab for root, else ~/.local/state/swarmlab)",
    )


def _add_target(parser: Parser) -> None:
    add_connection(parser)
    _add_state_dir(parser)


def _add_addresses(parser: Parser) -> None:
    parser.value("--listen-addr", metavar="IP:PORT", what="where a manager listens (default 0.0.0.0:2377)")
    parser.value("--advertise-addr", metavar="IP[:PORT]", what="where other nodes reach this one")


def _add_availability(parser: Parser) -> None:
    parser.value(
        "--availability",
        metavar="WORD",
        choices=_AVAILABILITIES,
        what="whether the node takes tasks: active, pause (no new ones), drain (none)",
    )


def _add_settings(parser: Parser) -> None:
    parser.value("--cert-expiry", metavar="SPAN", of=span, what="life of node certificates (default 2160h)")
    parser.value("--dispatcher-heartbeat", metavar="SPAN", of=span, what="time between two heartbeats (default 5s)")
    parser.value("--task-history-limit", metavar="N", of=count, what="old tasks kept of each slot (default 5)")
    parser.value("--snapshot-interval", metavar="N", of=count, what="log entries between two snapshots (default 10000)")
    parser.value("--max-snapshots", metavar="N", of=count, what="older snapshots to keep (default 0)")


def _add_process(parser: Parser) -> None:
    """What shapes a node process, beyond its directory and addresses."""
    parser.value(
        "--executor",
        metavar="NAME",
        choices=EXECUTORS,
        what="what runs tasks: docker, process, sim (nothing real), auto: docker where an Engine answers, else process",
    )
    parser.value("--hostname", metavar="NAME", what="name of the node (default: that of the machine)")
    parser.value("--strategy", metavar="NAME|FILE:CLASS", what="who places tasks while this manager leads (spread)")
    parser.many("--set", metavar="KEY=VALUE", what="parameter of the strategy, or PLUGIN.KEY=VALUE of a plugin")
    parser.many("--plugin", metavar="NAME|FILE", what="plugin to load")
    parser.value("--tick", metavar="MS", of=positive, what="milliseconds of a raft tick (default 1000)")
    parser.value("--heartbeat-tick", metavar="N", of=positive, what="ticks between the leader's heartbeats (default 1)")
    parser.value("--election-tick", metavar="N", of=positive, what="ticks of silence before an election (default 10)")
