"""The executor that runs tasks as plain processes of this machine."""

import asyncio
import contextlib
import logging
import os
import platform
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

from swarmlab.agent.exec import Controller, Dependencies
from swarmlab.api import (
    SECOND,
    Duration,
    EncryptionKey,
    EngineDescription,
    ExecutorError,
    Instant,
    Node,
    NodeDescription,
    PluginDescription,
    Task,
    TaskId,
)
from swarmlab.edges.nodefacts import NodeFacts, declared_resources
from swarmlab.edges.process.command import Places, container_of, machine
from swarmlab.edges.process.controller import ProcessController
from swarmlab.edges.process.proctable import Session, Sweeper, boot_id, kill_all_of
from swarmlab.edges.process.run import Run
from swarmlab.edges.taskfiles import TaskFiles, private_place

_log = logging.getLogger(__name__)

#: At the end of the worker its tasks get so long at most to stop by themselves.
CLOSE_GRACE = Duration(3 * SECOND)


class ProcessExecutor:
    """Tasks as processes below `base`, a directory that this node alone uses.

    `start` is where relative paths in specs begin, and the working directory of tasks without one of their own. Tasks
    end with this object: `close` stops them, and `adopt` kills those that a worker which was killed left behind.
    """

    def __init__(
        self,
        base: Path,
        facts: NodeFacts,
        clock: Callable[[], Instant],
        start: Path | None = None,
    ) -> None:
        self._base = base
        self.facts = facts
        self._clock = clock
        self._start = start or Path.cwd()
        self.files = TaskFiles(private_place("process", facts.cluster, facts.node_id))
        #: Held while a process is started.
        self.spawning = asyncio.Lock()
        self._sweeper = Sweeper()
        self._runs: dict[TaskId, Run] = {}
        #: What watches over running processes, by task.
        self._lives: dict[TaskId, asyncio.Task[None]] = {}

    @property
    def _tasks(self) -> Path:
        return self._base / "tasks"

    async def describe(self) -> NodeDescription:
        """What the system tells of this machine, and `facts` of this node where several share it."""
        return NodeDescription(
            hostname=self.facts.hostname,
            platform=machine(),
            resources=declared_resources(
                self.facts,
                len(os.sched_getaffinity(0)) * 1_000_000_000,
                os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            ),
            engine=EngineDescription(
                engine_version=f"process {platform.release()}",
                labels=dict(sorted(self.facts.labels.items())),
                # Processes use the network of the machine, and there is no other for them.
                plugins=(PluginDescription("Network", "host"),),
            ),
        )

    async def adopt(self, tasks: Collection[TaskId]) -> None:
        """Kill what an earlier life left running, and delete what is of none of `tasks`."""
        try:
            self._base.mkdir(mode=0o711, parents=True, exist_ok=True)
            self._tasks.mkdir(mode=0o711, exist_ok=True)
            killed = await asyncio.to_thread(kill_all_of, [self._tasks], self._earlier_sessions())
            for path in sorted(self._tasks.iterdir()):
                if path.name not in tasks:
                    await asyncio.to_thread(shutil.rmtree, path)
            self.files.claim()
            self.files.keep(tasks)
        except OSError as error:
            raise ExecutorError(f"cannot clear up {self._base}: {error}") from error
        if killed:
            _log.warning("orphans_killed node=%s processes=%d", self.facts.node_id, killed)

    def controller(self, task: Task, dependencies: Dependencies) -> Controller:
        """The controller of that task; a task without a container spec is refused."""
        container_of(task)
        return ProcessController(self, task, dependencies)

    async def configure(self, node: Node | None, keys: tuple[EncryptionKey, ...]) -> None:
        """Nothing of it concerns plain processes: they use the machine's network as it is."""

    async def close(self) -> None:
        """Stop all tasks: by their signal, then by force. Their directories stay for a later life."""
        running = [run for run in self._runs.values() if run.running]
        async with asyncio.TaskGroup() as group:
            for run in running:
                group.create_task(run.stop(CLOSE_GRACE))
        await self._all_over()
        self.files.release()
        self.files.keep(())

    async def kill_all(self) -> None:
        """The node dies: end every process at once and delete what they left, but for named volumes."""
        await asyncio.to_thread(kill_all_of, [self._tasks])
        await self._all_over()
        self._runs.clear()
        self.files.keep(())
        with contextlib.suppress(FileNotFoundError):
            await asyncio.to_thread(shutil.rmtree, self._tasks)

    def _earlier_sessions(self) -> list[Session]:
        """Of the processes that the records speak of, for those that cleared their environment and with it the mark."""
        this_boot = boot_id()
        records = [self.run(TaskId(path.name)).record for path in sorted(self._tasks.iterdir())]
        self._runs.clear()
        return [
            Session(record.pid, record.started)
            for record in records
            if record is not None and record.pid and record.boot_id == this_boot
        ]

    def run(self, task_id: TaskId) -> Run:
        """What this node has of that task, from this life or an earlier one."""
        run = self._runs.get(task_id)
        if run is None:
            places = Places(
                task=self._tasks / task_id,
                files=self.files.directory(task_id),
                volumes=self._base / "volumes",
                start=self._start,
            )
            run = self._runs[task_id] = Run(places, self._clock, self._sweeper)
        return run

    def watch(self, task_id: TaskId, run: Run) -> None:
        """See to the end of a process that was just started."""
        life = asyncio.create_task(run.live(), name=f"process {task_id}")
        self._lives[task_id] = life

        def ended(task: asyncio.Task[None]) -> None:
            self._lives.pop(task_id, None)
            if not task.cancelled() and (error := task.exception()) is not None:
                _log.error("watch_broke task=%s", task_id, exc_info=error)

        life.add_done_callback(ended)

    async def forget(self, task_id: TaskId) -> None:
        """Stop that task and delete what it left here."""
        run = self.run(task_id)
        await run.kill()
        if run.started and not run.running:
            # One that an earlier life started was killed by `adopt`; its children may have come later.
            await self._sweeper.sweep(run.places.task, None)
        self.files.remove(task_id)
        with contextlib.suppress(FileNotFoundError):
            await asyncio.to_thread(shutil.rmtree, run.places.task)
        self._runs.pop(task_id, None)

    async def _all_over(self) -> None:
        if self._lives:
            await asyncio.wait(set(self._lives.values()))
