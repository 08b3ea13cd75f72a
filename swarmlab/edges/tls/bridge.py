"""A way to a manager over this program's TLS, for what gRPC's own does not take."""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import grpc

_PIECE_BYTES = 64 * 1024


class Bridge:
    """A socket of this user alone, each of whose connections goes on to host:port over TLS.

    As a context: entered, channels may be made; left, every connection is closed.

    Args:
        address: host:port of the manager.
        context: Gives the context for a connection that begins now.
        server_name: The name in the manager's certificate; empty where nothing is verified.
    """

    def __init__(self, address: str, context: Callable[[], ssl.SSLContext], server_name: str = "") -> None:
        self._address = address
        self._context = context
        self._server_name = server_name
        self._folder: TemporaryDirectory[str] | None = None
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._folder = TemporaryDirectory(prefix="swarmlab-bridge-")
        self._server = await asyncio.start_unix_server(self._carry, self._path)
        return self

    async def __aexit__(self, *failure: object) -> None:
        assert self._server is not None, "the bridge was not opened"
        assert self._folder is not None, "the bridge was not opened"
        self._server.close()
        carrying = tuple(self._open)
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)
        self._folder.cleanup()

    @property
    def _path(self) -> Path:
        assert self._folder is not None, "the bridge was not opened"
        return Path(self._folder.name) / "bridge.sock"

    def channel(self, authority: str, options: Sequence[tuple[str, int | str]] = ()) -> grpc.aio.Channel:
        """A channel to the manager, by the name that calls bear."""
        own = (("grpc.default_authority", authority), ("grpc.use_local_subchannel_pool", 1))
        return grpc.aio.insecure_channel(f"unix:{self._path}", options=(*own, *options))

    async def _carry(self, inner: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        host, _, port = self._address.rpartition(":")
        try:
            outer, requests = await asyncio.open_connection(
                host.strip("[]"), int(port), ssl=self._context(), server_hostname=self._server_name
            )
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(inner, requests))
                group.create_task(_pump(outer, answers))
        except (OSError, ValueError):
            # gRPC tells its caller that the connection ended.
            pass
        except asyncio.CancelledError:
            # Only our own end cancels; the server's callback must not take it for a failure.
            if self._server is not None and self._server.is_serving():
                raise
        finally:
            self._open.discard(task)
            answers.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_PIECE_BYTES):
            writer.write(data)
            await writer.drain()
    except OSError:
        # Whoever called hears of it as the end of the connection.
        pass
    finally:
        writer.close()
