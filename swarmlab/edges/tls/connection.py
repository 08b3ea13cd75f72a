"""One connection of the front: TLS on the outer side, bytes as they are on the inner."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, cast

from cryptography import x509

from swarmlab.api import InvalidSpec
from swarmlab.ca import Identity, Peer
from swarmlab.edges.tls.x509 import identity_of

_log = logging.getLogger(__name__)

#: Bytes that are decrypted in one go; a record holds 16 KiB.
READ_BYTES = 64 * 1024
#: Bytes that wait for a slow reader before the other side is not read any more.
BUFFER_BYTES = 256 * 1024
#: Seconds until a client that is gone without a word is looked for, between two looks, and how many there are.
KEEPALIVE = {socket.TCP_KEEPIDLE: 60, socket.TCP_KEEPINTVL: 15, socket.TCP_KEEPCNT: 4}
#: How long a closed connection may take to take the last bytes.
LINGER_SECONDS = 5.0


class Switch(Protocol):
    """What a connection needs of the front."""

    def admit(self, connection: "Connection") -> str:
        """Take in a connection that begins; why not, if it is turned away."""

    def verified(self, connection: "Connection") -> None:
        """Its handshake is over and `peer` is known: connect it through, or close it."""

    def gone(self, connection: "Connection") -> None:
        """It is over."""


class Connection(asyncio.Protocol):
    """The outer side of a connection.

    Args:
        switch: The front.
        context: The server's context as it is now.
        now: Seconds since 1970: certificates end.
        handshake_seconds: How long a client may take to show itself.
    """

    def __init__(
        self, switch: Switch, context: ssl.SSLContext, now: Callable[[], float], handshake_seconds: float
    ) -> None:
        self._switch = switch
        self._now = now
        self._handshake_seconds = handshake_seconds
        self._loop = asyncio.get_running_loop()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._transport: asyncio.Transport | None = None
        self._inner: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._admitted = False
        #: The IP of the client.
        self.address = ""
        #: None until the handshake is over.
        self.peer: Peer | None = None
        #: Rounds of the front's sweep since bytes came or went.
        self.quiet = 0
        self.closing = False

    # The outer side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peername = transport.get_extra_info("peername")
        self.address = peername[0].removeprefix("::ffff:") if isinstance(peername, tuple) else ""
        refusal = self._switch.admit(self)
        if refusal:
            _log.info("connection_refused address=%s reason=%s", self.address, refusal)
            self.abort()
            return
        self._admitted = True
        _notice_death(transport.get_extra_info("socket"))
        self._transport.set_write_buffer_limits(high=BUFFER_BYTES)
        self._timer = self._loop.call_later(self._handshake_seconds, self._too_slow)

    def data_received(self, data: bytes) -> None:
        self.quiet = 0
        if self.closing:
            return
        self._incoming.write(data)
        if self.peer is None:
            self._shake_hands()
        elif self._inner is not None:
            self._decrypt()

    def eof_received(self) -> None:
        self._incoming.write_eof()

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_reading()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_reading()

    def connection_lost(self, _: Exception | None) -> None:
        self.closing = True
        if self._timer is not None:
            self._timer.cancel()
        if self._inner is not None:
            self._inner.close()
        if self._admitted:
            self._switch.gone(self)

    # The handshake

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except ssl.SSLError as error:
            self._flush()
            self.close(f"handshake failed: {error.reason or error}")
            return
        self._flush()
        assert self._timer is not None
        self._timer.cancel()
        try:
            identity = self._identity()
        except (InvalidSpec, ValueError) as error:
            self.close(str(error))
            return
        self.peer = Peer(identity, self.address)
        assert self._transport is not None
        # What comes before the inner side is there waits in the socket.
        self._transport.pause_reading()
        self._switch.verified(self)

    def _identity(self) -> Identity | None:
        """Who the client is, None where it did not say. The chain was verified in the handshake.

        Raises:
            InvalidSpec, ValueError: A certificate that is not a node's; one that has ended since it was verified.
        """
        der = self._tls.getpeercert(binary_form=True)
        if der is None:
            return None
        certificate = x509.load_der_x509_certificate(der)
        if certificate.not_valid_after_utc.timestamp() < self._now():
            raise InvalidSpec(f"certificate of {certificate.subject.rfc4514_string()}: it has ended")
        return identity_of(certificate)

    def _too_slow(self) -> None:
        _log.info("connection_closed address=%s reason=no handshake in %g s", self.address, self._handshake_seconds)
        self.abort()

    # The inner side

    def connect(self, inner: asyncio.Transport) -> None:
        """Pass on what comes, from now on."""
        if self.closing:
            inner.close()
            return
        assert self._transport is not None
        self._inner = inner
        inner.set_write_buffer_limits(high=BUFFER_BYTES)
        self._transport.resume_reading()
        self._decrypt()

    def encrypt(self, data: bytes) -> None:
        """Send `data` of the inner side to the client."""
        self.quiet = 0
        if self.closing:
            return
        view = memoryview(data)
        try:
            while view:
                view = view[self._tls.write(view) :]
        except ssl.SSLError as error:
            self.close(f"broken: {error.reason or error}")
            return
        self._flush()

    def pause_reading(self) -> None:
        """The inner side takes no more for now."""
        if self._transport is not None and not self.closing:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """The inner side takes more."""
        if self._transport is not None and not self.closing:
            self._transport.resume_reading()

    def _decrypt(self) -> None:
        assert self._inner is not None
        pieces, over = [], False
        try:
            while piece := self._tls.read(READ_BYTES):
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self.close(f"broken: {error.reason or error}")
            return
        else:
            over = True
        if pieces:
            self._inner.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        self._flush()
        if over:
            self.close("")

    # The end

    def abort(self) -> None:
        """End the connection at once, whatever is still to be sent."""
        self.closing = True
        if self._transport is not None:
            self._transport.abort()

    def close(self, reason: str) -> None:
        """End the connection; `reason`, where there is one, goes to the log."""
        if self.closing:
            return
        self.closing = True
        if reason:
            _log.info("connection_closed address=%s peer=%s reason=%s", self.address, self.peer, reason)
        if self._timer is not None:
            self._timer.cancel()
        if self._inner is not None:
            self._inner.close()
        if self._transport is None:
            return
        if self.peer is not None:
            self._say_goodbye()
        self._transport.close()
        self._timer = self._loop.call_later(LINGER_SECONDS, self._transport.abort)

    def _say_goodbye(self) -> None:
        # The client's own goodbye is not waited for.
        with suppress(ssl.SSLError):
            self._tls.unwrap()
        self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending and self._transport is not None:
            self._transport.write(self._outgoing.read())


class Inner(asyncio.Protocol):
    """The inner side: the bytes of the server behind the front.

    Args:
        outer: The outer side.
        open_ones: The inner sides that are open; one that is closed is still, until its last bytes are taken.
        ended: Called when this one is open no more.
    """

    def __init__(self, outer: Connection, open_ones: set[asyncio.WriteTransport], ended: Callable[[], None]) -> None:
        self._outer = outer
        self._open_ones = open_ones
        self._ended = ended
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self._open_ones.add(self._transport)

    def data_received(self, data: bytes) -> None:
        self._outer.encrypt(data)

    def pause_writing(self) -> None:
        self._outer.pause_reading()

    def resume_writing(self) -> None:
        self._outer.resume_reading()

    def connection_lost(self, _: Exception | None) -> None:
        assert self._transport is not None
        self._open_ones.discard(self._transport)
        self._outer.close("")
        self._ended()


def _notice_death(client: socket.socket) -> None:
    if client.family == socket.AF_UNIX:
        return  # whose other end cannot go without a word
    client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE.items():
        client.setsockopt(socket.IPPROTO_TCP, option, value)
