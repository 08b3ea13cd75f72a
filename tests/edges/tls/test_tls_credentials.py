"""The files of a node: who can read them, and what a crash leaves."""

import random
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from swarmlab.api import Instant, StateError
from swarmlab.edges.tls.credentials import (
    CERTIFICATE_FILE,
    KEY_FILE,
    NEXT_CERTIFICATE_FILE,
    ROOT_FILE,
    CertificateDirectory,
    Credentials,
    Locked,
)
from swarmlab.edges.tls.founding import found
from swarmlab.edges.tls.security import Security

UNLOCK = bytes(range(32))


def credentials() -> Credentials:
    return found(Instant(time.time_ns()), random.SystemRandom())[1]


def modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in sorted(folder.iterdir())}


@pytest.fixture
def directory(tmp_path: Path) -> CertificateDirectory:
    return CertificateDirectory(tmp_path / "node" / "certificates")


def test_what_is_saved_is_loaded(directory: CertificateDirectory) -> None:
    assert directory.load() is None
    assert not directory.exists()
    held = credentials()
    directory.save(held)
    assert directory.load() == held
    assert directory.root() == held.root
    assert directory.path.stat().st_mode & 0o777 == 0o700
    assert modes(directory.path) == {CERTIFICATE_FILE: 0o644, KEY_FILE: 0o600, ROOT_FILE: 0o644}
    other = credentials()
    directory.save(other)
    assert directory.load() == other
    directory.remove()
    assert directory.load() is None


def test_a_sealed_key_takes_the_unlock_key(directory: CertificateDirectory) -> None:
    held = credentials()
    directory.save(held, UNLOCK)
    assert directory.is_sealed()
    assert modes(directory.path)[KEY_FILE] == 0o600
    assert directory.load(UNLOCK) == held
    with pytest.raises(Locked, match="the unlock key of the swarm is needed"):
        directory.load()
    with pytest.raises(Locked, match="not its unlock key"):
        directory.load(bytes(32))
    directory.save(held)
    assert not directory.is_sealed()
    assert directory.load(UNLOCK) == held


def test_a_crash_leaves_key_and_certificate_of_one_pair(
    directory: CertificateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each of the steps of a save, what is loaded is all of the old pair or all of the new one."""
    old, new = credentials(), credentials()
    rename = CertificateDirectory._rename

    class Crash(Exception):
        pass

    outcomes = []
    for crash_at in range(5):
        directory.remove()
        directory.save(old)
        steps = iter(range(crash_at))

        def crashing(self: CertificateDirectory, name: str, final: str, steps: Iterator[int] = steps) -> None:
            if next(steps, None) is None:
                raise Crash
            rename(self, name, final)

        monkeypatch.setattr(CertificateDirectory, "_rename", crashing)
        with suppress(Crash):
            directory.save(new)
        monkeypatch.setattr(CertificateDirectory, "_rename", rename)
        loaded = directory.load()
        assert loaded is not None
        outcomes.append("old" if loaded.key == old.key else "new")
        assert loaded.certificate == (old if loaded.key == old.key else new).certificate
        Security(Credentials(new.root if loaded.root == new.root else old.root, loaded.certificate, loaded.key))
    assert outcomes == ["old", "old", "old", "new", "new"]
    assert not (directory.path / NEXT_CERTIFICATE_FILE).exists()


def test_damage_is_named(directory: CertificateDirectory) -> None:
    held = credentials()
    directory.save(held)
    (directory.path / CERTIFICATE_FILE).write_bytes(credentials().certificate)
    with pytest.raises(StateError, match="is not that of the node's key"):
        directory.load()
    directory.save(held)
    (directory.path / ROOT_FILE).unlink()
    with pytest.raises(StateError, match="missing beside the node's key"):
        directory.load()
    directory.save(held)
    (directory.path / KEY_FILE).write_bytes(b"nonsense")
    with pytest.raises(StateError, match="damaged"):
        directory.load()


def test_no_key_is_in_a_repr() -> None:
    founding, held = found(Instant(time.time_ns()), random.SystemRandom())
    for text in (repr(held), repr(founding)):
        assert "PRIVATE KEY" not in text
        assert "hidden" in text
