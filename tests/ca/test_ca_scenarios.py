"""The authority's transcripts: tests/scenarios/ca/*.txt."""

from pathlib import Path

import pytest
from ca_desk import Desk
from transcripts import play, scenario_files


@pytest.mark.parametrize("path", scenario_files("ca"), ids=lambda path: path.stem)
def test_ca_scenario(path: Path, pytestconfig: pytest.Config) -> None:
    play(path, Desk(), rewrite=bool(pytestconfig.getoption("--rewrite")))
