"""Certificates, field by field, and what is not signed."""

import random
import shutil
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec.structs import replace

from swarmlab.api import HOUR, Instant, InvalidSpec, NodeRole, SigningRoot, after, seconds
from swarmlab.api.trust import (
    MAX_PEM_BYTES,
    check_bundle,
    check_request,
    check_signing_root,
    expiry_of,
    issuer_of,
    same_certificates,
    subject_of,
)
from swarmlab.ca import Identity
from swarmlab.edges.tls.founding import found
from swarmlab.edges.tls.x509 import check_chain, cross_sign, identity_of, issue, make_request, make_root, normalized

NOW = Instant(1_800_000_000_000_000_000)
TODAY = datetime.fromtimestamp(1_800_000_000, UTC)
ME = Identity("n" * 25, "c" * 25, NodeRole.WORKER)
ROOT = make_root(NOW)


def parsed(certificate: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificates(certificate)[0]


def extensions(certificate: x509.Certificate) -> dict[str, tuple[bool, object]]:
    return {extension.oid._name: (extension.critical, extension.value) for extension in certificate.extensions}


def usage(**on: bool) -> x509.KeyUsage:
    names = [
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
        *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    ]
    return x509.KeyUsage(**{name: on.get(name, False) for name in names})


def issued(identity: Identity = ME, root: SigningRoot = ROOT, csr: bytes | None = None, between: bytes = b"") -> bytes:
    return issue(
        make_request()[0] if csr is None else csr,
        identity,
        root,
        not_before=Instant(NOW - HOUR),
        not_after=after(NOW, 2160 * HOUR),
        intermediates=between,
    )


def request(key: object, algorithm: object = None) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
    )
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM)  # type: ignore[arg-type]


def authority(
    *, ca: bool = True, days: int = 4000, key: ec.EllipticCurvePrivateKey | None = None, begun: int = 1
) -> SigningRoot:
    """A root of somebody else's making."""
    key = key or ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "corporate")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(datetime.fromtimestamp(1_800_000_000 - begun * 86_400, UTC))
        .not_valid_after(datetime.fromtimestamp(1_800_000_000 + days * 86_400, UTC))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(key, hashes.SHA384())
    )
    return SigningRoot(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        ),
    )


def test_a_root_has_the_fields_of_a_swarm() -> None:
    root = parsed(ROOT.ca_cert)
    assert root.subject.rfc4514_string() == root.issuer.rfc4514_string() == "CN=swarm-ca"
    assert isinstance(root.public_key(), ec.EllipticCurvePublicKey)
    assert root.public_key().curve.name == "secp256r1"
    assert root.signature_hash_algorithm is not None
    assert root.signature_hash_algorithm.name == "sha256"
    assert (TODAY - root.not_valid_before_utc).total_seconds() == 300
    assert (root.not_valid_after_utc - TODAY).total_seconds() == 630_720_000
    assert extensions(root) == {
        "basicConstraints": (True, x509.BasicConstraints(ca=True, path_length=None)),
        "keyUsage": (True, usage(key_cert_sign=True, crl_sign=True)),
        "subjectKeyIdentifier": (False, x509.SubjectKeyIdentifier.from_public_key(root.public_key())),
    }
    assert ROOT.ca_key.startswith(b"-----BEGIN PRIVATE KEY-----")
    check_bundle(ROOT.ca_cert, NOW)


@pytest.mark.parametrize(
    ("role", "unit", "names"),
    [
        (NodeRole.WORKER, "swarm-worker", ["swarm-worker", "n" * 25]),
        (NodeRole.MANAGER, "swarm-manager", ["swarm-manager", "n" * 25, "swarm-ca"]),
    ],
)
def test_a_node_has_the_fields_of_its_role(role: NodeRole, unit: str, names: list[str]) -> None:
    csr, _ = make_request()
    leaf = parsed(issued(replace(ME, role=role), csr=csr))
    key = x509.load_pem_x509_csr(csr).public_key()
    assert [(part.oid, part.value) for part in leaf.subject] == [
        (NameOID.ORGANIZATION_NAME, "c" * 25),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
        (NameOID.COMMON_NAME, "n" * 25),
    ]
    assert leaf.public_key() == key
    assert (TODAY - leaf.not_valid_before_utc).total_seconds() == 3600
    assert (leaf.not_valid_after_utc - TODAY).total_seconds() == 2160 * 3600
    assert extensions(leaf) == {
        "keyUsage": (True, usage(digital_signature=True, key_encipherment=True)),
        "extendedKeyUsage": (
            False,
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
        ),
        "basicConstraints": (True, x509.BasicConstraints(ca=False, path_length=None)),
        "subjectKeyIdentifier": (False, x509.SubjectKeyIdentifier.from_public_key(key)),  # type: ignore[arg-type]
        "authorityKeyIdentifier": (
            False,
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                parsed(ROOT.ca_cert).extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
            ),
        ),
        "subjectAltName": (False, x509.SubjectAlternativeName([x509.DNSName(name) for name in names])),
    }
    leaf.verify_directly_issued_by(parsed(ROOT.ca_cert))
    assert identity_of(leaf) == replace(ME, role=role)


def test_our_own_request_says_nothing_but_its_key() -> None:
    csr, key = make_request()
    assert list(x509.load_pem_x509_csr(csr).subject) == []
    assert key.startswith(b"-----BEGIN PRIVATE KEY-----")


