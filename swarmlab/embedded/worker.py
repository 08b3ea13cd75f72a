"""A worker of an embedded cluster: killed and revived, with its disk and its machine."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from swarmlab.agent.exec import Kept, Leaving, LogMessage, LogOptions, Persist
from swarmlab.api import ClusterId, Instant, NodeId, Precondition, StateError, Task, TaskId
from swarmlab.component import Event
from swarmlab.edges.disk import WorkerState, make_directory
from swarmlab.edges.driver import Alarm, LoopTimers
from swarmlab.edges.nodefacts import NodeFacts
from swarmlab.embedded.executors import ExecutorKind, Place
from swarmlab.node import Ports, Worker, WorkerConfig, WorkerPorts

#: How long tasks of a worker that stops with the cluster may take to stop before they are killed.
STOP_SECONDS = 12.0
#: The file in a worker's folder that keeps who it is, and what it holds.
NODE_ID = "node-id"
_ID = re.compile(r"[0-9a-z]{25}")


class Surroundings(NamedTuple):
    """What the workers of one cluster share."""

    cluster_id: ClusterId
    seed: int
    clock: Callable[[], Instant]
    #: To the manager: (node id, message, call).
    send: Callable[[str, Any, int], None]
    #: (component, event name, fields)
    record: Callable[[str, str, Mapping[str, Any]], None]
    #: Supervises the workers' lives; one that breaks ends the cluster.
    group: asyncio.TaskGroup
    #: The same for what runs in callbacks.
    alarm: Alarm


class EmbeddedWorker:
    """A node by name. Each life has an agent, timers and a machine of its own; identity and disk stay."""

    def __init__(
        self, name: str, node_id: NodeId, folder: Path, kind: ExecutorKind, surroundings: Surroundings
    ) -> None:
        self.name = name
        self.node_id = node_id
        self._folder = folder
        self._kind = kind
        self._surroundings = surroundings
        self._life: _Life | None = None
        #: The end of the life of a node that was removed.
        self._leaving: asyncio.Task[None] | None = None
        if self.known_id(folder) != node_id:
            _write_id(folder, node_id)

    @staticmethod
    def known_id(folder: Path) -> NodeId | None:
        """The id that an earlier run kept there, or None.

        Raises:
            StateError: What is there is none, or cannot be read.
        """
        file = folder / NODE_ID
        try:
            text = file.read_text()
        except FileNotFoundError:
            return None
        except OSError as error:
            make_directory(folder)  # says it better, where a part of the path is no directory
            raise StateError(f"{file} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError:
            text = ""
        if _ID.fullmatch(text) is None:
            raise StateError(f"{file} is damaged, wanted: the id of a node, 25 letters and digits")
        return NodeId(text)

    @property
    def running(self) -> bool:
        """It is up, as far as the one who started it knows."""
        return self._life is not None

    async def start(self) -> None:
        """Begin a life: adopt what the last one left, then register with the manager."""
        if self._life is not None:
            raise Precondition(f"worker {self.name} runs already")
        life = _Life(self.name, self.node_id, self._folder, self._kind, self._surroundings)
        self._life = life
        await life.begun

    async def kill(self) -> None:
        """End the life as a loss of power does: the agent says nothing more, and the tasks are gone."""
        life, self._life = self._life, None
        if life is None:
            raise Precondition(f"worker {self.name} does not run")
        life.silence()
        await life.end()

    async def stop(self) -> None:
        """End the life in order, without the manager: tasks are stopped with their grace period and removed."""
        life, self._life = self._life, None
        if life is not None:
            await self._ended(life)

    async def _ended(self, life: "_Life") -> None:
        try:
            if not await life.leave():
                self._surroundings.record("agent", "stop-timed-out", {"node": self.node_id, "seconds": STOP_SECONDS})
        finally:
            await life.end()

    def leave_soon(self) -> None:
        """Stop as `stop` does, if it runs, behind what goes on now; it counts as stopped at once."""
        life, self._life = self._life, None
        if life is not None:
            self._leaving = self._surroundings.group.create_task(self._ended(life), name=f"worker {self.name} leaves")

    async def left(self) -> None:
        """Wait for the end of what `leave_soon` began."""
        if self._leaving is not None:
            await asyncio.wait([self._leaving])

    def receive_soon(self, message: Any, call: int) -> None:
        """Take a message of the manager, behind what it does now; a dead worker hears nothing."""
        life = self._life
        if life is not None:
            receive = self._surroundings.alarm.guard(life.receive)
            asyncio.get_running_loop().call_soon(receive, message, call)

    def logs(self, task_id: TaskId, options: LogOptions) -> AsyncIterator[LogMessage]:
        """The output of one of its tasks."""
        if self._life is None:
            raise Precondition(f"worker {self.name} does not run")
        return self._life.machine.logs(task_id, options)


def _write_id(folder: Path, node_id: NodeId) -> None:
    """Keep the id; killed in the middle of it, the old one is there, or none."""
    make_directory(folder)
    fresh = folder / f"{NODE_ID}.new"
    try:
        fresh.write_text(node_id)
        fresh.replace(folder / NODE_ID)
    except OSError as error:
        raise StateError(f"{folder} cannot be written: {error.strerror}") from error


class _Life:
    """From a start to a stop of a worker, as one task of the cluster's group."""

    def __init__(
        self, name: str, node_id: NodeId, folder: Path, kind: ExecutorKind, surroundings: Surroundings
    ) -> None:
        self._state = WorkerState(folder / "tasks.db")
        self._kept = {task.id: Kept(task, status or task.status) for task, status in self._state.load()}
        self._retired = asyncio.Event()
        self._over = asyncio.Event()
        self._timers: list[LoopTimers] = []
        self._mute = self._silent = False
        facts = NodeFacts(node_id=node_id, cluster=surroundings.cluster_id, hostname=name)
        self.machine = kind.make(Place(facts, folder, surroundings.clock, surroundings.seed, self._recall))
        self.machine.connect(surroundings.alarm.guard(self._happened))

        def timers(fire: Callable[[str, str], None]) -> LoopTimers:
            self._timers.append(LoopTimers(surroundings.clock, surroundings.alarm.guard(fire)))
            return self._timers[-1]

        def send(_: str, message: Any, call: int) -> None:
            if not self._mute:
                surroundings.send(node_id, message, call)

        self._agent = Worker(
            WorkerConfig(node_id=node_id, hostname=name, seed=surroundings.seed),
            Ports(
                clock=surroundings.clock,
                timers=timers,
                send=send,
                record=lambda component, event, fields: surroundings.record(f"{component}/{name}", event, fields),
            ),
            WorkerPorts(
                execute=self.machine.execute,
                interrupt=self.machine.interrupt,
                describe=self.machine.describe,
                configure=self.machine.configure,
                persist=self._persist,
                retire=self._retired.set,
            ),
        )
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = surroundings.group.create_task(self._run(), name=f"worker {name}")

    def receive(self, message: Any, call: int) -> None:
        """Take a message of the manager."""
        if not self._silent:
            self._agent.receive(message, call)

    def silence(self) -> None:
        """Say, hear and do nothing more."""
        self._mute = self._silent = True
        for timers in self._timers:
            timers.close()

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
            self._over.set()
        # Why it ended, where it was not by this, the group tells.
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            async with self.machine:
                await self.machine.adopt(sorted(self._kept))
                self._agent.start([self._kept[task] for task in sorted(self._kept)])
                self.begun.set_result(None)
                await self._over.wait()
        except Exception as error:
            if self.begun.done():
                raise
            self.begun.set_exception(error)
        finally:
            self.silence()
            self._retired.set()
            self._state.close()

    def _happened(self, event: Event) -> None:
        if not self._silent:
            self._agent.post(event)

    def _recall(self, task_id: TaskId) -> Task | None:
        kept = self._kept.get(task_id)
        return kept.task if kept is not None else None

    def _persist(self, effect: Persist) -> None:
        if self._silent:
            return
        if effect.kept is None:
            self._kept.pop(effect.task_id, None)
            self._state.drop(effect.task_id)
        else:
            self._kept[effect.task_id] = effect.kept
            self._state.put(effect.kept.task, effect.kept.status)
