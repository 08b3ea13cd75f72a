"""A node that is removed from a live cluster: its worker stops what it runs, and may join again."""

import os
from pathlib import Path

from live import LiveCluster, live_cluster
from patience import wait_until


def _programs(marker: str) -> int:
    """Processes with `marker` among their words."""
    found = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                found += marker.encode() in (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:  # it ended meanwhile
                continue
    return found


def _until_programs(marker: str, number: int) -> None:
    wait_until(lambda: _programs(marker) == number, lambda: f"{_programs(marker)} processes, wanted {number}")


def _names(cluster: LiveCluster) -> list[str]:
    return cluster.ok("node", "ls", "-o", "name").split()


def test_a_removed_node_stops_its_tasks_and_may_join_again(tmp_path: Path) -> None:
    marker = f"3600.{os.getpid()}"
    create = ("service", "create", "--name", "web", "--replicas", "4", "--restart-delay", "0s")
    with live_cluster(tmp_path, "--executor", "process", "--workers", "2", "--strategy", "rebalance") as cluster:
        cluster.ok(*create, "--wait", "any", "sleep", marker)
        cluster.ok("node", "rm", "--force", "--wait", "w2")
        assert _names(cluster) == ["w1"]
        _until_programs(marker, 4)  # and not the two of w2 beside them
        cluster.ok("node", "start", "--wait", "w2")
        assert _names(cluster) == ["w1", "w2"]
        cluster.ok("node", "stop", "--wait", "w2")
        cluster.ok("node", "rm", "w2")
        cluster.ok("node", "start", "--wait", "w2")
        assert _names(cluster) == ["w1", "w2"]
    _until_programs(marker, 0)
