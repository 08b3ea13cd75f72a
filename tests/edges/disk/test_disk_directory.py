"""Directories and claims."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from swarmlab.api import StateError
from swarmlab.edges.disk import Claim, make_directory


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_missing_is_made_for_the_owner_alone(tmp_path):
    make_directory(tmp_path / "a" / "b")
    assert mode(tmp_path / "a") == mode(tmp_path / "a" / "b") == 0o700


def test_what_exists_is_left_as_it_is(tmp_path):
    (tmp_path / "a").mkdir(mode=0o755)
    make_directory(tmp_path / "a")
    assert mode(tmp_path / "a") == 0o755


def test_a_file_is_no_directory(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"file is not a directory"):
        make_directory(tmp_path / "file")
    with pytest.raises(StateError, match=r"file is not a directory"):
        make_directory(tmp_path / "file" / "below")


def test_a_directory_that_cannot_be_made():
    with pytest.raises(StateError, match=r"/proc/swarmlab cannot be made: No such file or directory"):
        make_directory(Path("/proc/swarmlab"))


def test_a_claim_in_a_directory_that_is_gone(tmp_path):
    with pytest.raises(StateError, match=r"gone cannot be written: No such file or directory"):
        Claim(tmp_path / "gone" / "lock")


@pytest.fixture
def nobody():
    """Root may write anywhere, so it steps down for the test."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


def test_a_directory_that_is_not_writable(tmp_path, nobody):
    directory = Path("/")
    with pytest.raises(StateError, match=r"^/ cannot be written: (Permission denied|Read-only file system)$"):
        Claim(directory / "swarmlab-test-lock")
    with pytest.raises(StateError, match=r"^/swarmlab-test cannot be made: (Permission denied|Read-only file system)$"):
        make_directory(directory / "swarmlab-test")


def test_a_claim_names_its_holder(tmp_path):
    claim = Claim(tmp_path / "lock")
    assert mode(tmp_path / "lock") == 0o600
    with pytest.raises(StateError, match=rf"{tmp_path.name} is in use by process {os.getpid()}$"):
        Claim(tmp_path / "lock")
    claim.release()
    Claim(tmp_path / "lock").release()


HOLDER = """
import sys
from pathlib import Path
from pathlib import Path
from swarmlab.edges.disk import Claim
claim = Claim(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_claim_ends_with_its_process(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StateError, match=rf"in use by process {holder.pid}$"):
            Claim(tmp_path / "lock")
        holder.kill()
    Claim(tmp_path / "lock").release()


def test_a_claim_does_not_pass_to_programs_that_are_started(tmp_path):
    claim = Claim(tmp_path / "lock")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False) as child:
        claim.release()
        Claim(tmp_path / "lock").release()
        child.communicate(b"\n")
