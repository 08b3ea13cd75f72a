"""The key file of a manager: with what its log is sealed, itself sealed where the cluster is locked."""

import os
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from swarmlab.api import Locked, StateError, Value
from swarmlab.edges.disk.directory import replace_file
from swarmlab.edges.disk.seal import KEY_BYTES, AesGcm

_SCHEMA = 1
_NONCE_BYTES = 12


class _Key(Value, frozen=True):
    number: int
    #: The key; or, where the file is locked, nonce and key under the unlock key.
    body: bytes


class _Content(Value, frozen=True):
    """The file, as JSON."""

    schema: int
    locked: bool
    #: Version of the cluster object that the unlock key was read from.
    version: int
    keys: tuple[_Key, ...]


_DECODER = msgspec.json.Decoder(_Content)


class KeyFile:
    """Data keys in a file that only its owner can read; it is the `Seal` of the log.

    A file that is not there is made, with a new key. Every change is one atomic replacement of the file, durable before
    anything is sealed with a new key.

    Args:
        path: Of the file, in a directory that exists.
        unlock_key: Opens a file that is locked; seals one that is made.

    Raises:
        Locked: The file is locked, and the key is missing or wrong.
        StateError: The file is damaged, of a later version, or cannot be used.
    """

    def __init__(self, path: Path, unlock_key: bytes | None = None) -> None:
        self._path = path
        self._unlock_key = unlock_key
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            self._version = 0
            self._keys = {1: os.urandom(KEY_BYTES)}
            self._write()
        except OSError as error:
            raise StateError(f"{path} cannot be read: {error.strerror}") from error
        else:
            self._load(data)
        self._seal = AesGcm(self._keys)

    def __repr__(self) -> str:
        return f"KeyFile({str(self._path)!r}, keys {sorted(self._keys)}, locked={self.locked})"

    @property
    def locked(self) -> bool:
        """Whether the keys in the file are sealed."""
        return self._unlock_key is not None

    @property
    def version(self) -> int:
        """The version that the unlock key was given with; 0 before any was."""
        return self._version

    @property
    def rotating(self) -> bool:
        """Whether payloads may still be sealed with an earlier key."""
        return len(self._keys) > 1

    def seal(self, payload: bytes) -> bytes:
        """The payload under the newest key."""
        return self._seal.seal(payload)

    def open(self, sealed: bytes) -> bytes:
        """The payload again.

        Raises:
            StateError: It was sealed otherwise, or is damaged.
        """
        return self._seal.open(sealed)

    def rotate(self) -> None:
        """Seal with a new key from now on; `RaftLog.reseal` and `forget_old` end what is begun here.

        Raises:
            StateError: The file cannot be written; the old key stays in use.
        """
        number, key = max(self._keys) + 1, os.urandom(KEY_BYTES)
        before = dict(self._keys)
        self._keys[number] = key
        self._write_or(before)
        self._seal.add(number, key)

    def forget_old(self) -> None:
        """Keep the newest key alone: nothing is sealed with another one any more.

        Raises:
            StateError: The file cannot be written; all keys stay.
        """
        newest, before = max(self._keys), dict(self._keys)
        self._keys = {newest: self._keys[newest]}
        self._write_or(before)
        self._seal.forget_all_but(newest)

    def protect(self, unlock_key: bytes | None, version: int) -> bool:
        """Lock the file with that key, or with None unlock it, unless it knows of a later version.

        Returns whether it was open until now: then somebody may hold the data keys, and they should be rotated.

        Raises:
            StateError: That very version came with another key; or the file cannot be written, and is as before.
        """
        if version < self._version or (unlock_key == self._unlock_key and version == self._version):
            return False
        if version == self._version and self._version > 0:
            raise StateError(f"{self._path}: two unlock keys claim to be of version {version}")
        was, was_version = self._unlock_key, self._version
        self._unlock_key, self._version = unlock_key, version
        try:
            self._write()
        except StateError:
            self._unlock_key, self._version = was, was_version
            raise
        return was is None and unlock_key is not None

    def _load(self, data: bytes) -> None:
        try:
            content = _DECODER.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StateError(f"{self._path} is damaged: {error}") from error
        if content.schema != _SCHEMA:
            raise StateError(f"{self._path} is of schema {content.schema}; this version reads schema {_SCHEMA}")
        if content.locked and self._unlock_key is None:
            raise Locked(f"{self._path} is locked: the unlock key of the swarm is needed")
        if not content.locked:
            self._unlock_key = None
        self._version = content.version
        self._keys = {key.number: self._plain(key) for key in content.keys}
        if not self._keys or any(len(key) != KEY_BYTES for key in self._keys.values()):
            raise StateError(f"{self._path} is damaged: it holds no key, or one that is not {KEY_BYTES} bytes long")

    def _plain(self, key: _Key) -> bytes:
        if self._unlock_key is None:
            return key.body
        try:
            return AESGCM(self._unlock_key).decrypt(
                key.body[:_NONCE_BYTES], key.body[_NONCE_BYTES:], _about(key.number)
            )
        except (InvalidTag, ValueError):
            raise Locked(f"{self._path} is locked, and the unlock key that was given does not open it") from None

    def _write_or(self, before: dict[int, bytes]) -> None:
        try:
            self._write()
        except StateError:
            self._keys = before
            raise

    def _write(self) -> None:
        keys = tuple(_Key(number, self._body(number, key)) for number, key in sorted(self._keys.items()))
        content = _Content(_SCHEMA, self.locked, self._version, keys)
        replace_file(self._path, msgspec.json.encode(content))

    def _body(self, number: int, key: bytes) -> bytes:
        if self._unlock_key is None:
            return key
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + AESGCM(self._unlock_key).encrypt(nonce, key, _about(number))


def _about(number: int) -> bytes:
    return b"swarmlab data key %d" % number
