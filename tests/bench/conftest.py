"""A temporary directory whose sockets have names that are short enough."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The temporary directory of this process, below the real one."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)
