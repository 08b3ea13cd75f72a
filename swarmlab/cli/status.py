"""`status`: the cluster at a glance."""

import argparse

from swarmlab.api import NodeState
from swarmlab.cli.cluster import connected
from swarmlab.cli.output import show_ids, show_value


async def status(options: argparse.Namespace) -> None:
    """Print id, strategy, version, nodes, services and tasks."""
    async with connected(options) as client:
        found = await client.status()
        nodes = await client.list_nodes()
        services = await client.list_services()
        statuses = await client.list_service_statuses([service.id for service in services])
    if options.output == "name":
        show_ids([found.cluster_id])
        return
    if options.output not in ("table", "wide"):
        show_value(found, options.output)
        return
    ready = sum(node.status.state is NodeState.READY for node in nodes)
    rows = {
        "cluster": found.cluster_id,
        "strategy": found.strategy,
        "version": str(found.version),
        "nodes": f"{ready} of {len(nodes)} ready",
        "services": str(len(services)),
        "tasks": f"{sum(one.running_tasks for one in statuses)} of {sum(one.desired_tasks for one in statuses)} run",
        "executor": ", ".join(sorted({worker.executor for worker in found.workers})),
        "state": found.state_dir or "kept nowhere, gone with the process",
    }
    for name, value in rows.items():
        print(f"{name + ':':<10} {value}")
    stopped = [worker.name for worker in found.workers if not worker.running]
    if stopped:
        print(f"{'stopped:':<10} {', '.join(stopped)}")
