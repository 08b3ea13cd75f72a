"""Options of the whole suite. This folder is on the path of the tests, so they share what lies in it."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register `--rewrite`."""
    parser.addoption(
        "--rewrite",
        action="store_true",
        help="write the transcripts of tests/scenarios anew; commit the difference only if you can explain each line",
    )
