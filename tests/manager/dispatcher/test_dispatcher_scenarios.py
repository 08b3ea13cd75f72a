"""The dispatcher's transcripts: tests/scenarios/dispatcher/*.txt."""

from pathlib import Path

import pytest
from dispatcher_desk import Desk
from transcripts import play, scenario_files


@pytest.mark.parametrize("path", scenario_files("dispatcher"), ids=lambda path: path.stem)
def test_dispatcher_scenario(path: Path, pytestconfig: pytest.Config) -> None:
    play(path, Desk(), rewrite=bool(pytestconfig.getoption("--rewrite")))
