"""The node commands."""

import argparse
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from swarmlab.api import (
    Availability,
    Filters,
    Node,
    NodeRole,
    NodeState,
    OutOfSequence,
    Reachability,
    Resources,
    format_bytes,
    format_cpus,
    format_generic_resources,
    name_of,
)
from swarmlab.cli.certificate_life import WARN_LEFT, certificate_life
from swarmlab.cli.cluster import connected, find_node, found
from swarmlab.cli.exits import UsageError
from swarmlab.cli.filters import filtered, has_label, starts
from swarmlab.cli.output import Column, format_instant, show, show_documents, show_ids, show_pretty, state_style
from swarmlab.cli.pairs import labels, less
from swarmlab.cli.parser import waits
from swarmlab.cli.quantities import format_age
from swarmlab.cli.service_flags import label_keys
from swarmlab.cli.task_views import show_tasks
from swarmlab.cli.waiting import drained, is_manager, is_worker, node_is, settled, unsettled, wait_for

if TYPE_CHECKING:
    from swarmlab.edges.grpc.client import Client


def _word(node: Node) -> str:
    return node.status.state.name.capitalize()


def _manager(node: Node) -> str:
    if node.manager_status is None:
        return ""
    return "Leader" if node.manager_status.leader else Reachability(node.manager_status.reachability).name.capitalize()


def _resources(node: Node) -> Resources:
    description = node.description
    return (description.resources if description is not None else None) or Resources()


def _engine_labels(node: Node) -> dict[str, str]:
    engine = node.description.engine if node.description is not None else None
    return dict(engine.labels) if engine is not None else {}


def _engine_version(node: Node) -> str:
    engine = node.description.engine if node.description is not None else None
    return engine.engine_version if engine is not None else ""


def _platform(node: Node) -> str:
    platform = node.description.platform if node.description is not None else None
    return f"{platform.os}/{platform.architecture}" if platform is not None else ""


def certificate_age(node: Node) -> str:
    """How long the node's certificate is still good for; empty where it has none."""
    life = certificate_life(node.certificate.certificate)
    if life is None:
        return ""
    left = life.end - time.time_ns()
    return f"In {format_age(left).lower()}" if left > 0 else f"{format_age(-left)} ago"


def _expiry_style(text: str) -> str:
    return "red" if text.endswith(" ago") else ""


COLUMNS: tuple[Column[Node], ...] = (
    Column("ID", lambda node: node.id, id=True),
    Column("HOSTNAME", name_of),
    Column("STATUS", _word, style=state_style),
    Column("AVAILABILITY", lambda node: node.spec.availability.name.capitalize(), style=state_style),
    Column("MANAGER STATUS", _manager),
    Column("CERT EXPIRES", certificate_age, style=_expiry_style),
    Column("CPUS", lambda node: format_cpus(_resources(node).nano_cpus)),
    Column("MEMORY", lambda node: format_bytes(_resources(node).memory_bytes)),
    Column("ENGINE VERSION", _engine_version),
    Column("GENERIC", lambda node: format_generic_resources(_resources(node).generic), wide=True),
    Column(
        "LABELS", lambda node: ",".join(f"{k}={v}" for k, v in sorted(node.spec.annotations.labels.items())), wide=True
    ),
    Column(
        "ENGINE LABELS", lambda node: ",".join(f"{k}={v}" for k, v in sorted(_engine_labels(node).items())), wide=True
    ),
    Column("PLATFORM", _platform, wide=True),
    Column("ADDRESS", lambda node: node.status.addr, wide=True),
    Column("MESSAGE", lambda node: node.status.message, wide=True),
)

_FILTERS = {
    "id": lambda node, value: starts(node.id, value),
    "name": lambda node, value: starts(name_of(node), value),
    "label": lambda node, value: has_label(_engine_labels(node), value),
    "node.label": lambda node, value: has_label(node.spec.annotations.labels, value),
    "role": lambda node, value: node.role.name.lower() == value,
    "availability": lambda node, value: node.spec.availability.name.lower() == value,
    "status": lambda node, value: node.status.state.name.lower() == value,
}


async def ls(options: argparse.Namespace) -> None:
    """List nodes by host name."""
    async with connected(options) as client:
        nodes = filtered(await client.list_nodes(), options.filter, _FILTERS)
    nodes.sort(key=lambda node: (natural(name_of(node)), node.id))
    if options.quiet:
        show_ids(node.id for node in nodes)
    else:
        show(nodes, COLUMNS, output=options.output, name=name_of, whole=bool(options.no_trunc))
        if options.output in ("table", "wide"):
            warn_of_expiry(nodes)


def warn_of_expiry(nodes: Sequence[Node]) -> None:
    """Name on standard error the nodes whose certificates are about to run out, or have: they were not renewed."""
    now = time.time_ns()
    for node in nodes:
        life = certificate_life(node.certificate.certificate)
        if life is not None and life.left(now) <= WARN_LEFT:
            word = "expires" if life.end > now else "has expired"
            print(
                f"Warning: the certificate of node {name_of(node) or node.id} {word} at {format_instant(life.end)}; a "
                "node renews it by itself at 50 to 80 % of its life: see that it runs and reaches a manager",
                file=sys.stderr,
            )


