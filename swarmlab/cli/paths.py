"""Where the control socket is."""

import os
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
