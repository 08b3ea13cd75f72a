"""Keys, requests and certificates, made with the library `cryptography`.

Texts are PEM; private keys PKCS#8 without a passphrase. The fields are those of SwarmKit's certificates, which its
programs look at. Serial numbers and keys come from the operating system's entropy.
"""

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from swarmlab.api import MINUTE, SECOND, ClusterId, Duration, Instant, InvalidSpec, NodeId, NodeRole, SigningRoot
from swarmlab.api.trust import certificates_in, check_request, issued_by, key_subject, public_key_of
from swarmlab.ca import Identity

ROOT_NAME = "swarm-ca"
#: 20 years. SwarmKit `ca.RootCAExpiration`.
ROOT_LIFE = Duration(630_720_000 * SECOND)
#: How far roots begin before they are made: clocks differ.
ROOT_BACKDATE = Duration(5 * MINUTE)
#: {role: OU of its certificates}
UNITS = {NodeRole.WORKER: "swarm-worker", NodeRole.MANAGER: "swarm-manager"}
_ROLES = {unit: role for role, unit in UNITS.items()}

_CA_USAGE = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
_NODE_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=True,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def make_root(now: Instant) -> SigningRoot:
    """A fresh root for a cluster, good for 20 years."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ROOT_NAME)])
    certificate = (
        _builder(name, name, key.public_key(), now - ROOT_BACKDATE, now + ROOT_LIFE)
        .add_extension(_CA_USAGE, critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return SigningRoot(_pem(certificate), _private_pem(key))


def normalized(root: SigningRoot) -> SigningRoot:
    """The root without the words that may stand around it in a file; its key as PKCS#8.

    Raises:
        InvalidSpec: It cannot be read, or the key is not its key.
    """
    certificate, key = _signer(root)
    return SigningRoot(_pem(certificate), _private_pem(key))


def make_request() -> tuple[bytes, bytes]:
    """A request for a certificate and the private key that belongs to it. Its subject is empty: nobody reads it."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return request.public_bytes(Encoding.PEM), _private_pem(key)


def issue(
    csr: bytes,
    identity: Identity,
    signer: SigningRoot,
    *,
    not_before: Instant,
    not_after: Instant,
    intermediates: bytes = b"",
) -> bytes:
    """The certificate of a node for the key of `csr`, followed by `intermediates`.

    Raises:
        InvalidSpec: The request is not acceptable, or the signer's key is not the key of its certificate.
    """
    request = check_request(csr)
    root, key = _signer(signer)
    unit = UNITS[identity.role]
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, identity.cluster_id),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
            x509.NameAttribute(NameOID.COMMON_NAME, identity.node_id),
        ]
    )
    names = [unit, identity.node_id, *([ROOT_NAME] if identity.role == NodeRole.MANAGER else [])]
    certificate = (
        _builder(name, root.subject, request.public_key(), not_before, not_after)
        .add_extension(_NODE_USAGE, critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(request.public_key()), critical=False)
        .add_extension(_authority_key(root), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pem(certificate) + intermediates


def cross_sign(root: bytes, by: SigningRoot) -> bytes:
    """A certificate for the subject and key of `root` that `by` has signed; it ends when `root` or `by` does.

    Raises:
        InvalidSpec: One of them cannot be read.
    """
    new = certificates_in(root)[0]
    old, key = _signer(by)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(new.subject)
        .issuer_name(old.subject)
        .public_key(new.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(max(new.not_valid_before_utc, old.not_valid_before_utc))
        .not_valid_after(min(new.not_valid_after_utc, old.not_valid_after_utc))
        .add_extension(_CA_USAGE, critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_identifier(new), critical=False)
        .add_extension(_authority_key(old), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pem(certificate)


def identity_of(certificate: x509.Certificate) -> Identity:
    """Whom the certificate is for.

    Raises:
        InvalidSpec: Its subject has not one CN, O and OU, or the OU is no role.
    """
    words = []
    for label, oid in (
        ("CN", NameOID.COMMON_NAME),
        ("O", NameOID.ORGANIZATION_NAME),
        ("OU", NameOID.ORGANIZATIONAL_UNIT_NAME),
    ):
        values = certificate.subject.get_attributes_for_oid(oid)
        if len(values) != 1 or not values[0].value:
            raise InvalidSpec(
                f"certificate of {certificate.subject.rfc4514_string()!r}: {len(values)} times {label}, wanted: once"
            )
        words.append(str(values[0].value))
    node_id, cluster_id, unit = words
    if unit not in _ROLES:
        raise InvalidSpec(f"certificate of node {node_id}: its OU is {unit!r}, wanted: {' or '.join(_ROLES)}")
    return Identity(NodeId(node_id), ClusterId(cluster_id), _ROLES[unit])


def check_chain(certificate: bytes, roots: bytes, key: bytes, now: Instant, *, allow_expired: bool = False) -> Identity:
    """Whom a node's certificate is for, once it is known that it leads to one of `roots` and that `key` is its key.

    Raises:
        InvalidSpec: It does not, or it does not hold now; or it is not the certificate of a node.
    """
    leaf, *between = certificates_in(certificate)
    if not allow_expired and not holds_at(leaf, now):
        raise InvalidSpec(
            f"certificate of {leaf.subject.rfc4514_string()}: it holds from {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} "
            f"to {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC, not now"
        )
    if key_subject(key) != public_key_of(leaf):
        raise InvalidSpec(f"certificate of {leaf.subject.rfc4514_string()}: the private key is that of another one")
    anchors = certificates_in(roots)
    issued, seen = leaf, 0
    while not any(issued_by(issued, anchor) for anchor in anchors):
        above = next((other for other in between if issued_by(issued, other)), None)
        seen += 1
        if above is None or seen > len(between):
            raise InvalidSpec(f"certificate of {leaf.subject.rfc4514_string()}: it does not lead to the trusted root")
        issued = above
    return identity_of(leaf)


def holds_at(certificate: x509.Certificate, now: Instant) -> bool:
    """Whether `now` is within its time."""
    return certificate.not_valid_before_utc <= _moment(now) <= certificate.not_valid_after_utc


def _builder(
    subject: x509.Name, issuer: x509.Name, key: CertificatePublicKeyTypes, not_before: int, not_after: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_moment(not_before))
        .not_valid_after(_moment(not_after))
    )


def _signer(root: SigningRoot) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey]:
    certificate = certificates_in(root.ca_cert)[0]
    if key_subject(root.ca_key) != public_key_of(certificate):
        raise InvalidSpec(f"signing key: it is not the key of {certificate.subject.rfc4514_string()}")
    key = load_pem_private_key(root.ca_key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey), "key_subject takes no other kind"
    return certificate, key


def _key_identifier(certificate: x509.Certificate) -> x509.SubjectKeyIdentifier:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())


def _authority_key(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(_key_identifier(issuer))


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _private_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _moment(instant: int) -> datetime:
    return datetime.fromtimestamp(instant // SECOND, UTC)
