"""The proposer of a single manager: what is on the disk is committed."""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NamedTuple

from swarmlab.api import ProposalDropped, ProposalUnknown
from swarmlab.edges.disk.directory import Claim, make_directory
from swarmlab.edges.disk.log import EntryLog
from swarmlab.edges.disk.seal import PLAIN, Seal
from swarmlab.store import Entry

#: Largest entry: SwarmKit's limit of a transaction.
MAX_ENTRY_BYTES = 3 << 19

#: Entries after which a new snapshot takes their place.
SNAPSHOT_EVERY = 10_000
_REMEDY = "nothing is written any more; set it right and start again"


class _Waiting(NamedTuple):
    entry: Entry
    done: Callable[[Exception | None], None]


class DiskProposer:
    """Commits entries by writing them to `directory`, which is made where it is missing and used by one process alone.

    A thread of its own writes and waits for the disk. Entries that come while it does are written together next, so
    many in flight cost little more than one. A write that fails is the last one: entries in it may have been written,
    those after it were not; the next start finds out.

    Args:
        directory: Where to keep the log.
        call_soon: Has a function called on the store's thread, from another one: `loop.call_soon_threadsafe`.
        seal: What payloads look like on the disk.
        snapshot_every: After how many entries a snapshot takes their place. Commits wait while it is written.

    Raises:
        StateError: The directory is in use, not writable, damaged, or of a later version.
    """

    def __init__(
        self,
        directory: Path | str,
        call_soon: Callable[[Callable[[], None]], object],
        *,
        seal: Seal = PLAIN,
        snapshot_every: int = SNAPSHOT_EVERY,
        failed: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        self.max_entry_bytes: int | None = MAX_ENTRY_BYTES
        self._directory = Path(directory)
        self._call_soon = call_soon
        #: Hears, by way of `call_soon`, of the failure after which nothing more is written.
        self._failed = failed
        self._snapshot_every = snapshot_every
        make_directory(self._directory)
        self._claim = Claim(self._directory / "lock")
        try:
            self._log = EntryLog(self._directory / "manager.db", seal)
            try:
                #: What was committed when this process began.
                self.snapshot = self._log.load()
            except BaseException:
                self._log.close()
                raise
        except BaseException:
            self._claim.release()
            raise
        #: Times that the disk was waited for, and entries written by that.
        self.writes = self.written = 0
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="swarmlab-disk", daemon=True)
        self._thread.start()

    def propose(self, entry: Entry, done: Callable[[Exception | None], None]) -> None:
        """Write `entry`, then have `done` called by way of `call_soon`."""
        if self._closed:
            done(ProposalDropped(f"{self._directory} is closed"))
        else:
            self._queue.put(_Waiting(entry, done))

    def close(self) -> None:
        """Write what was proposed so far, and let go of the directory."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._thread.join()
        self._log.close()
        self._claim.release()

    def _run(self) -> None:
        failure: Exception | None = None
        while batch := self._next():
            if failure is not None:
                self._answer(batch, ProposalDropped(f"{self._directory} failed before: {failure}; {_REMEDY}"))
                continue
            failure = self._write(batch)
            if failure is not None:
                self._call_soon(partial(self._failed, failure))

    def _next(self) -> list[_Waiting]:
        """All that waits, as soon as something does; nothing at the end."""
        first = self._queue.get()
        if first is None:
            return []
        batch = [first]
        try:
            while (waiting := self._queue.get_nowait()) is not None:
                batch.append(waiting)
            self._queue.put(None)  # The end is seen again, after this batch.
        except Empty:
            pass
        return batch

    def _write(self, batch: Sequence[_Waiting]) -> Exception | None:
        """Write and answer; a failure that makes this the last write."""
        try:
            self._log.append([waiting.entry for waiting in batch])
        except Exception as error:
            unknown = ProposalUnknown(f"{self._directory} could not be written: {error}")
            unknown.__cause__ = error
            self._answer(batch, unknown)
            return error
        self.writes += 1
        self.written += len(batch)
        self._answer(batch, None)
        view = batch[-1].entry.view
        if view.version - self._log.base >= self._snapshot_every:
            try:
                self._log.rebase(view)
            except Exception as error:
                return error
        return None

    def _answer(self, batch: Sequence[_Waiting], error: Exception | None) -> None:
        self._call_soon(partial(_answer_all, batch, error))


def _answer_all(batch: Sequence[_Waiting], error: Exception | None) -> None:
    for waiting in batch:
        waiting.done(error)
