"""Whatever is wrong is said: the thing, the value seen, the value wanted, by an exit code; nothing is lost."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from live import SWARMLAB, LiveCluster, live_cluster
from patience import PATIENCE_SECONDS, wait_until

from swarmlab.api import OutOfSequence
from swarmlab.cli.exits import Exit
from swarmlab.edges.grpc import Client


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCluster]:
    """One cluster of modelled tasks for all tests here, since none of them may harm it."""
    with live_cluster(tmp_path_factory.mktemp("c"), "--executor", "sim", "--workers", "3") as cluster:
        yield cluster
        assert cluster.ok("node", "ls", "-q").split(), "it is still up"


def _start(*flags: str) -> subprocess.CompletedProcess[str]:
    """A start that is to fail."""
    return subprocess.run(
        [*SWARMLAB, "--plain", *flags], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )


def test_unknown_strategy_names_what_is_near(tmp_path: Path) -> None:
    result = _start("--strategy", "sprad", "--socket", str(tmp_path / "s"))
    assert result.returncode == Exit.NOT_FOUND
    assert "sprad" in result.stderr
    assert "spread" in result.stderr


def test_strategy_file_that_raises(tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text("1 / 0\n")
    result = _start("--strategy", f"{file}:Mine", "--socket", str(tmp_path / "s"))
    assert result.returncode == Exit.INVALID
    assert "broken.py" in result.stderr
    assert "ZeroDivisionError" in result.stderr


def test_strategy_file_without_that_class(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from swarmlab.plugin import Strategy\n\n\nclass Mine(Strategy):\n    name = 'mine'\n")
    result = _start("--strategy", f"{file}:Mnie", "--socket", str(tmp_path / "s"))
    assert result.returncode == Exit.NOT_FOUND
    assert "Mnie" in result.stderr
    assert "Mine" in result.stderr


def test_missing_strategy_file(tmp_path: Path) -> None:
    result = _start("--strategy", f"{tmp_path}/nowhere.py:Mine", "--socket", str(tmp_path / "s"))
    assert result.returncode == Exit.INVALID
    assert "nowhere.py" in result.stderr


def test_two_strategies_of_one_name(tmp_path: Path) -> None:
    file = tmp_path / "copycat.py"
    file.write_text("from swarmlab.plugin import Strategy\n\n\nclass Copy(Strategy):\n    name = 'spread'\n")
    result = _start("--strategy", f"{file}:Copy", "--socket", str(tmp_path / "s"))
    assert result.returncode == Exit.INVALID
    assert "spread" in result.stderr
    assert "copycat" in result.stderr


def test_unknown_executor(tmp_path: Path) -> None:
    result = _start("--executor", "podman", "--socket", str(tmp_path / "s"))
    assert result.returncode == Exit.USAGE
    assert "podman" in result.stderr


def test_no_engine_for_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    result = _start("--executor", "docker", "--socket", str(tmp_path / "s"))
    assert result.returncode not in (0, Exit.USAGE)
    assert "none.sock" in result.stderr


def test_socket_path_too_long(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 120)
    result = _start("--executor", "sim", "--socket", str(path))
    assert result.returncode == Exit.STATE
    assert str(path) in result.stderr
    assert "107" in result.stderr


def test_state_directory_in_use(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with live_cluster(tmp_path / "one", "--executor", "sim", "--state-dir", str(state)) as one:
        result = _start("--executor", "sim", "--state-dir", str(state), "--socket", str(tmp_path / "s"))
        assert result.returncode == Exit.STATE
        assert str(state) in result.stderr
        assert one.process is not None
        assert str(one.process.pid) in result.stderr


def test_state_directory_not_usable(tmp_path: Path) -> None:
    state = tmp_path / "file"
    state.write_text("not a directory")
    result = _start("--executor", "sim", "--state-dir", str(state), "--socket", str(tmp_path / "s"))
    assert result.returncode == Exit.STATE
    assert str(state) in result.stderr


def test_damaged_state(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with live_cluster(tmp_path / "one", "--executor", "sim", "--state-dir", str(state)):
        pass
    database = state / "manager" / "manager.db"
    database.write_bytes(b"this is no database" * 400)
    result = _start("--executor", "sim", "--state-dir", str(state), "--socket", str(tmp_path / "s"))
    assert result.returncode == Exit.STATE
    assert str(database) in result.stderr


@pytest.mark.parametrize(
    ("words", "code", "wanted"),
    [
        (("--name=-bad-", "img"), Exit.INVALID, "-bad-"),
        (("--name", "x" * 64, "img"), Exit.INVALID, "63"),
        (("--name", "n", "--replicas", "-1", "img"), Exit.USAGE, "-1"),
        (("--name", "n", "--constraint", "node.labels.zone ~ a", "img"), Exit.INVALID, "node.labels.zone ~ a"),
        (("--name", "n", "--limit-memory", "1MiB", "img"), Exit.INVALID, "4"),
        (("--name", "n", "--reserve-cpu", "much", "img"), Exit.USAGE, "much"),
        (("--name", "n", "--mode", "replicate", "img"), Exit.USAGE, "replicate"),
        (("--name", "n", "--secret", "nothing", "img"), Exit.NOT_FOUND, "nothing"),
        (("--name", "n", "--replica", "2", "img"), Exit.USAGE, "--replicas"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_service(cluster: LiveCluster, words: tuple[str, ...], code: int, wanted: str) -> None:
    result = cluster.run("service", "create", *words)
    assert result.returncode == code, result.stderr
    assert wanted in result.stderr
    assert "Traceback" not in result.stderr


def test_name_that_is_taken(cluster: LiveCluster) -> None:
    cluster.ok("service", "create", "--name", "taken", "img")
    result = cluster.run("service", "create", "--name", "taken", "img")
    assert result.returncode == Exit.CONFLICT
    assert "taken" in result.stderr
    cluster.ok("service", "rm", "taken")


def test_constraint_on_a_label_that_no_node_has_is_a_warning(cluster: LiveCluster) -> None:
    node = cluster.ok("node", "ls", "-q").split()[0]
    cluster.ok("node", "update", "--label-add", "rack=r1", node)
    result = cluster.run("service", "create", "--name", "warned", "--constraint", "node.labels.rak == r1", "img")
    assert result.returncode == 0
    assert "node.labels.rak" in result.stderr
    assert "rack" in result.stderr
    cluster.ok("service", "rm", "warned")


def test_impossible_reservation_waits_and_says_why(cluster: LiveCluster) -> None:
    cluster.ok("service", "create", "--name", "huge", "--reserve-memory", "900GiB", "img")
    reason = "insufficient resources on 3 nodes"
    wait_until(lambda: reason in cluster.ok("service", "ps", "huge", "-o", "json"), cluster.log.read_text)
    result = cluster.run("service", "scale", "huge=1", "--wait", "--timeout", "1s")
    assert result.returncode == Exit.TIMED_OUT
    assert "insufficient resources on 3 nodes" in result.stderr
    [task] = json.loads(cluster.ok("service", "ps", "huge", "-o", "json"))
    assert task["status"]["state"] == "pending"
    assert "insufficient resources on 3 nodes" in task["status"]["err"]
    explanation = cluster.ok("explain", "huge.1")
    assert "insufficient resources" in explanation
    assert "16" in explanation
    cluster.ok("service", "rm", "huge")


async def test_stale_version(cluster: LiveCluster) -> None:
    cluster.ok("service", "create", "--name", "stale", "img")
    async with Client(cluster.socket) as client:
        service = await client.get_service(cluster.ok("service", "ls", "-q", "--filter", "name=stale").strip())
        version = service.meta.version.index
        cluster.ok("service", "update", "--label-add", "a=1", "stale")
        with pytest.raises(OutOfSequence, match=str(version)):
            await client.update_service(service.id, version, service.spec)
    cluster.ok("service", "rm", "stale")


@pytest.mark.parametrize(
    "words",
    [
        ("service", "inspect", "nosuch"),
        ("service", "rm", "nosuch"),
        ("service", "scale", "nosuch=2"),
        ("node", "inspect", "nosuch"),
        ("node", "stop", "nosuch"),
        ("secret", "inspect", "nosuch"),
        ("config", "rm", "nosuch"),
        ("explain", "nosuch"),
        ("stack", "rm", "nosuch"),
        ("strategy", "show", "nosuch"),
    ],
    ids=" ".join,
)
def test_unknown_ids_and_names(cluster: LiveCluster, words: tuple[str, ...]) -> None:
    result = cluster.run(*words)
    assert result.returncode == Exit.NOT_FOUND, result.stderr
    assert "nosuch" in result.stderr


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("services:\n  web:\n    image: ]a\n", 3, ""),
        ("services:\n  web:\n    image: a\n    deploy:\n      replicas: many\n", 5, "replicas"),
        ("services:\n  web:\n    image: a\n    ports: 80\n", 4, "ports"),
        ("services:\n  web:\n    image: a\n    deploi: {}\n", 4, "deploi"),
        ("services:\n  web:\n    image: a\n    secrets: [gone]\n", 4, "gone"),
    ],
)
def test_malformed_stack_file(cluster: LiveCluster, tmp_path: Path, text: str, line: int, key: str) -> None:
    file = tmp_path / "stack.yml"
    file.write_text(text)
    result = cluster.run("stack", "deploy", "-c", str(file), "bad")
    assert result.returncode != 0
    assert f"{file}:{line}" in result.stderr
    assert key in result.stderr
    assert cluster.ok("stack", "ls", "-o", "json").strip() == "[]"


def test_no_cluster_at_the_socket(tmp_path: Path) -> None:
    result = subprocess.run(
        [*SWARMLAB, "node", "ls", "--socket", str(tmp_path / "none")], capture_output=True, text=True, check=False
    )
    assert result.returncode == Exit.UNREACHABLE
    assert str(tmp_path / "none") in result.stderr


@pytest.mark.parametrize("command", ["servce", "service crate", "nod ls"])
def test_unknown_commands_name_what_is_near(command: str) -> None:
    result = subprocess.run([*SWARMLAB, *command.split()], capture_output=True, text=True, check=False)
    assert result.returncode == Exit.USAGE
    assert any(word in result.stderr for word in ("service", "create", "node"))
