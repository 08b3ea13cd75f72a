"""The founding story on real tasks, and that nothing of a cluster is left after Ctrl-C."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import pytest
from docker_engine import TEST_IMAGE
from live import SWARMLAB, live_cluster

NODES = ("w1", "w2", "w3", "w4")


def _demo(executor: str) -> list[dict[str, Any]]:
    result = subprocess.run(
        [*SWARMLAB, "demo", "rejoin", "--executor", executor, "--strategies", "spread,rebalance", "-o", "json"],
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    told: list[dict[str, Any]] = json.loads(result.stdout)
    return told


def _lower_bound(counts: dict[str, int]) -> int:
    """The fewest moves that make these equal tasks even: what lies above the best balanced targets."""
    have = sorted((counts[node] for node in NODES), reverse=True)
    share, more = divmod(sum(have), len(have))
    return sum(max(0, count - (share + (place < more))) for place, count in enumerate(have))


def _check_story(told: list[dict[str, Any]]) -> None:
    spread, rebalance = told
    assert (spread["strategy"], rebalance["strategy"]) == ("spread", "rebalance")
    for story in told:
        assert {name: sum(counts.values()) for name, counts in story["after_return"].items()} == {"web": 4, "api": 6}
        assert all(counts["w4"] == 0 for counts in story["after_loss"].values())
        assert story["restarts_outside_moves"] == 0
    assert all(counts["w4"] == 0 for counts in spread["after_return"].values())
    assert spread["moves"] == 0
    for counts in rebalance["after_return"].values():
        assert max(counts.values()) - min(counts.values()) <= 1
    assert rebalance["moves"] == sum(_lower_bound(counts) for counts in rebalance["after_loss"].values()) == 2


@pytest.mark.timeout(180)
def test_rejoin_on_processes() -> None:
    """spread leaves the returned node empty; rebalance makes both services even with one move each."""
    _check_story(_demo("process"))


@pytest.mark.docker
@pytest.mark.timeout(180)
def test_rejoin_on_containers(engine_at: str) -> None:
    """The same on a real Engine, which has none of our containers afterwards."""
    before = _containers(engine_at)
    _check_story(_demo("docker"))
    assert not set(_containers(engine_at)) - set(before)


def _containers(url: str, label: str = "com.docker.swarm.service.name") -> list[str]:
    client = docker.APIClient(base_url=url, version="auto")
    try:
        found = client.containers(all=True, filters={"label": label})
        return [name for container in found for name in container["Names"]]
    finally:
        client.close()


def _processes(mark: str) -> list[int]:
    """The pids of processes with `mark` in their command line."""
    pids = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark in path.read_bytes().decode(errors="replace"):
                pids.append(int(path.parent.name))
        except OSError:
            continue
    return [pid for pid in pids if pid != os.getpid()]


def _ctrl_c(tmp_path: Path, executor: str, running: Callable[[str], list[Any]]) -> None:
    with live_cluster(tmp_path, "--strategy", "rebalance", "--executor", executor, "--workers", "2") as cluster:
        words = ("service", "create", "--name", "web", "--replicas", "4", "--wait", TEST_IMAGE, "sleep", "31415926")
        cluster.ok(*words)
        cluster_id = json.loads(cluster.ok("status", "-o", "json"))["cluster_id"]
        assert len(running(cluster_id)) == 4
        assert cluster.stop() == 0, cluster.log.read_text()
    assert not running(cluster_id)
    assert not cluster.socket.exists()
    assert not _processes(str(cluster.socket))


@pytest.mark.timeout(120)
def test_ctrl_c_leaves_no_process(tmp_path: Path) -> None:
    """Tasks run as processes; after Ctrl-C none of them, no socket and no server is there."""
    _ctrl_c(tmp_path, "process", lambda _: _processes("31415926"))


@pytest.mark.docker
@pytest.mark.timeout(120)
def test_ctrl_c_leaves_no_container(tmp_path: Path, engine_at: str) -> None:
    """`docker ps` shows the tasks; after Ctrl-C none is there, stopped or not."""
    _ctrl_c(tmp_path, "docker", lambda cluster_id: _containers(engine_at, f"swarmlab.cluster={cluster_id}"))
