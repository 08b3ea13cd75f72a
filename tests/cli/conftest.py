"""Fixtures of the command line's tests."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_ground import Ground, grounded


@pytest.fixture
def run_dir() -> Iterator[Path]:
    """A private directory whose path leaves room for a socket's name."""
    path = Path(tempfile.mkdtemp(prefix="sl-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def ground(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Ground]:
    """A served cluster and the command line in front of it."""
    with grounded(run_dir / "control.sock", capsys) as found:
        yield found
