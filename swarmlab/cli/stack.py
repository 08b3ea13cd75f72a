"""The stack commands."""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from swarmlab.api import (
    Annotations,
    Config,
    ConfigSpec,
    Filters,
    InvalidSpec,
    Secret,
    SecretSpec,
    Service,
    ServiceId,
    ServiceSpec,
    name_of,
)
from swarmlab.cli.cluster import connected
from swarmlab.cli.compose import FileSource, Stack, read_stack
from swarmlab.cli.compose_service import STACK_LABEL
from swarmlab.cli.exits import Conflict, Missing, UsageError, near, quoted
from swarmlab.cli.output import Column, show
from swarmlab.cli.parser import waits
from swarmlab.cli.service import warn, with_files
from swarmlab.cli.service_views import show_services
from swarmlab.cli.task_views import show_tasks
from swarmlab.cli.waiting import gone, running, wait_for

if TYPE_CHECKING:
    from swarmlab.edges.grpc.client import Client

_NAME = re.compile(r"[a-zA-Z0-9](?:[-_]*[A-Za-z0-9]+)*")


async def deploy(options: argparse.Namespace) -> None:
    """Make the cluster run what the file says; what did not change is left alone."""
    if len(options.compose_file) != 1:
        raise UsageError("-c FILE is wanted, once", "swarmlab stack deploy")
    if not _NAME.fullmatch(options.stack):
        raise UsageError(f"stack name {options.stack!r}, wanted: letters and digits, with - and _ between them")
    stack = read_stack(options.compose_file[0], options.stack)
    for text in stack.warnings:
        print(f"Warning: {text}", file=sys.stderr)
    async with connected(options) as client:
        ids = await deploy_stack(client, stack, prune=bool(options.prune))
        if waits(options):
            for service_id in ids:
                await wait_for(client, options, running(service_id))


async def deploy_stack(client: "Client", stack: Stack, *, prune: bool = False) -> list[ServiceId]:
    """Carry out `stack`, print a line for each object; the ids of its services."""
    await _make_secrets(client, stack.secrets)
    await _make_configs(client, stack.configs)
    present = {name_of(service): service for service in await client.list_services()}
    ids = []
    for request in stack.services:
        spec = await with_files(client, request)
        ids.append(await _make_service(client, stack.name, spec, present.get(spec.annotations.name)))
    if prune:
        wanted = {request.spec.annotations.name for request in stack.services}
        for name, service in sorted(present.items()):
            if name not in wanted and _stack_of(service) == stack.name:
                await client.remove_service(service.id)
                print(f"Removed service {name}")
    return ids


async def _make_service(client: "Client", stack: str, spec: ServiceSpec, present: Service | None) -> ServiceId:
    name = spec.annotations.name
    if present is None:
        service = await client.create_service(spec)
        print(f"Created service {name}")
        await warn(client, spec)
        return service.id
    if _stack_of(present) != stack:
        raise Conflict(f"service {name} is there already and does not belong to stack {stack}")
    spec = settled_spec(spec, present.spec)
    if spec == present.spec:
        print(f"Unchanged service {name}")
        return present.id
    await client.update_service(present.id, present.meta.version.index, spec)
    print(f"Updated service {name}")
    await warn(client, spec)
    return present.id


def settled_spec(wanted: ServiceSpec, present: ServiceSpec) -> ServiceSpec:
    """`wanted` with what only other commands set: the counter of --force, without which tasks would restart."""
    return replace(wanted, task=replace(wanted.task, force_update=present.task.force_update))


async def _make_secrets(client: "Client", sources: Sequence[FileSource]) -> None:
    present = {name_of(secret): secret for secret in await client.list_secrets()} if sources else {}
    for source in sources:
        spec = SecretSpec(annotations=Annotations(source.name, source.labels), data=source.data)
        old = present.get(source.name)
        if old is None:
            await client.create_secret(spec)
            print(f"Created secret {source.name}")
        else:
            await _update_secret(client, old, spec)