def test_a_request_that_claims_another_name_gets_its_own() -> None:
    """SwarmKit TestParseValidateAndSignMaliciousCSR."""
    csr = request(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    assert identity_of(parsed(issued(csr=csr))) == ME


@pytest.mark.parametrize(
    ("csr", "about"),
    [
        (b"", "none"),
        (b"garbage", "not a PEM CSR"),
        (b"-" * (MAX_PEM_BYTES + 1), "at most"),
        (request(ed25519.Ed25519PrivateKey.generate()), "Ed25519"),
        (request(ec.generate_private_key(ec.SECP256K1()), hashes.SHA256()), "secp256k1"),
        (request(rsa.generate_private_key(65537, 1024), hashes.SHA256()), "1024 bits"),
    ],
    ids=["empty", "garbage", "huge", "ed25519", "curve", "short"],
)
def test_unfit_requests_are_refused(csr: bytes, about: str) -> None:
    with pytest.raises(InvalidSpec, match=about):
        issued(csr=csr)


def test_a_request_that_its_key_did_not_sign_is_refused() -> None:
    one, other = (x509.load_pem_x509_csr(make_request()[0]) for _ in range(2))
    der = one.public_bytes(serialization.Encoding.DER)
    forged = der.replace(_point(one), _point(other))
    assert len(forged) == len(der)
    csr = x509.load_der_x509_csr(forged).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(InvalidSpec, match="not signed with the key that it names"):
        check_request(csr)


def _point(csr: x509.CertificateSigningRequest) -> bytes:
    return csr.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def test_a_cross_certificate_leads_from_the_new_root_to_the_old_one() -> None:
    new = make_root(NOW)
    crossed = cross_sign(new.ca_cert, ROOT)
    between, root = parsed(crossed), parsed(new.ca_cert)
    assert between.public_key() == root.public_key()
    assert between.subject == root.subject
    between.verify_directly_issued_by(parsed(ROOT.ca_cert))
    csr, key = make_request()
    chain = issued(root=new, csr=csr, between=crossed)
    for roots in (ROOT.ca_cert, new.ca_cert, ROOT.ca_cert + new.ca_cert):
        assert check_chain(chain, roots, key, NOW) == ME
        assert issuer_of(chain, roots) == subject_of(new.ca_cert)
    with pytest.raises(InvalidSpec, match="does not lead to the trusted root"):
        check_chain(chain, make_root(NOW).ca_cert, key, NOW)
    with pytest.raises(InvalidSpec, match="the private key is that of another one"):
        check_chain(chain, ROOT.ca_cert, make_request()[1], NOW)
    with pytest.raises(InvalidSpec, match="not now"):
        check_chain(chain, ROOT.ca_cert, key, after(NOW, 2161 * HOUR))
    assert check_chain(chain, ROOT.ca_cert, key, after(NOW, 2161 * HOUR), allow_expired=True) == ME


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the program openssl is not here")
def test_openssl_accepts_the_chains(tmp_path: Path) -> None:
    new = make_root(Instant(time.time_ns()))
    old = make_root(Instant(time.time_ns()))
    live = Instant(time.time_ns())
    crossed = cross_sign(new.ca_cert, old)
    csr, _ = make_request()
    leaf = issue(csr, ME, new, not_before=Instant(live - HOUR), not_after=after(live, HOUR))
    for name, content in (("old", old.ca_cert), ("new", new.ca_cert), ("crossed", crossed), ("leaf", leaf)):
        (tmp_path / name).write_bytes(content)
    for trusted, more in (("old", ["-untrusted", "crossed"]), ("new", []), ("new", ["-untrusted", "crossed"])):
        for purpose in ("sslclient", "sslserver"):
            command = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", trusted, *more, "leaf"]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stdout) == (0, "leaf: OK\n"), done.stderr
    done = subprocess.run(
        ["openssl", "verify", "-CAfile", "old", "leaf"], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode != 0


def test_a_root_of_the_users_may_found_a_cluster() -> None:
    root = authority()
    founding, credentials = found(NOW, random.Random(1), hostname="m1", root=root, node_cert_expiry=seconds(7200))
    assert credentials.check(NOW) == Identity(founding.node_id, founding.cluster_id, NodeRole.MANAGER)
    assert expiry_of(credentials.certificate) == after(NOW, 2 * HOUR)
    assert credentials.root == root.ca_cert
    info = credentials.tls_info()
    assert (info.cert_issuer_subject, info.cert_issuer_public_key) == subject_of(root.ca_cert)


@pytest.mark.parametrize(
    ("root", "about"),
    [
        (authority(ca=False), "not a certificate authority"),
        (authority(days=364), "a year from now or later"),
        (authority(begun=-1), "not now"),
        (replace(authority(), ca_key=authority().ca_key), "not the key of"),
        (replace(authority(), ca_key=b"nonsense"), "not a PEM key"),
        (SigningRoot(authority().ca_cert * 2), "2 certificates, wanted: one"),
        (SigningRoot(issued()), "signed by itself"),
        (SigningRoot(b""), "not PEM certificates"),
    ],
)
def test_unfit_roots_are_refused(root: SigningRoot, about: str) -> None:
    with pytest.raises(InvalidSpec, match=about):
        check_signing_root(root.ca_cert, root.ca_key, NOW)


def test_a_root_is_told_by_its_certificate_not_by_its_text() -> None:
    root = authority()
    wordy = replace(root, ca_cert=b"the root of the company\n" + root.ca_cert)
    assert same_certificates(root.ca_cert, wordy.ca_cert)
    assert not same_certificates(root.ca_cert, ROOT.ca_cert)
    plain = normalized(wordy)
    assert plain.ca_cert == root.ca_cert
    assert plain.ca_key.startswith(b"-----BEGIN PRIVATE KEY-----")


def test_who_is_no_node_has_no_identity() -> None:
    with pytest.raises(InvalidSpec, match="0 times O"):
        identity_of(parsed(ROOT.ca_cert))
