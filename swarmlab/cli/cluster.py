"""The cluster behind the control socket, and how words on the command line find its objects."""

import argparse
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from swarmlab.api import Config, Filters, Node, Secret, Service, StateError, StoreObject, Task, name_of
from swarmlab.cli.exits import Conflict, Missing, Unreachable, near, quoted
from swarmlab.cli.paths import socket_path

if TYPE_CHECKING:
    from swarmlab.edges.grpc.client import Client

T = TypeVar("T", bound=StoreObject)


@asynccontextmanager
async def connected(options: argparse.Namespace) -> AsyncIterator["Client"]:
    """A client of the cluster that --socket, $SWARMLAB_SOCKET or the usual place names.

    Raises:
        Unreachable: Nothing answers there, or no longer.
    """
    path = socket_path(options.socket)
    if not path.exists():
        raise Unreachable(f"no cluster runs at {path}; start one with 'swarmlab', or name its socket with --socket")
    from swarmlab.edges.grpc.client import Client

    client = Client(path)
    try:
        await client.__aenter__()
    except StateError as error:
        raise Unreachable(f"{error}; start a cluster with 'swarmlab', or name its socket with --socket") from error
    try:
        yield client
    except StateError as error:
        raise Unreachable(str(error)) from error
    finally:
        await client.__aexit__()


def found(kind: str, objects: Sequence[T], word: str, name: Callable[[T], str] = name_of) -> T:
    """The object that `word` names: by whole id, then by name in any case, then by the start of one id alone.

    Raises:
        Missing: None; the message has near names.
        Conflict: More than one.
    """
    for one in objects:
        if one.id == word:
            return one
    named = [one for one in objects if name(one).lower() == word.lower()]
    matching = named or [one for one in objects if word and one.id.startswith(word)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        ids = ", ".join(sorted(one.id for one in matching))
        raise Conflict(f"{kind} {quoted(word)} is ambiguous: it may be {ids}")
    raise Missing(f"{kind} not found: {quoted(word)}{near(word, sorted({name(one) for one in objects}))}")


async def find_node(client: "Client", word: str) -> Node:
    """The node of that id, host name or start of an id."""
    return found("node", await client.list_nodes(), word)


async def find_service(client: "Client", word: str) -> Service:
    """The service of that id, name or start of an id."""
    return found("service", await client.list_services(), word)


async def find_secret(client: "Client", word: str) -> Secret:
    """The secret of that id, name or start of an id."""
    return found("secret", await client.list_secrets(), word)


async def find_config(client: "Client", word: str) -> Config:
    """The config of that id, name or start of an id."""
    return found("config", await client.list_configs(), word)


async def find_tasks(client: "Client", word: str) -> tuple[Task, ...]:
    """The tasks that `word` names: one by id, whole name or start of an id; that of `SERVICE.SLOT`; those of a service.

    Of a slot (or, for a global service, a node) the newest one alone; of a service the newest one of each slot.
    """
    services = await client.list_services()
    service, _, place = word.rpartition(".")
    whole = [one for one in services if one.spec.annotations.name.lower() == word.lower()]
    if whole:
        return newest_of_slots(await client.list_tasks(Filters(service_ids=(whole[0].id,))))
    by_name = [one for one in services if one.spec.annotations.name.lower() == service.lower()]
    if by_name:
        tasks = newest_of_slots(await client.list_tasks(Filters(service_ids=(by_name[0].id,))))
        nodes = {node.id: name_of(node) for node in await client.list_nodes()} if not place.isdigit() else {}
        in_place = [task for task in tasks if place in place_words(task, nodes.get(task.node_id, ""))]
        if in_place:
            return tuple(in_place)
    everything = await client.list_tasks()
    exact = [task for task in everything if word in (task.id, name_of(task))]
    return (exact[0] if exact else found("task", everything, word, slot_name),)


def place_words(task: Task, hostname: str) -> tuple[str, ...]:
    """The words after the service's name that mean this task's place: its slot, or its node for a global service."""
    return (str(task.slot),) if task.slot else (task.node_id, hostname)


def slot_name(task: Task) -> str:
    """`SERVICE.SLOT`, with the node's id in place of slot 0, as `ps` shows it."""
    return f"{task.service_annotations.name}.{task.slot or task.node_id or 'unassigned'}"


def newest_first(tasks: Sequence[Task]) -> list[Task]:
    """`tasks` by time of creation, newest first."""
    return sorted(tasks, key=lambda task: (-(task.meta.created_at or 0), task.id))


def newest_of_slots(tasks: Sequence[Task]) -> tuple[Task, ...]:
    """The task of each slot that counts: one meant to run rather than one that ended, and the newest of those."""
    best: dict[tuple[str, int, str], Task] = {}
    for task in sorted(newest_first(tasks), key=lambda task: task.desired_state > task.desired_state.COMPLETE):
        best.setdefault((task.service_id, task.slot, "" if task.slot else task.node_id), task)
    return tuple(sorted(best.values(), key=lambda task: (task.service_annotations.name, task.slot, task.id)))
