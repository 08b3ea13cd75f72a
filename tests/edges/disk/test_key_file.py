"""The key file: private, replaced as a whole, locked and unlocked, and never in a message."""

import os
import stat
from pathlib import Path

import pytest

from swarmlab.api import Locked, StateError
from swarmlab.edges.disk import AesGcm, KeyFile

KEK, OTHER = b"k" * 32, b"o" * 32


def test_a_seal_opens_what_it_sealed_and_nothing_else():
    seal = AesGcm({1: b"1" * 32})
    sealed = seal.seal(b"payload")
    assert seal.open(sealed) == b"payload"
    assert seal.seal(b"payload") != sealed
    assert AesGcm({1: b"1" * 32}).open(sealed) == b"payload"
    for place in range(1, len(sealed)):
        with pytest.raises(StateError):
            seal.open(sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :])
    for cut in (b"", sealed[:20], sealed[:-1]):
        with pytest.raises(StateError):
            seal.open(cut)
    with pytest.raises(StateError, match="damaged, or was sealed with another key"):
        AesGcm({1: b"2" * 32}).open(sealed)
    with pytest.raises(StateError, match="was sealed with key 1; the key file has 2"):
        AesGcm({2: b"1" * 32}).open(sealed)


def test_no_nonce_comes_twice_over_lives_of_one_key():
    heads = {AesGcm({1: b"1" * 32}).seal(b"x")[:29] for _ in range(100)}
    assert len(heads) == 100


def test_the_file_is_private_and_keeps_its_key(tmp_path):
    keys = KeyFile(tmp_path / "keys.json")
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600
    assert KeyFile(tmp_path / "keys.json").open(keys.seal(b"x")) == b"x"
    assert [path.name for path in tmp_path.iterdir()] == ["keys.json"]


def test_a_locked_file_needs_the_unlock_key(tmp_path):
    path = tmp_path / "keys.json"
    keys = KeyFile(path)
    sealed = keys.seal(b"x")
    plain = path.read_bytes()
    assert keys.protect(KEK, 7) is True
    assert (keys.locked, keys.version) == (True, 7)
    assert path.read_bytes() != plain
    with pytest.raises(Locked, match=r"keys\.json is locked: the unlock key of the swarm is needed"):
        KeyFile(path)
    with pytest.raises(Locked, match="the unlock key that was given does not open it"):
        KeyFile(path, OTHER)
    assert KeyFile(path, KEK).open(sealed) == b"x"


def test_locking_follows_the_cluster(tmp_path):
    """Later versions count, earlier ones are passed over, and one version has one key."""
    path = tmp_path / "keys.json"
    keys = KeyFile(path)
    assert keys.protect(None, 0) is False
    assert keys.protect(KEK, 5) is True
    assert keys.protect(KEK, 5) is False
    assert keys.protect(None, 4) is False
    assert keys.locked
    with pytest.raises(StateError, match="two unlock keys claim to be of version 5"):
        keys.protect(OTHER, 5)
    assert keys.protect(OTHER, 6) is False
    KeyFile(path, OTHER)
    assert keys.protect(None, 8) is False
    assert KeyFile(path).version == 8
    # A key that is given though nothing is locked does no harm.
    assert not KeyFile(path, KEK).locked


def test_a_new_file_can_be_locked_from_the_start(tmp_path):
    KeyFile(tmp_path / "keys.json", KEK)
    with pytest.raises(Locked):
        KeyFile(tmp_path / "keys.json")


def test_rotation_adds_a_key_and_then_drops_the_old(tmp_path):
    path = tmp_path / "keys.json"
    keys = KeyFile(path, KEK)
    old = keys.seal(b"old")
    keys.rotate()
    new = keys.seal(b"new")
    assert [KeyFile(path, KEK).open(sealed) for sealed in (old, new)] == [b"old", b"new"]
    keys.forget_old()
    assert KeyFile(path, KEK).open(new) == b"new"
    for holder in (keys, KeyFile(path, KEK)):
        assert not holder.rotating
        with pytest.raises(StateError, match="was sealed with key 1; the key file has 2"):
            holder.open(old)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "damaged"),
        (b"\xff\xfe", "damaged"),
        (b'{"schema":2,"locked":false,"version":0,"keys":[]}', "schema 2; this version reads schema 1"),
        (b'{"schema":1,"locked":false,"version":0,"keys":[]}', "it holds no key"),
        (b'{"schema":1,"locked":false,"version":0,"keys":[{"number":1,"body":"AAAA"}]}', "not 32 bytes"),
    ],
)
def test_a_damaged_file_is_named_and_left_alone(tmp_path, content, words):
    (tmp_path / "keys.json").write_bytes(content)
    with pytest.raises(StateError, match=words) as error:
        KeyFile(tmp_path / "keys.json")
    assert "keys.json" in str(error.value)
    assert (tmp_path / "keys.json").read_bytes() == content


def test_a_file_that_cannot_be_replaced_changes_nothing(tmp_path):
    path = tmp_path / "keys.json"
    keys = KeyFile(path)
    sealed = keys.seal(b"x")
    (tmp_path / "keys.json.new").mkdir()
    for change in (keys.rotate, lambda: keys.protect(KEK, 1), keys.forget_old):
        with pytest.raises(StateError, match=r"keys\.json cannot be written: Is a directory"):
            change()
    (tmp_path / "keys.json.new").rmdir()
    assert (keys.locked, keys.rotating) == (False, False)
    assert KeyFile(path).open(sealed) == b"x"
    assert keys.open(keys.seal(b"y")) == b"y"


def test_no_key_shows_itself(tmp_path):
    key = os.urandom(32)
    keys = KeyFile(tmp_path / "keys.json", key)
    shown = f"{keys!r} {AesGcm({1: key})!r}"
    assert repr(key)[2:-1] not in shown
    assert shown == f"KeyFile({str(Path(tmp_path / 'keys.json'))!r}, keys [1], locked=True) AesGcm(keys [1])"
