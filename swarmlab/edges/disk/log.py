"""The manager's file: a snapshot of the store, and every entry after it."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from swarmlab.api import StateError
from swarmlab.edges.disk.database import open_database, reported, transaction
from swarmlab.edges.disk.seal import Payloads, Seal
from swarmlab.store import EMPTY, Entry, Snapshot, decode_chunks, encode_chunks, replayed

#: "slab" in ASCII.
_APPLICATION = 0x736C6162
_SCHEMA = 1
_TABLES = (
    # The row of name 'snapshot' holds the version and the number of parts of the snapshot.
    "CREATE TABLE base (name TEXT PRIMARY KEY, version INTEGER NOT NULL, parts INTEGER NOT NULL) STRICT",
    "CREATE TABLE snapshot (part INTEGER PRIMARY KEY, payload BLOB NOT NULL, checksum INTEGER NOT NULL) STRICT",
    "CREATE TABLE log (version INTEGER PRIMARY KEY, payload BLOB NOT NULL, checksum INTEGER NOT NULL) STRICT",
)


class EntryLog:
    """Entries of the store on the disk, each there for good once `append` has returned."""

    def __init__(self, path: Path, seal: Seal) -> None:
        self._path = path
        self._payloads = Payloads(self._path, seal)
        self._connection = open_database(path, _APPLICATION, _SCHEMA, _TABLES)
        #: Version of the snapshot; the log begins after it.
        self.base = 0

    def load(self) -> Snapshot:
        """What was committed.

        Raises:
            StateError: The file is damaged.
        """
        with reported(self._path):
            base = self._connection.execute("SELECT version, parts FROM base WHERE name = 'snapshot'").fetchone()
            chunks = self._connection.execute("SELECT part, payload, checksum FROM snapshot ORDER BY part").fetchall()
            entries = self._connection.execute("SELECT version, payload, checksum FROM log ORDER BY version").fetchall()
        self.base, parts = base or (0, 0)
        if len(chunks) != parts:
            raise StateError(f"{self._path} is damaged: its snapshot has {len(chunks)} parts of {parts}")
        try:
            snapshot = (
                decode_chunks(
                    self.base, [self._payloads.opened(f"part {part} of the snapshot", *row) for part, *row in chunks]
                )
                if base
                else EMPTY
            )
            for version, *row in entries:
                snapshot, _ = replayed(snapshot, self._payloads.opened(f"log entry {version}", *row))
        except StateError as error:
            raise StateError(str(error) if str(self._path) in str(error) else f"{self._path}: {error}") from error
        return snapshot

    def append(self, entries: Sequence[Entry]) -> None:
        """Write entries; all of them are there afterwards, or on failure none, as far as the disk can be trusted.

        Raises:
            sqlite3.Error: The disk is full, or fails.
        """
        rows = [(entry.version, *self._payloads.row(entry.data())) for entry in entries]
        with transaction(self._connection):
            self._connection.executemany("INSERT INTO log VALUES (?, ?, ?)", rows)

    def rebase(self, snapshot: Snapshot) -> None:
        """Let `snapshot` take the place of the older one and of the entries that led to it.

        Raises:
            sqlite3.Error: The disk is full, or fails; the file is as before.
        """
        with transaction(self._connection):
            self._connection.execute("DELETE FROM snapshot")
            parts = self._write(data for _, data in encode_chunks(snapshot))
            self._connection.execute("INSERT OR REPLACE INTO base VALUES ('snapshot', ?, ?)", (snapshot.version, parts))
            self._connection.execute("DELETE FROM log WHERE version <= ?", (snapshot.version,))
        self.base = snapshot.version

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _write(self, chunks: Iterable[bytes]) -> int:
        parts = 0
        for chunk in chunks:
            self._connection.execute("INSERT INTO snapshot VALUES (?, ?, ?)", (parts, *self._payloads.row(chunk)))
            parts += 1
        return parts
