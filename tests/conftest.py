"""Options of the whole suite. This folder is on the path of the tests, so they share what lies in it."""

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# A slow machine is no defect of what is tested. CI tries the same examples each time, so that no change fails there for
# what another one did; elsewhere every run tries others, which is how new ones are found.
settings.register_profile(
    "swarmlab",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
    print_blob=True,
)
settings.load_profile("swarmlab")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register `--rewrite`."""
    parser.addoption(
        "--rewrite",
        action="store_true",
        help="write the transcripts of tests/scenarios anew; commit the difference only if you can explain each line",
    )


@pytest.fixture(scope="module", autouse=True)
def _no_solver_waits() -> Iterator[None]:
    """A solver waits for the next problem as long as its process lives; other files count the processes they left."""
    yield
    solver = sys.modules.get("swarmlab_strategies.solver")
    if solver is not None:
        solver.close()
