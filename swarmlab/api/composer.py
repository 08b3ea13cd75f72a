"""Composes the reader and the writer of one class and one message; `wire` says by which rules.

The source text of both functions is put together line by line and compiled once. It names nothing but `m` (the
message), `v` (the value), temporaries, and what `_Composer.names` holds: readers and writers of other classes, words of
enums, defaults.
"""

import struct
from collections.abc import Callable, Mapping
from keyword import iskeyword
from typing import Any

import msgspec
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from msgspec.inspect import DictType, EnumType, Field, StructType, Type, UnionType, VarTupleType, type_info

from swarmlab.api.enums import Word
from swarmlab.api.errors import InvalidSpec
from swarmlab.api.value import Value

Write = Callable[[Any, Message], None]
Read = Callable[[Message], Any]
#: Gives the writer and the reader of another class and its message.
Link = Callable[[type[Value], Descriptor], tuple[Write, Read]]

_BILLION = 1_000_000_000
_TIMESTAMP = "google.protobuf.Timestamp"
_DURATION = "google.protobuf.Duration"
_WRAPPERS = ("google.protobuf.BoolValue", "google.protobuf.Int64Value")


def compose(cls: type[Value], descriptor: Descriptor, link: Link) -> tuple[Write, Read]:
    """The writer and the reader between `cls` and the message of `descriptor`.

    Raises:
        TypeError: The fields of the two do not match.
    """
    return _Composer(cls, descriptor, link).compiled()


class _Words(dict[int, Word]):
    """The words of an enum by number; one for a number that has none is made when it is asked for."""

    def __init__(self, kind: type[Word]) -> None:
        super().__init__((int(word), word) for word in kind)
        self._kind = kind

    def __missing__(self, number: int) -> Word:
        return self._kind(number)


class _Composer:
    def __init__(self, cls: type[Value], descriptor: Descriptor, link: Link) -> None:
        self.cls = cls
        self.descriptor = descriptor
        self.link = link
        self.names: dict[str, Any] = {"cls": cls, "InvalidSpec": InvalidSpec, **_RUNTIME}

    def compiled(self) -> tuple[Write, Read]:
        shape = type_info(self.cls)
        assert isinstance(shape, StructType)
        fields = {field.encode_name: field for field in shape.fields}
        odd = fields.keys() ^ set(self.descriptor.fields_by_name)
        if odd:
            names = ", ".join(sorted(odd))
            raise TypeError(f"{self.cls.__name__} and {self.descriptor.full_name} do not share the fields {names}")
        write, read = ["def write(v, m):", *self._oneofs(fields), " pass"], ["def read(m):", " return cls("]
        for name, field in fields.items():
            writing, reading = self._field(field, self.descriptor.fields_by_name[name])
            write += [f" x = v.{field.name}", *(f" {line}" for line in writing)]
            read.append(f"  {field.name}={reading},")
        read.append(" )")
        # What is compiled here is made of field names of our own classes, nothing that comes from outside.
        exec("\n".join(write + read), self.names)  # noqa: S102
        return self.names["write"], self.names["read"]

    def _oneofs(self, fields: Mapping[str, Field]) -> list[str]:
        lines = []
        for oneof in self.descriptor.oneofs:
            members = [fields[member.name].name for member in oneof.fields]
            if len(members) > 1:
                count = " + ".join(f"(v.{member} is not None)" for member in members)
                lines.append(f" if {count} > 1: raise InvalidSpec(two({self.descriptor.name!r}, v, {members!r}))")
        return lines

    def _field(self, field: Field, wire: FieldDescriptor) -> tuple[list[str], str]:
        """Lines that write `x` to the field of `m`, and the expression that reads it."""
        name = wire.name
        # Only messages are called by a keyword (`global`): their fields are filled, never assigned.
        place = f"getattr(m, {name!r})" if iskeyword(name) else f"m.{name}"
        if _is_map(wire):
            return self._map(field, wire, place)
        if wire.is_repeated:
            return self._repeated(field, wire, place)
        kind, optional = _plain(field.type)
        if wire.message_type is None:
            self._words(name, kind)
            reading = self._scalar(name, wire, place)
            if optional:
                return [f"if x is not None: {place} = x"], f"{reading} if m.HasField({name!r}) else None"
            return [f"if x: {place} = x"], reading
        present = f"m.HasField({name!r})"
        given = "x is not None" if optional else "x"
        absent = "None" if optional else "0"
        match wire.message_type.full_name:
            case full if full == _TIMESTAMP:
                return [f"if {given}: put_instant(x, {place})"], f"instant({place}) if {present} else {absent}"
            case full if full == _DURATION:
                return [f"if {given}: put_span(x, {place})"], f"span({place}) if {present} else {absent}"
            case full if full in _WRAPPERS:
                return [f"if x is not None: put_wrapped(x, {place})"], f"{place}.value if {present} else None"
        writer, reader = self._linked(name, kind, wire.message_type)
        if optional:
            lines = ["if x is not None:", f" y = {place}", " y.SetInParent()", f" {writer}(x, y)"]
            return lines, f"{reader}({place}) if {present} else None"
        self.names[f"default_{name}"] = field.default
        return [
            f"if x is not default_{name}: {writer}(x, {place})"
        ], f"{reader}({place}) if {present} else default_{name}"

    def _map(self, field: Field, wire: FieldDescriptor, place: str) -> tuple[list[str], str]:
        assert isinstance(field.type, DictType)
        assert wire.message_type is not None
        value = wire.message_type.fields_by_name["value"]
        if value.message_type is None:
            return [f"if x: {place}.update(x)"], f"ordered(y) if (y := {place}) else {{}}"
        writer, reader = self._linked(wire.name, field.type.value_type, value.message_type)
        lines = ["if x:", f" y = {place}", f" for k in sorted(x): {writer}(x[k], y[k])"]
        return lines, f"{{k: {reader}(y[k]) for k in sorted(y)}} if (y := {place}) else {{}}"

    def _repeated(self, field: Field, wire: FieldDescriptor, place: str) -> tuple[list[str], str]:
        assert isinstance(field.type, VarTupleType)
        kind = field.type.item_type
        if wire.message_type is None:
            self._words(wire.name, kind)
            items = "y" if wire.enum_type is None else f"[words_{wire.name}[n] for n in y]"
            return [f"if x: {place}.extend(x)"], f"tuple({items}) if (y := {place}) else ()"
        writer, reader = self._linked(wire.name, kind, wire.message_type)
        lines = ["if x:", f" add = {place}.add", f" for y in x: {writer}(y, add())"]
        return lines, f"tuple([{reader}(z) for z in y]) if (y := {place}) else ()"

    def _scalar(self, name: str, wire: FieldDescriptor, place: str) -> str:
        if wire.enum_type is not None:
            return f"words_{name}[{place}]"
        return f"shortest({place})" if wire.type == FieldDescriptor.TYPE_FLOAT else place

    def _words(self, name: str, kind: Type) -> None:
        if isinstance(kind, EnumType):
            assert issubclass(kind.cls, Word)
            self.names[f"words_{name}"] = _Words(kind.cls)

    def _linked(self, name: str, kind: Type, descriptor: Descriptor) -> tuple[str, str]:
        """The names of the writer and the reader of another class."""
        assert isinstance(kind, StructType)
        assert issubclass(kind.cls, Value)
        self.names[f"write_{name}"], self.names[f"read_{name}"] = self.link(kind.cls, descriptor)
        return f"write_{name}", f"read_{name}"


