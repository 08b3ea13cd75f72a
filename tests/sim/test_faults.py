"""Act one breaks things, act two mends them, and then the cluster must be at rest; many seeds.

A failure prints the seed, what was wrong, and the story as a scenario file. With that file,
`swarmlab sim run --scenario FILE --strategy S --seed N` runs it again.
"""

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from swarmlab.manager.scheduler import ClusterColumns
from swarmlab.plugin import Host
from swarmlab.sim import (
    InvariantBroken,
    World,
    draw_scenario,
    load_scenario,
    play_scenario,
    recipe,
    run_scenario,
    write_scenario,
)
from swarmlab.sim.scenario import EventEntry
from swarmlab.store import Committed

SEEDS = range(40)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cluster_survives_what_befalls_it(seed: int, tmp_path: Path) -> None:
    """Invariants hold at every commit; at the end all is as it should be, and what the scheduler counts is right."""
    scenario = draw_scenario(seed)
    [strategy] = scenario.strategies
    path = tmp_path / f"faults-{seed}.yml"
    path.write_text(write_scenario(scenario))
    worlds: list[World] = []

    def follow(world: World) -> None:
        worlds.append(world)
        world.follow(lambda _: _check_columns(world))

    failures: list[str] = []
    try:
        host = Host.load(strategy, strict=True)
        failures += play_scenario(scenario, host, str(path), seed, follow=follow).failures
        _check_count(worlds[0])
    except InvariantBroken as error:
        failures.append(str(error))
    if failures:
        story = f"{recipe(path.name, strategy, seed)}\n--- {path.name}\n{path.read_text()}"
        pytest.fail("\n".join(failures) + f"\n{story}", pytrace=False)


def _columns(world: World) -> ClusterColumns:
    return world.manager._scheduler._columns


def _check_columns(world: World) -> None:
    """No column of what is in use, nor of what is free, is ever negative: no story makes a machine smaller."""
    columns = _columns(world)
    for name in ("cpu_used", "memory_used", "tasks", "losses"):
        array = getattr(columns, name).lend()
        if (array < 0).any():
            raise InvariantBroken(f"at version {world.view.version}: column {name} is {array.tolist()}")
    for what in ("cpu", "memory"):
        free = getattr(columns, f"{what}_total").lend() - getattr(columns, f"{what}_used").lend()
        if (free < 0).any():
            raise InvariantBroken(f"at version {world.view.version}: free {what} is {free.tolist()}")


def _check_count(world: World) -> None:
    """What was counted commit by commit is what one counts who looks at the store for the first time."""
    kept, fresh = _columns(world), ClusterColumns()
    fresh.led(world.view)
    rows, again = kept.roster().rows, fresh.roster().rows
    if kept.roster().ids != fresh.roster().ids:
        raise InvariantBroken(f"nodes {kept.roster().ids} are counted, there are {fresh.roster().ids}")
    for name in ("cpu_total", "memory_total", "cpu_used", "memory_used", "tasks", "ready"):
        seen, right = getattr(kept, name).lend()[rows], getattr(fresh, name).lend()[again]
        if not np.array_equal(seen, right):
            raise InvariantBroken(f"at rest: column {name} is {seen.tolist()}, right is {right.tolist()}")


def test_a_story_is_the_same_for_the_same_seed_and_survives_its_file(tmp_path: Path) -> None:
    for seed in range(30):
        scenario = draw_scenario(seed)
        assert draw_scenario(seed) == scenario
        path = tmp_path / "story.yml"
        path.write_text(write_scenario(scenario))
        assert load_scenario(path) == scenario
    assert draw_scenario(1) != draw_scenario(2)


def test_stories_are_about_everything() -> None:
    """Together the seeds of this suite contain every kind of fault and deed."""
    told = {action for seed in SEEDS for event in draw_scenario(seed).events for action in event.actions()}
    assert told == {
        *("stop", "start", "kill", "revive", "partition", "heal", "hang_up", "restart_manager"),
        *("drain", "pause", "activate", "label", "join", "remove_node"),
        *("deploy", "update", "scale", "rollback", "remove", "calm", "expect"),
    }
    kinds = {mode for seed in SEEDS for mode in (entry.mode for entry in draw_scenario(seed).services.values())}
    assert kinds == {"replicated", "global", "replicated-job", "global-job"}


def test_the_file_of_a_story_runs_as_the_story_does(tmp_path: Path) -> None:
    scenario = draw_scenario(8)
    path = tmp_path / "story.yml"
    path.write_text(write_scenario(scenario))
    [strategy] = scenario.strategies
    told = play_scenario(scenario, Host.load(strategy, strict=True), "story", 8)
    assert run_scenario(path, strategy, 8).log_sha256 == told.log_sha256


def test_a_broken_invariant_names_the_recipe(tmp_path: Path) -> None:
    def break_it(world: World) -> None:
        def hear(event: Committed) -> None:
            if event.view.version == 20:
                raise InvariantBroken("the twentieth commit is one too many")

        world.follow(hear)

    with pytest.raises(InvariantBroken) as broken:
        play_scenario(draw_scenario(3), Host.load("spread", strict=True), "three.yml", 3, follow=break_it)
    [note] = broken.value.__notes__
    assert note.endswith(" of: swarmlab sim run --scenario three.yml --strategy spread --seed 3")


def test_a_cluster_that_is_not_at_rest_fails_the_story() -> None:
    """All nodes lose their power in the middle, and nobody mends them."""
    scenario = draw_scenario(3)
    dark = tuple(EventEntry(at="60s", stop=node.name) for node in scenario.nodes)
    unmended = replace(scenario, events=(*dark, scenario.events[-1]))
    result = play_scenario(unmended, Host.load("spread", strict=True), "three.yml", 3)
    assert any("0 tasks in 0 slots run" in failure for failure in result.failures), result.failures
