"""The live view: one screen with nodes and their tasks, services, what is pending and why, and the last events."""

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from swarmlab.api import (
    LabEvent,
    Mode,
    Node,
    NodeState,
    Service,
    Task,
    TaskState,
    UpdateState,
    format_bytes,
    format_cpus,
    mode_of,
    name_of,
)
from swarmlab.cli.cluster import slot_name
from swarmlab.cli.events import told_fields
from swarmlab.cli.output import state_style
from swarmlab.store import Snapshot

#: Colours that tell services apart, in the order in which they were created.
_COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_red", "bright_cyan", "bright_magenta", "bright_green")
_SOON = "░"
_RUNS = "█"
_STOPS = "▒"
#: Rows at most, of nodes, of services and of pending reasons.
_NODE_ROWS, _SERVICE_ROWS, _PENDING_ROWS = 24, 12, 5


class Picture(NamedTuple):
    """What one frame shows."""

    view: Snapshot
    #: Oldest first.
    events: Sequence[LabEvent]
    strategy: str
    executor: str
    #: Lines that say what to type in a second terminal.
    hints: Sequence[str]
    #: Seconds since the start.
    uptime: float


def frame(picture: Picture, console: Console) -> RenderableType:
    """The whole screen for a console of that size: nodes first, then services, reasons, and events in what is left."""
    room = console.size.height - 1
    parts: list[RenderableType] = []
    header = [_title(picture), *(Text(hint, style="dim", no_wrap=True, overflow="ellipsis") for hint in picture.hints)]
    pending = _pending(picture.view)
    wanted = min(len(picture.view.nodes()), _NODE_ROWS) + min(len(picture.view.services()), _SERVICE_ROWS) + 6
    if room - len(header) - len(pending) < wanted:  # a small screen: what is running matters more than what to type
        header = header[:1]
    parts += [*header, Text()]
    room -= len(header) + 1 + len(pending)
    grid, lines = _grid(picture, max(3, room - 9))
    parts += [grid, Text()]
    room -= lines + 1
    services, lines = _services(picture.view, max(2, room - 6))
    parts += [services, *pending]
    room -= lines
    if room >= 4:
        parts.append(_events(picture, room, console.size.width))
    return Group(*parts)


def _title(picture: Picture) -> RenderableType:
    minutes, seconds = divmod(int(picture.uptime), 60)
    return Text.assemble(
        ("swarmlab", "bold"),
        ("  strategy ", "dim"),
        (picture.strategy, "bold cyan"),
        ("  executor ", "dim"),
        picture.executor,
        ("  version ", "dim"),
        str(picture.view.version),
        ("  up ", "dim"),
        f"{minutes}:{seconds:02d}",
        ("   Ctrl-C stops it and all its tasks", "dim"),
        no_wrap=True,
        overflow="ellipsis",
    )


def colours(services: Sequence[Service]) -> Mapping[str, str]:
    """{service id: colour}, steady over a service's life as long as none created before it is removed."""
    ordered = sorted(services, key=lambda service: (service.meta.created_at or 0, service.id))
    return {service.id: _COLOURS[place % len(_COLOURS)] for place, service in enumerate(ordered)}


def _grid(picture: Picture, rows: int) -> tuple[RenderableType, int]:
    """Nodes and their tasks: a block for each task, in the colour of its service; its number of lines too."""
    view = picture.view
    nodes = sorted(view.nodes(), key=lambda node: (name_of(node), node.id))
    colour = colours(view.services())
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("NODE", "STATUS", "RESERVED", "TASKS"):
        table.add_column(title, no_wrap=True)
    table.add_column("", no_wrap=True, overflow="ellipsis", ratio=1)
    shown = nodes[: min(rows, _NODE_ROWS)]
    for node in shown:
        tasks = sorted(
            (task for task in view.tasks_on(node.id) if _is_shown(task, node)),
            key=lambda task: (task.service_annotations.name, task.slot, task.id),
        )
        alive = sum(task.status.state is TaskState.RUNNING for task in tasks) if _is_ready(node) else 0
        table.add_row(
            name_of(node) or node.id[:12],
            _status(node),
            _reserved(tasks),
            str(alive),
            _blocks(tasks, colour, ready=_is_ready(node)),
        )
    if len(nodes) > len(shown):
        table.add_row(f"and {len(nodes) - len(shown)} more", "", "", "", "")
    return table, len(shown) + 2 + (len(nodes) > len(shown))


def _is_ready(node: Node) -> bool:
    return node.status.state is NodeState.READY


def _is_shown(task: Task, node: Node) -> bool:
    """Tasks that are alive; on a lost node also those that were."""
    return TaskState.ASSIGNED <= task.status.state <= TaskState.RUNNING and (
        _is_ready(node) or task.desired_state >= TaskState.RUNNING
    )


def _status(node: Node) -> Text:
    word = node.status.state.name.lower()
    if node.spec.availability.name != "ACTIVE":
        return Text(f"{word}, {node.spec.availability.name.lower()}", style="yellow")
    return Text(word, style=state_style(word))


