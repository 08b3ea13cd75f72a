"""The miner: random bytes from rng, their hash from hasher; a hash that begins with 0 is a coin, kept in the store."""

import time

from peers import Peer, Store, end_on_signal, patiently, say

#: Between two lines in the log.
REPORT_SECONDS = 1.0


class Worker:
    """One miner, and what it has done."""

    def __init__(self) -> None:
        self._rng = Peer("RNG", "127.0.0.1:8001 host.docker.internal:8001")
        self._hasher = Peer("HASHER", "127.0.0.1:8002 host.docker.internal:8002")
        self._store = Store()
        self._hashes = 0
        self._reported_at = time.monotonic()

    def mine(self) -> None:
        """One try. OSError where a peer is missing."""
        data = self._rng.ask("GET", "/32")
        digest = self._hasher.ask("POST", "/", data)
        if digest.startswith(b"0"):
            self._store.do("HSET", "wallet", digest, data)
        self._store.do("INCRBY", "hashes", 1)
        self._hashes += 1
        since = time.monotonic() - self._reported_at
        if since >= REPORT_SECONDS:
            say(f"{self._hashes / since:.1f} hashes/s")
            self._hashes, self._reported_at = 0, time.monotonic()


if __name__ == "__main__":
    end_on_signal()
    patiently(Worker().mine)
