"""The flags of the service commands, with docker's names. Declarations alone: `service_flags.py` reads them."""

from swarmlab.cli.parser import Parser, add_connection, add_listing, add_output, add_waiting
from swarmlab.cli.quantities import count, cpus, integer, memory, ratio, span

CONVERGED = "every wanted task runs"


def create_arguments(parser: Parser) -> None:
    """`service create [flags] IMAGE [COMMAND] [ARG...]`."""
    parser.value("--name", metavar="NAME", what="service name; made up where it is left out")
    parser.value(
        "--mode",
        metavar="MODE",
        choices=("replicated", "global", "replicated-job", "global-job"),
        what="how many tasks there are (default replicated)",
    )
    for flag, what, metavar in _LISTS:
        parser.many(*flag, what=what, metavar=metavar)
    parser.many("--env-file", metavar="FILE", what="read environment variables from a file")
    _both(parser)
    add_waiting(parser, CONVERGED)
    parser.add_argument("image", metavar="IMAGE")
    parser.add_argument("arguments", metavar="COMMAND ARG...", nargs="...")


def update_arguments(parser: Parser) -> None:
    """`service update [flags] SERVICE`."""
    parser.value("--image", metavar="IMAGE", what="image")
    parser.value("--args", metavar="WORDS", what="arguments of the command, parted as a shell does")
    parser.switch("--force", what="replace the tasks even if nothing changed")
    parser.switch("--rollback", what="take the service back to its previous spec")
    for flag, what, metavar in _LISTS:
        parser.many(f"{flag[-1]}-add", what=f"add or change: {what}", metavar=metavar)
        parser.many(f"{flag[-1]}-rm", what=f"remove: {what}", metavar=_REMOVED_BY.get(flag[-1], metavar))
    _both(parser)
    add_waiting(parser, "the update is complete")
    parser.add_argument("service", metavar="SERVICE")


#: Flags that may be repeated; an update has each as --x-add and --x-rm.
_LISTS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("-e", "--env"), "environment variable; NAME alone takes the value of this environment", "NAME=VALUE"),
    (("-l", "--label"), "service label", "KEY=VALUE"),
    (("--container-label",), "container label", "KEY=VALUE"),
    (("--constraint",), "placement constraint", "EXPRESSION"),
    (("--affinity",), "near or apart, such as 'service!=db domain=rack'; docs/affinity.md has all", "TERM"),
    (("--placement-pref",), "placement preference, spread=node.labels.KEY", "PREFERENCE"),
    (("-p", "--publish"), "port, as PUBLISHED:TARGET[/PROTOCOL] or target=80,published=8080,mode=host", "PORT"),
    (("--mount",), "mount, as type=volume,source=data,target=/data[,readonly]", "MOUNT"),
    (("--secret",), "secret, as NAME or source=NAME,target=FILE,uid=0,gid=0,mode=0444", "SECRET"),
    (("--config",), "config, as NAME or source=NAME,target=FILE,uid=0,gid=0,mode=0444", "CONFIG"),
    (("--network",), "network, as NAME or name=NAME,alias=ALIAS", "NETWORK"),
    (("--generic-resource",), "generic resource to reserve", "KIND=NUMBER"),
    (("--group",), "supplementary user group", "GROUP"),
    (("--host",), "line of /etc/hosts", "NAME:IP"),
    (("--dns",), "DNS server", "IP"),
    (("--dns-option",), "DNS option", "OPTION"),
    (("--dns-search",), "DNS search domain", "DOMAIN"),
    (("--sysctl",), "kernel setting", "KEY=VALUE"),
    (("--ulimit",), "limit of the process", "NAME=SOFT[:HARD]"),
)
_REMOVED_BY = {
    "--env": "NAME",
    "--label": "KEY",
    "--container-label": "KEY",
    "--affinity": "TERM|NAME",
    "--publish": "TARGET[/PROTOCOL]",
    "--mount": "TARGET",
    "--secret": "NAME",
    "--config": "NAME",
    "--network": "NAME",
    "--generic-resource": "KIND",
    "--host": "NAME[:IP]",
    "--sysctl": "KEY",
    "--ulimit": "NAME",
}


def _both(parser: Parser) -> None:
    """Flags that create and update share."""
    parser.value("--replicas", metavar="N", of=count, what="number of tasks; of a replicated job its completions")
    parser.value("--max-concurrent", metavar="N", of=count, what="tasks of a job at one time")
    parser.value("--replicas-max-per-node", metavar="N", of=count, what="most tasks on one node, 0 for no limit")
    parser.value("--entrypoint", metavar="WORDS", what="command in place of the image's, parted as a shell does")
    parser.value("-u", "--user", metavar="USER[:GROUP]", what="user in the container")
    parser.value("-w", "--workdir", metavar="DIR", what="working directory in the container")
    parser.value("--hostname", metavar="NAME", what="host name of the container")
    parser.switch("-t", "--tty", what="give the container a terminal")
    parser.switch("--init", what="run an init in the container that passes signals on and reaps processes")
    parser.switch("--read-only", what="mount the container's root read-only")
    parser.value("--stop-signal", metavar="SIGNAL", what="signal that stops the container")
    parser.value("--stop-grace-period", metavar="SPAN", of=span, what="time from the stop signal to the kill")
    parser.value("--isolation", metavar="ISOLATION", choices=("default", "process", "hyperv"), what="for Windows")
    parser.value("--credential-spec", metavar="SPEC", what="file://, registry:// or config://, for Windows")
    parser.value("--oom-score-adj", metavar="N", of=integer, what="from -1000 to 1000")
    parser.value("--limit-cpu", metavar="CPUS", of=cpus, what="most CPUs")
    parser.value("--limit-memory", metavar="BYTES", of=memory, what="most memory")
    parser.value("--limit-pids", metavar="N", of=count, what="most processes, 0 for no limit")
    parser.value("--reserve-cpu", metavar="CPUS", of=cpus, what="CPUs that the scheduler books")
    parser.value("--reserve-memory", metavar="BYTES", of=memory, what="memory that the scheduler books")
    parser.many("--cap-add", metavar="CAPABILITY", what="Linux capability to add")
    parser.many("--cap-drop", metavar="CAPABILITY", what="Linux capability to drop")
    parser.value("--endpoint-mode", metavar="MODE", choices=("vip", "dnsrr"), what="how the name resolves")
    parser.value("--log-driver", metavar="NAME", what="log driver")
    parser.many("--log-opt", metavar="KEY=VALUE", what="option of the log driver")
    _health(parser)
    _policies(parser)
    parser.switch("--with-registry-auth", what="accepted; credentials stay with the Engine of each node")
    parser.switch("--no-resolve-image", what="accepted; image names are never resolved here")


