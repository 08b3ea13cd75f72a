"""The founding story on real tasks, and that nothing of a cluster is left after Ctrl-C."""

import json
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import docker
import pytest
from docker_engine import TEST_IMAGE
from live import SWARMLAB, live_cluster
from patience import PATIENCE_SECONDS

NODES = ("w1", "w2", "w3", "w4")
#: Seconds that the tasks of this run sleep: by them they are known among all processes.
MARKER = f"31415926.{os.getpid()}"


def _demo(executor: str, *flags: str) -> list[dict[str, Any]]:
    words = ("demo", "rejoin", "--executor", executor, "--strategies", "spread,rebalance", "-o", "json", *flags)
    patience = 2 * PATIENCE_SECONDS
    result = subprocess.run([*SWARMLAB, *words], capture_output=True, text=True, timeout=patience, check=False)
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


def test_rejoin_on_processes() -> None:
    """spread leaves the returned node empty; rebalance makes both services even with one move each."""
    _check_story(_demo("process"))


@pytest.fixture
def own_image(engine_at: str) -> Iterator[str]:
    """The test image under a name by which the containers of one test are known, whoever else uses the engine."""
    repository, tag = "swarmlab-test/rejoin", uuid.uuid4().hex
    client = docker.APIClient(base_url=engine_at, version="auto")
    client.tag(TEST_IMAGE, repository, tag)
    yield f"{repository}:{tag}"
    client.remove_image(f"{repository}:{tag}")
    client.close()


@pytest.mark.docker
def test_rejoin_on_containers(engine_at: str, own_image: str) -> None:
    """The same on a real Engine, which shows the tasks meanwhile and has none of our containers afterwards."""
    seen: set[str] = set()
    with ThreadPoolExecutor(1) as pool:
        telling = pool.submit(_demo, "docker", "--image", own_image)
        while not telling.done():
            seen.update(_containers(engine_at, image=own_image))
            wait([telling], timeout=0.2)
    _check_story(telling.result())
    assert {name.split(".")[0] for name in seen} == {"/api", "/web"}
    assert not _containers(engine_at, image=own_image)


def _containers(url: str, *, image: str = "", label: str = "com.docker.swarm.service.name") -> list[str]:
    """The names of containers, stopped or not, with that label, and of that image where one is named."""
    client = docker.APIClient(base_url=url, version="auto")
    try:
        found = client.containers(all=True, filters={"label": label})
        return [name for container in found if image in ("", container["Image"]) for name in container["Names"]]
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
        flags = ("--name", "web", "--replicas", "4", "--stop-signal", "SIGKILL", "--wait")
        words = ("service", "create", *flags, TEST_IMAGE, "sleep", MARKER)
        cluster.ok(*words)
        cluster_id = json.loads(cluster.ok("status", "-o", "json"))["cluster_id"]
        assert len(running(cluster_id)) == 4
        assert cluster.stop() == 0, cluster.log.read_text()
    assert not running(cluster_id)
    assert not cluster.socket.exists()
    assert not _processes(str(cluster.socket))


def test_ctrl_c_leaves_no_process(tmp_path: Path) -> None:
    """Tasks run as processes; after Ctrl-C none of them, no socket and no server is there."""
    _ctrl_c(tmp_path, "process", lambda _: _processes(MARKER))


@pytest.mark.docker
def test_ctrl_c_leaves_no_container(tmp_path: Path, engine_at: str) -> None:
    """`docker ps` shows the tasks; after Ctrl-C none is there, stopped or not."""
    _ctrl_c(tmp_path, "docker", lambda cluster_id: _containers(engine_at, label=f"swarmlab.cluster={cluster_id}"))
