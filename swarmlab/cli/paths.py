"""Where the control socket is, and the private directory around it."""

import os
import stat
from pathlib import Path

from swarmlab.cli.exits import StateUnusable

#: Longest path of a unix socket in bytes, without the closing zero (`sockaddr_un.sun_path` of Linux).
SOCKET_PATH_BYTES = 107
_SOCKET_NAME = "control.sock"


def socket_path(chosen: str | None = None) -> Path:
    """The control socket: `chosen`, else $SWARMLAB_SOCKET, else `control.sock` in the user's runtime directory."""
    named = chosen or os.environ.get("SWARMLAB_SOCKET")
    path = Path(named).absolute() if named else runtime_directory() / _SOCKET_NAME
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES:
        raise StateUnusable(
            f"the socket path {path} has {len(os.fsencode(path))} bytes, and at most {SOCKET_PATH_BYTES} are possible; "
            "choose a shorter one with --socket"
        )
    return path


def runtime_directory() -> Path:
    """`$XDG_RUNTIME_DIR/swarmlab`, else `~/.swarmlab/run`; not made here."""
    given = os.environ.get("XDG_RUNTIME_DIR")
    return Path(given) / "swarmlab" if given else Path.home() / ".swarmlab" / "run"


def private_directory(path: Path) -> None:
    """Make `path`, for this user alone (0700); refuse one that belongs to others or is open to them."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.stat()
    except OSError as error:
        raise StateUnusable(f"the directory {path} cannot be made: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise StateUnusable(f"{path} is not a directory")
    if found.st_uid != os.getuid():
        raise StateUnusable(f"the directory {path} belongs to user {found.st_uid}, not to {os.getuid()}")
    if found.st_mode & 0o077:
        raise StateUnusable(
            f"the directory {path} has mode {stat.S_IMODE(found.st_mode):04o} and is open to others, wanted: 0700; "
            f"chmod 700 {path}, or choose another socket with --socket"
        )
