"""The directory of a cluster that is kept nowhere: gone with it, and after a kill -9 at the start of the next one."""

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from swarmlab.api import StateError
from swarmlab.edges.disk import Claim
from swarmlab.edges.process import kill_all_of

_PREFIX = "swarmlab-run-"
_LOCK = "lock"


@contextlib.contextmanager
def scratch_directory() -> Iterator[Path]:
    """A directory of this process alone. First clears what killed ones left: theirs, and the processes of their tasks.

    Blocks for a moment where there are such processes: nothing else of this cluster is there yet.

    Raises:
        StateError: The temporary directory cannot be written.
    """
    root = Path(tempfile.gettempdir())
    _clear(root)
    # It gets its name once it is locked: until then nobody may take it for one that was left.
    try:
        fresh = Path(tempfile.mkdtemp(prefix="swarmlab-new-", dir=root))
    except OSError as error:
        raise StateError(f"{root} cannot be written: {error.strerror}") from error
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, fresh, ignore_errors=True)
        claim = Claim(fresh / _LOCK)
        stack.callback(claim.release)
        path = fresh.rename(root / fresh.name.replace("swarmlab-new-", _PREFIX))
        stack.callback(shutil.rmtree, path, ignore_errors=True)
        yield path


def _clear(root: Path) -> None:
    """Delete the directories whose process is no more, and kill what its tasks left running."""
    for path in sorted(root.glob(_PREFIX + "*")):
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            continue
        try:
            claim = Claim(path / _LOCK)
        except StateError:  # its process lives, or another start clears it now
            continue
        kill_all_of([path])
        shutil.rmtree(path, ignore_errors=True)
        claim.release()
