"""The text form of the key that unlocks a manager. Source: SwarmKit `manager/encryption`."""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error

from swarmlab.api.errors import InvalidSpec

UNLOCK_KEY_BYTES = 32
_PREFIX = "SWMKEY-1-"


def unlock_key_text(key: bytes) -> str:
    """`SWMKEY-1-` and the key in base 64 without padding, as users are shown it."""
    return _PREFIX + b64encode(key).decode().rstrip("=")


def parse_unlock_key(text: str) -> bytes:
    """The key of 32 bytes that a user gave.

    Raises:
        InvalidSpec: It is none; the message does not repeat it.
    """
    body = text.strip()
    if body.startswith(_PREFIX):
        body = body.removeprefix(_PREFIX)
        try:
            key = b64decode(body + "=" * (-len(body) % 4), validate=True)
        except Base64Error:
            key = b""
        if len(key) == UNLOCK_KEY_BYTES:
            return key
    raise InvalidSpec(f"this is no unlock key, wanted: {_PREFIX} and 43 letters of base 64")
