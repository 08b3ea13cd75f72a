"""How the services find, ask and serve each other."""

import http.client
import os
import signal
import socket
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

#: A peer that was not there is asked again after so long.
RETRY_SECONDS = 0.5
TIMEOUT_SECONDS = 5.0


def port(usual: int) -> int:
    """Where to listen: $PORT, which the process executor sets for a published port; else the usual one."""
    return int(os.environ.get("PORT", usual))


def addresses(name: str, usual: str) -> list[tuple[str, int]]:
    """Where a peer may be: $NAME holds `host:port` words, the first that answers is taken.

    There are two, as a rule, because plain processes find each other at 127.0.0.1, and containers at their host.
    """
    words = os.environ.get(name, usual).split()
    return [(host, int(number)) for host, _, number in (word.rpartition(":") for word in words)]


def delay() -> None:
    """Work takes time: $DELAY_MS, a tenth of a second unless told otherwise."""
    time.sleep(int(os.environ.get("DELAY_MS", "100")) / 1000)


def connect(places: list[tuple[str, int]]) -> socket.socket:
    """A connection to the first place that answers; OSError where none does."""
    trouble: OSError | None = None
    for place in places:
        try:
            return socket.create_connection(place, timeout=TIMEOUT_SECONDS)
        except OSError as error:
            trouble = error
    raise trouble or OSError("no address given")


class Peer:
    """An HTTP service of ours, over one connection that is kept as long as it holds."""

    def __init__(self, name: str, usual: str) -> None:
        self._places = addresses(name, usual)
        self._connection: http.client.HTTPConnection | None = None

    def ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """The body of the answer; OSError where there is none."""
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection("peer")
                self._connection.sock = connect(self._places)
            self._connection.request(method, path, body)
            answer = self._connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise OSError(str(error) or type(error).__name__) from error
        if answer.status != 200:
            raise OSError(f"{method} {path}: {answer.status} {answer.reason}")
        return data

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Store:
    """The store, by the part of the redis protocol that is used here."""

    def __init__(self) -> None:
        self._places = addresses("REDIS", "127.0.0.1:8003 host.docker.internal:8003")
        self._socket: socket.socket | None = None
        self._file = None

    def do(self, *words: bytes | str | int) -> int | bytes | None:
        """The answer to one command; OSError where there is none, or an error."""
        encoded = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        request = b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded)
        try:
            if self._socket is None:
                self._socket = connect(self._places)
                self._file = self._socket.makefile("rb")
            self._socket.sendall(request)
            return self._answer()
        except (OSError, ValueError) as error:
            self.close()
            raise OSError(str(error)) from error

    def close(self) -> None:
        """Let go of the connection."""
        if self._socket is not None:
            self._file.close()
            self._socket.close()
            self._socket = None

    def _answer(self) -> int | bytes | None:
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise OSError("the store hung up")
        kind, rest = line[:1], line[1:-2]
        if kind == b":":
            return int(rest)
        if kind == b"+":
            return rest
        if kind == b"$":
            return None if rest == b"-1" else self._file.read(int(rest) + 2)[:-2]
        raise OSError(f"the store said {line!r}")


class Handler(BaseHTTPRequestHandler):
    """A handler that keeps connections and does not log each request."""

    protocol_version = "HTTP/1.1"

    def give(self, body: bytes, kind: str = "application/octet-stream", status: int = 200) -> None:
        """Send the answer."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing of requests that went well."""


def serve(name: str, number: int, handler: type[Handler]) -> None:
    """Serve until the stop signal."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("", number), handler) as server:
        say(f"{name} listens on {number}")
        end_on_signal()
        server.serve_forever()


def end_on_signal() -> None:
    """End well on SIGTERM, which the first process of a container would not hear otherwise.

    At once, without the interpreter's own end: threads that wait in a read for a client make that end abort now and
    then, and an abort of a container's first process shows as a crash, with exit code 139.
    """
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))


def say(text: str) -> None:
    """A line for the service's log."""
    print(text, flush=True)  # noqa: T201 - that is what its log is


def patiently(step: Callable[[], None]) -> None:
    """Do `step` for ever; where a peer is missing, say so once and wait for it."""
    missing = ""
    while True:
        try:
            step()
        except OSError as error:
            if str(error) != missing:
                missing = str(error)
                say(f"waiting: {missing}")
            time.sleep(RETRY_SECONDS)
        else:
            missing = ""
