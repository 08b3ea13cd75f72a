"""Where the control socket is, and the directory of this machine's node."""

import os
from pathlib import Path

from swarmlab.cli.exits import StateUnusable

#: Longest path of a unix socket in bytes, without the closing zero (`sockaddr_un.sun_path` of Linux).
SOCKET_PATH_BYTES = 107
_SOCKET_NAME = "control.sock"
#: The socket of a node process, in its state directory.
DAEMON_SOCKET = "swarmlab.sock"


def socket_path(chosen: str | None = None) -> Path:
    """The control socket: `chosen`, else $SWARMLAB_SOCKET, else `control.sock` in the user's runtime directory.

    Where that is not there, but the node process of this user has a socket, it is that one.
    """
    named = chosen or os.environ.get("SWARMLAB_SOCKET")
    path = Path(named).absolute() if named else runtime_directory() / _SOCKET_NAME
    if not named and not path.exists():
        daemon = state_directory() / DAEMON_SOCKET
        path = daemon if daemon.exists() else path
    return checked(path)


def daemon_socket(chosen: str | None, state_dir: str | None) -> Path:
    """The socket of a node process: `chosen`, else that in `state_dir`, $SWARMLAB_SOCKET, or the usual directory."""
    named = chosen or (None if state_dir else os.environ.get("SWARMLAB_SOCKET"))
    return checked(Path(named).absolute() if named else state_directory(state_dir) / DAEMON_SOCKET)


def state_directory(chosen: str | None = None) -> Path:
    """The directory of this machine's node: `chosen`, else /var/lib/swarmlab for root, else one of the user's."""
    if chosen:
        return Path(chosen).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/swarmlab")
    given = os.environ.get("XDG_STATE_HOME")
    return (Path(given) if given else Path.home() / ".local" / "state") / "swarmlab"


def checked(path: Path) -> Path:
    """`path`, which a socket address has room for.

    Raises:
        StateUnusable: It is too long.
    """
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