async def _update_secret(client: "Client", old: Secret, spec: SecretSpec) -> None:
    """Sent even where nothing seems to change: the data cannot be read back, so the cluster alone can compare it."""
    try:
        wanted = replace(old.spec, annotations=spec.annotations, data=spec.data)
        await client.update_secret(old.id, old.meta.version.index, wanted)
    except InvalidSpec as error:
        name = spec.annotations.name
        raise Conflict(f"secret {name} is there with other data; data never changes, give it a new name") from error
    if old.spec.annotations != spec.annotations:
        print(f"Updated secret {spec.annotations.name}")


async def _make_configs(client: "Client", sources: Sequence[FileSource]) -> None:
    present = {name_of(config): config for config in await client.list_configs()} if sources else {}
    for source in sources:
        spec = ConfigSpec(annotations=Annotations(source.name, source.labels), data=source.data)
        old = present.get(source.name)
        if old is None:
            await client.create_config(spec)
            print(f"Created config {source.name}")
        elif old.spec.data != source.data:
            raise Conflict(f"config {source.name} is there with other data; data never changes, give it a new name")
        elif old.spec.annotations != spec.annotations:
            await client.update_config(old.id, old.meta.version.index, replace(old.spec, annotations=spec.annotations))
            print(f"Updated config {source.name}")


def _stack_of(one: Service | Secret | Config) -> str:
    return one.spec.annotations.labels.get(STACK_LABEL, "")


class StackRow(NamedTuple):
    """A stack and how many services it has."""

    name: str
    services: int


COLUMNS: tuple[Column[StackRow], ...] = (
    Column("NAME", lambda row: row.name),
    Column("SERVICES", lambda row: str(row.services)),
)


async def ls(options: argparse.Namespace) -> None:
    """List stacks by name."""
    async with connected(options) as client:
        counts = Counter(_stack_of(service) for service in await client.list_services())
    rows = [StackRow(name, count) for name, count in sorted(counts.items()) if name]
    show(rows, COLUMNS, output=options.output, name=lambda row: row.name, document=lambda row: row._asdict())


async def _services_of(client: "Client", stack: str) -> list[Service]:
    """The services of a stack; a stack without any does not exist."""
    everything = await client.list_services()
    mine = [service for service in everything if _stack_of(service) == stack]
    if not mine:
        known = sorted({_stack_of(service) for service in everything} - {""})
        raise Missing(f"stack not found: {quoted(stack)}{near(stack, known)}")
    return mine


async def services(options: argparse.Namespace) -> None:
    """List the services of a stack."""
    async with connected(options) as client:
        await show_services(client, await _services_of(client, options.stack), options)


async def ps(options: argparse.Namespace) -> None:
    """List the tasks of a stack."""
    async with connected(options) as client:
        ids = tuple(service.id for service in await _services_of(client, options.stack))
        await show_tasks(client, options, Filters(service_ids=ids))


async def rm(options: argparse.Namespace) -> None:
    """Remove stacks: their services, secrets and configs; all of them must be there before the first goes."""
    async with connected(options) as client:
        found = {stack: await _services_of(client, stack) for stack in dict.fromkeys(options.stacks)}
        for stack, members in found.items():
            for service in sorted(members, key=name_of):
                await client.remove_service(service.id)
                print(f"Removed service {name_of(service)}")
            for secret in sorted(await client.list_secrets(), key=name_of):
                if _stack_of(secret) == stack:
                    await client.remove_secret(secret.id)
                    print(f"Removed secret {name_of(secret)}")
            for config in sorted(await client.list_configs(), key=name_of):
                if _stack_of(config) == stack:
                    await client.remove_config(config.id)
                    print(f"Removed config {name_of(config)}")
        if waits(options):
            ids = [service.id for members in found.values() for service in members]
            await wait_for(client, options, gone(ids, list(found)))
