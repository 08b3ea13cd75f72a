"""Amounts as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmlab.api import (
    HOUR,
    MILLISECOND,
    MINUTE,
    SECOND,
    InvalidSpec,
    format_bytes,
    format_cpus,
    format_duration,
    format_generic_resources,
    generic_amount,
    generic_unit,
    parse_bytes,
    parse_cpus,
    parse_duration,
    parse_generic_resources,
)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("0", 0),
        ("0s", 0),
        ("1h30m", HOUR + 30 * MINUTE),
        ("500ms", 500 * MILLISECOND),
        ("1.5s", 1_500_000_000),
        (".5s", 500_000_000),
        ("1.s", SECOND),
        ("-2s", -2 * SECOND),
        ("+2s", 2 * SECOND),
        ("1us", 1_000),
        ("1\N{MICRO SIGN}s", 1_000),
        ("1\N{GREEK SMALL LETTER MU}s", 1_000),
        ("7ns", 7),
        ("1.9ns", 1),
        ("1m1m", 2 * MINUTE),
        ("0.000000001s", 1),
        ("2562047h", 2562047 * HOUR),
    ],
)
def test_spans_are_read_as_go_reads_them(text, span):
    """Numbers with units one after the other, fractions, one sign in front."""
    assert parse_duration(text) == span


@pytest.mark.parametrize(
    "text", ["", "1", "s", "1h 30m", "1d", "--1s", "1h-3m", "1e3s", "2562048h", "9" * 200 + "s", "\u0661s"]
)
def test_spans_that_cannot_be_read(text):
    """The error names what was seen and the form that is wanted."""
    with pytest.raises(InvalidSpec, match="wanted: a span such as 1h30m"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (0, "0s"),
        (HOUR, "1h"),
        (90 * MINUTE, "1h30m"),
        (HOUR + 5 * SECOND, "1h5s"),
        (1_500_000_000, "1.5s"),
        (500 * MILLISECOND, "500ms"),
        (1_500_000, "1.5ms"),
        (1_500, "1.5us"),
        (7, "7ns"),
        (-90 * SECOND, "-1m30s"),
    ],
)
def test_spans_are_written_short(span, text):
    """No unit that is zero, no digit that says nothing."""
    assert format_duration(span) == text


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_spans_are_read_back_to_the_nanosecond(span):
    """Writing loses nothing."""
    assert parse_duration(format_duration(span)) == span


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("1b", 1),
        ("1k", 1024),
        ("1kb", 1024),
        ("64 KB", 65536),
        ("512M", 512 * 2**20),
        ("512MiB", 512 * 2**20),
        ("1GiB", 2**30),
        ("1.5g", 3 * 2**29),
        ("2T", 2**41),
        ("1p", 2**50),
        (" 1m ", 2**20),
    ],
)
def test_sizes_are_powers_of_1024(text, size):
    """As docker reads them, whatever the letters say."""
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "M", "-1M", "1x", "1MM", "1 000", "8192p", "1e3", "1,5g", "9" * 200])
def test_sizes_that_cannot_be_read(text):
    """The error names what was seen."""
    with pytest.raises(InvalidSpec, match="wanted: a size"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (1023, "1023B"), (1024, "1KiB"), (512 * 2**20, "512MiB"), (3 * 2**29, "1.5GiB"), (-2048, "-2KiB")],
)
def test_sizes_are_written_for_people(size, text):
    """In the largest unit that is reached."""
    assert format_bytes(size) == text


@given(st.integers(0, 9_999), st.integers(0, 4))
def test_round_sizes_are_read_back(count, power):
    """What has four digits or fewer in its unit loses nothing."""
    size = count % 1024 * 1024**power
    assert parse_bytes(format_bytes(size)) == size


@pytest.mark.parametrize(
    ("text", "nano"), [("2", 2_000_000_000), ("0.5", 500_000_000), (".25", 250_000_000), ("0.000000001", 1), ("0", 0)]
)
def test_cpus_are_nano_cpus(text, nano):
    """Exactly: no float is in between."""
    assert parse_cpus(text) == nano


@pytest.mark.parametrize("text", ["", "two", "-1", "1e3", "0.0000000001", "9223372037", "9" * 200, "1.2.3"])
def test_cpus_that_cannot_be_read(text):
    """Neither words nor signs nor more than nine decimals."""
    with pytest.raises(InvalidSpec, match=r"wanted: (a number of CPUs|at most 9223372036 CPUs)"):
        parse_cpus(text)


@given(st.integers(0, 2**63 - 1))
def test_cpus_are_read_back(nano):
    """Writing loses nothing."""
    assert parse_cpus(format_cpus(nano)) == nano


def test_generic_resources_are_amounts_or_names():
    """A node offers a number of one kind and names of another; kinds come sorted, names in their order."""
    assert parse_generic_resources("gpu=u2, gpu=u1,fpga=4") == (
        generic_amount("fpga", 4),
        generic_unit("gpu", "u2"),
        generic_unit("gpu", "u1"),
    )
    assert parse_generic_resources(" ") == ()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("gpu", "KIND=NUMBER"),
        ("=2", "KIND=NUMBER"),
        ("gpu=", "KIND=NUMBER"),
        ("gpu=1=2", "KIND=NUMBER"),
        ("gpu=1,", "KIND=NUMBER"),
        ("gpu=1\nfpga=2", "in one line"),
        ("gpu=-1", "a number from 0 to"),
        (f"gpu={2**63}", "a number from 0 to"),
        ("gpu=1,gpu=2", "one number for gpu"),
        ("gpu=1,gpu=u1", "either a number or names for gpu"),
        ("gpu=u1,gpu=u1", "each name of gpu once"),
    ],
)
def test_generic_resources_that_cannot_be_read(text, wanted):
    """Mixed, doubled, negative or out of form."""
    with pytest.raises(InvalidSpec, match=f"wanted: .*{wanted}"):
        parse_generic_resources(text)


def test_generic_resources_are_read_back():
    """What is written is read."""
    text = "fpga=4,gpu=u1,gpu=u2"
    assert format_generic_resources(parse_generic_resources(text)) == text
