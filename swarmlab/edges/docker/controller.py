"""The steps of one task as a container."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from swarmlab.agent.exec import Dependencies, LogMessage, LogOptions, Runtime
from swarmlab.api import ContainerStatus, ExecutorError, Task, stop_grace_period
from swarmlab.api.moments import SECOND
from swarmlab.api.naming import task_name
from swarmlab.edges.docker.container import container_config, container_of, port_status
from swarmlab.edges.docker.errors import EngineRefusalError
from swarmlab.edges.docker.events import TASK_LABEL
from swarmlab.edges.docker.logs import read_logs
from swarmlab.edges.docker.pulls import pull_policy
from swarmlab.edges.taskfiles import task_files
from swarmlab.edges.template import context

if TYPE_CHECKING:
    from swarmlab.edges.docker.executor import DockerExecutor

_log = logging.getLogger(__name__)

STOP_SIGNAL = "SIGTERM"
#: Looks at a container of which nothing was heard: often while the stream of events is broken, else to be safe.
LOOK_SECONDS = {True: 60.0, False: 1.0}
_GONE, _CONFLICT = 404, 409


class DockerController:
    """One task on this node as a container, found by its name and known by its labels."""

    def __init__(self, executor: "DockerExecutor", task: Task, dependencies: Dependencies) -> None:
        self._executor = executor
        self._engine = executor.engine
        self._task = task
        self._dependencies = dependencies
        self._name = task_name(task)
        self._stack = contextlib.ExitStack()
        self._watch = self._stack.enter_context(self._engine.events.watch(task.id))
        #: What the engine last said of the container, and the version of the watch before that was asked.
        self._seen: tuple[int, dict[str, Any] | None] | None = None
        #: The container was made by this object and never started: no look is needed before it is.
        self._fresh = False

    async def prepare(self) -> None:
        """Get the image, write the files, make the container."""
        if self._task.id in self._executor.present and await self._look() is not None:
            return
        spec = container_of(self._task)
        labels = {**self._task.service_annotations.labels, **spec.labels}
        credentials = spec.pull_options.registry_auth if spec.pull_options is not None else ""
        policy = pull_policy(labels, self._executor.pull)
        trouble = await self._executor.pulls.ensure(spec.image, policy, credentials)
        await self._make(trouble)

    async def start(self) -> None:
        """Start it, once, and wait until it is healthy where it has a health check."""
        if not self._fresh:
            found = await self._look()
            if found is None:
                raise ExecutorError(f"not prepared on this node: no such container: {self._name}")
            if found["State"]["Status"] != "created":
                await self._healthy()
                return
        self._seen = None
        self._fresh = False
        await self._engine.call(lambda api: api.start(self._name))
        await self._healthy()

    async def wait(self) -> None:
        """Wait for its end, through restarts of the engine too."""
        silent = False
        while True:
            version = self._watch.version
            try:
                found = await self._look()
            except ExecutorError as error:
                if not error.temporary:
                    raise
                if not silent:
                    _log.warning("task_unseen task=%s error=%s", self._task.id, error)
                silent = True
                await self._watch.changed(version, LOOK_SECONDS[False])
                continue
            silent = False
            if found is None:
                raise ExecutorError(f"no such container: {self._name}")
            if not _runs(found):
                self._judge(found["State"])
                return
            if _health(found) == "unhealthy":
                why = _last_probe(found)
                await self.shutdown()
                raise ExecutorError(f"unhealthy: {why}", exit_code=await self._exit_code())
            await self._watch.changed(version, LOOK_SECONDS[self._watch.sure])

    async def shutdown(self) -> None:
        """Its stop signal, its grace period, then SIGKILL."""
        found = await self._look()
        if found is None or not _runs(found):
            return
        spec = container_of(self._task)
        signal = spec.stop_signal or found["Config"].get("StopSignal") or STOP_SIGNAL
        if await self._kill(signal) and not await self._ended(stop_grace_period(self._task.spec) / SECOND):
            await self.terminate()

    async def terminate(self) -> None:
        """SIGKILL."""
        found = await self._look()
        if found is not None and _runs(found) and await self._kill("SIGKILL"):
            await self._ended(None)

    async def remove(self) -> None:
        """Stop it, and delete it with its anonymous volumes and its files."""
        await self.shutdown()
        self._seen = None
        try:
            await self._engine.call(lambda api: api.remove_container(self._name, v=True, force=True))
        except EngineRefusalError as error:
            if error.status == _CONFLICT:  # somebody else is removing it
                await self._ended(None, gone=True)
            elif error.status != _GONE:
                raise
        self._executor.files.remove(self._task.id)
        self._executor.present.discard(self._task.id)

    async def status(self) -> Runtime:
        """What the engine says of the container: id, pid, exit code, host ports."""
        found = await self._look()
        if found is None:
            return Runtime()
        state = found["State"]
        return Runtime(
            ContainerStatus(container_id=found["Id"], pid=state.get("Pid") or 0, exit_code=state.get("ExitCode") or 0),
            port_status(found),
        )

    async def logs(self, options: LogOptions) -> AsyncIterator[LogMessage]:
        """What it printed, as the engine kept it."""
        async for message in read_logs(self._engine.streams, self._name, container_of(self._task).tty, options):
            yield message

    async def close(self) -> None:
        """Stop watching."""
        self._stack.close()

    async def _make(self, trouble: str) -> None:
        facts = self._executor.facts
        data = context(self._task, facts.hostname, await self._executor.platform())
        files = task_files(self._task, self._dependencies, data)
        paths = self._executor.files.write(self._task.id, files)
        config = container_config(self._task, facts, data, list(zip(files, paths, strict=True)))
        try:
            await self._engine.call(lambda api: api.create_container_from_config(config, name=self._name))
        except EngineRefusalError as error:
            if error.status == _CONFLICT and await self._look() is not None:
                self._executor.present.add(self._task.id)
                return
            self._executor.files.remove(self._task.id)
            if error.status == _GONE and "image" in str(error).lower():
                image = container_of(self._task).image
                why = f"; pull failed: {trouble}" if trouble else ""
                raise ExecutorError(f"image {image!r} is not on this node{why}") from error
            raise
        self._executor.present.add(self._task.id)
        self._fresh = True

    async def _healthy(self) -> None:
        """Return once it is healthy or has no health check."""
        while True:
            version = self._watch.version
            found = await self._look()
            if found is None:
                raise ExecutorError(f"no such container: {self._name}")
            health = _health(found)
            if health in ("", "none", "healthy"):
                return
            if not _runs(found):
                code = found["State"].get("ExitCode") or 0
                raise ExecutorError(f"ended before it was healthy ({code})", exit_code=code)
            if health == "unhealthy":
                why = _last_probe(found)
                await self.shutdown()
                raise ExecutorError(f"unhealthy: {why}", exit_code=await self._exit_code())
            await self._watch.changed(version, LOOK_SECONDS[self._watch.sure])

    def _judge(self, state: dict[str, Any]) -> None:
        """What the end of the container means."""
        if state["Status"] == "created":
            raise ExecutorError("nothing runs: it was never started on this node")
        code = state.get("ExitCode") or 0
        if code != 0:
            why = ": out of memory" if state.get("OOMKilled") else f": {state['Error']}" if state.get("Error") else ""
            raise ExecutorError(f"task: non-zero exit ({code}){why}", exit_code=code)

    async def _exit_code(self) -> int | None:
        found = await self._look()
        return found["State"].get("ExitCode") if found is not None else None

    async def _look(self) -> dict[str, Any] | None:
        """What the engine says of our container; None where there is none. Asked anew only when it may have changed."""
        version = self._watch.version
        if self._seen is not None and self._seen[0] == version and self._watch.sure:
            return self._seen[1]
        found: dict[str, Any] | None
        try:
            found = await self._engine.call(lambda api: api.inspect_container(self._name))
        except EngineRefusalError as error:
            if error.status != _GONE:
                raise
            found = None
        if found is not None and (found["Config"].get("Labels") or {}).get(TASK_LABEL) != self._task.id:
            raise ExecutorError(f"container {self._name!r} is there and not ours")
        self._seen = (version, found)
        return found

    async def _kill(self, signal: str) -> bool:
        """Send a signal; whether there was something that runs."""
        self._seen = None
        try:
            await self._engine.call(lambda api: api.kill(self._name, signal))
        except EngineRefusalError as error:
            if error.status in (_GONE, _CONFLICT):
                return False
            raise
        return True

    async def _ended(self, seconds: float | None, *, gone: bool = False) -> bool:
        """Wait until it has ended, or is `gone`; False when it has not in so many seconds."""
        loop = asyncio.get_running_loop()
        end = None if seconds is None else loop.time() + seconds
        while True:
            version = self._watch.version
            found = await self._look()
            if found is None or not (gone or _runs(found)):
                return True
            left = LOOK_SECONDS[self._watch.sure]
            if end is not None:
                left = min(left, end - loop.time())
                if left <= 0:
                    return False
            await self._watch.changed(version, left)


def _runs(found: dict[str, Any]) -> bool:
    return found["State"]["Status"] in ("running", "paused", "restarting", "removing")


def _health(found: dict[str, Any]) -> str:
    return str((found["State"].get("Health") or {}).get("Status") or "")


def _last_probe(found: dict[str, Any]) -> str:
    probes = (found["State"].get("Health") or {}).get("Log") or []
    if not probes:
        return "its health check failed"
    said = str(probes[-1].get("Output") or "").strip()[-400:]
    return f"health check exited with {probes[-1].get('ExitCode')}" + (f": {said}" if said else "")
