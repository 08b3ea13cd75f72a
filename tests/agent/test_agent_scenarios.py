"""The agent's transcripts: tests/scenarios/agent/*.txt."""

from pathlib import Path

import pytest
from agent_desk import Desk
from transcripts import play, scenario_files


@pytest.mark.parametrize("path", scenario_files("agent"), ids=lambda path: path.stem)
def test_agent_scenario(path: Path, pytestconfig: pytest.Config) -> None:
    play(path, Desk(), rewrite=bool(pytestconfig.getoption("--rewrite")))
