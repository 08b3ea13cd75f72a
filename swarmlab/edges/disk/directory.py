"""Directories that hold state, and the claim of one process on one."""

import fcntl
import os
from pathlib import Path

from swarmlab.api import StateError


def make_directory(path: Path) -> None:
    """Make `path` and what is missing above it, for its owner alone; a directory that exists is left as it is.

    Raises:
        StateError: It is no directory, or cannot be made.
    """
    try:
        if not path.exists():
            make_directory(path.parent)
            path.mkdir(mode=0o700, exist_ok=True)
        if not path.is_dir():
            raise StateError(f"{path} is not a directory")
    except OSError as error:
        raise StateError(f"{path} cannot be made: {error.strerror}") from error


def sync_directory(path: Path) -> None:
    """Make the names of new files as durable as the files."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def replace_file(path: Path, content: bytes) -> None:
    """Let `content` take the place of the file, for its owner alone: after a crash there is the one or the other.

    Raises:
        StateError: It cannot be written; the file is as before.
    """
    new = path.with_name(f"{path.name}.new")
    try:
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(file, 0o600)
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(file, rest) :]
            os.fsync(file)
        finally:
            os.close(file)
        new.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        raise StateError(f"{path} cannot be written: {error.strerror}") from error


class Claim:
    """A lock file that one process holds; it ends with the process, however that ends.

    Raises:
        StateError: Another process holds it, or the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateError(f"{path.parent} cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError:
            holder = os.pread(self._file, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._file)
            raise StateError(f"{path.parent} is in use by process {holder}") from None
        except OSError as error:
            os.close(self._file)
            raise StateError(f"{path.parent} cannot be locked: {error.strerror}") from error

    def release(self) -> None:
        """Let others claim it. The file stays, since removing it could part two claims."""
        # A program that is just being started still shares the file for a moment, so closing it alone is not enough.
        fcntl.flock(self._file, fcntl.LOCK_UN)
        os.close(self._file)