def _health(parser: Parser) -> None:
    parser.value("--health-cmd", metavar="COMMAND", what="command that says whether a container is well")
    parser.value("--health-interval", metavar="SPAN", of=span, what="time between two checks")
    parser.value("--health-timeout", metavar="SPAN", of=span, what="longest check")
    parser.value("--health-retries", metavar="N", of=count, what="failed checks in a row that make it unhealthy")
    parser.value("--health-start-period", metavar="SPAN", of=span, what="time to start in, where failures do not count")
    parser.value("--health-start-interval", metavar="SPAN", of=span, what="time between two checks in that period")
    parser.switch("--no-healthcheck", what="no check, whatever the image says")


def _policies(parser: Parser) -> None:
    parser.value(
        "--restart-condition", metavar="WHEN", choices=("none", "on-failure", "any"), what="when a task is replaced"
    )
    parser.value("--restart-delay", metavar="SPAN", of=span, what="wait before it is replaced (default 5s)")
    parser.value("--restart-max-attempts", metavar="N", of=count, what="replacements at most, 0 for no limit")
    parser.value("--restart-window", metavar="SPAN", of=span, what="span in which they are counted")
    for article, what, actions in (
        ("an", "update", ("pause", "continue", "rollback")),
        ("a", "rollback", ("pause", "continue")),
    ):
        parser.value(
            f"--{what}-parallelism", metavar="N", of=count, what=f"tasks at one time in {article} {what}, 0 for all"
        )
        parser.value(f"--{what}-delay", metavar="SPAN", of=span, what=f"wait after each task of {article} {what}")
        parser.value(
            f"--{what}-failure-action", metavar="ACTION", choices=actions, what=f"what a failed {what} leads to"
        )
        parser.value(f"--{what}-monitor", metavar="SPAN", of=span, what="how long a new task is watched (default 5s)")
        parser.value(f"--{what}-max-failure-ratio", metavar="RATIO", of=ratio, what="failures that are put up with")
        parser.value(
            f"--{what}-order", metavar="ORDER", choices=("stop-first", "start-first"), what="which task goes first"
        )


def scale_arguments(parser: Parser) -> None:
    """`service scale SERVICE=N ...`."""
    add_waiting(parser, CONVERGED)
    parser.add_argument("scales", metavar="SERVICE=N", nargs="+")


def rollback_arguments(parser: Parser) -> None:
    """`service rollback SERVICE`."""
    add_waiting(parser, "the rollback is complete")
    parser.add_argument("service", metavar="SERVICE")


def rm_arguments(parser: Parser) -> None:
    """`service rm SERVICE...`."""
    add_waiting(parser, "their tasks are gone")
    parser.add_argument("services", metavar="SERVICE", nargs="+")


def ls_arguments(parser: Parser) -> None:
    """`service ls`."""
    add_listing(parser, "id, name, label, mode")


def ps_arguments(parser: Parser) -> None:
    """`service ps SERVICE...`."""
    add_listing(parser, "id, name, node, desired-state, state")
    parser.add_argument("services", metavar="SERVICE", nargs="+")


def inspect_arguments(parser: Parser) -> None:
    """`service inspect SERVICE...`."""
    add_connection(parser)
    add_output(parser, "json")
    parser.switch("--pretty", what="the same as -o table")
    parser.switch("--defaults", what="with the values that hold where the spec is silent")
    parser.add_argument("services", metavar="SERVICE", nargs="+")


def logs_arguments(parser: Parser) -> None:
    """`service logs SERVICE|TASK`."""
    add_connection(parser)
    parser.switch("-f", "--follow", what="go on with what comes")
    parser.value("-n", "--tail", metavar="N|all", what="lines of each task, from the end (default all)")
    parser.value("--since", metavar="TIME", what="only lines since then: 10m, or 2026-01-31T12:00:00Z")
    parser.switch("-t", "--timestamps", what="with times")
    parser.switch("--raw", what="without the name of the task before each line")
    parser.switch("--no-trunc", what="whole task ids")
    parser.switch("--no-task-ids", what="no task ids")
    parser.add_argument("source", metavar="SERVICE|TASK", help="service, task, or SERVICE.SLOT")
