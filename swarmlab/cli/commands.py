"""The table of commands: their words, what they do in one line, and where their code is."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

from swarmlab.cli.exits import UsageError, near, quoted
from swarmlab.cli.parser import Parser


class Command(NamedTuple):
    """One command. Its flags are declared by `<name>_arguments(parser)`, it is run by `<name>(options)`."""

    words: str
    summary: str
    #: Module of the function that runs it.
    module: str
    #: Module of its flags, where that is another one.
    flags_module: str = ""
    #: Kind of object whose names complete its arguments, empty for none.
    completes: str = ""

    @property
    def name(self) -> str:
        """The function's name: the last word."""
        return self.words.rpartition(" ")[2].replace("-", "_")

    def declare(self, parser: Parser) -> None:
        """Add this command's flags to `parser`."""
        module = import_module(f"swarmlab.cli.{self.flags_module or self.module}")
        getattr(module, f"{self.name}_arguments")(parser)

    def function(self) -> Callable[..., Any]:
        """The function that runs it, perhaps a coroutine function."""
        found: Callable[..., Any] = getattr(import_module(f"swarmlab.cli.{self.module}"), self.name)
        return found


#: Groups in the order of the help text.
GROUPS = {
    "swarm": "This node's swarm",
    "node": "Nodes of the cluster",
    "service": "Services and their tasks",
    "stack": "Services of one compose file",
    "network": "Networks of the cluster",
    "secret": "Secrets",
    "config": "Configs",
    "strategy": "Placement strategies",
    "plugin": "Strategies and plugins of your own",
    "sim": "Simulated clusters",
    "bench": "Benchmarks",
    "demo": "Stories to watch",
}

COMMANDS: tuple[Command, ...] = (
    Command("run", "Start a cluster on this machine, in the foreground", "run", "run_arguments"),
    Command("daemon", "Run the node process of this machine", "daemon", "swarm_arguments"),
    Command("swarm init", "Found a swarm of this node", "swarm", "swarm_arguments"),
    Command("swarm join", "Let this node join a swarm", "swarm", "swarm_arguments"),
    Command("swarm leave", "Let this node leave its swarm", "swarm", "swarm_arguments"),
    Command("swarm unlock", "Unlock this manager", "swarm", "swarm_arguments"),
    Command("swarm status", "Show what the node process is at", "swarm", "swarm_arguments"),
    Command("swarm join-token", "Show or rotate a join token", "swarm_settings", "swarm_arguments"),
    Command("swarm unlock-key", "Show or rotate the unlock key", "swarm_settings", "swarm_arguments"),
    Command("swarm update", "Change the settings of the swarm", "swarm_settings", "swarm_arguments"),
    Command("swarm ca", "Show or rotate the root certificate", "swarm_settings", "swarm_arguments"),
    Command("node ls", "List nodes", "node", "node_arguments"),
    Command("node inspect", "Show nodes in full", "node", "node_arguments", "node"),
    Command("node ps", "List the tasks on nodes", "node", "node_arguments", "node"),
    Command("node update", "Change availability and labels of a node", "node", "node_arguments", "node"),
    Command("node promote", "Make nodes managers", "node", "node_arguments", "node"),
    Command("node demote", "Make managers workers", "node", "node_arguments", "node"),
    Command("node rm", "Remove nodes from the cluster", "node", "node_arguments", "node"),
    Command("node stop", "Kill a worker of this machine's cluster", "node", "node_arguments", "node"),
    Command("node start", "Revive a worker of this machine's cluster", "node", "node_arguments", "node"),
    Command("service create", "Create a service", "service", "service_arguments"),
    Command("service ls", "List services", "service_views", "service_arguments"),
    Command("service ps", "List the tasks of services", "service_views", "service_arguments", "service"),
    Command("service inspect", "Show services in full", "service_views", "service_arguments", "service"),
    Command("service update", "Change a service", "service", "service_arguments", "service"),
    Command("service scale", "Change how many tasks services have", "service", "service_arguments", "service"),
    Command("service rollback", "Take a service back to its previous spec", "service", "service_arguments", "service"),
    Command("service logs", "Show what tasks print", "logs", "service_arguments", "service"),
    Command("service rm", "Remove services", "service", "service_arguments", "service"),
    Command("stack deploy", "Create or update the services of a compose file", "stack", "stack_arguments", "stack"),
    Command("stack ls", "List stacks", "stack", "stack_arguments"),
    Command("stack services", "List the services of a stack", "stack", "stack_arguments", "stack"),
    Command("stack ps", "List the tasks of a stack", "stack", "stack_arguments", "stack"),
    Command("stack rm", "Remove stacks", "stack", "stack_arguments", "stack"),
    Command("network create", "Create a network", "network", "network_arguments"),
    Command("network ls", "List networks", "network", "network_arguments"),
    Command("network inspect", "Show networks in full", "network", "network_arguments", "network"),
    Command("network rm", "Remove networks", "network", "network_arguments", "network"),
    Command("secret create", "Create a secret from a file or standard input", "secret", "material_arguments"),
    Command("secret ls", "List secrets", "secret", "material_arguments"),
    Command("secret inspect", "Show secrets, without their data", "secret", "material_arguments", "secret"),
    Command("secret rm", "Remove secrets", "secret", "material_arguments", "secret"),
    Command("config create", "Create a config from a file or standard input", "config", "material_arguments"),
    Command("config ls", "List configs", "config", "material_arguments"),
    Command("config inspect", "Show configs in full", "config", "material_arguments", "config"),
    Command("config rm", "Remove configs", "config", "material_arguments", "config"),
    Command("events", "Show what the cluster decides and does", "events", "lab_arguments"),
    Command("explain", "Say why a task is pending, or why it is where it is", "explain", "lab_arguments", "service"),
    Command("violations", "List the tasks that break a hard affinity term", "violations", "lab_arguments"),
    Command("status", "Show the cluster at a glance", "status", "lab_arguments"),
    Command("strategy ls", "List the strategies that can be chosen", "strategy", "lab_arguments"),
    Command("strategy show", "Show a strategy and its parameters", "strategy", "lab_arguments", "strategy"),
    Command("plugin new", "Begin a strategy or a plugin, with tests that pass", "plugin", "plugin_arguments"),
    Command("plugin check", "Try a strategy or a plugin on small clusters", "plugin", "plugin_arguments"),
    Command("plugin test", "Run the tests of a plugin", "plugin", "plugin_arguments"),
    Command("plugin ls", "List strategies and plugins, and what cannot be loaded", "plugin", "plugin_arguments"),
    Command("plugin trace", "Show each call of a hook on a small cluster", "plugin", "plugin_arguments"),
    Command("sim run", "Run a scenario in a simulated cluster", "sim", "lab_arguments"),
    Command("sim soak", "Break several managers in many ways, and look whether all goes well", "soak", "lab_arguments"),
    Command("demo rejoin", "A node dies and returns: what each strategy makes of it", "demo", "lab_arguments"),
    Command("bench scheduler", "Time the scheduler on a made-up cluster", "bench", "lab_arguments"),
    Command("bench start", "Time tasks from create to running, beside the bare runtime", "bench", "lab_arguments"),
    Command("bench raft", "Time what managers agree on, and the loss of their leader", "bench", "lab_arguments"),
    Command("bench live", "Time tasks on many workers over the wire", "bench", "lab_arguments"),
    Command("completion", "Print the completion script of a shell", "completion"),
)

