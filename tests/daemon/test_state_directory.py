"""The directory of a node: private, used by one process, and whole after a crash."""

import json
from pathlib import Path

import pytest

from swarmlab.api import ClusterId, NodeId, Peer, StateError
from swarmlab.daemon.state import NodeRecord, StateDirectory

RECORD = NodeRecord(
    node_id=NodeId("n1"), cluster_id=ClusterId("c1"), listen_addr="0.0.0.0:2377", advertise_addr="10.0.0.1:2377"
)
REMOTES = (Peer(NodeId("n1"), "10.0.0.1:2377"), Peer(NodeId("n2"), "10.0.0.2:2377"))


@pytest.fixture
def directory(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path / "node")


def modes(folder: Path) -> dict[str, str]:
    """{file: its mode} of everything in it."""
    return {path.name: oct(path.stat().st_mode & 0o777) for path in sorted(folder.iterdir())}


def test_a_new_directory_belongs_to_no_swarm(directory: StateDirectory) -> None:
    assert (directory.record(), directory.remotes()) == (None, ())
    assert directory.path.stat().st_mode & 0o777 == 0o700


def test_what_is_kept_is_read_by_the_next_process(directory: StateDirectory) -> None:
    directory.keep_record(RECORD)
    directory.keep_remotes(REMOTES)
    directory.release()
    again = StateDirectory(directory.path)
    assert (again.record(), again.remotes()) == (RECORD, REMOTES)
    assert modes(directory.path) == {"lock": "0o600", "node.json": "0o600", "remotes.json": "0o600"}
    assert json.loads((directory.path / "node.json").read_text())["advertise_addr"] == "10.0.0.1:2377"


def test_one_process_uses_it(directory: StateDirectory) -> None:
    with pytest.raises(StateError, match="in use by process"):
        StateDirectory(directory.path)


def test_a_directory_that_others_may_enter_is_made_private(tmp_path: Path) -> None:
    (tmp_path / "node").mkdir(mode=0o755)
    assert StateDirectory(tmp_path / "node").path.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("text", ["", "{", '{"node_id": 3}'])
def test_a_damaged_record_is_no_fresh_start(directory: StateDirectory, text: str) -> None:
    (directory.path / "node.json").write_text(text)
    with pytest.raises(StateError, match=r"node\.json is damaged"):
        directory.record()


def test_a_write_that_was_cut_off_leaves_the_old_record(directory: StateDirectory) -> None:
    directory.keep_record(RECORD)
    (directory.path / "node.json.new").write_text("{")
    assert directory.record() == RECORD
    directory.keep_record(RECORD)
    assert modes(directory.path) == {"lock": "0o600", "node.json": "0o600"}


def test_a_node_that_left_keeps_nothing_of_the_swarm(directory: StateDirectory) -> None:
    directory.keep_record(RECORD)
    directory.keep_remotes(REMOTES)
    for folder in (directory.certificates, directory.manager, directory.worker):
        folder.mkdir()
        (folder / "file").write_text("x")
    (directory.path / "daemon.log").write_text("x")
    directory.forget()
    assert sorted(path.name for path in directory.path.iterdir()) == ["daemon.log", "lock"]
