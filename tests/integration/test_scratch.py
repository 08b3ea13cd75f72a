"""What a cluster without a state directory leaves when it is killed, and who clears it up."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from patience import PATIENCE_SECONDS

from swarmlab.edges.disk import Claim
from swarmlab.embedded.scratch import scratch_directory


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary directory of the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    assert list(tmp_path.glob("swarmlab-*")) == []


def _left(root: Path, name: str) -> Path:
    path = root / name
    (path / "workers" / "w1").mkdir(parents=True)
    (path / "lock").touch()
    return path


def test_a_scratch_directory_goes_with_its_cluster(temporary: Path) -> None:
    with scratch_directory() as path:
        assert (path.parent, path.stat().st_mode & 0o777) == (temporary, 0o700)
        (path / "workers").mkdir()
    assert not path.exists()


def test_the_next_start_clears_what_a_killed_one_left(temporary: Path) -> None:
    """Its directory and the processes of its tasks; those of a living one, and what is none, are left alone."""
    dead, alive, link = _left(temporary, "swarmlab-run-a"), _left(temporary, "swarmlab-run-b"), "swarmlab-run-c"
    (temporary / link).symlink_to(alive)
    environment = {**os.environ, "SWARMLAB_TASK_DIR": str(dead / "workers" / "w1" / "process" / "tasks" / "t")}
    orphan = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env=environment)
    claim = Claim(alive / "lock")
    try:
        with scratch_directory() as path:
            assert sorted(found.name for found in temporary.iterdir()) == sorted([path.name, alive.name, link])
        assert orphan.wait(PATIENCE_SECONDS) == -9
    finally:
        claim.release()
        orphan.kill()
        orphan.communicate()
        (temporary / link).unlink()
        shutil.rmtree(alive)


def test_a_start_does_not_take_the_directory_of_another_one(temporary: Path) -> None:
    with scratch_directory() as first, scratch_directory() as second:
        assert sorted(temporary.iterdir()) == sorted([first, second])