#: Other words for the last word of a command, as docker has them.
ALIASES = {
    "list": "ls",
    "remove": "rm",
    "up": "deploy",
    "down": "rm",
}

BY_WORDS = {command.words: command for command in COMMANDS}


def find(arguments: list[str]) -> tuple[Command | None, str, list[str]]:
    """The command that `arguments` begin with, the group that was named, and the arguments left over.

    No command and no group: nothing was named. No command but a group: the group's help is wanted.
    """
    if not arguments or arguments[0].startswith("-"):
        return None, "", arguments
    first, rest = arguments[0], arguments[1:]
    if first in BY_WORDS:
        return BY_WORDS[first], "", rest
    if first not in GROUPS:
        known = [*GROUPS, *(words for words in BY_WORDS if " " not in words)]
        raise UsageError(f"unknown command {quoted(first)}{near(first, known)}", "swarmlab")
    if not rest or rest[0].startswith("-"):
        return None, first, rest
    verb = ALIASES.get(rest[0], rest[0])
    command = BY_WORDS.get(f"{first} {verb}")
    if command is None:
        known = [words.partition(" ")[2] for words in BY_WORDS if words.startswith(f"{first} ")]
        raise UsageError(f"unknown command {quoted(f'{first} {rest[0]}')}{near(rest[0], known)}", f"swarmlab {first}")
    return command, first, rest[1:]


def group_help(group: str) -> str:
    """The commands of one group, one a line."""
    rows = [command for command in COMMANDS if command.words.startswith(f"{group} ")]
    width = max(len(command.words) for command in rows)
    lines = [f"  {command.words:<{width}}  {command.summary}" for command in rows]
    return f"{GROUPS[group]}.\n\n" + "\n".join(lines) + f"\n\n'swarmlab {group} COMMAND --help' says more."


def overview() -> str:
    """All commands, grouped."""
    lines = ["commands:"]
    for group, title in GROUPS.items():
        verbs = ", ".join(c.words.partition(" ")[2] for c in COMMANDS if c.words.startswith(f"{group} "))
        lines.append(f"  {group:<11} {title}: {verbs}")
    lines += [f"  {command.words:<11} {command.summary}" for command in COMMANDS if " " not in command.words]
    return "\n".join(lines)
