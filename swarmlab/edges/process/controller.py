"""The steps of one task as a process."""

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from msgspec.structs import replace

from swarmlab.agent.exec import Dependencies, LogMessage, LogOptions, Runtime
from swarmlab.api import (
    ContainerStatus,
    ExecutorError,
    PortConfig,
    PortProtocol,
    PortStatus,
    PublishMode,
    Task,
    stop_grace_period,
)
from swarmlab.edges.process.child import Launch, signal_number
from swarmlab.edges.process.command import container_of, identity, launch_of, lay_mounts, machine
from swarmlab.edges.process.health import health_plan
from swarmlab.edges.process.run import Record, Run, Stop
from swarmlab.edges.taskfiles import task_files
from swarmlab.edges.template import Tree, context

if TYPE_CHECKING:
    from swarmlab.edges.process.executor import ProcessExecutor


class ProcessController:
    """One task on this node as a process. It holds nothing itself: the run belongs to the executor."""

    def __init__(self, executor: "ProcessExecutor", task: Task, dependencies: Dependencies) -> None:
        self._executor = executor
        self._task = task
        self._dependencies = dependencies

    async def prepare(self) -> None:
        """Lay its directory and files, and find its program."""
        run = self._run
        if run.record is not None:
            return
        health_plan(container_of(self._task).healthcheck)
        self._stop()
        try:
            self._lay(run)
        except OSError as error:
            raise ExecutorError(f"cannot prepare {run.places.task}: {error}") from error

    async def start(self) -> None:
        """Start it, once, and wait until it is healthy where that is checked."""
        run = self._run
        if run.record is None:
            raise ExecutorError("not prepared on this node")
        if not run.started:
            launch = self._launch(run, run.record.ports)
            async with self._executor.spawning:  # each takes a millisecond or two; many at once would hold up the loop
                await asyncio.sleep(0)
                run.start(launch, health_plan(container_of(self._task).healthcheck), self._stop())
                self._executor.watch(self._task.id, run)
        await run.settled()

    async def wait(self) -> None:
        """Wait for its end."""
        run = self._run
        if run.record is None:
            raise ExecutorError("nothing of it is left on this node: it went with a loss of the node")
        if not run.started:
            raise ExecutorError("nothing runs: it was prepared on this node, and never started")
        code = await run.over()
        if code is None:
            raise ExecutorError("its process ended with the worker that ran it, and no exit code is known")
        if run.record is not None and run.record.unhealthy:
            raise ExecutorError(f"unhealthy: {run.record.unhealthy}", exit_code=code)
        if code != 0:
            raise ExecutorError(f"task: non-zero exit ({code})", exit_code=code)

    async def shutdown(self) -> None:
        """Its stop signal, its grace period, then SIGKILL to all of its session."""
        await self._run.stop()

    async def terminate(self) -> None:
        """SIGKILL to all of its session."""
        await self._run.kill()

    async def remove(self) -> None:
        """End it and delete its directory and files."""
        try:
            await self._executor.forget(self._task.id)
        except OSError as error:
            raise ExecutorError(f"cannot remove the directory of task {self._task.id}: {error}") from error

    async def status(self) -> Runtime:
        """Its pid, exit code and ports."""
        record = self._run.record
        if record is None or record.pid == 0:
            return Runtime()
        container = ContainerStatus(
            container_id=f"process-{record.pid}-{record.started}",
            pid=record.pid if self._run.running else 0,
            exit_code=record.exit_code or 0,
        )
        host_ports = tuple(port for port in record.ports if port.publish_mode is PublishMode.HOST)
        return Runtime(container, PortStatus(ports=host_ports) if host_ports else None)

    async def logs(self, options: LogOptions) -> AsyncIterator[LogMessage]:
        """What it printed, from this life of the worker and earlier ones."""
        async for message in self._run.output.read(options):
            yield message

    async def close(self) -> None:
        """Nothing is held here."""

    @property
    def _run(self) -> Run:
        return self._executor.run(self._task.id)

    @property
    def _data(self) -> Tree:
        return context(self._task, self._executor.facts.hostname, machine())

    def _lay(self, run: Run) -> None:
        spec, data, places = container_of(self._task), self._data, run.places
        shutil.rmtree(places.task, ignore_errors=True)  # of a preparation that was not finished
        places.task.mkdir(mode=0o711)
        places.scratch.mkdir(mode=0o700)
        places.mounts.mkdir(mode=0o711)
        lay_mounts(spec, data, places)
        who = identity(spec)
        uid, gid = (who[0], who[1]) if who is not None else (os.getuid(), os.getgid())
        if who is not None:
            os.chown(places.scratch, uid, gid)
        self._executor.files.write(self._task.id, task_files(self._task, self._dependencies, data), (uid, gid))
        ports = tuple(_chosen(port) for port in (self._task.endpoint.ports if self._task.endpoint is not None else ()))
        self._launch(run, ports)
        run.note(Record(ports=ports))

    def _launch(self, run: Run, ports: tuple[PortConfig, ...]) -> Launch:
        return launch_of(self._task, self._data, self._executor.facts.hostname, run.places, ports)

    def _stop(self) -> Stop:
        spec = container_of(self._task)
        return Stop(
            signal_number(spec.stop_signal) if spec.stop_signal else signal.SIGTERM, stop_grace_period(self._task.spec)
        )


def _chosen(port: PortConfig) -> PortConfig:
    """`port` with a free published port where a host port was left to us. It may be taken before the task binds it."""
    if port.published_port or port.publish_mode is not PublishMode.HOST:
        return port
    kind = socket.SOCK_DGRAM if port.protocol is PortProtocol.UDP else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("", 0))
        return replace(port, published_port=probe.getsockname()[1])