def natural(text: str) -> list[tuple[int, str]]:
    """A key that sorts w2 before w10."""
    parts: list[tuple[int, str]] = []
    for character in text:
        if character.isdigit() and parts and parts[-1][1] == "":
            parts[-1] = (parts[-1][0] * 10 + int(character), "")
        elif character.isdigit():
            parts.append((int(character), ""))
        else:
            parts.append((-1, character))
    return parts


async def inspect(options: argparse.Namespace) -> None:
    """Show nodes in full."""
    async with connected(options) as client:
        everything = await client.list_nodes()
        nodes = [found("node", everything, word) for word in options.nodes]
    show_objects(nodes, options)


def show_objects(objects: Sequence[Node], options: argparse.Namespace) -> None:
    """Print objects in full, in the format wanted."""
    if options.output == "name":
        show_ids(name_of(one) for one in objects)
    elif options.pretty or options.output in ("table", "wide"):
        show_pretty([(name_of(one), one) for one in objects])
    else:
        show_documents(objects, options.output)


async def ps(options: argparse.Namespace) -> None:
    """List the tasks on nodes."""
    async with connected(options) as client:
        everything = await client.list_nodes()
        ids = tuple(found("node", everything, word).id for word in options.nodes)
        await show_tasks(client, options, Filters(node_ids=ids))


async def promote(options: argparse.Namespace) -> None:
    """Make nodes managers."""
    async with connected(options) as client:
        everything = await client.list_nodes()
        for word in options.nodes:
            node = found("node", everything, word)
            if node.spec.desired_role is NodeRole.MANAGER:
                print(f"Node {word} is already a manager.")
                continue
            await _give_role(client, node, NodeRole.MANAGER)
            print(f"Node {word} promoted to a manager in the swarm.")
        if waits(options):
            for word in options.nodes:
                await wait_for(client, options, is_manager(found("node", everything, word).id, word))


async def demote(options: argparse.Namespace) -> None:
    """Make managers workers."""
    async with connected(options) as client:
        everything = await client.list_nodes()
        for word in options.nodes:
            node = found("node", everything, word)
            if node.spec.desired_role is NodeRole.WORKER:
                print(f"Node {word} is already a worker.")
                continue
            await _give_role(client, node, NodeRole.WORKER)
            print(f"Manager {word} demoted in the swarm.")
        if waits(options):
            for word in options.nodes:
                await wait_for(client, options, is_worker(found("node", everything, word).id, word))


async def _give_role(client: "Client", node: Node, role: NodeRole) -> None:
    """Have the node wanted in that role; read again where somebody else changed it meanwhile."""
    while True:
        try:
            await client.update_node(node.id, node.meta.version.index, replace(node.spec, desired_role=role))
        except OutOfSequence:
            node = await client.get_node(node.id)
        else:
            return


async def update(options: argparse.Namespace) -> None:
    """Change availability and labels of a node."""
    if options.availability is None and options.role is None and not options.label_add and not options.label_rm:
        raise UsageError(
            "nothing to change; give --availability, --role, --label-add or --label-rm", "swarmlab node update"
        )
    added = labels("--label-add", options.label_add)
    async with connected(options) as client:
        node = await find_node(client, options.node)
        present = node.spec.annotations
        spec = replace(
            node.spec,
            annotations=replace(present, labels=less({**present.labels, **added}, label_keys(options.label_rm))),
        )
        if options.availability is not None:
            spec = replace(spec, availability=Availability[options.availability.upper()])
        if options.role is not None:
            spec = replace(spec, desired_role=NodeRole[options.role.upper()])
        apart = await unsettled(client) if waits(options) else frozenset()
        await client.update_node(node.id, node.meta.version.index, spec)
        print(node.id)
        if waits(options):
            drain = spec.availability is Availability.DRAIN
            await wait_for(client, options, drained(node.id, name_of(node), apart) if drain else settled(apart))


async def rm(options: argparse.Namespace) -> None:
    """Remove nodes from the cluster."""
    async with connected(options) as client:
        everything = await client.list_nodes()
        for node in [found("node", everything, word) for word in options.nodes]:
            await client.remove_node(node.id, force=bool(options.force))
            print(name_of(node) or node.id)


async def stop(options: argparse.Namespace) -> None:
    """Kill workers of this machine's cluster, as if their machines lost power."""
    async with connected(options) as client:
        apart = await unsettled(client) if waits(options) else frozenset()
        for name in options.nodes:
            await client.stop_worker(name)
            print(name)
        if waits(options):
            for name in options.nodes:
                await wait_for(client, options, node_is(name, NodeState.DOWN))
            await wait_for(client, options, settled(apart))


async def start(options: argparse.Namespace) -> None:
    """Revive workers of this machine's cluster."""
    async with connected(options) as client:
        for name in options.nodes:
            await client.start_worker(name)
            print(name)
        if waits(options):
            for name in options.nodes:
                await wait_for(client, options, node_is(name, NodeState.READY))
