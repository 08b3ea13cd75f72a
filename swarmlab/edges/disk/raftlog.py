"""The disk of a replicated manager: hard state, log and snapshot in one file, with one thread that writes."""

import sqlite3
import struct
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NamedTuple

from swarmlab.api import NodeId, StateError
from swarmlab.edges.disk.database import open_database, reported, transaction
from swarmlab.edges.disk.directory import Claim, make_directory
from swarmlab.edges.disk.seal import PLAIN, Payloads, Seal
from swarmlab.node import Image, RaftMember, Recovered, Write, assembled
from swarmlab.node.consensus import Done
from swarmlab.node.image import check_entries
from swarmlab.raft import EntryKind, HardState, LogEntry, RaftId

FILE = "raft.db"
#: "sraf" in ASCII.
_APPLICATION = 0x73726166
_SCHEMA = 1
_TABLES = (
    "CREATE TABLE member (name TEXT PRIMARY KEY, raft_id INTEGER NOT NULL, node_id TEXT NOT NULL,"
    " addr TEXT NOT NULL) STRICT",
    "CREATE TABLE state (name TEXT PRIMARY KEY, term INTEGER NOT NULL, vote INTEGER NOT NULL,"
    " committed INTEGER NOT NULL) STRICT",
    # The row of name 'snapshot' says which generation of parts is the snapshot, and how many there are.
    "CREATE TABLE base (name TEXT PRIMARY KEY, generation INTEGER NOT NULL, parts INTEGER NOT NULL,"
    " place INTEGER NOT NULL) STRICT",
    "CREATE TABLE snapshot (generation INTEGER NOT NULL, part INTEGER NOT NULL, payload BLOB NOT NULL,"
    " checksum INTEGER NOT NULL, PRIMARY KEY (generation, part)) STRICT",
    "CREATE TABLE log (place INTEGER PRIMARY KEY, payload BLOB NOT NULL, checksum INTEGER NOT NULL) STRICT",
)
#: Index, term and kind of an entry, before its data; sealed with it, so that no entry can stand in another's place.
_HEAD = struct.Struct(">QQB")
#: Rows that are sealed anew in one transaction.
_RESEALED = 200


class _Writing(NamedTuple):
    write: Write
    done: Done


class _Saving(NamedTuple):
    image: Image
    done: Done


class _Resealing(NamedTuple):
    done: Done


_Job = _Writing | _Saving | _Resealing


class _Progress:
    """A snapshot that is being written between other writes."""

    def __init__(self, job: _Saving, generation: int) -> None:
        self.job = job
        self.generation = generation
        self.rest = job.image.parts()
        #: Parts that are written.
        self.parts = 0


