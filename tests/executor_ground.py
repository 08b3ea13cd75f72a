"""One way to run the agent's steps on each executor: process, docker, and the simulated one in real time."""

import asyncio
import itertools
import os
import random
import shlex
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from docker_engine import TEST_CLUSTER, TEST_IMAGE
from patience import PATIENCE_SECONDS

from swarmlab.agent.exec import Execute, Executed, Executor, Interrupt, LogMessage, LogOptions, Operation
from swarmlab.api import (
    Annotations,
    Config,
    ConfigId,
    ConfigReference,
    ConfigSpec,
    ContainerSpec,
    Duration,
    Endpoint,
    FileTarget,
    Instant,
    NodeId,
    PortConfig,
    Secret,
    SecretId,
    SecretReference,
    SecretSpec,
    ServiceId,
    Task,
    TaskId,
    TaskSpec,
    seconds,
)
from swarmlab.component import Event
from swarmlab.edges.docker import DockerExecutor, Engine
from swarmlab.edges.driver import LiveClock
from swarmlab.edges.execution import Execution
from swarmlab.edges.nodefacts import NodeFacts
from swarmlab.edges.process import ProcessExecutor

_NUMBERS = itertools.count(1)

#: Lives until its stop signal, and then ends at once with 0.
FOREVER = "trap 'exit 0' TERM; while :; do sleep 0.05; done"
#: Does not hear its stop signal.
STUBBORN = "trap '' TERM; echo ready; while :; do sleep 0.05; done"


class Ground:
    """A node with an executor, driven as the agent does."""

    #: A task's shell line is really run.
    real = True

    def __init__(self) -> None:
        #: Of this run alone: tests use it in the names of files below /tmp.
        self.node = NodeId(f"node{next(_NUMBERS)}x{os.getpid()}")
        #: All answers so far, in order.
        self.answers: list[Executed] = []
        self._waiting: dict[TaskId, asyncio.Future[Executed]] = {}

    def task(self, script: str, **spec: Any) -> Task:
        """A task that runs a line of shell; `spec` are further fields of the container."""
        return self.bare_task(image=TEST_IMAGE, command=("sh", "-c", script), **spec)

    def bare_task(
        self,
        *,
        name: str = "web",
        task_spec: Mapping[str, Any] | None = None,
        ports: Sequence[PortConfig] = (),
        **spec: Any,
    ) -> Task:
        """A task with just those fields."""
        return Task(
            id=TaskId(f"task{next(_NUMBERS)}x{random.Random().getrandbits(40):x}"),
            service_id=ServiceId("service1"),
            slot=3,
            node_id=self.node,
            service_annotations=Annotations(name, {"tier": "front"}),
            spec=TaskSpec(container=ContainerSpec(**spec), **(task_spec or {})),
            endpoint=Endpoint(ports=tuple(ports)),
        )

    def begin(
        self, operation: Operation, task: Task, secrets: Sequence[Secret] = (), configs: Sequence[Config] = ()
    ) -> asyncio.Future[Executed]:
        """Give a step; its answer."""
        answer: asyncio.Future[Executed] = asyncio.get_running_loop().create_future()
        assert task.id not in self._waiting
        self._waiting[task.id] = answer
        self.execute(Execute(task.id, operation, task, tuple(secrets), tuple(configs)))
        return answer

    async def do(
        self, operation: Operation, task: Task, secrets: Sequence[Secret] = (), configs: Sequence[Config] = ()
    ) -> Executed:
        """Give a step and wait for its answer."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.begin(operation, task, secrets, configs)

    async def run(self, task: Task, secrets: Sequence[Secret] = (), configs: Sequence[Config] = ()) -> None:
        """Bring a task to RUNNING."""
        for operation in (Operation.PREPARE, Operation.START):
            answer = await self.do(operation, task, secrets, configs)
            assert answer.error is None, answer.error

    def answered(self, event: Event) -> None:
        """Take an answer."""
        assert isinstance(event, Executed)
        self.answers.append(event)
        self._waiting.pop(event.task_id).set_result(event)

    def execute(self, effect: Execute) -> None:
        raise AssertionError("given by the kind of ground")

    def interrupt(self, effect: Interrupt) -> None:
        raise AssertionError("given by the kind of ground")

    async def reborn(self, tasks: Sequence[Task]) -> None:
        """The worker ends and comes back, and knows of `tasks`."""
        raise AssertionError("given by the kind of ground")


class LiveGround(Ground):
    """A live executor under `edges/execution.py`."""

    def __init__(self, make: Callable[[NodeFacts], Executor]) -> None:
        super().__init__()
        self.facts = NodeFacts(node_id=self.node, cluster=TEST_CLUSTER, hostname="host1", labels={"disk": "ssd"})
        self._make = make
        self.executor = make(self.facts)
        self.execution = Execution(self.executor, self.answered)

    async def open(self) -> None:
        await self.execution.__aenter__()
        await self.execution.adopt([])

    async def close(self) -> None:
        await self.execution.__aexit__(None, None, None)
        await self.executor.close()

    async def reborn(self, tasks: Sequence[Task]) -> None:
        self._waiting.clear()
        await self.close()
        self.executor = self._make(self.facts)
        self.execution = Execution(self.executor, self.answered, {task.id: task for task in tasks}.get)
        await self.execution.__aenter__()
        await self.execution.adopt([task.id for task in tasks])

    def execute(self, effect: Execute) -> None:
        self.execution.execute(effect)

    def interrupt(self, effect: Interrupt) -> None:
        self.execution.interrupt(effect)

    async def logs(self, task: Task, **options: Any) -> list[LogMessage]:
        """All the wanted lines."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return [message async for message in self.execution.logs(task.id, LogOptions(**options))]

    async def line(self, task: Task, text: bytes) -> LogMessage:
        """Wait for that line of output."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for message in self.execution.logs(task.id, LogOptions(follow=True)):
                if message.data.rstrip(b"\n") == text:
                    return message
        raise AssertionError(f"{text!r} was never printed")

    async def output(self, task: Task, secrets: Sequence[Secret] = (), configs: Sequence[Config] = ()) -> list[str]:
        """Run a task to its end, which has to be good; its lines."""
        await self.run(task, secrets, configs)
        answer = await self.do(Operation.WAIT, task, secrets, configs)
        lines = [message.data.decode().rstrip("\n") for message in await self.logs(task)]
        assert answer.error is None, (answer.error, lines)
        return lines


class _Models:
    """How simulated tasks behave, by the name of their service: `ends-7` ends with 7, others go on; all in no time."""

    def of(self, task: Task) -> Any:
        from swarmlab.sim.chance import Spread
        from swarmlab.sim.executor import TaskModel

        quick = Spread(median=seconds(0.001))
        model = TaskModel(prepare=quick, start=quick, stop=quick)
        word, _, code = task.service_annotations.name.partition("-")
        return msgspec.structs.replace(model, run=quick, exit_code=int(code)) if word == "ends" else model


class SimGround(Ground):
    """The simulated executor, on the loop's time. Tasks behave as the model of their service says."""

    real = False

    def __init__(self) -> None:
        from swarmlab.sim.executor import SimExecutor

        super().__init__()
        self._executor = SimExecutor(LiveClock(), self._plan, random.Random(1), _Models().of)
        self._executor.connect(self.answered)

    def task(self, script: str, **spec: Any) -> Task:
        name = {"exit 0": "ends-0", "exit 7": "ends-7", FOREVER: "web", STUBBORN: "web"}[script]
        return self.bare_task(name=name, image="sim", **spec)

    def execute(self, effect: Execute) -> None:
        self._executor.execute(effect)

    def interrupt(self, effect: Interrupt) -> None:
        self._executor.interrupt(effect)

    async def reborn(self, tasks: Sequence[Task]) -> None:
        self._waiting.clear()
        self._executor.connect(self.answered)
        self._executor.adopt(tuple(task.id for task in tasks))

    def _plan(self, at: Instant, action: Callable[[], None]) -> Any:
        from swarmlab.sim.heap import Occurrence

        occurrence = Occurrence(at, action)

        def happen() -> None:
            if occurrence.action is not None:
                occurrence.action()

        asyncio.get_running_loop().call_later(max(0, at - LiveClock()()) / 1e9, happen)
        return occurrence


