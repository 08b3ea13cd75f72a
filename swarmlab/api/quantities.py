"""Amounts as people write them: spans of time, bytes, CPUs, generic resources.

Everything is read exactly, into integers. What cannot be read is `InvalidSpec` with the text seen and the form wanted;
the caller puts the name of its field or flag before it.
"""

import re
from collections.abc import Iterable
from fractions import Fraction

from swarmlab.api.errors import InvalidSpec
from swarmlab.api.moments import HOUR, MICROSECOND, MILLISECOND, MINUTE, SECOND, Duration
from swarmlab.api.resources import DiscreteGenericResource, GenericResource, NamedGenericResource

_SPANS = {
    "h": HOUR,
    "m": MINUTE,
    "s": SECOND,
    "ms": MILLISECOND,
    "us": MICROSECOND,
    "\N{MICRO SIGN}s": MICROSECOND,
    "\N{GREEK SMALL LETTER MU}s": MICROSECOND,
    "ns": Duration(1),
}
#: No quantity is longer than this; int() refuses to read very many digits.
_LENGTH = 100
_NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_SPAN = re.compile(rf"({_NUMBER})({'|'.join(sorted(_SPANS, key=len, reverse=True))})")
_BYTES = re.compile(rf"({_NUMBER}) ?([kmgtp]?)(?:i?b)?", re.IGNORECASE)
_UNITS = "kmgtp"
_DECIMAL = re.compile(_NUMBER)
_INTEGER = re.compile(r"[+-]?[0-9]+")
#: The largest number that a signed 64-bit field of the wire carries.
MAX_INT64 = 2**63 - 1
NANO = 1_000_000_000


def parse_duration(text: str) -> Duration:
    """`1h30m`, `500ms`, `1.5s`, `-2s`, `0` in nanoseconds, rounded down below one. Go's form, as docker takes it."""
    wanted = "a span such as 1h30m, 10s or 500ms"
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if rest == "0":
        return Duration(0)
    total, end = Fraction(0), 0
    for part in _SPAN.finditer(rest[:_LENGTH]):
        if part.start() != end:
            break
        total += Fraction(part[1]) * _SPANS[part[2]]
        end = part.end()
    if not rest or end != len(rest):
        raise InvalidSpec(f"{text!r}, wanted: {wanted}")
    if total > MAX_INT64:
        raise InvalidSpec(f"{text!r}, wanted: {wanted}, at most 292 years")
    return Duration(sign * int(total))


