"""The service commands that read: ls, ps, inspect."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from swarmlab.api import Filters, Mode, PublishMode, Service, ServiceStatus, mode_of, name_of
from swarmlab.cli.cluster import connected, found
from swarmlab.cli.filters import filtered, has_label, starts
from swarmlab.cli.output import Column, plain, show, show_documents, show_ids, show_pretty
from swarmlab.cli.ports import format_ports
from swarmlab.cli.task_views import show_tasks

if TYPE_CHECKING:
    from swarmlab.edges.grpc.client import Client


class ServiceRow(NamedTuple):
    """A service and how far it is."""

    service: Service
    status: ServiceStatus


def _replicas(row: ServiceRow) -> str:
    """`RUNNING/DESIRED`, with the limit per node, or for jobs how many are complete, as docker shows them."""
    spec, status = row.service.spec, row.status
    text = f"{status.running_tasks}/{status.desired_tasks}"
    mode = mode_of(spec)
    if mode is Mode.REPLICATED and spec.task.placement is not None and spec.task.placement.max_replicas:
        text += f" (max {spec.task.placement.max_replicas} per node)"
    if mode is Mode.REPLICATED_JOB and spec.replicated_job is not None:
        text += f" ({status.completed_tasks}/{spec.replicated_job.total_completions} completed)"
    if mode is Mode.GLOBAL_JOB:
        text += f" ({status.completed_tasks}/{status.desired_tasks + status.completed_tasks} completed)"
    return text


def _replicas_style(text: str) -> str:
    running, _, desired = text.split(" ")[0].partition("/")
    return "green" if running == desired else "yellow"


def _image(row: ServiceRow) -> str:
    container = row.service.spec.task.container
    return container.image.partition("@")[0] if container is not None else ""


def _ports(row: ServiceRow) -> str:
    endpoint = row.service.endpoint
    return format_ports(
        port for port in (endpoint.ports if endpoint is not None else ()) if port.publish_mode is PublishMode.INGRESS
    )


def _update(row: ServiceRow) -> str:
    status = row.service.update_status
    return status.state.name.lower().replace("_", " ") if status is not None else ""


COLUMNS: tuple[Column[ServiceRow], ...] = (
    Column("ID", lambda row: row.service.id, id=True),
    Column("NAME", lambda row: name_of(row.service)),
    Column("MODE", lambda row: mode_of(row.service.spec).value.replace("-", " ")),
    Column("REPLICAS", _replicas, style=_replicas_style),
    Column("IMAGE", _image),
    Column("PORTS", _ports),
    Column("UPDATE", _update, wide=True),
    Column(
        "LABELS",
        lambda row: ",".join(f"{k}={v}" for k, v in sorted(row.service.spec.annotations.labels.items())),
        wide=True,
    ),
)

_FILTERS = {
    "id": lambda service, value: starts(service.id, value),
    "name": lambda service, value: starts(name_of(service), value),
    "label": lambda service, value: has_label(service.spec.annotations.labels, value),
    "mode": lambda service, value: mode_of(service.spec).value == value,
}


async def ls(options: argparse.Namespace) -> None:
    """List services by name."""
    async with connected(options) as client:
        await show_services(client, await client.list_services(), options)


async def show_services(client: "Client", services: Sequence[Service], options: argparse.Namespace) -> None:
    """Print those of `services` that match --filter."""
    kept = sorted(filtered(services, options.filter, _FILTERS), key=lambda service: (name_of(service), service.id))
    if options.quiet:
        show_ids(service.id for service in kept)
        return
    statuses = {status.service_id: status for status in await client.list_service_statuses([one.id for one in kept])}
    show(
        [ServiceRow(service, statuses.get(service.id, ServiceStatus(service_id=service.id))) for service in kept],
        COLUMNS,
        output=options.output,
        name=lambda row: name_of(row.service),
        document=lambda row: {**plain(row.service), "service_status": plain(row.status)},
        whole=bool(options.no_trunc),
    )


async def ps(options: argparse.Namespace) -> None:
    """List the tasks of services."""
    async with connected(options) as client:
        everything = await client.list_services()
        ids = tuple(found("service", everything, word).id for word in options.services)
        await show_tasks(client, options, Filters(service_ids=ids))


async def inspect(options: argparse.Namespace) -> None:
    """Show services in full."""
    async with connected(options) as client:
        everything = await client.list_services()
        services = [found("service", everything, word) for word in options.services]
        if options.defaults:
            services = [await client.get_service(service.id, insert_defaults=True) for service in services]
    if options.output == "name":
        show_ids(name_of(service) for service in services)
    elif options.pretty or options.output in ("table", "wide"):
        show_pretty([(name_of(service), service) for service in services])
    else:
        show_documents(services, options.output)
