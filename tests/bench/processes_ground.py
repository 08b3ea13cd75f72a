"""What a bench with processes may have left behind."""

import os
from pathlib import Path


def children() -> list[str]:
    """Children of this process."""
    return Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()


def left_behind(temporary: Path) -> list[str]:
    """Children of this process, and what lies in its temporary directory."""
    return children() + sorted(path.name for path in temporary.iterdir())
