"""--wait: until the cluster has come to rest, with progress on standard error and a reason at the timeout."""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from swarmlab.api import (
    Filters,
    Mode,
    NodeId,
    NodeRole,
    NodeState,
    NotFound,
    Reachability,
    Service,
    ServiceId,
    Task,
    TaskId,
    TaskState,
    UpdateState,
    format_duration,
    mode_of,
    name_of,
)
from swarmlab.cli.cluster import newest_first, slot_name
from swarmlab.cli.exits import CommandError, Missing, TimedOut

if TYPE_CHECKING:
    from swarmlab.edges.grpc.client import Client

#: Seconds between two looks.
_PERIOD = 0.1
#: A global service without any task is taken as complete after so many seconds: no node fits it.
_EMPTY_SECONDS = 1.0
#: Tasks whose reason is told at the timeout.
_EXPLAINED = 3
_UNDER_WAY = (UpdateState.UPDATING, UpdateState.ROLLBACK_STARTED)
#: How tasks end that the restart policy may replace.
_ENDED = (TaskState.COMPLETE, TaskState.FAILED, TaskState.REJECTED)
_STUCK = (UpdateState.PAUSED, UpdateState.ROLLBACK_PAUSED)


class Look(NamedTuple):
    """What one look at the cluster saw."""

    done: bool
    #: How far it is, in a few words.
    text: str
    #: Tasks that are not yet as wanted, for explanation.
    late: tuple[Task, ...] = ()


Condition = Callable[["Client"], Awaitable[Look]]


async def wait_for(client: "Client", options: argparse.Namespace, condition: Condition) -> None:
    """Look until `condition` is met.

    Raises:
        TimedOut: --timeout passed first; the message says how far it was and why.
    """
    start = time.monotonic()
    deadline = start + options.timeout / 1e9 if options.timeout else float("inf")
    progress = Progress(quiet=bool(options.quiet))
    while True:
        look = await condition(client)
        progress.show(look.text)
        if look.done:
            progress.close()
            return
        if time.monotonic() >= deadline:
            progress.close()
            reasons = await _reasons(client, look.late)
            waited = format_duration(options.timeout)
            raise TimedOut("\n".join([f"not at rest after {waited}: {look.text}", *reasons]))
        await asyncio.sleep(_PERIOD)


