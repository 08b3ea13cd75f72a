"""The flags of what docker has no word for: events, explanations, strategies, simulations, stories, benches."""

from swarmlab.cli.parser import Parser, add_connection, add_output
from swarmlab.cli.quantities import count, positive, several_seconds
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
    parser.many("--set", metavar="KEY=VALUE", what="parameter of the strategy, or PLUGIN.KEY=VALUE of a plugin")
    parser.add_argument("name", metavar="NAME")


def run_arguments(parser: Parser) -> None:
    """`sim run --scenario FILE`."""
    parser.value("--scenario", metavar="FILE", what="scenario file")
    parser.value("--strategy", metavar="NAME|FILE:CLASS", what="who places tasks (default: what the scenario says)")
    parser.many("--set", metavar="KEY=VALUE", what="parameter of the strategy")
    parser.value("--seed", metavar="N", of=count, what="seed of every random choice (default 0)")
    parser.switch("--regret", what="judge each plan: how far it is from the best one, by OR-Tools")
    parser.value("--objective", metavar="NAME", what="what --regret measures: spread, pack or load (default spread)")
    parser.value("--log", metavar="FILE", what="write the decision log there, one JSON object a line")
    parser.switch("-q", "--quiet", what="no progress")
    add_output(parser)


def soak_arguments(parser: Parser) -> None:
    """`sim soak`."""
    parser.description = (
        f"{parser.description}\n\n"
        "Each seed is a story of several managers: they crash, lose their disks and each other, are promoted and\n"
        "demoted while clients write. Then all is mended, and the cluster must agree. What the clients saw must be\n"
        "linearizable."
    )
    parser.value("--seeds", metavar="N", of=positive, what="how many (default 100)")
    parser.value("--start", metavar="SEED", of=count, what="the first one (default 0)")
    parser.value("--managers", metavar="K", of=positive, what="managers at first (default: as the seed says, 3 or 5)")
    parser.value("--jobs", metavar="N", of=positive, what="processes (default: as many as processors)")
    parser.value("--stories", metavar="DIR", what="write the scenario file of each seed that failed there")
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


def raft_arguments(parser: Parser) -> None:
    """`bench raft`."""
    parser.description = (
        f"{parser.description}\n\n"
        "Managers in processes of their own on this machine, with fsync, and TLS between them.\n"
        "proposals_per_second: clients are coroutines in the leader's process; each proposes a small change to the\n"
        "store, waits until a majority has it on the disk, and proposes the next.\n"
        "control_calls_per_second: the same from outside, through the Control API on the leader's socket.\n"
        "With --kill-leader clients write through the sockets of all managers, with retries, while the leader is\n"
        "killed by SIGKILL: the time to a new leader, acknowledged writes that are lost, tasks that were restarted."
    )
    parser.value("--managers", metavar="N", of=positive, what="manager processes (default 3)")
    parser.value("--clients", metavar="N", of=positive, what="clients, one change under way each (default 64)")
    parser.value(
        "--seconds", metavar="S", of=several_seconds, what="length of each of the two measurements (default 10)"
    )
    parser.value("--tick", metavar="MS", of=positive, what="tick of raft in milliseconds (default 100)")
    parser.switch("--kill-leader", what="then kill the leader under load")
    parser.value("--kills", metavar="N", of=positive, what="how often, with --kill-leader (default 1)")
    parser.value("--workers", metavar="N", of=positive, what="workers meanwhile, with --kill-leader (default 4)")
    parser.value("--tasks", metavar="N", of=positive, what="tasks meanwhile, with --kill-leader (default 40)")
    parser.switch("-q", "--quiet", what="no progress")
    add_output(parser, "json")


def live_arguments(parser: Parser) -> None:
    """`bench live`."""
    parser.description = (
        f"{parser.description}\n\n"
        "A manager and its workers in other processes on this machine: each worker has a certificate, a connection\n"
        "with TLS, a session and a disk of its own; tasks are models that take 0.3 s to start.\n"
        "seconds_to_running: from the call that creates the service to all tasks RUNNING in the manager's store.\n"
        "cpu_seconds_idle: processor time of the manager's process in the five seconds after that."
    )
    parser.value("--workers", metavar="N", of=positive, what="workers (default 100)")
    parser.value("--tasks", metavar="N", of=positive, what="tasks of all services together (default 1000)")
    parser.value("--services", metavar="N", of=positive, what="services that the tasks belong to (default 1)")
    parser.value("--processes", metavar="N", of=positive, what="processes that the workers share (default 2)")
    parser.value(
        "--idle-seconds", metavar="S", of=several_seconds, what="how long the manager is watched after (default 5)"
    )
    parser.switch("-q", "--quiet", what="no progress")
    add_output(parser, "json")
