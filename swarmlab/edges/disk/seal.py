"""What payloads look like on the disk."""

import os
import struct
from itertools import count
from pathlib import Path
from typing import Protocol
from zlib import crc32

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from swarmlab.api import StateError
from swarmlab.edges.disk.database import checked

#: AES-256.
KEY_BYTES = 32


class Seal(Protocol):
    """Turns payloads into what is written, and back."""

    def seal(self, payload: bytes) -> bytes:
        """What to write."""

    def open(self, sealed: bytes) -> bytes:
        """The payload again.

        Raises:
            StateError: It was sealed otherwise, or is damaged.
        """


class Plain:
    """Payloads as they are; the permissions of the files are all that guards them."""

    def seal(self, payload: bytes) -> bytes:
        """The payload itself."""
        return payload

    def open(self, sealed: bytes) -> bytes:
        """The payload itself."""
        return sealed


PLAIN = Plain()


class Payloads:
    """Payloads as they stand in the rows of a file: sealed, beside a checksum of that."""

    def __init__(self, path: Path, seal: Seal) -> None:
        self._path = path
        self._seal = seal

    def row(self, payload: bytes) -> tuple[bytes, int]:
        """What to write: the sealed payload and its checksum."""
        sealed = self._seal.seal(payload)
        return sealed, crc32(sealed)

    def opened(self, what: str, sealed: bytes, checksum: int) -> bytes:
        """The payload of a row.

        Raises:
            StateError: It is damaged, or sealed otherwise; the message names `what`.
        """
        return self._seal.open(checked(self._path, what, sealed, checksum))


#: Form, number of the key, salt of the sealing life, number of the payload in that life.
_HEAD = struct.Struct(">BI16sQ")
_FORM = 1
_INFO = b"swarmlab sealed payload"


class AesGcm:
    """AES-256-GCM under numbered keys: the newest seals, all of them open.

    A nonce must never come twice under one key, over all lives of a process that is killed and restored from copies. So
    no payload is sealed with a key itself: each life derives its own from a salt by chance, and counts its nonces.

    Args:
        keys: {number: key of 32 bytes}
    """

    def __init__(self, keys: dict[int, bytes]) -> None:
        self._keys = dict(keys)
        self._derived: dict[tuple[int, bytes], AESGCM] = {}
        self._use(max(self._keys))

    def __repr__(self) -> str:
        return f"AesGcm(keys {sorted(self._keys)})"

    def add(self, number: int, key: bytes) -> None:
        """Seal with this key from now on."""
        self._keys[number] = key
        self._use(number)

    def forget_all_but(self, number: int) -> None:
        """Open nothing any more that was sealed with another key."""
        self._keys = {number: self._keys[number]}
        self._derived = {known: cipher for known, cipher in self._derived.items() if known[0] == number}

    def seal(self, payload: bytes) -> bytes:
        """The payload under the newest key."""
        number, salt, counter, cipher = self._present
        place = next(counter)
        head = _HEAD.pack(_FORM, number, salt, place)
        return head + cipher.encrypt(place.to_bytes(12, "big"), payload, head)

    def open(self, sealed: bytes) -> bytes:
        """The payload again.

        Raises:
            StateError: It was sealed otherwise or with another key, or is damaged.
        """
        if len(sealed) < _HEAD.size or sealed[0] != _FORM:
            raise StateError("what is written there was not sealed by AES-GCM")
        _, number, salt, place = _HEAD.unpack_from(sealed)
        if number not in self._keys:
            known = ", ".join(map(str, sorted(self._keys)))
            raise StateError(f"what is written there was sealed with key {number}; the key file has {known}")
        try:
            return self._cipher(number, salt).decrypt(
                place.to_bytes(12, "big"), sealed[_HEAD.size :], sealed[: _HEAD.size]
            )
        except InvalidTag:
            raise StateError("what is written there is damaged, or was sealed with another key") from None

    def _use(self, number: int) -> None:
        salt = os.urandom(16)
        # One attribute, read once: a payload may be sealed on one thread while another changes the key.
        self._present = number, salt, count(), self._cipher(number, salt)

    def _cipher(self, number: int, salt: bytes) -> AESGCM:
        known = self._derived.get((number, salt))
        if known is None:
            derived = HKDF(SHA256(), KEY_BYTES, salt, _INFO).derive(self._keys[number])
            known = self._derived[number, salt] = AESGCM(derived)
        return known
