"""The store. A real redis-server where one is installed, else the part of its protocol that is used here.

REDIS_SERVER names the program to run, `redis-server` as a rule; empty: always the stand-in.
"""

import os
import shutil
import socketserver
import sys
import threading
import time
from typing import BinaryIO

from peers import end_on_signal, port, say

MOST_BYTES = 1 << 20


class WrongCommand(Exception):
    """A command that cannot be done; the connection stays."""


class Data:
    """What is stored: counters, texts and hashes. In memory; a store that is moved starts empty."""

    def __init__(self) -> None:
        self._texts: dict[bytes, bytes] = {}
        self._hashes: dict[bytes, dict[bytes, bytes]] = {}
        self._lock = threading.Lock()

    def do(self, words: list[bytes]) -> bytes:
        """The encoded answer to one command."""
        name = words[0].decode(errors="replace").upper()
        command = getattr(self, f"do_{name.lower()}", None)
        if command is None:
            raise WrongCommand(f"unknown command '{name}'")
        try:
            with self._lock:
                return command(*words[1:])
        except TypeError:
            raise WrongCommand(f"wrong number of arguments for '{name}'") from None

    def do_ping(self, text: bytes = b"") -> bytes:
        return _bulk(text) if text else b"+PONG\r\n"

    def do_select(self, _: bytes) -> bytes:
        return b"+OK\r\n"

    def do_time(self) -> bytes:
        seconds, micros = divmod(time.time_ns() // 1000, 1_000_000)
        return b"*2\r\n" + _bulk(b"%d" % seconds) + _bulk(b"%d" % micros)

    def do_set(self, key: bytes, value: bytes) -> bytes:
        self._texts[key] = value
        return b"+OK\r\n"

    def do_get(self, key: bytes) -> bytes:
        return _bulk(self._texts.get(key))

    def do_incr(self, key: bytes) -> bytes:
        return self.do_incrby(key, b"1")

    def do_incrby(self, key: bytes, by: bytes) -> bytes:
        try:
            value = int(self._texts.get(key, b"0")) + int(by)
        except ValueError:
            raise WrongCommand("value is not an integer or out of range") from None
        self._texts[key] = b"%d" % value
        return b":%d\r\n" % value

    def do_hset(self, key: bytes, *pairs: bytes) -> bytes:
        if not pairs or len(pairs) % 2:
            raise TypeError
        found = self._hashes.setdefault(key, {})
        before = len(found)
        found.update(zip(pairs[::2], pairs[1::2], strict=True))
        return b":%d\r\n" % (len(found) - before)

    def do_hget(self, key: bytes, field: bytes) -> bytes:
        return _bulk(self._hashes.get(key, {}).get(field))

    def do_hlen(self, key: bytes) -> bytes:
        return b":%d\r\n" % len(self._hashes.get(key, {}))

    def do_del(self, *keys: bytes) -> bytes:
        kinds: tuple[dict[bytes, object], ...] = (self._texts, self._hashes)
        gone = [kind.pop(key) for key in keys for kind in kinds if key in kind]
        return b":%d\r\n" % len(gone)


def _bulk(value: bytes | None) -> bytes:
    return b"$-1\r\n" if value is None else b"$%d\r\n%b\r\n" % (len(value), value)


def read_command(file: BinaryIO) -> list[bytes]:
    """The words of the next command, as an array or a plain line; none at the end. WrongCommand for anything else."""
    line = file.readline(MOST_BYTES)
    if not line.startswith(b"*"):
        return line.split()
    words = []
    for _ in range(_count(line[1:])):
        head = file.readline(64)
        if not head.startswith(b"$"):
            raise WrongCommand(f"Protocol error: expected '$', got {head[:1].decode(errors='replace')!r}")
        length = _count(head[1:])
        words.append(file.read(length + 2)[:-2])
    return words


def _count(text: bytes) -> int:
    number = text.strip()
    if not number.isdigit() or int(number) > MOST_BYTES:
        raise WrongCommand("Protocol error: invalid length")
    return int(number)


class Connection(socketserver.StreamRequestHandler):
    """One client."""

    data = Data()

    def handle(self) -> None:
        """Answer until it hangs up."""
        while True:
            try:
                words = read_command(self.rfile)
            except WrongCommand as error:
                self.wfile.write(f"-ERR {error}\r\n".encode())
                return
            if not words or words[0].upper() == b"QUIT":
                return
            try:
                self.wfile.write(self.data.do(words))
            except WrongCommand as error:
                self.wfile.write(f"-ERR {error}\r\n".encode())


def main() -> None:
    """Serve until the stop signal."""
    number = port(8003)
    name = os.environ.get("REDIS_SERVER", "redis-server")
    program = shutil.which(name) if name else None
    if program is not None:
        options = {"port": str(number), "bind": "*", "protected-mode": "no", "save": "", "appendonly": "no"}
        words = [word for option, value in options.items() for word in (f"--{option}", value)]
        os.execv(program, [program, *words])  # noqa: S606 - it takes the place of this process

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("", number), Connection) as server:
        say(f"redis stand-in listens on {number}")
        end_on_signal()
        server.serve_forever()


if __name__ == "__main__":
    sys.exit(main())
