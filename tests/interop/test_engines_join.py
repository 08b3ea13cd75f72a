"""Stock Docker Engines as workers of a swarmlab manager, as CI has them; one chapter a test."""

from collections.abc import Callable, Iterator

import pytest
from interop.engines_join import CHAPTERS, Stage, stage
from interop.ground import logs_told
from interop.hosts import missing
from interop.steps import Steps

pytestmark = [pytest.mark.docker, pytest.mark.slow]


@pytest.fixture(scope="module")
def opened() -> Iterator[Stage]:
    if lacking := missing():
        pytest.skip(f"no hosts of their own without {lacking}: interop tests skipped; as root, make interop brings it")
    with stage(Steps()) as made:
        yield made


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.__name__)
def test_chapter(opened: Stage, chapter: Callable[[Stage], None]) -> None:
    """What it says in its own words."""
    with logs_told(opened):
        chapter(opened)
