"""Values of flags: text in, integers out, with messages for people; and ages as docker words them.

The reading itself is that of `swarmlab.api`, imported at the first value, so that declaring flags costs nothing.
"""

from collections.abc import Callable


def span(text: str) -> int:
    """Nanoseconds of a span >= 0 such as `10s`, `1m30s` or `0`."""
    from swarmlab.api import parse_duration

    found = _read(parse_duration, text)
    if found < 0:
        raise ValueError(f"{text!r}, wanted: a span >= 0")
    return found


def memory(text: str) -> int:
    """Bytes of a size such as `512m` or `1g`."""
    from swarmlab.api import parse_bytes

    return _read(parse_bytes, text)


def cpus(text: str) -> int:
    """Nano-CPUs of a number of CPUs such as `0.5`."""
    from swarmlab.api import parse_cpus

    return _read(parse_cpus, text)


def _read(parse: Callable[[str], int], text: str) -> int:
    from swarmlab.api import InvalidSpec

    try:
        return parse(text)
    except InvalidSpec as error:
        raise ValueError(str(error)) from error


def count(text: str) -> int:
    """A whole number >= 0."""
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise ValueError(f"{text!r}, wanted: a whole number >= 0")
    return int(text)


def positive(text: str) -> int:
    """A whole number >= 1."""
    found = count(text)
    if found < 1:
        raise ValueError(f"{text!r}, wanted: a whole number >= 1")
    return found


def integer(text: str) -> int:
    """A whole number."""
    return -count(text[1:]) if text.startswith("-") else count(text)


def ratio(text: str) -> float:
    """A number from 0 to 1."""
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise ValueError(f"{text!r}, wanted: a number from 0 to 1")
    return found


def several_seconds(text: str) -> float:
    """A number of seconds, more than 0 and at most an hour."""
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 < found <= 3600:
        raise ValueError(f"{text!r}, wanted: a number of seconds, more than 0 and at most 3600")
    return found


_SECOND = 1_000_000_000
_HOUR = 3600


def format_age(nanoseconds: int) -> str:
    """How long ago, in one unit, as docker words it: `4 seconds`, `About a minute`, `3 days`."""
    seconds = max(nanoseconds, 0) // _SECOND
    minutes, hours = seconds // 60, (seconds + _HOUR // 2) // _HOUR
    if seconds < 1:
        return "Less than a second"
    if seconds < 60:
        return f"{seconds} second{'s' * (seconds != 1)}"
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    for size, limit, word in ((24, 24 * 14, "days"), (24 * 7, 24 * 60, "weeks"), (24 * 30, 24 * 730, "months")):
        if hours < limit:
            return f"{hours // size} {word}"
    return f"{hours // (24 * 365)} years"
