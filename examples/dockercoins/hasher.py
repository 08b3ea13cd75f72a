"""Hashes: POST / gives the SHA-256 of the body, in hexadecimal digits."""

import hashlib
import os

from peers import Handler, delay, port, serve

MOST_BYTES = 1 << 20


class Hasher(Handler):
    """GET / says who it is, POST / hashes."""

    def do_GET(self) -> None:  # noqa: N802 - so http.server calls it
        """Answer."""
        self.give(f"hasher on {os.uname().nodename}\n".encode(), "text/plain")

    def do_POST(self) -> None:  # noqa: N802 - so http.server calls it
        """Answer."""
        length = int(self.headers.get("Content-Length", "0"))
        if length > MOST_BYTES:
            self.close_connection = True
            self.give(f"wanted: at most {MOST_BYTES} bytes\n".encode(), "text/plain", 413)
            return
        delay()
        self.give(hashlib.sha256(self.rfile.read(length)).hexdigest().encode(), "text/plain")


if __name__ == "__main__":
    serve("hasher", port(8002), Hasher)
