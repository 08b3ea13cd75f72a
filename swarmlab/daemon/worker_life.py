"""One life of a worker: its agent, its machine and its disk, from a start to a stop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from msgspec.structs import replace

from swarmlab.agent.exec import Configure, Described, Execute, Kept, Leaving, LogMessage, LogOptions, Persist
from swarmlab.api import Instant, NodeDescription, Task, TaskId, TaskStatus
from swarmlab.component import Event
from swarmlab.daemon.executors import ExecutorKind, Place
from swarmlab.edges.disk import WorkerState
from swarmlab.edges.driver import Alarm, LoopTimers
from swarmlab.edges.nodefacts import NodeFacts
from swarmlab.node import Ports, Worker, WorkerConfig, WorkerPorts

#: How long tasks of a worker that leaves may take to stop before they are killed.
STOP_SECONDS = 12.0


def _nothing_told(_: Configure) -> None:
    """For a worker whose process needs nothing of what the managers say."""


def _as_it_is(description: NodeDescription) -> NodeDescription:
    return description


class World(NamedTuple):
    """What a life needs of the process around it."""

    seed: int
    clock: Callable[[], Instant]
    #: To the manager: (message, call).
    send: Callable[[Any, int], None]
    #: (component, event name, fields)
    record: Callable[[str, str, Mapping[str, Any]], None]
    #: Supervises the life; one that breaks ends the group.
    group: asyncio.TaskGroup
    #: The same for what runs in callbacks.
    alarm: Alarm
    #: Hears what the managers say of this node and of themselves, before the machine does.
    told: Callable[[Configure], None] = _nothing_told
    #: Adds to a description what the machine does not know.
    completed: Callable[[NodeDescription], NodeDescription] = _as_it_is


class WorkerLife:
    """From a start to a stop of a worker, as one task of its world's group.

    Tasks that an earlier life left in `folder` are adopted, then the agent opens its session.

    Raises:
        StateError: The folder is in use, not writable or damaged.
    """

    def __init__(self, facts: NodeFacts, folder: Path, kind: ExecutorKind, world: World) -> None:
        self._world = world
        self._state = WorkerState(folder / "tasks.db")
        self._kept = {task.id: Kept(task, status or task.status) for task, status in self._state.load()}
        self._retired = asyncio.Event()
        self._over = asyncio.Event()
        self._timers: list[LoopTimers] = []
        self._followers: list[Following] = []
        self._mute = self._silent = False
        #: Records that are not on the disk yet; those of one step are written together.
        self._unwritten: dict[TaskId, tuple[Task, TaskStatus] | None] = {}
        self._write_soon = world.alarm.guard(self._write)
        self.machine = kind.make(Place(facts, folder, world.clock, world.seed, self._recall))
        self.machine.connect(world.alarm.guard(self._happened))

        def timers(fire: Callable[[str, str], None]) -> LoopTimers:
            self._timers.append(LoopTimers(world.clock, world.alarm.guard(fire)))
            return self._timers[-1]

        def send(_: str, message: Any, call: int) -> None:
            self._write()
            if not self._mute:
                world.send(message, call)

        self._agent = Worker(
            WorkerConfig(node_id=facts.node_id, hostname=facts.hostname, seed=world.seed),
            Ports(
                clock=world.clock,
                timers=timers,
                send=send,
                record=lambda component, event, fields: world.record(f"{component}/{facts.hostname}", event, fields),
            ),
            WorkerPorts(
                execute=self._execute,
                interrupt=self.machine.interrupt,
                describe=self.machine.describe,
                configure=self._configure,
                persist=self._persist,
                retire=self._retire,
            ),
        )
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = world.group.create_task(self._run(), name=f"worker {facts.hostname}")

    def receive(self, message: Any, call: int) -> None:
        """Take a message of the manager."""
        if not self._silent:
            self._agent.receive(message, call)

    def disconnected(self) -> None:
        """The connection to the manager is gone."""
        if not self._silent:
            self._agent.disconnected()

    def describe(self) -> None:
        """Look at the machine anew, as what is told of it may have changed."""
        if not self._silent:
            self.machine.describe()

    def silence(self) -> None:
        """Say, hear and do nothing more."""
        self._mute = self._silent = True
        for timers in self._timers:
            timers.close()

    def tasks(self) -> Sequence[Kept]:
        """The tasks that this worker keeps, with their newest status, sorted by id."""
        return [self._kept[task] for task in sorted(self._kept)]

    def follow(self, changed: Callable[[], None]) -> "Following":
        """Call `changed` whenever `tasks` is another list."""
        following = Following(self._followers, changed)
        self._followers.append(following)
        return following

    def logs(self, task_id: TaskId, options: LogOptions) -> AsyncIterator[LogMessage]:
        """The output of one of its tasks. `NotFound` for one that is not here."""
        return self.machine.logs(task_id, options)

    async def leave(self) -> bool:
        """Stop and remove all tasks, saying nothing of it to the manager; False: some did not stop in time."""
        self._mute = True
        if self._silent:
            return True
        self._agent.post(Leaving())
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._retired.wait()
        except TimeoutError:
            return False
        finally:
            self.silence()
        return True

    async def end(self) -> None:
        """Kill what still runs, and let go of machine and disk; when its caller is cancelled, too."""
        try:
            await self.machine.kill_all()
        finally:
            await self.close()

    async def close(self) -> None:
        """Let go of machine and disk. Tasks go on where the runtime outlives this process, else they are stopped."""
        self.silence()
        self._over.set()
        # Why it ended, where it was not by this, the group tells.
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            async with self.machine:
                await self.machine.adopt(sorted(self._kept))
                self._agent.start(self.tasks())
                self.begun.set_result(None)
                await self._over.wait()
        except Exception as error:
            if self.begun.done():
                raise
            self.begun.set_exception(error)
        finally:
            self.silence()
            self._retired.set()
            try:
                self._write()
            finally:
                self._state.close()

    def _happened(self, event: Event) -> None:
        if self._silent:
            return
        if isinstance(event, Described) and event.description is not None:
            event = replace(event, description=self._world.completed(event.description))
        self._agent.post(event)

    def _configure(self, effect: Configure) -> None:
        self._world.told(effect)
        self.machine.configure(effect)

    def _recall(self, task_id: TaskId) -> Task | None:
        kept = self._kept.get(task_id)
        return kept.task if kept is not None else None

    def _persist(self, effect: Persist) -> None:
        if self._silent:
            return
        if not self._unwritten:
            asyncio.get_running_loop().call_soon(self._write_soon)
        if effect.kept is None:
            self._kept.pop(effect.task_id, None)
            self._unwritten[effect.task_id] = None
        else:
            self._kept[effect.task_id] = effect.kept
            self._unwritten[effect.task_id] = effect.kept.task, effect.kept.status
        for following in tuple(self._followers):
            following.changed()

    def _write(self) -> None:
        """Keep the records so far. No step begins and nothing is said before that."""
        records, self._unwritten = self._unwritten, {}
        if records:
            self._state.write(records)

    def _execute(self, effect: Execute) -> None:
        self._write()
        self.machine.execute(effect)

    def _retire(self) -> None:
        self._write()
        self._retired.set()


class Following:
    """A follower of the tasks of a worker."""

    def __init__(self, followers: list["Following"], changed: Callable[[], None]) -> None:
        self._followers = followers
        self.changed = changed

    def cancel(self) -> None:
        """Hear no more."""
        if self in self._followers:
            self._followers.remove(self)
