"""Logs of services and nodes, read task by task and merged: what a log broker does where it can reach every worker."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence, Set
from contextlib import aclosing
from heapq import heappop, heappush

from swarmlab.agent.exec import LogMessage as Line
from swarmlab.agent.exec import LogOptions
from swarmlab.api import (
    KINDS,
    Change,
    ChangeKind,
    LogAttr,
    LogContext,
    LogMessage,
    LogSelector,
    LogSubscriptionOptions,
    Node,
    NotFound,
    Precondition,
    Service,
    SwarmlabError,
    Task,
    TaskId,
    TaskState,
    is_dead,
    task_name,
)
from swarmlab.edges.grpc.ports import ControlPlane
from swarmlab.store import Committed, Snapshot

_log = logging.getLogger(__name__)

#: Reads the lines of a task. Raises an error of the tree where its node cannot be reached.
Open = Callable[[Task, LogOptions], AsyncIterator[Line]]
#: Lines that are read ahead of a slow reader, all tasks that are followed together.
AHEAD = 100


class TaskLogs:
    """A `LogSource` over tasks that can be opened one by one.

    Without `follow` lines of all tasks come in the order of their times, and what could not be read is said at the end.
    With `follow` they come as they are written, and tasks that start later are joined to the stream.
    """

    def __init__(self, control: ControlPlane, open_task: Open) -> None:
        self._control = control
        self._open = open_task

    async def logs(self, selector: LogSelector, options: LogSubscriptionOptions) -> AsyncIterator[LogMessage]:
        """The wanted lines.

        Raises:
            NotFound: No object has an id that the selector names.
            Precondition: At the end, when lines are missing; the message says of which tasks and why.
        """
        view = self._control.view
        check_selector(view, selector)
        lines = self._following(selector, options) if options.follow else self._present(view, selector, options)
        async with aclosing(lines):
            async for line in lines:
                yield line

    async def _present(
        self, view: Snapshot, selector: LogSelector, options: LogSubscriptionOptions
    ) -> AsyncGenerator[LogMessage, None]:
        """A merge by time: of each task one line is in hand."""
        missing: list[str] = []
        readers: list[AsyncGenerator[LogMessage, None]] = []
        heads: list[tuple[int, int, LogMessage]] = []

        async def advance(place: int) -> None:
            try:
                line = await anext(readers[place], None)
            except SwarmlabError as error:
                missing.append(f"{names[place]}: {error}")
            else:
                if line is not None:
                    heappush(heads, (line.timestamp or 0, place, line))

        names: list[str] = []
        for task in selected(view, selector):
            if not _has_started(task):
                if task.id in selector.task_ids:
                    missing.append(f"{task_name(task)}: it has not started yet")
                continue
            names.append(task_name(task))
            readers.append(self._read(task, options))
        try:
            for place in range(len(readers)):
                await advance(place)
            while heads:
                _, place, line = heappop(heads)
                yield line
                await advance(place)
        finally:
            for reader in readers:
                await reader.aclose()
        if missing:
            raise Precondition(f"incomplete log stream: {'; '.join(sorted(missing))}")

    async def _following(
        self, selector: LogSelector, options: LogSubscriptionOptions
    ) -> AsyncGenerator[LogMessage, None]:
        """One reader for each task that has started; a commit that starts another one adds a reader."""
        merged = _Merged()
        known: set[TaskId] = set()

        def join(tasks: Iterable[Task]) -> None:
            for task in tasks:
                if task.id not in known and _has_started(task):
                    known.add(task.id)
                    merged.add(task_name(task), self._read(task, options))

        def heard(committed: Committed) -> None:
            tasks = [task for task in _tasks_in(committed.changes) if is_selected(task, selector)]
            join(tasks)
            if tasks:
                merged.wake()

        subscription = self._control.watch(None, heard)
        try:
            join(selected(self._control.view, selector))
            while not (merged.idle and self._have_ended(selector, known)):
                line = await merged.next()
                if line is not None:
                    yield line
        finally:
            subscription.cancel()
            await merged.close()

    def _have_ended(self, selector: LogSelector, known: Set[TaskId]) -> bool:
        """Nothing can follow: single tasks were asked for, and each is over and was read."""
        if selector.service_ids or selector.node_ids:
            return False
        tasks = [self._control.view.task(task_id) for task_id in selector.task_ids]
        return all(
            task is None or (is_dead(task.status.state) and (task.id in known or not _has_started(task)))
            for task in tasks
        )

    def _read(self, task: Task, options: LogSubscriptionOptions) -> AsyncGenerator[LogMessage, None]:
        return lines_of(task, self._open, options)


async def lines_of(task: Task, open_task: Open, options: LogSubscriptionOptions) -> AsyncGenerator[LogMessage, None]:
    """The wanted lines of one task, each with where it comes from."""
    context = LogContext(service_id=task.service_id, node_id=task.node_id, task_id=task.id)
    skip = max(0, options.tail)
    lines = open_task(
        task,
        LogOptions(
            streams=options.streams,
            follow=options.follow,
            tail=None if options.tail >= 0 else -options.tail - 1,
            since=options.since,
        ),
    )
    try:
        async for line in lines:
            if skip:
                skip -= 1
                continue
            yield LogMessage(
                context=context,
                timestamp=line.timestamp,
                stream=line.stream,
                data=line.data,
                attrs=tuple(LogAttr(key, value) for key, value in line.attrs),
            )
    finally:
        await lines.aclose()  # type: ignore[attr-defined]  # readers are generators


class _Merged:
    """The lines of readers that come and go, as they arrive."""

    def __init__(self) -> None:
        self._lines: asyncio.Queue[LogMessage | Exception | None] = asyncio.Queue(AHEAD)
        self._pumps: set[asyncio.Task[None]] = set()

    @property
    def idle(self) -> bool:
        """Every reader has ended, and every line was taken."""
        return not self._pumps and self._lines.empty()

    def add(self, name: str, reader: AsyncGenerator[LogMessage, None]) -> None:
        """Join another reader; `name` is for the log."""
        # Not a TaskGroup: readers come as long as the stream lasts, and the end of one is not the end of the others.
        pump = asyncio.create_task(self._pump(name, reader), name=f"logs of {name}")
        self._pumps.add(pump)
        pump.add_done_callback(self._ended)

    async def next(self) -> LogMessage | None:
        """The next line, or None when there may be none and `idle` is worth a look."""
        line = await self._lines.get()
        if isinstance(line, Exception):
            raise line
        return line

    def wake(self) -> None:
        """Let `next` return."""
        if not self._lines.full():
            self._lines.put_nowait(None)

    async def close(self) -> None:
        """End all readers."""
        pumps = tuple(self._pumps)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)

    def _ended(self, pump: asyncio.Task[None]) -> None:
        self._pumps.discard(pump)
        self.wake()

    async def _pump(self, name: str, reader: AsyncGenerator[LogMessage, None]) -> None:
        try:
            async for line in reader:
                await self._lines.put(line)
        except SwarmlabError as error:
            # Its node is gone, say. The others go on, and a task in its place is joined when it starts.
            _log.warning("log_reader_ended task=%s error=%s", name, error)
        except Exception as error:
            await self._lines.put(error)
        finally:
            await reader.aclose()


def check_selector(view: Snapshot, selector: LogSelector) -> None:
    """Whatever the selector names is there.

    Raises:
        NotFound: Something is not.
    """
    for kind, ids in ((Service, selector.service_ids), (Node, selector.node_ids), (Task, selector.task_ids)):
        for object_id in ids:
            if view.get(kind, object_id) is None:
                raise NotFound(f"{KINDS[kind]} {object_id} not found")


def selected(view: Snapshot, selector: LogSelector) -> tuple[Task, ...]:
    """The tasks that the selector means, sorted by id."""
    tasks = {task.id: task for service_id in selector.service_ids for task in view.tasks_of(service_id)}
    tasks |= {task.id: task for node_id in selector.node_ids for task in view.tasks_on(node_id)}
    single = (view.task(task_id) for task_id in selector.task_ids)
    tasks |= {task.id: task for task in single if task is not None}
    return tuple(tasks[task_id] for task_id in sorted(tasks))


def is_selected(task: Task, selector: LogSelector) -> bool:
    """Whether the selector means that task."""
    return task.id in selector.task_ids or task.service_id in selector.service_ids or task.node_id in selector.node_ids


def _tasks_in(changes: Sequence[Change]) -> Iterable[Task]:
    return (
        change.object for change in changes if isinstance(change.object, Task) and change.kind is not ChangeKind.REMOVED
    )


def _has_started(task: Task) -> bool:
    """It runs on a node or did, so that there may be lines of it."""
    return bool(task.node_id) and task.status.state >= TaskState.RUNNING
