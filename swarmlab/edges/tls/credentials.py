"""What a node is known by, in memory and on the disk."""

import os
from pathlib import Path
from typing import ClassVar

from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from swarmlab.api import Guarded, Instant, InvalidSpec, Locked, NodeTLSInfo, StateError, unlock_key_text
from swarmlab.api.trust import certificates_in, issuer_of, key_subject, public_key_of, validity_of
from swarmlab.ca import Identity
from swarmlab.edges.disk import make_directory
from swarmlab.edges.tls.x509 import check_chain, identity_of

ROOT_FILE = "swarm-root-ca.crt"
CERTIFICATE_FILE = "swarm-node.crt"
KEY_FILE = "swarm-node.key"
#: The certificate waits here while its key takes its place.
NEXT_CERTIFICATE_FILE = ".swarm-node.crt.next"


class Credentials(Guarded, frozen=True):
    """Root, certificate and key of a node, PEM. The methods read the texts anew each time, in some ten microseconds."""

    hidden: ClassVar[frozenset[str]] = frozenset({"key"})

    #: Bundle of the roots that the node trusts, byte for byte as the managers gave it.
    root: bytes
    #: Leaf, then intermediates.
    certificate: bytes
    #: PKCS#8, without a passphrase.
    key: bytes

    def identity(self) -> Identity:
        """Who the node is, and in which role."""
        return identity_of(certificates_in(self.certificate)[0])

    def validity(self) -> tuple[Instant, Instant]:
        """From when until when the certificate holds."""
        return validity_of(self.certificate)

    def tls_info(self) -> NodeTLSInfo:
        """What the node reports of its certificate, which tells the managers how far a rotation of the root came."""
        issuer = issuer_of(self.certificate, self.root)
        return NodeTLSInfo(self.root, issuer.name, issuer.public_key)

    def check(self, now: Instant, *, allow_expired: bool = False) -> Identity:
        """Who the node is, once it is known that root, certificate and key belong together.

        Raises:
            InvalidSpec: They do not, or the certificate does not hold now.
        """
        return check_chain(self.certificate, self.root, self.key, now, allow_expired=allow_expired)


class CertificateDirectory:
    """The files `swarm-root-ca.crt`, `swarm-node.crt` and `swarm-node.key` of one node.

    A crash at any moment leaves a key and a certificate that belong together: the new certificate is put beside the old
    one, the key takes the place of the old key, the certificate follows; who reads finishes what was left.
    Source: SwarmKit `ca/keyreadwriter.go`.

    Args:
        path: The directory; it is made, for its owner alone, when something is saved.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        """Whether a node's key lies here."""
        return (self.path / KEY_FILE).exists()

    def is_sealed(self) -> bool:
        """Whether the node's key lies here and takes an unlock key to read."""
        return b"ENCRYPTED" in (self._read(KEY_FILE) or b"").partition(b"\n")[0]

    def root(self) -> bytes | None:
        """The trusted root, as it was saved; None where there is none."""
        return self._read(ROOT_FILE)

    def load(self, unlock_key: bytes = b"") -> Credentials | None:
        """The node's credentials, None where there are none. Whether they hold is for `Credentials.check` to say.

        Raises:
            Locked: The key is sealed and `unlock_key` does not open it.
            StateError: A file is damaged, missing, or does not belong to the others.
        """
        root, sealed = self._read(ROOT_FILE), self._read(KEY_FILE)
        if sealed is None:
            return None
        if root is None:
            raise StateError(f"{self.path / ROOT_FILE}: missing beside the node's key; restore it or leave the swarm")
        key = self._opened(sealed, unlock_key)
        try:
            return Credentials(root, self._certificate_of(key), key)
        except InvalidSpec as error:
            raise StateError(f"{self.path / CERTIFICATE_FILE}: {error}") from error

    def save(self, credentials: Credentials, unlock_key: bytes = b"") -> None:
        """Put root, certificate and key into their places; with `unlock_key`, the key is sealed with it.

        Raises:
            StateError: The directory cannot be written. What was there before can still be read.
        """
        make_directory(self.path)
        key = _sealed(credentials.key, unlock_key) if unlock_key else credentials.key
        if self._read(ROOT_FILE) != credentials.root:
            self._write(ROOT_FILE, credentials.root, 0o644)
        self._write(NEXT_CERTIFICATE_FILE, credentials.certificate, 0o644)
        self._write(KEY_FILE, key, 0o600)
        self._rename(NEXT_CERTIFICATE_FILE, CERTIFICATE_FILE)

    def save_root(self, root: bytes) -> None:
        """Trust another root.

        Raises:
            StateError: The directory cannot be written.
        """
        make_directory(self.path)
        self._write(ROOT_FILE, root, 0o644)

    def remove(self) -> None:
        """Take the files away: the node has left its cluster."""
        for name in (KEY_FILE, NEXT_CERTIFICATE_FILE, CERTIFICATE_FILE, ROOT_FILE):
            (self.path / name).unlink(missing_ok=True)

    def _certificate_of(self, key: bytes) -> bytes:
        """The certificate of that key; a new one that had no time to take its place takes it now."""
        wanted = key_subject(key)
        for name in (CERTIFICATE_FILE, NEXT_CERTIFICATE_FILE):
            certificate = self._read(name)
            if certificate is not None and public_key_of(certificates_in(certificate)[0]) == wanted:
                if name == NEXT_CERTIFICATE_FILE:
                    self._rename(NEXT_CERTIFICATE_FILE, CERTIFICATE_FILE)
                return certificate
        raise InvalidSpec("it is missing or is not that of the node's key; restore it or leave the swarm")

    def _opened(self, sealed: bytes, unlock_key: bytes) -> bytes:
        encrypted = b"ENCRYPTED" in sealed.partition(b"\n")[0]
        if encrypted and not unlock_key:
            raise Locked(f"{self.path / KEY_FILE} is locked: the unlock key of the swarm is needed")
        try:
            key = load_pem_private_key(sealed, _passphrase(unlock_key) if encrypted else None)
        except (ValueError, TypeError) as error:
            if encrypted:
                raise Locked(f"{self.path / KEY_FILE} is locked: this is not its unlock key") from error
            raise StateError(f"{self.path / KEY_FILE}: it is damaged: {error}") from error
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def _read(self, name: str) -> bytes | None:
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"{self.path / name} cannot be read: {error.strerror}") from error

    def _write(self, name: str, content: bytes, mode: int) -> None:
        """The file with that content, or as it was."""
        fresh = self.path / f".{name.lstrip('.')}.tmp"
        try:
            fresh.unlink(missing_ok=True)
            file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
            with os.fdopen(file, "wb") as stream:
                os.fchmod(file, mode)
                stream.write(content)
                stream.flush()
                os.fsync(file)
        except OSError as error:
            raise StateError(f"{self.path / name} cannot be written: {error.strerror}") from error
        self._rename(fresh.name, name)

    def _rename(self, name: str, final: str) -> None:
        try:
            (self.path / name).replace(self.path / final)
            folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise StateError(f"{self.path / final} cannot be written: {error.strerror}") from error


def _sealed(key: bytes, unlock_key: bytes) -> bytes:
    return load_pem_private_key(key, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(_passphrase(unlock_key))
    )


def _passphrase(unlock_key: bytes) -> bytes:
    """The unlock key as people copy it, so that the file can be opened with openssl in an emergency."""
    return unlock_key_text(unlock_key).encode()
