"""Names of things: one type for each kind, so that mixing them is a type error."""

import random
from typing import NewType

NodeId = NewType("NodeId", str)
ServiceId = NewType("ServiceId", str)
TaskId = NewType("TaskId", str)
NetworkId = NewType("NetworkId", str)
ClusterId = NewType("ClusterId", str)
SecretId = NewType("SecretId", str)
ConfigId = NewType("ConfigId", str)
VolumeId = NewType("VolumeId", str)
ExtensionId = NewType("ExtensionId", str)
ResourceId = NewType("ResourceId", str)

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
#: Characters of an id.
ID_LENGTH = 25


def base36(number: int) -> str:
    """`number` >= 0 in base 36, lower case, no leading zeros."""
    text = ""
    while True:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
        if number == 0:
            return text


def new_id(entropy: random.Random) -> str:
    """A fresh id: 25 characters of base 36, about 129 bits of `entropy`.

    17 random bytes with the top bit set always give 27 or more digits; the first is left out because it is not uniform.
    Source: SwarmKit `identity/randomid.go`.
    """
    return base36(entropy.getrandbits(136) | 1 << 135)[1 : 1 + ID_LENGTH]
