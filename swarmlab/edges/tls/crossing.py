"""The next root of a stock manager, known by the present one.

While a swarm changes its root, a manager shows a certificate of the new root, and after it the new root signed by the
old one. A stock manager's signature says nothing of the key that made it, and both roots have one name: OpenSSL takes
such a certificate for one that signed itself, and looks no further ("self signed certificate in certificate chain").
Go looks further. So what a manager shows is looked at here, and what the present root has signed is trusted like it.
"""

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from swarmlab.api import Instant, InvalidSpec
from swarmlab.api.trust import certificates_in, issued_by
from swarmlab.edges.tls.x509 import holds_at

#: A manager that takes longer is tried again with the next session.
LOOK_SECONDS = 5.0
#: More than any manager shows: a leaf, and the new root once for each old one.
_MOST = 8


async def crossed_roots(address: str, root: bytes, now: Instant) -> bytes:
    """What the manager at host:port shows of other roots that a root of the bundle `root` has signed, PEM.

    Empty where there is nothing of the kind, or no manager.
    """
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            shown = await _shown(address)
    except (OSError, ValueError, TimeoutError):
        return b""
    anchors = certificates_in(root)
    found = []
    for data in shown[1:_MOST]:
        try:
            certificate = x509.load_der_x509_certificate(data)
            is_root = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
            signed = is_root and any(issued_by(certificate, anchor) for anchor in anchors)
        except (ValueError, x509.ExtensionNotFound, InvalidSpec):
            continue
        if signed and certificate not in anchors and holds_at(certificate, now):
            found.append(certificate.public_bytes(Encoding.PEM))
    return b"".join(found)


async def _shown(address: str) -> Sequence[bytes]:
    """The certificates that whoever listens there shows, DER, unverified."""
    host, _, port = address.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection(host.strip("[]"), int(port), ssl=context, server_hostname="")
    try:
        return _chain(writer.get_extra_info("ssl_object"))
    finally:
        writer.close()


def _chain(connection: Any) -> Sequence[bytes]:
    """What Python tells of it openly from 3.13 on, and the object inside before."""
    if hasattr(connection, "get_unverified_chain"):
        shown: Sequence[bytes] = connection.get_unverified_chain()
        return shown
    return [ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in connection._sslobj.get_unverified_chain() or ()]