def format_duration(span: Duration | int) -> str:
    """`span` in the form that `parse_duration` reads back to the same number: `1h30m`, `1.5s`, `500ms`, `0s`."""
    if span == 0:
        return "0s"
    sign, rest = ("-" if span < 0 else ""), abs(span)
    for name, following in (("ns", MICROSECOND), ("us", MILLISECOND), ("ms", SECOND)):
        if rest < following:
            return f"{sign}{_decimal(rest, _SPANS[name])}{name}"
    hours, rest = divmod(rest, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    parts = [
        f"{hours}h" if hours else "",
        f"{minutes}m" if minutes else "",
        f"{_decimal(rest, SECOND)}s" if rest else "",
    ]
    return sign + "".join(parts)


def parse_bytes(text: str) -> int:
    """`512M`, `1GiB`, `1.5g`, `64 kb`, `4096`: every unit is a power of 1024, as docker reads sizes."""
    match = _BYTES.fullmatch(text.strip())
    if match is None or len(text) > _LENGTH:
        raise InvalidSpec(f"{text!r}, wanted: a size such as 512M or 1GiB")
    size = int(Fraction(match[1]) * 1024 ** (_UNITS.index(match[2].lower()) + 1 if match[2] else 0))
    if size > MAX_INT64:
        raise InvalidSpec(f"{text!r}, wanted: a size of at most {MAX_INT64} bytes")
    return size


def format_bytes(size: int) -> str:
    """`size` in the largest unit that it reaches, with four digits at most: `512MiB`, `1.5GiB`, `0B`."""
    amount, unit = float(abs(size)), ""
    for larger in _UNITS:
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger.upper() + "i"
    return f"{'-' if size < 0 else ''}{amount:.4g}{unit}B"


def parse_cpus(text: str) -> int:
    """`0.5` or `2` CPUs in nano-CPUs."""
    if _DECIMAL.fullmatch(text) is None or len(text) > _LENGTH:
        raise InvalidSpec(f"{text!r}, wanted: a number of CPUs such as 2 or 0.5")
    nano = Fraction(text) * NANO
    if nano != int(nano):
        raise InvalidSpec(f"{text!r}, wanted: a number of CPUs with at most nine decimals")
    if nano > MAX_INT64:
        raise InvalidSpec(f"{text!r}, wanted: at most {MAX_INT64 // NANO} CPUs")
    return int(nano)


def format_cpus(nano: int) -> str:
    """Nano-CPUs as a number of CPUs: `0.5`, `2`; `parse_cpus` reads it back to the same number."""
    return f"{'-' if nano < 0 else ''}{_decimal(abs(nano), NANO)}"


def parse_generic_resources(text: str) -> tuple[GenericResource, ...]:
    """`fpga=4` as an amount, `gpu=u1,gpu=u2` as named units; one kind is either the one or the other.

    Sorted by kind, named units in their order. Nodes may offer both; a task may ask for amounts alone.
    """
    wanted = "KIND=NUMBER or KIND=NAME,KIND=NAME"
    if not text.strip():
        return ()
    if "\n" in text:
        raise InvalidSpec(f"{text!r}, wanted: {wanted}, in one line")
    amounts: dict[str, int] = {}
    units: dict[str, list[str]] = {}
    for term in text.split(","):
        kind, sign, value = (part.strip() for part in term.partition("="))
        if not (kind and sign and value) or "=" in value:
            raise InvalidSpec(f"{term.strip()!r}, wanted: {wanted}")
        if _INTEGER.fullmatch(value) is None or len(value) > _LENGTH:
            units.setdefault(kind, []).append(value)
            continue
        if not 0 <= int(value) <= MAX_INT64:
            raise InvalidSpec(f"{term.strip()!r}, wanted: a number from 0 to {MAX_INT64}")
        if kind in amounts:
            raise InvalidSpec(f"{text!r}, wanted: one number for {kind}")
        amounts[kind] = int(value)
    for kind, names in units.items():
        if kind in amounts:
            raise InvalidSpec(f"{text!r}, wanted: either a number or names for {kind}")
        if len(set(names)) != len(names):
            raise InvalidSpec(f"{text!r}, wanted: each name of {kind} once")
    resources = [generic_amount(kind, value) for kind, value in amounts.items()]
    resources += [generic_unit(kind, name) for kind, names in units.items() for name in names]
    return tuple(sorted(resources, key=_kind_of))


def format_generic_resources(resources: Iterable[GenericResource]) -> str:
    """The form that `parse_generic_resources` reads."""
    terms = []
    for resource in resources:
        item = resource.named_resource_spec or resource.discrete_resource_spec
        if item is not None:
            terms.append(f"{item.kind}={item.value}")
    return ",".join(terms)


def generic_amount(kind: str, value: int) -> GenericResource:
    """So much of a generic resource."""
    return GenericResource(discrete_resource_spec=DiscreteGenericResource(kind, value))


def generic_unit(kind: str, name: str) -> GenericResource:
    """One named unit of a generic resource."""
    return GenericResource(named_resource_spec=NamedGenericResource(kind, name))


def _kind_of(resource: GenericResource) -> str:
    item = resource.named_resource_spec or resource.discrete_resource_spec
    return item.kind if item is not None else ""


def _decimal(number: int, one: int) -> str:
    """`number` / `one` as a decimal fraction without needless zeros; `one` is a power of ten."""
    whole, rest = divmod(number, one)
    return f"{whole}.{rest:0{len(str(one)) - 1}d}".rstrip("0").rstrip(".") if rest else str(whole)
