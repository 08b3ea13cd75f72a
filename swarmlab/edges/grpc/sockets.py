"""Where a control socket may lie: a path that fits, in a directory that is ours, not held by a living process."""

import os
import socket
import stat
from pathlib import Path
from urllib.parse import quote

from swarmlab.api import StateError

#: Bytes of a path that `sockaddr_un` holds on Linux, less the closing NUL.
MAX_PATH_BYTES = 107


def address(path: Path) -> str:
    """The target by which gRPC knows a unix socket; it reads percent signs as escapes."""
    return f"unix:{quote(str(path.absolute()))}"


def check_length(path: Path) -> None:
    """The path fits into a socket address.

    Raises:
        StateError: It does not.
    """
    length = len(os.fsencode(path.absolute()))
    if length > MAX_PATH_BYTES:
        raise StateError(
            f"socket {path}: the path is {length} bytes long, wanted: at most {MAX_PATH_BYTES}; choose a shorter one"
        )


def is_alive(path: Path) -> bool:
    """Whether somebody answers at that socket.

    Raises:
        StateError: Something lies there that is not a socket, or we may not look.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            if not stat.S_ISSOCK(path.lstat().st_mode):
                raise StateError(f"socket {path}: there is something else at that path, wanted: a socket or nothing")
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except BlockingIOError:
            return True  # its queue of connections is full
        except OSError as error:
            raise StateError(f"socket {path}: {error.strerror}") from error
    return True


def prepare(path: Path) -> None:
    """Make the way free for a server: the directory exists with mode 0700, and no socket of a dead process lies there.

    Raises:
        StateError: The path is too long, the directory is not ours alone to write, or another server answers there.
    """
    check_length(path)
    folder = path.absolute().parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        raise StateError(f"socket directory {folder}: {error.strerror}") from error
    if status.st_uid not in (os.geteuid(), 0):
        raise StateError(f"socket directory {folder}: it belongs to user {status.st_uid}, wanted: user {os.geteuid()}")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StateError(
            f"socket directory {folder}: mode {stat.S_IMODE(status.st_mode):04o} lets others write there, wanted: 0700"
        )
    if is_alive(path):
        raise StateError(f"socket {path}: another server answers there; stop it or choose another path")
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StateError(f"socket {path}: {error.strerror}") from error


def remove(path: Path, inode: int) -> None:
    """Take away the socket, if it is still the one of that inode."""
    try:
        if path.lstat().st_ino == inode:
            path.unlink()
    except FileNotFoundError:
        pass
