"""Messages and membership changes as bytes: msgpack by field name, without defaults, so that fields may be added."""

import msgspec

from swarmlab.api.errors import InvalidSpec, StateError
from swarmlab.raft.messages import ConfigChange, Message

_ENCODER = msgspec.msgpack.Encoder()
_MESSAGE = msgspec.msgpack.Decoder(Message)
_CHANGE = msgspec.msgpack.Decoder(ConfigChange)
#: What decoding raises on bytes that are not ours.
_DAMAGE = (msgspec.DecodeError, UnicodeDecodeError)


def encode_message(message: Message) -> bytes:
    """A message, for the wire."""
    return _ENCODER.encode(message)


def decode_message(data: bytes) -> Message:
    """The message that a peer sent.

    Raises:
        InvalidSpec: The bytes are no message.
    """
    try:
        message = _MESSAGE.decode(data)
    except _DAMAGE as error:
        raise InvalidSpec(f"{len(data)} bytes of a peer are no raft message: {error}") from error
    for place, entry in enumerate(message.entries, message.index + 1):
        if entry.index != place:
            raise InvalidSpec(f"a peer's raft message has entry {entry.index} where {place} is wanted")
    return message


def encode_change(change: ConfigChange) -> bytes:
    """A membership change, as the data of its entry."""
    return _ENCODER.encode(change)


def decode_change(data: bytes) -> ConfigChange:
    """The membership change that an entry carries.

    Raises:
        StateError: The bytes are no change: the log is damaged, or a later version wrote it.
    """
    try:
        return _CHANGE.decode(data)
    except _DAMAGE as error:
        raise StateError(f"{len(data)} bytes of a log entry are no membership change: {error}") from error
