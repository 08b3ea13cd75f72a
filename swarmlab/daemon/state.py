"""The directory of a node: who it is, whom it knows, and where its parts keep theirs."""

import os
import shutil
from pathlib import Path
from typing import TypeVar

import msgspec

from swarmlab.api import ClusterId, NodeId, Peer, StateError, Value
from swarmlab.edges.disk import Claim, make_directory

V = TypeVar("V")

#: Longest name of a file here is far below what a socket path has room for.
SOCKET = "swarmlab.sock"
_RECORD, _REMOTES = "node.json", "remotes.json"
_ENCODER = msgspec.json.Encoder(order="deterministic")


class NodeRecord(Value, frozen=True, kw_only=True):
    """Who a node is in its swarm, and how others reach it."""

    node_id: NodeId
    cluster_id: ClusterId
    #: host:port.
    listen_addr: str
    advertise_addr: str


class StateDirectory:
    """DIR, used by one process at a time, readable by its owner alone.

    `node.json` is there exactly while the node belongs to a swarm. Files change in one step: killed in the middle of
    it, the old one is there, or the new one.

    Raises:
        StateError: It is in use, cannot be made or written, or belongs to somebody else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        make_directory(self.path)
        try:
            self.path.chmod(0o700)
        except OSError as error:
            raise StateError(f"{self.path} cannot be made private to its owner: {error.strerror}") from error
        self._claim = Claim(self.path / "lock")

    @property
    def socket(self) -> Path:
        """The local socket."""
        return self.path / SOCKET

    @property
    def certificates(self) -> Path:
        """The directory of the node's credentials."""
        return self.path / "certificates"

    @property
    def manager(self) -> Path:
        """The directory of the manager's log."""
        return self.path / "manager"

    @property
    def worker(self) -> Path:
        """The directory of the worker's tasks."""
        return self.path / "worker"

    def record(self) -> NodeRecord | None:
        """Who the node is; None where it belongs to no swarm.

        Raises:
            StateError: The file is damaged.
        """
        return self._read(_RECORD, NodeRecord)

    def keep_record(self, record: NodeRecord) -> None:
        """From now on the node is this one."""
        self._write(_RECORD, record)

    def remotes(self) -> tuple[Peer, ...]:
        """The managers that the node knew last.

        Raises:
            StateError: The file is damaged.
        """
        return self._read(_REMOTES, tuple[Peer, ...]) or ()

    def keep_remotes(self, remotes: tuple[Peer, ...]) -> None:
        """Know these managers, and nobody else."""
        self._write(_REMOTES, remotes)

    def forget_manager(self) -> None:
        """Delete what the manager kept: the node is a worker now."""
        self._delete(self.manager)

    def forget(self) -> None:
        """Delete everything of the swarm; the record first, so that half of the rest is never taken for a member."""
        for path in (self.path / _RECORD, self.manager, self.worker, self.certificates, self.path / _REMOTES):
            self._delete(path)

    def release(self) -> None:
        """Let another process use it."""
        self._claim.release()

    def _read(self, name: str, kind: type[V]) -> V | None:
        path = self.path / name
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"{path} cannot be read: {error.strerror}") from error
        try:
            return msgspec.json.decode(data, type=kind)
        except msgspec.DecodeError as error:
            raise StateError(f"{path} is damaged: {error}") from error

    def _write(self, name: str, value: object) -> None:
        path, fresh = self.path / name, self.path / f"{name}.new"
        try:
            fresh.unlink(missing_ok=True)
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(msgspec.json.format(_ENCODER.encode(value)) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        except OSError as error:
            raise StateError(f"{path} cannot be written: {error.strerror}") from error

    def _delete(self, path: Path) -> None:
        try:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise StateError(f"{path} cannot be deleted: {error.strerror}") from error
