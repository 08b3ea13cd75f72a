"""What payloads look like on the disk."""

from typing import Protocol


class Seal(Protocol):
    """Turns payloads into what is written, and back."""

    def seal(self, payload: bytes) -> bytes:
        """What to write."""

    def open(self, sealed: bytes) -> bytes:
        """The payload again.

        Raises:
            StateError: It was sealed otherwise, or is damaged.
        """


class Plain:
    """Payloads as they are; the permissions of the files are all that guards them."""

    def seal(self, payload: bytes) -> bytes:
        """The payload itself."""
        return payload

    def open(self, sealed: bytes) -> bytes:
        """The payload itself."""
        return sealed


PLAIN = Plain()