class Progress:
    """One line on standard error: rewritten in place on a terminal, else printed whenever it changes."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._last = ""

    def show(self, text: str) -> None:
        """Say how far it is."""
        if self._quiet or text == self._last:
            return
        if self._terminal:
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)
        self._last = text

    def close(self) -> None:
        """End the line."""
        if self._terminal and self._last and not self._quiet:
            print(file=sys.stderr)


async def _reasons(client: "Client", late: Sequence[Task]) -> list[str]:
    """Why tasks are late, one paragraph each for the first few."""
    lines = [f"  {slot_name(task)} ({task.id}): {await _reason(client, task)}" for task in late[:_EXPLAINED]]
    if len(late) > _EXPLAINED:
        lines.append(f"  and {len(late) - _EXPLAINED} more; see 'swarmlab explain'")
    return lines


async def _reason(client: "Client", task: Task) -> str:
    """Why it has no node, or how far it is on its node and how the one before it ended."""
    if not task.node_id:
        return await _summary(client, task.id)
    nodes = {node.id: name_of(node) for node in await client.list_nodes()}
    text = f"{task.status.state.name.lower()} on {nodes.get(task.node_id, task.node_id)}"
    if task.status.err:
        return f"{text}: {task.status.err}"
    ended = [
        other
        for other in await client.list_tasks(Filters(service_ids=(task.service_id,)))
        if _place(other) == _place(task) and other.status.state in _ENDED and other.status.err
    ]
    return f"{text}; the last one {_end(newest_first(ended)[0])}" if ended else text


def _end(task: Task) -> str:
    """How a task ended, in a few words."""
    why = f": {task.status.err}" if task.status.err else ""
    return f"{task.status.state.name.lower()}{why}"


def _place(task: Task) -> tuple[int, str]:
    """Its slot; of a global service its node."""
    return task.slot, "" if task.slot else task.node_id


async def _summary(client: "Client", task_id: TaskId) -> str:
    try:
        explanation = await client.explain(task_id)
    except NotFound:  # removed since the last look
        return "gone"
    return "; ".join([explanation.summary, *explanation.suggestions[:1]])


def running(service_id: ServiceId, *, rolled_back: bool = False) -> Condition:
    """Every wanted task of the service runs, and no other; a job is complete. `rolled_back`: a rollback is wanted.

    Raises, when looked at:
        Missing: The service is gone.
        CommandError: Its update was paused, or rolled back though an update was wanted; or its tasks ended, and its
            restart policy replaces none of those that are missing.
    """
    empty_since: list[float] = []

    async def look(client: "Client") -> Look:
        try:
            service = await client.get_service(service_id)
        except NotFound as error:
            raise Missing(f"service {service_id} was removed in the meantime") from error
        name = name_of(service)
        _check_update(service, rolled_back=rolled_back)
        everything = await client.list_tasks(Filters(service_ids=(service_id,)))
        mode = mode_of(service.spec)
        if mode.is_job:
            return _job(service, everything)
        fresh = await client.list_tasks(Filters(service_ids=(service_id,), up_to_date=True))
        wanted, alive = _wanted(service, mode, fresh)
        leaving = [task for task in everything if _is_leaving(task)]
        gone = await _down_nodes(client) if leaving else frozenset()
        leaving = [task for task in leaving if task.node_id not in gone]
        text = f"{name}: {len(alive)} of {wanted} tasks run"
        if leaving:
            text += f", {len(leaving)} stop"
        status = service.update_status
        if status is not None and status.state in _UNDER_WAY:
            return Look(False, f"{text}; {status.message or status.state.name.lower().replace('_', ' ')}")
        _check_ended(text, fresh, wanted - len(alive))
        if wanted == 0 and mode.is_global:
            empty_since.append(time.monotonic())
            return Look(empty_since[-1] - empty_since[0] >= _EMPTY_SECONDS, f"{name}: no node fits it")
        late = tuple(
            sorted(
                (task for task in fresh if task not in alive and task.desired_state <= TaskState.RUNNING),
                key=lambda task: (task.slot, task.id),
            )
        )
        return Look(len(alive) == wanted and not leaving, text, late)

    return look


def _check_update(service: Service, *, rolled_back: bool) -> None:
    status = service.update_status
    if status is None:
        return
    name = name_of(service)
    if status.state in _STUCK:
        raise CommandError(f"service {name}: {status.message}")
    if status.state is UpdateState.ROLLBACK_COMPLETED and not rolled_back:
        raise CommandError(f"service {name}: the update failed and was rolled back; see 'swarmlab service ps {name}'")


def _check_ended(text: str, tasks: Sequence[Task], missing: int) -> None:
    """Raise where so many places at least have a task that ended and none that is to run: nobody will fill them."""
    newest: dict[tuple[int, str], Task] = {}
    for task in newest_first(tasks):
        newest.setdefault(_place(task), task)
    filled = {_place(task) for task in tasks if task.desired_state <= TaskState.COMPLETE}
    ended = sorted(
        (task for place, task in newest.items() if place not in filled and task.status.state in _ENDED),
        key=lambda task: (task.slot, task.id),
    )
    if ended and len(ended) >= missing:
        lines = [f"  {slot_name(task)} ({task.id}) {_end(task)}" for task in ended[:_EXPLAINED]]
        raise CommandError("\n".join([f"{text}; the restart policy replaces no more of them", *lines]))


def _wanted(service: Service, mode: Mode, fresh: Sequence[Task]) -> tuple[int, tuple[Task, ...]]:
    """How many tasks there are to be, and those that run as wanted: one for each slot."""
    meant = [task for task in fresh if task.desired_state <= TaskState.RUNNING]
    alive = {(task.slot, "" if task.slot else task.node_id): task for task in meant if _runs(task)}
    if mode is Mode.REPLICATED and service.spec.replicated is not None:
        return service.spec.replicated.replicas, tuple(alive.values())
    return len({task.node_id for task in meant}), tuple(alive.values())


def _runs(task: Task) -> bool:
    return task.status.state is TaskState.RUNNING and task.desired_state is TaskState.RUNNING


def _is_leaving(task: Task) -> bool:
    """It is to stop and has not."""
    return task.desired_state > TaskState.COMPLETE and TaskState.ASSIGNED <= task.status.state <= TaskState.RUNNING


async def _down_nodes(client: "Client") -> frozenset[NodeId]:
    """Nodes that are not heard of: tasks there stay as last reported."""
    return frozenset(node.id for node in await client.list_nodes() if node.status.state is NodeState.DOWN)


def _job(service: Service, tasks: Sequence[Task]) -> Look:
    status = service.job_status
    iteration = status.job_iteration.index if status is not None else 0
    current = [task for task in tasks if task.job_iteration is not None and task.job_iteration.index == iteration]
    complete = [task for task in current if task.status.state is TaskState.COMPLETE]
    job = service.spec.replicated_job
    places = len({(task.slot, task.node_id) for task in current})
    total = job.total_completions if job is not None else max(places, 1)
    late = tuple(task for task in current if task not in complete and task.desired_state <= TaskState.COMPLETE)
    done = len(complete) >= total and status is not None
    text = f"{name_of(service)}: {len(complete)} of {total} tasks complete"
    if not done and not late:
        _check_ended(text, current, 1)
    return Look(done, text, late)


async def unsettled(client: "Client") -> frozenset[ServiceId]:
    """The services that do not have their wanted tasks now: nobody who changes something else waits for them."""
    services = [service for service in await client.list_services() if not mode_of(service.spec).is_job]
    looks = [(service.id, await _look_at(client, service.id)) for service in services]
    return frozenset(service_id for service_id, look in looks if not look.done)


async def _look_at(client: "Client", service_id: ServiceId) -> Look:
    """A look at a service that is not the matter itself: a paused update or a removal is no error then."""
    try:
        return await running(service_id, rolled_back=True)(client)
    except Missing as error:
        return Look(True, str(error))
    except CommandError as error:
        return Look(False, str(error))


def settled(apart: frozenset[ServiceId] = frozenset()) -> Condition:
    """Every service of the cluster has its wanted tasks; jobs and those in `apart` are left out."""

    async def look(client: "Client") -> Look:
        late: list[Task] = []
        behind = []
        for service in await client.list_services():
            if mode_of(service.spec).is_job or service.id in apart:
                continue
            found = await _look_at(client, service.id)
            if not found.done and "no node fits" not in found.text:
                behind.append(found.text)
                late += found.late
        return Look(not behind, "; ".join(behind) or "every wanted task runs", tuple(late))

    return look


def gone(service_ids: Sequence[ServiceId], names: Sequence[str]) -> Condition:
    """No task of these services is left, but on nodes that are not heard of."""

    async def look(client: "Client") -> Look:
        tasks = await client.list_tasks(Filters(service_ids=tuple(service_ids))) if service_ids else ()
        lost = await _down_nodes(client) if tasks else frozenset()
        left = [task for task in tasks if task.node_id not in lost]
        return Look(
            not left, f"{', '.join(names)}: {tasks_of(len(left))} left" if left else f"{', '.join(names)}: gone"
        )

    return look


def tasks_of(number: int) -> str:
    """`1 task`, `2 tasks`."""
    return f"{number} task{'s' * (number != 1)}"


def drained(node_id: NodeId, name: str, apart: frozenset[ServiceId] = frozenset()) -> Condition:
    """No task runs on the node, and every service, those in `apart` left out, has its wanted tasks elsewhere."""
    everywhere = settled(apart)

    async def look(client: "Client") -> Look:
        tasks = await client.list_tasks(Filters(node_ids=(node_id,)))
        left = [task for task in tasks if TaskState.ASSIGNED <= task.status.state <= TaskState.RUNNING]
        if left:
            return Look(False, f"{name}: {tasks_of(len(left))} left")
        return await everywhere(client)

    return look


def is_manager(node_id: NodeId, name: str) -> Condition:
    """The node takes part in consensus, and answers."""

    async def look(client: "Client") -> Look:
        status = (await client.get_node(node_id)).manager_status
        if status is None:
            return Look(False, f"{name}: not a manager yet")
        return Look(status.reachability is Reachability.REACHABLE, f"{name}: {status.reachability.name.lower()}")

    return look


def is_worker(node_id: NodeId, name: str) -> Condition:
    """The node takes no part in consensus any more, and its role is that of a worker."""

    async def look(client: "Client") -> Look:
        node = await client.get_node(node_id)
        done = node.manager_status is None and node.role is NodeRole.WORKER
        return Look(done, f"{name}: {'a worker' if done else 'still a manager'}")

    return look


def node_is(name: str, state: NodeState) -> Condition:
    """The node of that host name is in that state."""

    async def look(client: "Client") -> Look:
        nodes = [node for node in await client.list_nodes() if name_of(node) == name]
        word = nodes[0].status.state.name.lower() if nodes else "unknown"
        return Look(bool(nodes) and nodes[0].status.state is state, f"{name}: {word}")

    return look
