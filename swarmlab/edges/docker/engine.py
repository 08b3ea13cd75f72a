"""The way to a Docker Engine: calls in a few threads, streams on the loop, errors in our words."""

import asyncio
import contextlib
import functools
import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import docker
import docker.errors
import docker.utils

from swarmlab.edges.docker.errors import SILENT, EngineSilentError, translated
from swarmlab.edges.docker.events import Events
from swarmlab.edges.docker.streams import Streams, tls_context

T = TypeVar("T")
#: What to ask a `docker.APIClient`, whose type hints do not cover all of it.
Call = Callable[[Any], T]

#: Calls at once. Twenty containers start in the same time with 4, 8 or 20 threads, since the engine itself is what they
#: wait for; a few more let short calls pass while starts are slow.
THREADS = 12
#: An engine that says nothing for so long is taken for silent. A start under load takes seconds, not minutes.
TIMEOUT_SECONDS = 120
DEFAULT_URL = "unix:///var/run/docker.sock"


def engine_url() -> str:
    """Where the engine of this machine is: DOCKER_HOST, else the usual socket."""
    return str(docker.utils.kwargs_from_env().get("base_url") or DEFAULT_URL)


async def engine_answers(url: str | None = None, seconds: int = 3) -> bool:
    """Whether an engine answers there now."""

    def ping() -> bool:
        try:
            knock(url or engine_url())
            with contextlib.closing(docker.APIClient(**_options(url), version="1.24", timeout=seconds)) as client:
                return bool(client.ping())
        except (EngineSilentError, docker.errors.DockerException, *SILENT):
            return False

    return await asyncio.to_thread(ping)


class Engine:
    """One Docker Engine, for any number of nodes on its machine. `url` None: that of the environment."""

    def __init__(self, url: str | None = None) -> None:
        self.url = url or engine_url()
        self._options = _options(url)
        certificates = os.environ.get("DOCKER_CERT_PATH", "")
        verify = bool(os.environ.get("DOCKER_TLS_VERIFY", ""))
        has_tls = self._options.get("tls") is not None and certificates
        self.streams = Streams(self.url, tls_context(Path(certificates), verify) if has_tls else None)
        self.events = Events(self.streams)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="engine")
        self._lock = threading.Lock()
        self._client: docker.APIClient | None = None

    async def call(self, ask: Call[T]) -> T:
        """The answer to `ask`, run in a thread.

        A cancelled caller still waits for the end of the call, so that nothing of it can come later; a second
        cancellation leaves it alone. `EngineSilentError` or `EngineRefusalError` where it goes wrong.
        """
        answer = asyncio.get_running_loop().run_in_executor(self._pool, functools.partial(self._run, ask))
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            await asyncio.wait([answer])
            if not answer.cancelled():
                answer.exception()  # nobody is there to hear it
            raise

    async def close(self) -> None:
        """Let go of the engine. Again: nothing."""
        await self.events.close()
        await self.streams.close()
        await asyncio.to_thread(self._pool.shutdown, wait=True)
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _run(self, ask: Call[T]) -> T:
        knock(self.url)
        with translated(self.url):
            with self._lock:
                if self._client is None:  # it asks the engine for its version, so not before it is needed
                    self._client = docker.APIClient(
                        **self._options, version="auto", timeout=TIMEOUT_SECONDS, max_pool_size=THREADS
                    )
                client = self._client
            return ask(client)


def knock(url: str) -> None:
    """Raise `EngineSilentError` when nobody listens on the unix socket of `url`.

    The client says so too, but leaves its socket to the garbage collector each time.
    """
    if url.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(url.removeprefix("unix://"))
            except OSError as error:
                raise EngineSilentError(url, error.strerror or error) from error


def _options(url: str | None) -> dict[str, Any]:
    options = dict(docker.utils.kwargs_from_env())
    if url is not None:
        options["base_url"] = url
    return options
