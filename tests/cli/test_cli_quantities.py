"""Ages as docker words them, and values of flags."""

import time

import pytest

from swarmlab.api import SECOND
from swarmlab.cli.exits import UsageError
from swarmlab.cli.logs import parse_since
from swarmlab.cli.output import format_instant, plain
from swarmlab.cli.quantities import count, format_age, integer, positive, ratio, span


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "Less than a second"),
        (0.9, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (119, "About a minute"),
        (120, "2 minutes"),
        (3599, "59 minutes"),
        (3600, "About an hour"),
        (5400, "2 hours"),
        (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"),
        (13 * 86400, "13 days"),
        (14 * 86400, "2 weeks"),
        (60 * 86400, "2 months"),
        (800 * 86400, "2 years"),
    ],
)
def test_ages(seconds: float, words: str) -> None:
    assert format_age(int(seconds * SECOND)) == words


def test_numbers() -> None:
    assert (count("0"), positive("7"), integer("-3"), ratio("0.5"), span("1m")) == (0, 7, -3, 0.5, 60 * SECOND)
    for read, text in ((count, "1.5"), (count, "²"), (positive, "0"), (integer, "--1"), (ratio, "nan"), (span, "-1s")):
        with pytest.raises(ValueError, match="wanted: "):
            read(text)


def test_instants_are_written_with_nine_digits() -> None:
    assert format_instant(1_700_000_000_000_000_001) == "2023-11-14T22:13:20.000000001Z"


def test_since() -> None:
    assert parse_since("--since", None) is None
    assert parse_since("--since", "2023-11-14T22:13:20Z") == 1_700_000_000 * SECOND
    assert parse_since("--since", "2023-11-14T22:13:20.5Z") == 1_700_000_000 * SECOND + SECOND // 2
    assert parse_since("--since", "2023-11-15T00:13:20+02:00") == 1_700_000_000 * SECOND
    assert parse_since("--since", "1700000000.25") == 1_700_000_000 * SECOND + SECOND // 4
    before = time.time_ns()
    ago = parse_since("--since", "10m")
    assert ago is not None
    assert before <= ago + 600 * SECOND <= time.time_ns()
    with pytest.raises(UsageError, match="--since: 'yesterday', wanted: a span such as 10m, or a time such as"):
        parse_since("--since", "yesterday")


def test_plain_values() -> None:
    assert plain({"b": (1, 2), "a": b"x", "c": None, 3: True}) == {"3": True, "a": "eA==", "b": [1, 2], "c": None}
