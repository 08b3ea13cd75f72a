"""What certificates say, and which of them may be trusted: X.509 read, never made.

Imported apart, like `wire.py`: it needs the library `cryptography`, of which it uses what is a pure function alone.
Texts of certificates, requests and keys are PEM.
"""

from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import SignatureAlgorithmOID

from swarmlab.api.errors import InvalidSpec
from swarmlab.api.moments import HOUR, SECOND, Duration, Instant

#: Least life that a root must still have when it is to be the cluster's. SwarmKit `controlapi.minRootExpiration`.
MIN_ROOT_LIFE = Duration(365 * 24 * HOUR)
#: Signatures that are taken. SwarmKit `ca.SignatureAlgorithms`.
SIGNATURES = frozenset(
    {
        SignatureAlgorithmOID.ECDSA_WITH_SHA256,
        SignatureAlgorithmOID.ECDSA_WITH_SHA384,
        SignatureAlgorithmOID.ECDSA_WITH_SHA512,
        SignatureAlgorithmOID.RSA_WITH_SHA256,
        SignatureAlgorithmOID.RSA_WITH_SHA384,
        SignatureAlgorithmOID.RSA_WITH_SHA512,
    }
)
CURVES = frozenset({"secp256r1", "secp384r1", "secp521r1"})
#: Bits of an RSA key; the upper bound keeps a stranger from making us work.
MIN_RSA_BITS, MAX_RSA_BITS = 2048, 8192
#: Bytes of a request for a certificate, or of a bundle, that are looked at.
MAX_PEM_BYTES = 64 * 1024


class Subject(NamedTuple):
    """Subject and public key of a certificate, DER: what `NodeTLSInfo` calls its issuer."""

    name: bytes
    public_key: bytes


def subject_of(certificate: bytes) -> Subject:
    """Subject and key of the first certificate of a bundle.

    Raises:
        InvalidSpec: It holds none that can be read.
    """
    return subjects_of(certificate)[0]


