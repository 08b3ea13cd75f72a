"""Scenario files with several managers: what they say, and where a bad one is wrong."""

from pathlib import Path

import pytest
from test_reading import _refusal, _written

from swarmlab.api import Precondition, seconds
from swarmlab.plugin import Host
from swarmlab.sim import GroupModel, MeshModel, load_scenario, play_scenario
from swarmlab.sim.chance import Spread
from swarmlab.sim.disk import DiskModel
from swarmlab.sim.misfortunes import Disk, group_of
from swarmlab.sim.world import World, WorldConfig

GOOD = """
description: Three managers, two nodes.
managers: 3
nodes: [{name: w, count: 2}]
group: {delay: 3ms, loses: 0.1, disk: 1ms, snapshot-every: 9}
load: {clients: 2, until: 30s}
events:
  - {at: 10s, kill-leader: 2s, times: 3, every: 5s}
  - {at: 12s, promote: m4}
until: 60s
"""


def test_a_group_and_its_load_are_read(tmp_path: Path) -> None:
    """A leader is killed once where nothing else is said."""
    scenario = load_scenario(_written(tmp_path, GOOD))
    assert scenario.group.model().mesh == MeshModel(delay=Spread(median=seconds(0.003)), loses=0.1)
    assert scenario.group.model().disk == DiskModel(delay=Spread(median=seconds(0.001)))
    assert scenario.group.model().raft.snapshot_every == 9
    assert scenario.load is not None
    assert (scenario.load.clients, scenario.load.until) == (2, "30s")
    assert [event.occurrences for event in scenario.events] == [3, 1]
    assert load_scenario(_written(tmp_path, GOOD.replace("group:", "#"))).group.model() == GroupModel()


def test_it_runs_and_its_clients_are_counted(tmp_path: Path) -> None:
    scenario = load_scenario(_written(tmp_path, GOOD))
    result = play_scenario(scenario, Host.load("spread", strict=True), "three", 1)
    assert result.failures == ()
    assert result.requests > 30


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("promote: m4", "promote: w1", "nodes[0]: a manager is named 'w1', too"),
        ("name: w, count: 2", "name: m2", "nodes[0]: a manager is named 'm2', too"),
        ("promote: m4", "demote: m9", "events[1].demote: manager 'm9' is not known; there are m1, m2, m3"),
        ("promote: m4", "disk: {m1: slow}", "events[1].disk.m1: disk 'slow': wanted stalls, fails, well, or a span"),
        ("promote: m4", "partition: m1 | m9", "events[1].partition: machine 'm9' is not known; there are m1, m2, m3"),
        ("promote: m4", "partition: m1 |", "events[1].partition: partition 'm1 |': wanted sides such as"),
        ("promote: m4", "partition: w9", "events[1].partition: machine 'w9' is not known; there are m1, m2, m3, w1"),
        ("kill-leader: 2s", "kill-leader: soon", "events[0].kill-leader: "),
        ("times: 3", "times: 0", "events[0].times: 0, wanted 1 or more"),
        ("loses: 0.1", "loses: 2", "group: loses 2.0: wanted a probability, 0 to 1"),
        ("snapshot-every: 9", "snapshot-every: -1", "group: snapshot-every -1: wanted 0 or more"),
        ("clients: 2", "clients: 0", "load.clients: 0, wanted 1 or more"),
        ("clients: 2", "pace: 0s", "load.pace: '0s', wanted more than 0"),
        ("until: 30s", "until: 2m", "load.until: '2m' is after the end"),
        ("managers: 3", "managers: 1", "load: wanted several managers"),
    ],
)
def test_a_mistake_is_found_before_anything_runs(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    assert _refusal(tmp_path, GOOD.replace(old, new, 1)).startswith(message)


@pytest.mark.parametrize("event", ["kill-leader: 1s", "manager-down: m1", "hand-over: so", "promote: m2"])
def test_what_befalls_several_managers_wants_several(tmp_path: Path, event: str) -> None:
    text = f"description: One.\nevents: [{{at: 1s, {event}}}]\nuntil: 2s\n"
    action = event.partition(":")[0]
    assert _refusal(tmp_path, text).startswith(f"events[0].{action}: wanted several managers")


def test_disks_are_words_or_spans() -> None:
    assert Disk.parse("well") == Disk()
    assert Disk.parse("stalls") == Disk(stalls=True)
    assert Disk.parse("fails") == Disk(fails=True)
    assert Disk.parse("20ms~1") == Disk(model=DiskModel(delay=Spread(median=seconds(0.02), sigma=1.0)))


def test_one_manager_is_no_group() -> None:
    with pytest.raises(Precondition, match="the scenario wants `managers: 3`, or more"):
        group_of(World(WorldConfig(), Host.load("spread", strict=True)))
