"""Act one breaks things, act two mends them, and then the cluster must be at rest; many seeds.

A failure prints the seed, the first thing that was wrong, and the story as a scenario file; with the seed 17,
`swarmlab sim run --scenario THAT-FILE --strategy ... --seed 17` runs it again.
"""

from pathlib import Path

import pytest

from swarmlab.plugin import Host
from swarmlab.sim import InvariantBroken, draw_scenario, play_scenario, write_scenario

SEEDS = range(40)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cluster_survives_what_befalls_it(seed: int, tmp_path: Path) -> None:
    scenario = draw_scenario(seed)
    path = tmp_path / f"faults-{seed}.yml"
    path.write_text(write_scenario(scenario))
    try:
        result = play_scenario(
            scenario, Host.load(scenario.strategies[0], strict=True), str(path), seed, tmp_path / "log"
        )
    except InvariantBroken as error:
        pytest.fail(f"seed {seed}: {error}\n{error.__notes__}\n{path.read_text()}")
    assert not result.failures, f"seed {seed}\n" + "\n".join(result.failures) + f"\n{path.read_text()}"
