"""Tables of tasks, as `service ps`, `node ps` and `stack ps` show them."""

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from swarmlab.api import Filters, Task, TaskState, name_of, task_name
from swarmlab.cli.cluster import newest_first, slot_name
from swarmlab.cli.filters import filtered, starts
from swarmlab.cli.output import Column, plain, show, show_ids, state_style
from swarmlab.cli.ports import format_ports
from swarmlab.cli.quantities import format_age

if TYPE_CHECKING:
    from swarmlab.edges.grpc.client import Client


class TaskRow(NamedTuple):
    """A task with the words that stand for its node, and its place among the tasks of its slot."""

    task: Task
    node: str
    #: False for the older tasks of a slot, which are drawn under the newest.
    newest: bool
    now: int


def _state(row: TaskRow) -> str:
    status = row.task.status
    age = row.now - status.timestamp if status.timestamp else 0
    return f"{status.state.name.capitalize()} {format_age(age).lower()} ago"


def _ports(row: TaskRow) -> str:
    status = row.task.status.port_status
    return format_ports(dict.fromkeys(status.ports)) if status is not None else ""


def _exit_code(row: TaskRow) -> str:
    container = row.task.status.container
    return str(container.exit_code) if container is not None and row.task.status.state > TaskState.RUNNING else ""


def _error_style(text: str) -> str:
    return "red" if text else ""


COLUMNS: tuple[Column[TaskRow], ...] = (
    Column("ID", lambda row: row.task.id, id=True),
    Column("NAME", lambda row: slot_name(row.task) if row.newest else f" \\_ {slot_name(row.task)}"),
    Column("IMAGE", lambda row: row.task.spec.container.image.partition("@")[0] if row.task.spec.container else ""),
    Column("NODE", lambda row: row.node),
    Column("DESIRED STATE", lambda row: row.task.desired_state.name.capitalize(), style=state_style),
    Column("CURRENT STATE", _state, style=state_style),
    Column("ERROR", lambda row: row.task.status.err, fold=True, style=_error_style),
    Column("PORTS", _ports),
    Column("EXIT", _exit_code, wide=True),
    Column("MESSAGE", lambda row: row.task.status.message, wide=True, fold=True),
    Column(
        "CONTAINER",
        lambda row: row.task.status.container.container_id if row.task.status.container else "",
        wide=True,
        id=True,
    ),
)

_FILTERS = {
    "id": lambda task, value: starts(task.id, value),
    "name": lambda task, value: starts(task_name(task), value),
    "desired-state": lambda task, value: task.desired_state.name.lower() == value.lower(),
    "state": lambda task, value: task.status.state.name.lower() == value.lower(),
}


async def show_tasks(client: "Client", options: argparse.Namespace, filters: Filters) -> None:
    """Print the tasks that match `filters` and --filter: by slot, newest first within one."""
    nodes: dict[str, str] = {node.id: name_of(node) or node.id for node in await client.list_nodes()}
    tasks = await client.list_tasks(filters)
    by_node = {
        **_FILTERS,
        "node": lambda task, value: value in (task.node_id, nodes.get(task.node_id, "")),
    }
    kept = filtered(tasks, options.filter, by_node)
    rows = task_rows(kept, nodes, time.time_ns())
    if options.quiet:
        show_ids(row.task.id for row in rows)
        return
    show(
        rows,
        COLUMNS,
        output=options.output,
        name=lambda row: task_name(row.task),
        document=lambda row: {"name": task_name(row.task), "node": row.node, **plain(row.task)},
        whole=bool(options.no_trunc),
    )


def task_rows(tasks: Sequence[Task], nodes: Mapping[str, str], now: int) -> list[TaskRow]:
    """Rows in the order of services, slots and ages; `nodes` gives the word of each node id."""
    rows: list[TaskRow] = []
    seen: set[str] = set()
    for task in sorted(newest_first(tasks), key=lambda task: _place(task, nodes)):
        rows.append(TaskRow(task, nodes.get(task.node_id, task.node_id), slot_name(task) not in seen, now))
        seen.add(slot_name(task))
    return rows


def _place(task: Task, nodes: Mapping[str, str]) -> tuple[str, int, str]:
    return task.service_annotations.name, task.slot, "" if task.slot else nodes.get(task.node_id, task.node_id)
