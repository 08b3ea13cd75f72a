"""Fixtures of the control server's tests."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from control_double import Served, serving


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A private directory whose path leaves room for a socket's name."""
    path = Path(tempfile.mkdtemp(prefix="sl-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
async def served(short_path: Path) -> AsyncIterator[Served]:
    """A server with everything behind it, and a client that is connected."""
    async with serving(short_path / "run" / "control.sock") as everything:
        yield everything
