"""What stock managers do that gRPC's own TLS does not take, and that is well all the same.

* While a swarm changes its root, a manager shows a certificate of the new root, and after it the new root signed by the
  old one. A stock manager's signature says nothing of the key that made it, and both roots have one name: OpenSSL takes
  such a certificate for one that signed itself, and looks no further ("self signed certificate in certificate chain").
  Go looks further. So what a manager shows is looked at here, and what a trusted root has signed is trusted like it.
* From the first renewal of its certificate on, a manager of Docker 20.10 agrees on no protocol (ALPN) any more, without
  which gRPC ends the connection ("missing selected ALPN property").
"""

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from swarmlab.api import Instant
from swarmlab.api.trust import certificates_in, issued_by
from swarmlab.edges.tls.x509 import holds_at

#: A manager that takes longer is looked at again at the next try.
LOOK_SECONDS = 5.0
#: More than any manager shows: a leaf, and the new root once for each old one.
_MOST = 8


class Seen(NamedTuple):
    """What is seen of a manager without believing it anything."""

    #: Roots that a trusted one has signed, PEM.
    crossed: bytes
    agrees_on_protocol: bool

    @property
    def is_plain(self) -> bool:
        """GRPC's own TLS takes it."""
        return self.agrees_on_protocol and not self.crossed


async def look(address: str, roots: bytes, now: Instant) -> Seen | None:
    """How the manager at host:port shows itself to one who trusts the bundle `roots`; None where nobody answers."""
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            shown, protocol = await _shown(address)
    except (OSError, ValueError, TimeoutError):
        return None
    return Seen(_crossed(shown[1:_MOST], roots, now), protocol == "h2")


def unverified_context() -> ssl.SSLContext:
    """For a client that verifies nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    return context


def _crossed(shown: Sequence[bytes], roots: bytes, now: Instant) -> bytes:
    """Those of the certificates (DER) that are roots signed by a root of the bundle."""
    anchors = certificates_in(roots)
    found = []
    for data in shown:
        try:
            certificate = x509.load_der_x509_certificate(data)
            is_root = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except (ValueError, x509.ExtensionNotFound):
            continue
        signed = is_root and certificate not in anchors and any(issued_by(certificate, anchor) for anchor in anchors)
        if signed and holds_at(certificate, now):
            found.append(certificate.public_bytes(Encoding.PEM))
    return b"".join(found)


async def _shown(address: str) -> tuple[Sequence[bytes], str | None]:
    """The certificates that whoever listens there shows, DER, and the protocol that was agreed on."""
    host, _, port = address.rpartition(":")
    _, writer = await asyncio.open_connection(host.strip("[]"), int(port), ssl=unverified_context(), server_hostname="")
    try:
        connection = writer.get_extra_info("ssl_object")
        return _chain(connection), connection.selected_alpn_protocol()
    finally:
        writer.close()


def _chain(connection: Any) -> Sequence[bytes]:
    """What Python tells of it openly from 3.13 on, and the object inside before."""
    if hasattr(connection, "get_unverified_chain"):
        shown: Sequence[bytes] = connection.get_unverified_chain()
        return shown
    return [ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in connection._sslobj.get_unverified_chain() or ()]