def _reserved(tasks: Sequence[Task]) -> Text:
    """CPUs and memory that tasks reserve; a dash where nothing is reserved."""
    resources = [task.spec.resources for task in tasks if task.spec.resources is not None]
    booked = [one.reservations for one in resources if one.reservations is not None]
    cpus, memory = sum(one.nano_cpus for one in booked), sum(one.memory_bytes for one in booked)
    if not cpus and not memory:
        return Text("-", style="dim")
    return Text(f"{format_cpus(cpus)} CPU {format_bytes(memory)}")


def _blocks(tasks: Sequence[Task], colour: Mapping[str, str], *, ready: bool) -> Text:
    """The name of each service and a block for each of its tasks: solid runs, light starts, grey stops or is lost."""
    line = Text()
    service = ""
    for task in tasks:
        base = colour.get(task.service_id, "white") if ready else "dim"
        if task.service_id != service:
            line.append(f"{'  ' if service else ''}{task.service_annotations.name} ", style=base)
            service = task.service_id
        line.append(*_block(task, base, ready=ready))
    return line


def _block(task: Task, base: str, *, ready: bool) -> tuple[str, str]:
    if not ready or task.desired_state > TaskState.RUNNING:
        return _STOPS, "dim"
    return (_RUNS, base) if task.status.state is TaskState.RUNNING else (_SOON, base)


def _services(view: Snapshot, rows: int) -> tuple[RenderableType, int]:
    services = sorted(view.services(), key=lambda service: (name_of(service), service.id))
    if not services:
        return Text("no services yet", style="dim"), 1
    colour = colours(services)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("SERVICE", "MODE", "RUNNING", "UPDATE"):
        table.add_column(title, no_wrap=True)
    shown = services[: min(rows, _SERVICE_ROWS)]
    for service in shown:
        running, wanted = running_of(view, service)
        style = "green" if running == wanted else "yellow"
        table.add_row(
            Text.assemble((f"{_RUNS} ", colour[service.id]), name_of(service)),
            mode_of(service.spec).value,
            Text(f"{running}/{wanted}", style=style),
            _update(service),
        )
    if len(services) > len(shown):
        table.add_row(f"and {len(services) - len(shown)} more", "", "", "")
    return table, len(shown) + 2 + (len(services) > len(shown))


def running_of(view: Snapshot, service: Service) -> tuple[int, int]:
    """How many tasks of the service run on nodes that are heard of, and how many there are to be."""
    tasks = view.tasks_of(service.id)
    running = sum(
        task.status.state is TaskState.RUNNING
        and task.desired_state is TaskState.RUNNING
        and (node := view.node(task.node_id)) is not None
        and _is_ready(node)
        for task in tasks
    )
    spec = service.spec
    match mode_of(spec):
        case Mode.REPLICATED:
            return running, spec.replicated.replicas if spec.replicated else 0
        case Mode.REPLICATED_JOB | Mode.GLOBAL_JOB:
            complete = sum(task.status.state is TaskState.COMPLETE for task in tasks)
            return complete, spec.replicated_job.total_completions if spec.replicated_job else len(tasks)
        case Mode.GLOBAL:
            return running, sum(task.desired_state is TaskState.RUNNING for task in tasks)


def _update(service: Service) -> Text:
    status = service.update_status
    if status is None:
        return Text("")
    word = status.state.name.lower().replace("_", " ")
    stuck = status.state in (UpdateState.PAUSED, UpdateState.ROLLBACK_PAUSED)
    return Text(word, style="red" if stuck else "dim" if "completed" in word else "yellow")


def _pending(view: Snapshot) -> list[RenderableType]:
    """A line for each reason for which tasks are pending, most tasks first."""
    reasons: dict[tuple[str, str], int] = {}
    for task in view.tasks():
        if task.status.state is TaskState.PENDING and task.desired_state <= TaskState.RUNNING and task.status.err:
            key = task.service_annotations.name, task.status.err
            reasons[key] = reasons.get(key, 0) + 1
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    lines: list[RenderableType] = [
        Text(f"pending: {name} x{number}: {reason}", style="yellow", no_wrap=True, overflow="ellipsis")
        for (name, reason), number in ordered[:_PENDING_ROWS]
    ]
    if len(ordered) > _PENDING_ROWS:
        lines.append(Text(f"and {len(ordered) - _PENDING_ROWS} more reasons", style="dim"))
    return lines


def _events(picture: Picture, rows: int, width: int) -> RenderableType:
    view = picture.view
    names: dict[str, str] = {node.id: name_of(node) or node.id for node in view.nodes()}
    names.update({service.id: name_of(service) for service in view.services()})
    names.update({task.id: slot_name(task) for task in view.tasks()})
    lines = [_event(event, names, width) for event in picture.events[-(rows - 2) :]]
    return Panel(Group(*lines), title="events", title_align="left", border_style="dim", padding=(0, 1), height=rows)


def _event(event: LabEvent, names: Mapping[str, str], width: int) -> Text:
    """One line: the time, the part, the event, its fields with names in place of ids, empty ones left out."""
    start = Text.assemble((local_time(event.at), "dim"), f" {event.component:<10} ", (event.name, "bold"), " ")
    line = start.append(told_fields(event, names))
    line.truncate(width - 4, overflow="ellipsis")
    return line


def local_time(instant: int) -> str:
    """The time of day here."""
    return time.strftime("%H:%M:%S", time.localtime(instant / 1e9))
