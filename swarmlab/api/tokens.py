"""The secrets that people copy: join tokens and the unlock key, as texts.

A join token is `SWMTKN-1-DIGEST-SECRET`, or `SWMTKN-2-F-DIGEST-SECRET` with F = 1 where every node has to run in FIPS
mode. DIGEST is the SHA-256 of the very bytes of the root bundle, so that a node knows the cluster that it joins; SECRET
is what lets it in. Both are numbers in base 36, filled up with zeros. Source: SwarmKit `ca/config.go`.
"""

import hashlib
import hmac
import random
from base64 import b64decode, b64encode
from typing import ClassVar

from swarmlab.api.certificates import EncryptionKey, JoinTokens
from swarmlab.api.enums import EncryptionAlgorithm, NodeRole
from swarmlab.api.errors import InvalidSpec
from swarmlab.api.ids import base36
from swarmlab.api.value import Guarded

#: Characters of the digest and of the secret.
DIGEST_LENGTH, SECRET_LENGTH = 50, 25
SECRET_BITS = 128
#: Which of the cluster's keys locks the managers' own keys. SwarmKit `ca.ManagerRole`.
UNLOCK_SUBSYSTEM = "swarm-manager"
UNLOCK_KEY_BYTES = 32

_PREFIX, _VERSION, _VERSION_FIPS = "SWMTKN", "1", "2"
_UNLOCK_PREFIX = "SWMKEY-1-"
_DIGITS = frozenset("0123456789abcdefghijklmnopqrstuvwxyz")
_SHAPE = f"{_PREFIX}-1-, {DIGEST_LENGTH} characters, -, {SECRET_LENGTH} characters"


class JoinToken(Guarded, frozen=True):
    """A join token in its parts."""

    hidden: ClassVar[frozenset[str]] = frozenset({"secret"})

    #: Base 36, as `root_digest` gives it.
    digest: str
    secret: str
    #: Every node of the cluster has to run in FIPS mode.
    fips: bool = False

    @classmethod
    def parse(cls, text: str) -> "JoinToken":
        """The token that `text` is, to the letter.

        Raises:
            InvalidSpec: It has another form. The message does not repeat the text.
        """
        parts = text.split("-")
        match parts:
            case [prefix, version, digest, secret] if (prefix, version) == (_PREFIX, _VERSION):
                fips = "0"
            case [prefix, version, fips, digest, secret] if (prefix, version) == (_PREFIX, _VERSION_FIPS):
                pass
            case _:
                raise InvalidSpec(f"join token: {len(parts)} parts of {len(text)} characters, wanted: {_SHAPE}")
        if fips not in ("0", "1"):
            raise InvalidSpec("join token: the mark for FIPS mode is neither 0 nor 1")
        for word, part, length in (("digest", digest, DIGEST_LENGTH), ("secret", secret, SECRET_LENGTH)):
            if len(part) != length or not _DIGITS.issuperset(part):
                raise InvalidSpec(f"join token: its {word} has {len(part)} characters, wanted: {length} of 0-9, a-z")
        return cls(digest, secret, fips == "1")

    @property
    def text(self) -> str:
        """The token as people copy it."""
        version = f"{_VERSION_FIPS}-1" if self.fips else _VERSION
        return f"{_PREFIX}-{version}-{self.digest}-{self.secret}"

    def names(self, root: bytes) -> bool:
        """Whether `root`, byte for byte, is the bundle that this token was made for."""
        return hmac.compare_digest(self.digest, root_digest(root))

    @property
    def fingerprint(self) -> str:
        """The digest as `fingerprint` gives it."""
        return f"sha256:{int(self.digest, 36):064x}"


def root_digest(root: bytes) -> str:
    """SHA-256 of a root bundle, PEM, as join tokens carry it."""
    return base36(int.from_bytes(hashlib.sha256(root).digest(), "big")).rjust(DIGEST_LENGTH, "0")


def fingerprint(root: bytes) -> str:
    """SHA-256 of a root bundle, PEM, as `RootCA.ca_cert_hash` carries it."""
    return f"sha256:{hashlib.sha256(root).hexdigest()}"


def new_token(root: bytes, entropy: random.Random, *, fips: bool = False) -> str:
    """A fresh join token of the cluster with that root."""
    return JoinToken(root_digest(root), _new_secret(entropy), fips).text


def new_tokens(root: bytes, entropy: random.Random, *, fips: bool = False) -> JoinTokens:
    """Fresh join tokens for both roles."""
    return JoinTokens(worker=new_token(root, entropy, fips=fips), manager=new_token(root, entropy, fips=fips))


def with_new_secret(token: str, entropy: random.Random) -> str:
    """The token with another secret; what comes before names the root, which stays.

    Raises:
        InvalidSpec: It is no join token.
    """
    old = JoinToken.parse(token)
    return JoinToken(old.digest, _new_secret(entropy), old.fips).text


def role_of(tokens: JoinTokens, text: str) -> NodeRole | None:
    """The role whose token `text` is; None where it is neither. Takes the same time for every text of one length."""
    given = text.encode(errors="surrogateescape")
    manager = hmac.compare_digest(given, tokens.manager.encode()) and bool(tokens.manager)
    worker = hmac.compare_digest(given, tokens.worker.encode()) and bool(tokens.worker)
    if manager:
        return NodeRole.MANAGER
    return NodeRole.WORKER if worker else None


def new_unlock_key(entropy: random.Random) -> EncryptionKey:
    """A fresh key that locks the managers' own keys."""
    return EncryptionKey(
        subsystem=UNLOCK_SUBSYSTEM,
        algorithm=EncryptionAlgorithm.AES_128_GCM,
        key=entropy.getrandbits(8 * UNLOCK_KEY_BYTES).to_bytes(UNLOCK_KEY_BYTES, "big"),
    )


def unlock_key_text(key: bytes) -> str:
    """An unlock key as people copy it: `SWMKEY-1-` and base 64 without padding."""
    return _UNLOCK_PREFIX + b64encode(key).decode().rstrip("=")


def parse_unlock_key(text: str) -> bytes:
    """The unlock key that `text` is.

    Raises:
        InvalidSpec: It has another form. The message does not repeat the text.
    """
    encoded = text.strip().removeprefix(_UNLOCK_PREFIX)
    if encoded == text.strip():
        raise InvalidSpec(f"unlock key: it does not begin with {_UNLOCK_PREFIX}")
    try:
        key = b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError as error:
        raise InvalidSpec(f"unlock key: {error}, wanted: {_UNLOCK_PREFIX} and 43 characters of base 64") from error
    if len(key) != UNLOCK_KEY_BYTES:
        raise InvalidSpec(f"unlock key: it holds {len(key)} bytes, wanted: {UNLOCK_KEY_BYTES}")
    return key


def _new_secret(entropy: random.Random) -> str:
    return base36(entropy.getrandbits(SECRET_BITS)).rjust(SECRET_LENGTH, "0")
