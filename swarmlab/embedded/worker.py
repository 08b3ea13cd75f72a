"""A worker of an embedded cluster: killed and revived, with its disk and its machine."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from swarmlab.agent.exec import LogMessage, LogOptions
from swarmlab.api import ClusterId, Instant, NodeId, Precondition, StateError, TaskId
from swarmlab.daemon.executors import ExecutorKind
from swarmlab.daemon.worker_life import STOP_SECONDS, WorkerLife, World
from swarmlab.edges.disk import make_directory
from swarmlab.edges.driver import Alarm
from swarmlab.edges.nodefacts import NodeFacts

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
        self._life: WorkerLife | None = None
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
        around = self._surroundings

        def send(message: Any, call: int) -> None:
            around.send(self.node_id, message, call)

        facts = NodeFacts(node_id=self.node_id, cluster=around.cluster_id, hostname=self.name)
        world = World(around.seed, around.clock, send, around.record, around.group, around.alarm)
        life = WorkerLife(facts, self._folder, self._kind, world)
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

    async def _ended(self, life: WorkerLife) -> None:
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
