"""What the authority is asked, what it has signed, and what comes of it."""

from typing import Any

from swarmlab.api import (
    ClusterId,
    Instant,
    NodeId,
    NodeRole,
    SigningRoot,
    Value,
)
from swarmlab.ca.identity import Peer
from swarmlab.component import Effect, Event


class Asked(Value, frozen=True):
    """A request, and who is at the other end of the connection on which it came."""

    peer: Peer
    message: Any


class Sign(Effect, frozen=True, kw_only=True):
    """Issue a certificate; the authority hears `Signed` of this node and request.

    Of the request only the public key is taken.
    """

    node_id: NodeId
    cluster_id: ClusterId
    role: NodeRole
    #: PEM.
    csr: bytes
    signer: SigningRoot
    #: PEM of what leads from the signer to the roots that are trusted; follows the certificate.
    intermediates: bytes = b""
    not_before: Instant
    not_after: Instant


class Signed(Event, frozen=True, kw_only=True):
    """A certificate was issued; or, with `error`, it never will be."""

    node_id: NodeId
    #: As in `Sign`.
    csr: bytes
    #: PEM: the certificate, then the intermediates.
    certificate: bytes = b""
    error: str = ""


class MakeRoot(Effect, frozen=True, kw_only=True):
    """Make a root, or take `given`, and have `by` sign its subject and key; the authority hears `RootMade`."""

    tag: str
    by: SigningRoot
    given: SigningRoot | None = None
    now: Instant


class RootMade(Event, frozen=True, kw_only=True):
    """The end of `MakeRoot`: the root and its certificate by the old one; or, with `error`, why there is none."""

    tag: str
    root: SigningRoot = SigningRoot()
    #: PEM.
    cross_signed_ca_cert: bytes = b""
    error: str = ""
