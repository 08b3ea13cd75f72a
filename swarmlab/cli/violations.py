"""`violations`: the tasks that break a hard affinity term where they are now."""

import argparse

from swarmlab.api import Violation
from swarmlab.cli.cluster import connected
from swarmlab.cli.exits import Violated
from swarmlab.cli.output import Column, show

COLUMNS: tuple[Column[Violation], ...] = (
    Column("SERVICE", lambda one: one.service_name),
    Column("TASK", lambda one: f"{one.service_name}.{one.slot or one.node_id}"),
    Column("NODE", lambda one: one.hostname or one.node_id),
    Column("TERM", lambda one: one.term),
    Column("REASON", lambda one: one.reason, fold=True),
    Column("TASK ID", lambda one: one.task_id, wide=True),
)


async def violations(options: argparse.Namespace) -> None:
    """List them; where there are any, that is the exit code too."""
    async with connected(options) as client:
        found = await client.violations()
    show(found, COLUMNS, output=options.output, name=lambda one: one.task_id)
    if found:
        tasks = len({one.task_id for one in found})
        raise Violated(f"{tasks} task{' breaks' if tasks == 1 else 's break'} a hard affinity term")