class RaftLog:
    """A `RaftDisk` in `directory`, which is made where it is missing and used by one process alone.

    All writes that wait are made durable by one transaction. A snapshot is written in parts between them, under a
    number of its own; the last part makes it the snapshot, and the entries that it covers go. A write that fails is the
    last one: what it held may be there or not, and the next start finds out.

    Args:
        directory: Where the file lies.
        call_soon: Has a function called on the replica's thread, from another one: `loop.call_soon_threadsafe`.
        seal: What payloads look like on the disk.

    Raises:
        StateError: The directory is in use, not writable, damaged, sealed otherwise, or of a later version.
    """

    def __init__(
        self, directory: Path | str, call_soon: Callable[[Callable[[], None]], object], *, seal: Seal = PLAIN
    ) -> None:
        self._directory = Path(directory)
        self._path = self._directory / FILE
        self._call_soon = call_soon
        self._payloads = Payloads(self._path, seal)
        make_directory(self._directory)
        self._claim = Claim(self._directory / "lock")
        try:
            self._connection = open_database(self._path, _APPLICATION, _SCHEMA, _TABLES)
            try:
                #: What an earlier process left; None in a new directory, where `begin` comes first.
                self.recovered: Recovered | None = self._load()
            except BaseException:
                self._connection.close()
                raise
        except BaseException:
            self._claim.release()
            raise
        #: Times that the disk was waited for, and writes that were given.
        self.syncs = self.writes = 0
        self._saving: _Progress | None = None
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="swarmlab-raft-disk", daemon=True)
        self._thread.start()

    def begin(self, recovered: Recovered) -> None:
        """Put this in place of all that is there; durable when it returns. Before any `write`.

        Raises:
            StateError: The disk is full, or fails; all is as before.
        """
        with reported(self._path), transaction(self._connection):
            self._connection.execute(
                "INSERT OR REPLACE INTO member VALUES ('self', ?, ?, ?)",
                (recovered.member.raft_id, recovered.member.node_id, recovered.member.addr),
            )
            self._put(Write(recovered.hard_state, recovered.entries, recovered.image))
        self.recovered = recovered

    def write(self, write: Write, done: Done) -> None:
        """Make `write` durable, then have `done` called by way of `call_soon`."""
        self._ask(_Writing(write, done))

    def save(self, image: Image, done: Done) -> None:
        """Write a snapshot between other writes, then drop what it covers and have `done` called."""
        self._ask(_Saving(image, done))

    def reseal(self, done: Done) -> None:
        """Seal anew all that is there, so that no earlier key is needed any more, then have `done` called."""
        self._ask(_Resealing(done))

    def close(self) -> None:
        """Write what was given so far, and let go of the directory. A snapshot that is not whole yet is given up."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._thread.join()
        self._connection.close()
        self._claim.release()

    def _ask(self, job: _Job) -> None:
        if self._closed:
            job.done(StateError(f"{self._path} is closed"))
        else:
            self._queue.put(job)

    # The thread that writes

    def _run(self) -> None:
        failure: Exception | None = None
        ended = False
        while not ended:
            jobs, ended = self._next()
            if failure is None:
                try:
                    answers = self._do(jobs, ended=ended)
                except Exception as error:
                    failure = self._worded(error)
                    if self._saving is not None:
                        jobs = [*jobs, self._saving.job]
                        self._saving = None
            if failure is not None:
                answers = [partial(job.done, failure) for job in jobs]
            if answers:
                self._call_soon(partial(_call_all, answers))

    def _next(self) -> tuple[list[_Job], bool]:
        """All that waits, and whether the end has come; without a snapshot to go on with, as soon as there is any."""
        jobs: list[_Job] = []
        try:
            job = self._queue.get(block=self._saving is None)
            while job is not None:
                jobs.append(job)
                job = self._queue.get_nowait()
        except Empty:
            return jobs, False
        return jobs, True

    def _do(self, jobs: Sequence[_Job], *, ended: bool) -> list[Callable[[], None]]:
        """Do these jobs and a piece of the snapshot under way; what to call when that is durable."""
        answers: list[Callable[[], None]] = []
        with transaction(self._connection):
            for job in jobs:
                if isinstance(job, _Writing):
                    answers += self._put(job.write)
                    answers.append(partial(job.done, None))
                elif isinstance(job, _Saving):
                    assert self._saving is None, "one snapshot at a time"
                    self._saving = _Progress(job, self._generation() + 1)
            if self._saving is not None and not ended:
                answers += self._go_on(self._saving)
        self.syncs += 1
        self.writes += sum(isinstance(job, _Writing) for job in jobs)
        for job in jobs:
            if isinstance(job, _Resealing):
                self._reseal_all()
                answers.append(partial(job.done, None))
        return answers

    def _put(self, write: Write) -> list[Callable[[], None]]:
        """Write it into the open transaction; what to tell the owner of a snapshot that is of no use any more."""
        execute = self._connection.execute
        given_up: list[Callable[[], None]] = []
        if write.image is not None:
            if self._saving is not None:
                given_up.append(partial(self._saving.job.done, None))
                self._saving = None
            generation = self._generation() + 1
            parts = 0
            for part in write.image.parts():
                self._put_part(generation, parts, part)
                parts += 1
            self._rebase(generation, parts, write.image)
            execute("DELETE FROM log")
        if write.hard_state is not None:
            state = write.hard_state
            execute("INSERT OR REPLACE INTO state VALUES ('hard', ?, ?, ?)", (state.term, state.vote, state.commit))
        if write.entries:
            execute("DELETE FROM log WHERE place >= ?", (write.entries[0].index,))
            self._connection.executemany("INSERT INTO log VALUES (?, ?, ?)", map(self._row, write.entries))
        return given_up

    def _go_on(self, saving: _Progress) -> list[Callable[[], None]]:
        """Write the next part; after the last one, what to call."""
        part = next(saving.rest, None)
        if part is not None:
            self._put_part(saving.generation, saving.parts, part)
            saving.parts += 1
            return []
        image = saving.job.image
        self._rebase(saving.generation, saving.parts, image)
        self._connection.execute("DELETE FROM log WHERE place <= ?", (image.meta.index,))
        self._saving = None
        return [partial(saving.job.done, None)]

    def _rebase(self, generation: int, parts: int, image: Image) -> None:
        execute = self._connection.execute
        place = image.meta.index
        execute("INSERT OR REPLACE INTO base VALUES ('snapshot', ?, ?, ?)", (generation, parts, place))
        execute("DELETE FROM snapshot WHERE generation != ?", (generation,))

    def _put_part(self, generation: int, part: int, payload: bytes) -> None:
        self._connection.execute(
            "INSERT INTO snapshot VALUES (?, ?, ?, ?)", (generation, part, *self._payloads.row(payload))
        )

    def _generation(self) -> int:
        """The highest number that parts of a snapshot have."""
        (number,) = self._connection.execute("SELECT coalesce(max(generation), 0) FROM snapshot").fetchone()
        return int(number)

    def _reseal_all(self) -> None:
        """Seal row after row anew, then write the file anew, so that nothing of the old rows is left in it."""
        for table, key in (("snapshot", "rowid"), ("log", "place")):
            last = -1
            while rows := self._connection.execute(
                f"SELECT {key}, payload, checksum FROM {table} WHERE {key} > ? ORDER BY {key} LIMIT {_RESEALED}",  # noqa: S608  # names of ours
                (last,),
            ).fetchall():
                anew = [
                    (*self._payloads.row(self._payloads.opened(f"{table} {place}", *row)), place)
                    for place, *row in rows
                ]
                with transaction(self._connection):
                    self._connection.executemany(
                        f"UPDATE {table} SET payload = ?, checksum = ? WHERE {key} = ?",  # noqa: S608  # names of ours
                        anew,
                    )
                last = rows[-1][0]
        self._connection.execute("VACUUM")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _worded(self, error: Exception) -> Exception:
        if not isinstance(error, sqlite3.Error):
            return error
        worded = StateError(f"{self._path} could not be written: {error}; nothing is written any more")
        worded.__cause__ = error
        return worded

    # Rows

    def _row(self, entry: LogEntry) -> tuple[int, bytes, int]:
        return entry.index, *self._payloads.row(_HEAD.pack(entry.index, entry.term, entry.kind) + entry.data)

    def _load(self) -> Recovered | None:
        execute = self._connection.execute
        with reported(self._path):
            member = execute("SELECT raft_id, node_id, addr FROM member WHERE name = 'self'").fetchone()
            state = execute("SELECT term, vote, committed FROM state WHERE name = 'hard'").fetchone()
            base = execute("SELECT generation, parts FROM base WHERE name = 'snapshot'").fetchone()
            if member is None:
                return None
            generation, parts = base or (0, 0)
            # What a snapshot left that was never finished.
            execute("DELETE FROM snapshot WHERE generation != ?", (generation,))
            chunks = execute("SELECT part, payload, checksum FROM snapshot ORDER BY part").fetchall()
            rows = execute("SELECT place, payload, checksum FROM log ORDER BY place").fetchall()
        if base is None or state is None or len(chunks) != parts:
            raise StateError(f"{self._path} is damaged: its snapshot has {len(chunks)} parts of {parts}")
        try:
            image = assembled(self._payloads.opened(f"part {part} of the snapshot", *row) for part, *row in chunks)
            entries = tuple(self._entry(place, *row) for place, *row in rows)
            check_entries(image, entries)
        except StateError as error:
            raise StateError(str(error) if str(self._path) in str(error) else f"{self._path}: {error}") from error
        term, vote, committed = state
        raft_id, node_id, addr = member
        hard_state = HardState(term, RaftId(vote), max(committed, image.meta.index))
        return Recovered(RaftMember(RaftId(raft_id), NodeId(node_id), addr), image, hard_state, entries)

    def _entry(self, place: int, sealed: bytes, checksum: int) -> LogEntry:
        payload = self._payloads.opened(f"log entry {place}", sealed, checksum)
        try:
            index, term, kind = _HEAD.unpack_from(payload)
            entry = LogEntry(index, term, EntryKind(kind), payload[_HEAD.size :])
        except (struct.error, ValueError) as error:
            raise StateError(f"{self._path} is damaged: log entry {place}: {error}") from error
        if entry.index != place:
            raise StateError(f"{self._path} is damaged: log entry {entry.index} stands in the place of {place}")
        return entry


def _call_all(answers: Sequence[Callable[[], None]]) -> None:
    for answer in answers:
        answer()
