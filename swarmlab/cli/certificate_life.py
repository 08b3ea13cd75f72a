"""How long a node certificate is good for."""

from typing import NamedTuple

#: With so much of its life left, or less, a certificate is warned of: the renewal at 50 to 80 % did not happen.
WARN_LEFT = 0.2
_SECOND = 1_000_000_000


class Life(NamedTuple):
    """From when to when a certificate is good, in nanoseconds since 1970."""

    start: int
    end: int

    def left(self, now: int) -> float:
        """Which part of it is left: 1.0 at the start, 0.0 at the end, negative later."""
        return (self.end - now) / (self.end - self.start)


def certificate_life(pem: bytes) -> Life | None:
    """The life of the first certificate of a chain; None where there is none, as on nodes of one process."""
    if not pem:
        return None
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate(pem)
    return Life(
        int(certificate.not_valid_before_utc.timestamp()) * _SECOND,
        int(certificate.not_valid_after_utc.timestamp()) * _SECOND,
    )