def subjects_of(bundle: bytes) -> tuple[Subject, ...]:
    """Subjects and keys of all the certificates of a bundle.

    Raises:
        InvalidSpec: It holds none, or one that cannot be read.
    """
    return tuple(
        Subject(certificate.subject.public_bytes(), public_key_of(certificate))
        for certificate in certificates_in(bundle)
    )


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether `issuer` is a certificate authority that signed `certificate`."""
    try:
        certificate.verify_directly_issued_by(issuer)
        return issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False


def issuer_of(certificate: bytes, roots: bytes) -> Subject:
    """Who issued the first certificate of a bundle: one of those behind it, or one of `roots`.

    Raises:
        InvalidSpec: None of them did.
    """
    leaf, *between = certificates_in(certificate)
    for issuer in (*between, *certificates_in(roots)):
        if issued_by(leaf, issuer):
            return Subject(issuer.subject.public_bytes(), public_key_of(issuer))
    raise InvalidSpec(f"certificate of {leaf.subject.rfc4514_string()}: it does not lead to the trusted root")


def expiry_of(certificate: bytes) -> Instant:
    """When the first certificate of a bundle runs out.

    Raises:
        InvalidSpec: It holds none that can be read.
    """
    return _instant(certificates_in(certificate)[0].not_valid_after_utc.timestamp())


def validity_of(certificate: bytes) -> tuple[Instant, Instant]:
    """From when until when the first certificate of a bundle holds.

    Raises:
        InvalidSpec: It holds none that can be read.
    """
    first = certificates_in(certificate)[0]
    return _instant(first.not_valid_before_utc.timestamp()), _instant(first.not_valid_after_utc.timestamp())


def certificates_in(bundle: bytes) -> list[x509.Certificate]:
    """The certificates of a bundle, at least one.

    Raises:
        InvalidSpec: It holds none, or one that cannot be read.
    """
    if len(bundle) > MAX_PEM_BYTES:
        raise InvalidSpec(f"certificates: {len(bundle)} bytes, wanted: at most {MAX_PEM_BYTES}")
    try:
        return x509.load_pem_x509_certificates(bundle)
    except ValueError as error:
        raise InvalidSpec(f"certificates: {len(bundle)} bytes that are not PEM certificates") from error


def same_certificates(one: bytes, other: bytes) -> bool:
    """Whether two bundles hold the same certificates in the same order, whatever stands around them.

    Raises:
        InvalidSpec: One of them cannot be read.
    """
    return one == other or certificates_in(one) == certificates_in(other)


def check_request(csr: bytes) -> x509.CertificateSigningRequest:
    """The request for a certificate, known to be signed with the key that it names.

    Raises:
        InvalidSpec: It cannot be read, its signature does not hold, or its key or signature is of a kind that is not
            taken.
    """
    if not csr:
        raise InvalidSpec("certificate request: none, wanted: a PEM CSR")
    if len(csr) > MAX_PEM_BYTES:
        raise InvalidSpec(f"certificate request: {len(csr)} bytes, wanted: at most {MAX_PEM_BYTES}")
    try:
        request = x509.load_pem_x509_csr(csr)
        _check_key("certificate request", request.public_key())
        _check_signature("certificate request", request.signature_algorithm_oid)
        holds = request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidSpec(f"certificate request: {len(csr)} bytes that are not a PEM CSR") from error
    if not holds:
        raise InvalidSpec("certificate request: it is not signed with the key that it names")
    return request


def check_bundle(bundle: bytes, now: Instant) -> None:
    """Every certificate of the bundle is a root that holds now.

    Raises:
        InvalidSpec: One is not.
    """
    for root in certificates_in(bundle):
        _check_root(root, now)


def check_signing_root(certificate: bytes, key: bytes, now: Instant) -> None:
    """The certificate, with the key where one is given, can become the root of the cluster.

    Raises:
        InvalidSpec: It is not one certificate, no root, of an unwanted kind, or ends within a year; or the key is not
            its key.
    """
    roots = certificates_in(certificate)
    if len(roots) != 1:
        raise InvalidSpec(f"the desired CA certificate: {len(roots)} certificates, wanted: one")
    root = roots[0]
    _check_root(root, now)
    left = _instant(root.not_valid_after_utc.timestamp()) - now
    if left < MIN_ROOT_LIFE:
        raise InvalidSpec(
            f"the desired CA certificate ends on {root.not_valid_after_utc:%Y-%m-%d}, wanted: a year from now or later"
        )
    if key and key_subject(key) != public_key_of(root):
        raise InvalidSpec("the desired CA key is not the key of the desired CA certificate")


def key_subject(key: bytes) -> bytes:
    """The public key, DER, of a private key.

    Raises:
        InvalidSpec: It is no private key of a kind that is taken, or it is encrypted.
    """
    try:
        private = load_pem_private_key(key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidSpec("private key: it is not a PEM key without a passphrase") from error
    public = private.public_key()
    _check_key("private key", public)
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _check_root(root: x509.Certificate, now: Instant) -> None:
    name = root.subject.rfc4514_string()
    try:
        _check_key(f"root certificate {name}", root.public_key())
        _check_signature(f"root certificate {name}", root.signature_algorithm_oid)
        root.verify_directly_issued_by(root)
        constraints = root.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound, UnsupportedAlgorithm) as error:
        raise InvalidSpec(f"root certificate {name}: it is not a certificate authority signed by itself") from error
    if not constraints.ca:
        raise InvalidSpec(f"root certificate {name}: it is not a certificate authority")
    if not root.not_valid_before_utc.timestamp() * SECOND <= now <= root.not_valid_after_utc.timestamp() * SECOND:
        raise InvalidSpec(
            f"root certificate {name}: it holds from {root.not_valid_before_utc:%Y-%m-%d %H:%M} to "
            f"{root.not_valid_after_utc:%Y-%m-%d %H:%M} UTC, not now"
        )


def _check_key(what: str, key: object) -> None:
    match key:
        case ec.EllipticCurvePublicKey():
            if key.curve.name not in CURVES:
                raise InvalidSpec(f"{what}: a key on the curve {key.curve.name}, wanted: {', '.join(sorted(CURVES))}")
        case rsa.RSAPublicKey():
            if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
                raise InvalidSpec(
                    f"{what}: an RSA key of {key.key_size} bits, wanted: {MIN_RSA_BITS} to {MAX_RSA_BITS}"
                )
        case _:
            raise InvalidSpec(f"{what}: {type(key).__name__}, wanted: an ECDSA or RSA key")


def _check_signature(what: str, algorithm: x509.ObjectIdentifier) -> None:
    if algorithm not in SIGNATURES:
        raise InvalidSpec(f"{what}: signed with {algorithm._name}, wanted: ECDSA or RSA with SHA-256, 384 or 512")


def public_key_of(certificate: x509.Certificate) -> bytes:
    """The public key of a certificate, DER."""
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _instant(seconds: float) -> Instant:
    return Instant(int(seconds) * SECOND)
