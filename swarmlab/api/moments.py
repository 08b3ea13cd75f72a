"""Points in time and spans of time, in integer nanoseconds."""

from typing import NewType

#: Nanoseconds since 1970-01-01 UTC, in a live cluster; since the start of the run plus an epoch, in a simulation.
Instant = NewType("Instant", int)
#: A span in nanoseconds.
Duration = NewType("Duration", int)

MICROSECOND = Duration(1_000)
MILLISECOND = Duration(1_000_000)
SECOND = Duration(1_000_000_000)
MINUTE = Duration(60 * SECOND)
HOUR = Duration(60 * MINUTE)


def after(instant: Instant, span: Duration | int) -> Instant:
    """The instant `span` nanoseconds later."""
    return Instant(instant + span)


def between(start: Instant, end: Instant) -> Duration:
    """The span from `start` to `end`, negative when `end` comes first."""
    return Duration(end - start)


def seconds(count: float) -> Duration:
    """`count` seconds as a span, rounded to a nanosecond."""
    return Duration(round(count * SECOND))
