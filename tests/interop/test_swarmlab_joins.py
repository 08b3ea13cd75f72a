"""swarmlab's worker in the swarm of a stock Docker manager; one chapter a test."""

from collections.abc import Callable, Iterator

import pytest
from interop.ground import logs_told
from interop.hosts import missing
from interop.steps import Steps
from interop.swarmlab_joins import CHAPTERS, Stage, stage

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
