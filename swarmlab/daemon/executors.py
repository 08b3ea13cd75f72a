"""The machines of workers: what runs their tasks, by the name of the executor."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from swarmlab.agent.exec import Configure, Described, Execute, Interrupt, LogMessage, LogOptions
from swarmlab.api import (
    EngineDescription,
    ExecutorError,
    Instant,
    InvalidSpec,
    NodeDescription,
    Platform,
    PluginDescription,
    Resources,
    Task,
    TaskId,
)
from swarmlab.component import Event, derived_rng
from swarmlab.edges.docker import DockerExecutor, Engine, engine_answers, engine_url
from swarmlab.edges.execution import Execution
from swarmlab.edges.nodefacts import NodeFacts
from swarmlab.edges.process import ProcessExecutor
from swarmlab.sim import ExecutorModel, SimExecutor
from swarmlab.sim.heap import Occurrence

#: Executors that can be asked for by name.
EXECUTORS = ("auto", "docker", "process", "sim")


#: Models are on whatever network one likes.
_SIM_PLUGINS = tuple(PluginDescription("Network", name) for name in ("bridge", "host", "null", "overlay"))


class Machine(Protocol):
    """What carries out the steps of one agent."""

    def connect(self, post: Callable[[Event], None]) -> None:
        """Answer to this agent."""

    def execute(self, effect: Execute) -> None: ...

    def interrupt(self, effect: Interrupt) -> None: ...

    def describe(self) -> None: ...

    def configure(self, effect: Configure) -> None: ...

    async def adopt(self, tasks: Collection[TaskId]) -> None:
        """Find what an earlier life left, before the first step."""

    def logs(self, task_id: TaskId, options: LogOptions) -> AsyncIterator[LogMessage]:
        """Output of a task; `NotFound` for one that is not here."""

    async def kill_all(self) -> None:
        """Everything on this node ends now, and nothing of it is left."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of what this process holds."""


class Place(NamedTuple):
    """Whose machine it is, and what it is told."""

    facts: NodeFacts
    #: A directory that this node alone uses.
    folder: Path
    clock: Callable[[], Instant]
    seed: int
    #: A task that the agent keeps, for the logs of one that this life has not touched.
    recall: Callable[[TaskId], Task | None]


class ExecutorKind(NamedTuple):
    """A kind of machine, and how one is made."""

    name: str
    make: Callable[[Place], Machine]


async def choose_executor(name: str, stack: AsyncExitStack) -> ExecutorKind:
    """The executor of that name; "auto" is docker where an Engine answers, else process.

    What the machines share is let go of with `stack`.

    Raises:
        InvalidSpec: There is no such executor.
        ExecutorError: docker was asked for, and no Engine answers.
    """
    if name not in EXECUTORS:
        raise InvalidSpec(f"executor {name!r}: wanted one of {', '.join(EXECUTORS)}")
    if name == "auto":
        name = "docker" if await engine_answers() else "process"
    elif name == "docker" and not await engine_answers():
        raise ExecutorError(f"executor docker: no Engine answers at {engine_url()}; start one, or use process")
    if name == "docker":
        engine = Engine()
        stack.push_async_callback(engine.close)
        return ExecutorKind(name, lambda place: LiveMachine(DockerExecutor(engine, place.facts), place.recall))
    return ExecutorKind(name, _process if name == "process" else SimMachine)


class LiveMachine:
    """An agent's steps on a live executor."""

    def __init__(self, executor: DockerExecutor | ProcessExecutor, recall: Callable[[TaskId], Task | None]) -> None:
        self._executor = executor
        self._post: Callable[[Event], None] = lambda _: None
        self._execution = Execution(executor, lambda event: self._post(event), recall)
        self.execute = self._execution.execute
        self.interrupt = self._execution.interrupt
        self.describe = self._execution.describe
        self.configure = self._execution.configure
        self.adopt = self._execution.adopt
        self.logs = self._execution.logs
        self.kill_all = executor.kill_all

    def connect(self, post: Callable[[Event], None]) -> None:
        """Answer to this agent."""
        self._post = post

    async def __aenter__(self) -> Self:
        await self._execution.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._execution.__aexit__(kind, error, trace)
        finally:
            await self._executor.close()


class SimMachine:
    """An agent's steps as models, in real time."""

    def __init__(self, place: Place) -> None:
        self._hostname = place.facts.hostname
        loop = asyncio.get_running_loop()

        def plan(at: Instant, action: Callable[[], None]) -> Occurrence:
            occurrence = Occurrence(at, action)
            loop.call_later(max(0, at - place.clock()) / 1e9, lambda: occurrence.action and occurrence.action())
            return occurrence

        rng = derived_rng(place.seed, f"executor/{place.facts.node_id}")
        self._executor = SimExecutor(place.clock, plan, rng, ExecutorModel().of)
        self._post: Callable[[Event], None] = lambda _: None
        self.execute = self._executor.execute
        self.interrupt = self._executor.interrupt

    def connect(self, post: Callable[[Event], None]) -> None:
        """Answer to this agent."""
        self._post = post
        self._executor.connect(post)

    def describe(self) -> None:
        """A machine of 8 CPUs and 16 GiB."""
        self._post(
            Described(
                NodeDescription(
                    hostname=self._hostname,
                    platform=Platform(architecture="x86_64", os="linux"),
                    resources=Resources(nano_cpus=8_000_000_000, memory_bytes=16 << 30),
                    engine=EngineDescription(engine_version="sim", plugins=_SIM_PLUGINS),
                )
            )
        )

    def configure(self, effect: Configure) -> None:
        """Models need no networks."""

    async def adopt(self, tasks: Collection[TaskId]) -> None:
        """Models end with the process that runs them: nothing is ever left."""

    async def logs(self, task_id: TaskId, options: LogOptions) -> AsyncIterator[LogMessage]:  # noqa: ARG002
        """Models print nothing."""
        return
        yield  # an iterator without lines

    async def kill_all(self) -> None:
        """Forget every model."""
        self._executor.power_off()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.power_off()


def _process(place: Place) -> Machine:
    return LiveMachine(ProcessExecutor(place.folder / "process", place.facts, place.clock), place.recall)
