"""Answers of an engine that come bit by bit: events, logs, progress. No thread each, and cancellation ends them."""

import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec

from swarmlab.api import ExecutorError
from swarmlab.edges.docker.errors import EngineRefusalError, EngineSilentError

#: To reach the engine at all.
CONNECT_SECONDS = 5.0


class Streams:
    """Streaming requests to the engine at `url`: unix:// or tcp://, with `tls` over TLS."""

    def __init__(self, url: str, tls: "ssl.SSLContext | None") -> None:
        self.url = url
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    @contextlib.asynccontextmanager
    async def open(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        idle_seconds: float | None = None,
    ) -> AsyncIterator[aiohttp.StreamReader]:
        """The body of the answer to a request. An engine that is silent, or not content, is an `ExecutorError`.

        With `idle_seconds` it is silent after so long without a byte, from the request on.
        """
        session, base = self._connected()
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=idle_seconds)
        try:
            async with session.request(method, base + path, params=params, headers=headers, timeout=timeout) as answer:
                if answer.status >= 400:
                    raise EngineRefusalError(_message(await answer.read()), answer.status)
                yield answer.content
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise EngineSilentError(self.url, error or type(error).__name__) from error

    async def close(self) -> None:
        """Let go of the connections. Again: nothing."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _connected(self) -> tuple[aiohttp.ClientSession, str]:
        parts = urlsplit(self.url)
        if parts.scheme == "unix":
            base = "http://engine"
        elif parts.scheme in ("tcp", "http", "https"):
            base = f"{'https' if self._tls is not None else 'http'}://{parts.netloc}"
        else:
            raise ExecutorError(f"engine {self.url}: wanted unix:// or tcp://")
        if self._session is None:
            connector = (
                aiohttp.UnixConnector(parts.path, limit=0)
                if parts.scheme == "unix"
                else aiohttp.TCPConnector(limit=0, ssl=self._tls or True)
            )
            self._session = aiohttp.ClientSession(connector=connector)
        return self._session, base


async def json_objects(body: aiohttp.StreamReader) -> AsyncIterator[dict[str, Any]]:
    """The JSON objects of a stream that holds one in each line, as engines write them."""
    waiting = b""
    async for chunk in body.iter_any():
        *lines, waiting = (waiting + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield msgspec.json.decode(line, type=dict[str, Any])
    if waiting.strip():
        yield msgspec.json.decode(waiting, type=dict[str, Any])


def _message(body: bytes) -> str:
    try:
        return str(msgspec.json.decode(body, type=dict[str, Any])["message"])
    except (msgspec.DecodeError, KeyError):
        return body.decode(errors="replace").strip()


def tls_context(certificates: Path, verify: bool) -> ssl.SSLContext:
    """The context of a client with the files that docker keeps in `certificates`."""
    context = ssl.create_default_context(cafile=str(certificates / "ca.pem") if verify else None)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(str(certificates / "cert.pem"), str(certificates / "key.pem"))
    return context