async def process_ground(base: Path) -> AsyncIterator[LiveGround]:
    """A node of plain processes; at its end nothing is left running."""
    clock = LiveClock()
    ground = LiveGround(lambda facts: ProcessExecutor(base, facts, clock, start=base))
    await ground.open()
    yield ground
    await ground.close()
    assert isinstance(ground.executor, ProcessExecutor)
    assert not ground.executor.files.root.exists()


async def docker_ground(engine: Engine) -> AsyncIterator[LiveGround]:
    """A node of containers; at its end none is left."""
    ground = LiveGround(lambda facts: DockerExecutor(engine, facts))
    await ground.open()
    yield ground
    assert isinstance(ground.executor, DockerExecutor)
    await ground.executor.kill_all()
    await ground.close()


def a_secret(name: str, data: bytes, **spec: Any) -> Secret:
    """A secret with that payload."""
    return Secret(id=SecretId(f"id-of-{name}"), spec=SecretSpec(annotations=Annotations(name), data=data, **spec))


def a_config(name: str, data: bytes, **spec: Any) -> Config:
    """A config with that payload."""
    return Config(id=ConfigId(f"id-of-{name}"), spec=ConfigSpec(annotations=Annotations(name), data=data, **spec))


def secret_reference(secret: Secret, **file: Any) -> SecretReference:
    """A reference to it, as a file of its name unless told otherwise."""
    name = secret.spec.annotations.name
    return SecretReference(secret_id=secret.id, secret_name=name, file=FileTarget(**{"name": name, **file}))


def config_reference(config: Config, **file: Any) -> ConfigReference:
    """A reference to it, as a file of its name unless told otherwise."""
    name = config.spec.annotations.name
    return ConfigReference(config_id=config.id, config_name=name, file=FileTarget(**{"name": name, **file}))


def span(count: float) -> Duration:
    """So many seconds."""
    return seconds(count)


def quoted(*words: str) -> str:
    """The words as one of the shell."""
    return shlex.join(words)
