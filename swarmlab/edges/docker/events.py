"""What happens to our containers, from one stream of the engine for all who watch."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from swarmlab.api import ExecutorError
from swarmlab.edges.docker.streams import Streams, json_objects

_log = logging.getLogger(__name__)

#: On every container of a task, with the task's id; events carry the labels.
TASK_LABEL = "swarmlab.task"
_ACTIONS = ("die", "destroy", "health_status")
#: Between tries to open the stream anew.
RETRY_SECONDS = 0.5


class Watch:
    """Notices that something happened to one task's container, or that something may have been missed.

    `version` grows each time. What was found out at one version holds as long as it is the same and `sure` is true.
    """

    def __init__(self, events: "Events") -> None:
        self._events = events
        self.version = 0
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def sure(self) -> bool:
        """The stream is open: whatever happens will be told."""
        return self._events.connected

    async def changed(self, since: int, seconds: float | None = None) -> None:
        """Return when `version` is no longer `since`, or after so many seconds."""
        if self.version != since:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await future

    def bump(self) -> None:
        """Tell those who wait."""
        self.version += 1
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


class Events:
    """The stream; it is opened anew as often as it breaks, and every watch is told then."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self.connected = False
        self._watches: dict[str, list[Watch]] = {}
        self._listener: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()

    async def open(self) -> None:
        """Begin to listen; returns once the stream is open, or was tried in vain. Again: nothing."""
        if self._listener is None:
            self._listener = asyncio.create_task(self._listen(), name="engine events")
        await self._tried.wait()

    @contextlib.contextmanager
    def watch(self, task_id: str) -> Iterator[Watch]:
        """A watch over the container of that task."""
        watch = Watch(self)
        self._watches.setdefault(task_id, []).append(watch)
        try:
            yield watch
        finally:
            self._watches[task_id].remove(watch)
            if not self._watches[task_id]:
                del self._watches[task_id]

    async def close(self) -> None:
        """End the stream."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.cancel()
            await asyncio.wait([listener])

    async def _listen(self) -> None:
        while True:
            try:
                await self._read()
            except ExecutorError as error:
                if self.connected or not self._tried.is_set():
                    _log.warning("engine_silent error=%s", error)
            except (msgspec.DecodeError, KeyError, TypeError):
                _log.exception("events_unreadable url=%s", self._streams.url)
            self.connected = False
            self._tried.set()
            self._tell_all()
            await asyncio.sleep(RETRY_SECONDS)

    async def _read(self) -> None:
        filters = {"type": ["container"], "event": list(_ACTIONS), "label": [TASK_LABEL]}
        params = {
            # The engine begins to listen a moment after it has answered; what happens in it is told by `since`.
            "since": str(int(time.time()) - 1),
            "filters": msgspec.json.encode(filters).decode(),
        }
        async with self._streams.open("GET", "/events", params=params) as body:
            self.connected = True
            self._tried.set()
            self._tell_all()
            async for event in json_objects(body):
                self._deliver(event)

    def _deliver(self, event: Mapping[str, Any]) -> None:
        for watch in self._watches.get(event["Actor"]["Attributes"].get(TASK_LABEL, ""), ()):
            watch.bump()

    def _tell_all(self) -> None:
        for watches in self._watches.values():
            for watch in watches:
                watch.bump()
