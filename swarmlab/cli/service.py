"""The service commands that change: create, update, scale, rollback, rm."""

import argparse
import random
import sys
from typing import TYPE_CHECKING

from msgspec.structs import replace

from swarmlab.api import ContainerSpec, Service, ServiceSpec, name_of
from swarmlab.cli.cluster import connected, find_service, found
from swarmlab.cli.exits import Refused, UsageError
from swarmlab.cli.parser import waits
from swarmlab.cli.quantities import count
from swarmlab.cli.references import config_references, secret_references
from swarmlab.cli.service_flags import Request, created
from swarmlab.cli.service_update import scaled, updated
from swarmlab.cli.waiting import gone, running, wait_for

if TYPE_CHECKING:
    from swarmlab.edges.grpc.client import Client


async def create(options: argparse.Namespace) -> None:
    """Create a service and print its id."""
    request = created(options, random.SystemRandom())
    async with connected(options) as client:
        spec = await with_files(client, request)
        service = await client.create_service(spec)
        await warn(client, spec)
        print(service.id)
        if waits(options):
            await wait_for(client, options, running(service.id))


async def with_files(client: "Client", request: Request) -> ServiceSpec:
    """The spec of a request with references to its secrets and configs, which must be there."""
    container = request.spec.task.container or ContainerSpec()
    if request.secrets:
        references = secret_references(request.secrets, await client.list_secrets())
        names = {reference.secret_name for reference in references}
        kept = tuple(one for one in container.secrets if one.secret_name not in names)
        container = replace(container, secrets=(*kept, *references))
    if request.configs:
        files = config_references(request.configs, await client.list_configs())
        names = {reference.config_name for reference in files}
        others = tuple(one for one in container.configs if one.config_name not in names)
        container = replace(container, configs=(*others, *files))
    return replace(request.spec, task=replace(request.spec.task, container=container))


async def warn(client: "Client", spec: ServiceSpec) -> None:
    """Say on standard error what is acceptable in `spec` and will hardly be what was meant."""
    for text in await client.service_warnings(spec):
        print(f"Warning: {text}", file=sys.stderr)


async def update(options: argparse.Namespace) -> None:
    """Change a service as the flags say."""
    if options.rollback:
        _refuse_other_flags(options)
        await rollback(options)
        return
    async with connected(options) as client:
        service = await find_service(client, options.service)
        request = updated(options, service.spec)
        spec = await with_files(client, request)
        await client.update_service(service.id, service.meta.version.index, spec)
        await warn(client, spec)
        print(service.id)
        if waits(options):
            await wait_for(client, options, running(service.id))


def _refuse_other_flags(options: argparse.Namespace) -> None:
    apart = ("rollback", "service", "socket", "wait", "timeout", "detach", "quiet")
    others = [name for name, value in sorted(vars(options).items()) if value not in (None, []) and name not in apart]
    if others:
        raise UsageError(f"--rollback does not go with --{others[0].replace('_', '-')}")


async def scale(options: argparse.Namespace) -> None:
    """Change how many tasks services have; all of them are checked before the first is changed."""
    async with connected(options) as client:
        everything = await client.list_services()
        wishes: list[tuple[Service, ServiceSpec]] = []
        for text in options.scales:
            name, sign, number = text.rpartition("=")
            if not (name and sign):
                raise UsageError(f"{text!r}, wanted: SERVICE=N", "swarmlab service scale")
            service = found("service", everything, name)
            try:
                wishes.append((service, scaled(service.spec, count(number))))
            except ValueError as error:
                raise UsageError(f"{name}: {error}", "swarmlab service scale") from error
        for service, spec in wishes:
            await client.update_service(service.id, service.meta.version.index, spec)
            print(f"{name_of(service)} scaled to {replicas(spec)}")
        if waits(options):
            for service, _ in wishes:
                await wait_for(client, options, running(service.id))


def replicas(spec: ServiceSpec) -> int:
    """Replicas, or completions of a replicated job."""
    if spec.replicated is not None:
        return spec.replicated.replicas
    return spec.replicated_job.total_completions if spec.replicated_job is not None else 0


async def rollback(options: argparse.Namespace) -> None:
    """Take a service back to its previous spec."""
    async with connected(options) as client:
        service = await find_service(client, options.service)
        if service.previous_spec is None:
            raise Refused(f"service {name_of(service)} has no previous spec to go back to")
        await client.update_service(service.id, service.meta.version.index, service.spec, rollback=True)
        print(service.id)
        if waits(options):
            await wait_for(client, options, running(service.id, rolled_back=True))


async def rm(options: argparse.Namespace) -> None:
    """Remove services; all of them must be there before the first goes."""
    async with connected(options) as client:
        everything = await client.list_services()
        services = [found("service", everything, word) for word in options.services]
        for service in services:
            await client.remove_service(service.id)
            print(name_of(service))
        if waits(options):
            ids = [service.id for service in services]
            await wait_for(client, options, gone(ids, [name_of(service) for service in services]))
