"""What a bench with processes may have left behind."""

import os
from pathlib import Path


def children() -> list[str]:
    """Children of this process, without the one by which Python itself keeps count for pools of processes."""
    found = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return [pid for pid in found if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]


def left_behind(temporary: Path) -> list[str]:
    """Children of this process, and what lies in its temporary directory."""
    return children() + sorted(path.name for path in temporary.iterdir())
