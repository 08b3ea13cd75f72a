"""The transcripts of consensus: tests/scenarios/raft/*.txt."""

from pathlib import Path

import pytest
from raft_desk import Desk
from transcripts import play, scenario_files


@pytest.mark.parametrize("path", scenario_files("raft"), ids=lambda path: path.stem)
def test_raft_scenario(path: Path, pytestconfig: pytest.Config) -> None:
    play(path, Desk(), rewrite=bool(pytestconfig.getoption("--rewrite")))
