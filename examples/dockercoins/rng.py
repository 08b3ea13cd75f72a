"""Random bytes: GET /N gives N of them."""

import os

from peers import Handler, delay, port, serve

MOST = 4096


class Rng(Handler):
    """GET / says who it is, GET /N gives N random bytes."""

    def do_GET(self) -> None:  # noqa: N802 - so http.server calls it
        """Answer."""
        word = self.path.strip("/")
        if not word:
            self.give(f"rng on {os.uname().nodename}\n".encode(), "text/plain")
        elif word.isdecimal() and int(word) <= MOST:
            delay()
            self.give(os.urandom(int(word)))
        else:
            self.give(f"wanted: a number up to {MOST}\n".encode(), "text/plain", 400)


if __name__ == "__main__":
    serve("rng", port(8001), Rng)
