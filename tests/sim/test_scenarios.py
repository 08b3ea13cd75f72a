"""Every shipped scenario goes as it says it should, under each strategy that it names, and twice in the same way."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from swarmlab.sim import load_scenario, run_scenario

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "scenarios"
FILES = sorted(FOLDER.glob("*.yml"))
CASES = [(path, strategy) for path in FILES for strategy in load_scenario(path).strategies]
SEEDS = (1, 8123)


def _recipe(path: Path, strategy: str, seed: int) -> str:
    return f"swarmlab sim run --scenario examples/scenarios/{path.name} --strategy {strategy} --seed {seed}"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("path", "strategy"), CASES, ids=[f"{path.stem}-{strategy}" for path, strategy in CASES])
def test_scenario_goes_as_expected(path: Path, strategy: str, seed: int) -> None:
    """All expectations hold; invariants are checked at every commit of the run."""
    result = run_scenario(path, strategy, seed)
    assert not result.failures, f"{_recipe(path, strategy, seed)}\n" + "\n".join(result.failures)


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_decision_log_is_the_same_under_any_hash_seed(path: Path, tmp_path: Path) -> None:
    """Two processes with different PYTHONHASHSEED write the same bytes."""
    strategy = load_scenario(path).strategies[0]
    logs = []
    for hash_seed in ("0", "4242"):
        log = tmp_path / f"log-{hash_seed}"
        subprocess.run(
            [
                *(sys.executable, "-m", "swarmlab", "sim", "run", "--scenario", str(path)),
                *("--strategy", strategy, "--seed", "7", "--log", str(log)),
            ],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            timeout=100,
        )
        logs.append(log.read_bytes())
    assert logs[0] == logs[1], _recipe(path, strategy, 7)
    assert len(logs[0].splitlines()) > 5
    assert all(json.loads(line)["event"] for line in logs[0].splitlines())


def test_another_seed_gives_another_run() -> None:
    """The seed does decide: delays differ, and with them the log."""
    path = FOLDER / "rejoin.yml"
    assert run_scenario(path, seed=1).log_sha256 != run_scenario(path, seed=2).log_sha256