def _is_map(wire: FieldDescriptor) -> bool:
    return wire.message_type is not None and wire.message_type.GetOptions().map_entry


def _plain(kind: Type) -> tuple[Type, bool]:
    """The type without None, and whether None was there."""
    if not isinstance(kind, UnionType):
        return kind, False
    (inner,) = [part for part in kind.types if not isinstance(part, msgspec.inspect.NoneType)]
    return inner, True


def _two(message: str, value: Any, members: list[str]) -> str:
    given = [member for member in members if getattr(value, member) is not None]
    return f"{message}: {' and '.join(given)}, wanted: at most one of {', '.join(members)}"


def _instant(message: Any) -> int:
    seconds: int = message.seconds
    nanos: int = message.nanos
    return seconds * _BILLION + nanos


def _put_instant(value: int, message: Any) -> None:
    message.SetInParent()
    message.seconds, message.nanos = divmod(value, _BILLION)


def _put_span(value: int, message: Any) -> None:
    """Both parts of a span have its sign."""
    message.SetInParent()
    seconds, nanos = divmod(abs(value), _BILLION)
    message.seconds, message.nanos = (seconds, nanos) if value >= 0 else (-seconds, -nanos)


def _put_wrapped(value: Any, message: Any) -> None:
    message.SetInParent()
    message.value = value


def _ordered(mapping: Any) -> dict[str, Any]:
    """The mapping sorted by key: the wire's own order changes from run to run."""
    return dict(mapping) if len(mapping) == 1 else dict(sorted(mapping.items()))


def _shortest(number: float) -> float:
    """The decimal with the fewest digits that rounds to the same 32-bit float."""
    if number == 0 or number != number:
        return number
    wanted = struct.pack("<f", number)
    for digits in range(6, 9):
        rounded = float(f"{number:.{digits}g}")
        if struct.pack("<f", rounded) == wanted:
            return rounded
    return number


_RUNTIME: Mapping[str, Any] = {
    "instant": _instant,
    "put_instant": _put_instant,
    "span": _instant,
    "put_span": _put_span,
    "put_wrapped": _put_wrapped,
    "ordered": _ordered,
    "shortest": _shortest,
    "two": _two,
}
