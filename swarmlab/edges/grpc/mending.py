"""Messages of programs in Go, whose texts may not be Unicode: the whole message would be refused for one bad byte."""

from google.protobuf.descriptor import Descriptor, FieldDescriptor

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}


def with_texts_mended(kind: Descriptor, data: bytes) -> bytes:
    """The bytes of a message with U+FFFD in its texts for what is not UTF-8.

    What cannot be read as fields is left as it is, for the parser to refuse.
    """
    try:
        return _mended(kind, data)
    except (IndexError, _UnreadableError):
        return data


class _UnreadableError(Exception):
    """The bytes are not a sequence of fields."""


def _mended(kind: Descriptor, data: bytes) -> bytes:
    """As above; no message of the protocol can lie within itself, so the depth has an end."""
    out = bytearray()
    place = 0
    while place < len(data):
        start = place
        tag, place = _number(data, place)
        wire_type = tag & 7
        if wire_type == _VARINT:
            _, place = _number(data, place)
        elif wire_type in _FIXED:
            place += _FIXED[wire_type]
        elif wire_type == _LENGTH:
            length, place = _number(data, place)
            value = data[place : place + length]
            if len(value) != length:
                raise _UnreadableError
            out += data[start:place] if (new := _value(kind, tag >> 3, value)) is value else _head(tag, new)
            out += new
            place += length
            continue
        else:
            raise _UnreadableError
        out += data[start:place]
    if place != len(data):
        raise _UnreadableError
    return bytes(out)


def _value(kind: Descriptor, number: int, value: bytes) -> bytes:
    """The same object where nothing is to be mended."""
    field = kind.fields_by_number.get(number)
    if field is None:
        return value
    if field.message_type is not None:
        new = _mended(field.message_type, value)
    elif field.type == FieldDescriptor.TYPE_STRING:
        new = value.decode(errors="replace").encode()
    else:
        return value
    return value if new == value else new


def _number(data: bytes, place: int) -> tuple[int, int]:
    """The number at that place, and the place behind it."""
    number = shift = 0
    while True:
        byte = data[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
        shift += 7
        if shift > 63:
            raise _UnreadableError


def _head(tag: int, value: bytes) -> bytes:
    return _varint(tag) + _varint(len(value))


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
