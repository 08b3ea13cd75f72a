"""The names of a running cluster, in a small file beside its socket, so that shells complete them at once.

The foreground process writes the file whenever a name appears or goes; a stale or absent file costs completions only.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from swarmlab.cli.paths import socket_path


def names_file(socket: Path) -> Path:
    """The file that belongs to `socket`."""
    return socket.with_name(socket.name + ".names")


def write_names(socket: Path, names: Mapping[str, Sequence[str]]) -> None:
    """Replace the file in one step; {kind: names}."""
    path = names_file(socket)
    draft = path.with_name(path.name + ".new")
    draft.write_text(json.dumps(names, sort_keys=True))
    draft.chmod(0o600)
    draft.replace(path)


def remove_names(socket: Path) -> None:
    """Remove the file where it is."""
    names_file(socket).unlink(missing_ok=True)


def read_names(kind: str, socket: str) -> list[str]:
    """Names of that kind in the cluster behind `socket` (empty: the usual one), sorted; none where nothing runs."""
    found: object = {}
    with suppress(OSError, ValueError):  # no cluster, or a file cut off: nothing to complete
        found = json.loads(names_file(socket_path(socket)).read_text())
    names = found.get(kind, []) if isinstance(found, dict) else []
    return sorted(str(name) for name in names)
