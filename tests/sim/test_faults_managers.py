"""Stories of faults under several managers: they crash, lose their last writes and each other; then there is peace."""

import random
from pathlib import Path

import pytest
from msgspec.structs import replace

from swarmlab.api import Duration, after, seconds
from swarmlab.api.quantities import parse_duration
from swarmlab.plugin import Host
from swarmlab.sim import InvariantBroken, World, draw_scenario, play_scenario, recipe, write_scenario
from swarmlab.sim.chance import Spread

SEEDS = range(16)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cluster_of_several_managers_survives_what_befalls_it(seed: int, tmp_path: Path) -> None:
    """Every version is the same on every manager that has it, and at the end the cluster is at rest."""
    scenario = replace(draw_scenario(seed), managers=3 if seed % 4 else 5)
    [strategy] = scenario.strategies
    path = tmp_path / f"faults-{seed}.yml"
    path.write_text(write_scenario(scenario))
    calm = next(event.at for event in scenario.events if event.calm is not None)
    worlds: list[World] = []

    def follow(world: World) -> None:
        worlds.append(world)
        Mischief(world, random.Random(seed), parse_duration(calm))

    failures: list[str] = []
    try:
        host = Host.load(strategy, strict=True)
        failures += play_scenario(scenario, host, str(path), seed, follow=follow).failures
    except InvariantBroken as error:
        failures.append(str(error))
    [world] = worlds
    assert world.managers is not None
    failures += world.managers.disagreements()
    views = [each.running[0].view for each in world.managers.all]
    if len({view.version for view in views}) != 1:
        failures.append(f"the managers have the versions {[view.version for view in views]}")
    if failures:
        story = f"{recipe(path.name, strategy, seed)}\n--- {path.name}\n{path.read_text()}"
        pytest.fail("\n".join(failures) + f"\n{story}", pytrace=False)


class Mischief:
    """Breaks managers and what is between them, until a given moment."""

    def __init__(self, world: World, rng: random.Random, until: Duration) -> None:
        self._world = world
        self._rng = rng
        self._end = after(world.heap.start, until - seconds(10))
        assert world.managers is not None
        self._managers = world.managers
        mesh = replace(self._managers.model.mesh, loses=rng.choice((0, 0, 0.02)), duplicates=rng.choice((0, 0, 0.05)))
        disk = replace(self._managers.model.disk, delay=Spread(median=seconds(rng.choice((0, 0.002, 0.02))), sigma=0.5))
        self._managers.model = replace(self._managers.model, mesh=mesh, disk=disk)
        self._pace = rng.choice((3, 10, 30))
        self._next()

    def _next(self) -> None:
        self._world.heap.later(seconds(self._rng.expovariate(1 / self._pace)), self._strike)

    def _strike(self) -> None:
        managers = self._managers
        if self._world.heap.now >= self._end:
            managers.heal()
            managers.model = replace(managers.model, mesh=replace(managers.model.mesh, loses=0.0, duplicates=0.0))
            for each in managers.all:
                if not each.up:
                    managers.start(each)
            return
        each = self._rng.choice(managers.all)
        match self._rng.randrange(5):
            case 0 if each.up:
                managers.crash(each, self._rng.randrange(3))
            case 1 | 2 if not each.up:
                managers.start(each)
            case 3:
                managers.cut_off(each)
            case _:
                managers.heal()
        self._next()
