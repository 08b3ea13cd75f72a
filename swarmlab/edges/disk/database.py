"""One SQLite file, as we want it: ours, of a schema that we know, safe against a kill at any moment."""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

from swarmlab.api import StateError
from swarmlab.edges.disk.directory import sync_directory


@contextmanager
def reported(path: Path) -> Iterator[None]:
    """Turn what SQLite says into what a user can act on.

    Raises:
        StateError: The file is damaged, or cannot be used.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StateError(f"{path} cannot be used: {error}") from error
    except sqlite3.Error as error:
        raise StateError(f"{path} is damaged: {error}") from error


def open_database(path: Path, application: int, schema: int, tables: Sequence[str]) -> sqlite3.Connection:
    """A connection in autocommit mode to the file, which is made with `tables` where there is none.

    Each commit is on the disk when it returns. `application` and `schema` are numbers kept in the file: what it is for,
    and its form.

    Raises:
        StateError: The file is not ours, of a later schema, damaged, or cannot be used.
    """
    try:
        # SQLite gives its journal files the permissions of the database.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StateError(f"{path} cannot be written: {error.strerror}") from error
    with reported(path):
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=1)
    try:
        with reported(path):
            _prepare(connection, path, application, schema, tables)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, application: int, schema: int, tables: Sequence[str]) -> None:
    (found_application,) = connection.execute("PRAGMA application_id").fetchone()
    (found_schema,) = connection.execute("PRAGMA user_version").fetchone()
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    new = not (objects or found_application or found_schema)
    if not new and found_application != application:
        raise StateError(f"{path} is a database of another program")
    if found_schema > schema:
        raise StateError(
            f"{path} was written by a later version: it has schema {found_schema}, this version reads up to {schema}"
        )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    if new:
        with transaction(connection):
            for table in tables:
                connection.execute(table)
            connection.execute(f"PRAGMA application_id = {application}")
            connection.execute(f"PRAGMA user_version = {schema}")
        sync_directory(path.parent)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All that is executed inside, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # Some failures have ended the transaction already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def checked(path: Path, what: str, payload: bytes, checksum: int) -> bytes:
    """The payload, when its checksum is right.

    Raises:
        StateError: It is not.
    """
    if not isinstance(payload, bytes) or crc32(payload) != checksum:
        raise StateError(f"{path} is damaged: {what} does not match its checksum")
    return payload
