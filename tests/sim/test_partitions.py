"""Partitions: how they are written, and what they part."""

import pytest
from test_world import deploy, make

from swarmlab.api import InvalidSpec, NodeState, NotFound, seconds
from swarmlab.sim import World, unrest
from swarmlab.sim.partitions import Partition


def test_two_sides_are_parted_both_ways() -> None:
    partition = Partition.parse("m1 w1 | m2")
    assert partition == Partition(sides=(("m1", "w1"), ("m2",)))
    assert sorted(partition.pairs()) == [("m1", "m2"), ("m2", "m1"), ("m2", "w1"), ("w1", "m2")]
    assert partition.names() == ("m1", "w1", "m2")


def test_one_way_only_what_the_first_side_sends_is_lost() -> None:
    assert sorted(Partition.parse("m1 > m2 m3").pairs()) == [("m1", "m2"), ("m1", "m3")]


def test_three_sides_are_parted_each_from_each() -> None:
    assert len(list(Partition.parse("m1 | m2 | m3").pairs())) == 6


@pytest.mark.parametrize("text", ["m1", "", "m1 |", "| m2", "m1 > m2 > m3", "m1 | m2 > m3"])
def test_what_has_no_two_sides_is_none(text: str) -> None:
    with pytest.raises(InvalidSpec, match=r"wanted sides such as 'm1 \| m2 m3'"):
        Partition.parse(text)


def test_nobody_stands_on_two_sides() -> None:
    with pytest.raises(InvalidSpec, match=r"'m1 m2 \| m2': a machine stands on two sides"):
        Partition.parse("m1 m2 | m2")


def _state(world: World, name: str) -> NodeState:
    node = world.view.node(world.worker(name).node_id)
    assert node is not None
    return node.status.state


def test_a_worker_on_the_side_of_the_minority_is_lost_until_the_wire_is_whole() -> None:
    """Those on the other side follow the new leader; an unnamed one reaches everybody."""
    world = make(managers=3)
    deploy(world, 6)
    assert world.managers is not None
    assert world.managers.leader is world.managers.named("m1")
    partition = Partition.parse("m1 w1 | m2 m3 w2")
    world.part(partition)
    world.run_for(seconds(80))
    assert world.managers.leader is not world.managers.named("m1")
    assert [_state(world, name) for name in ("w1", "w2", "w3")] == [NodeState.DOWN, NodeState.READY, NodeState.READY]
    assert len(world.worker("w1").executor.running) == 2
    world.mend(partition)
    world.run_for(seconds(120))
    assert list(unrest(world)) == []
    assert _state(world, "w1") == NodeState.READY


def test_a_partition_of_machines_that_are_not_there_is_refused() -> None:
    world = make(managers=3)
    with pytest.raises(NotFound, match="manager 'm9' not found; there are m1, m2, m3"):
        world.part(Partition.parse("m1 | m9"))


def test_a_leader_that_nobody_hears_gives_way() -> None:
    """It hears the others; they do not hear it. With the wire whole again it follows."""
    world = make(managers=3)
    deploy(world, 3)
    assert world.managers is not None
    old = world.managers.named("m1")
    assert old.leads
    world.part(Partition.parse("m1 > m2 m3"))
    world.run_for(seconds(10))
    assert not old.leads
    new = world.managers.wait_for_leader()
    assert new is not old
    world.mend(Partition.parse("m1 > m2 m3"))
    world.run_for(seconds(90))
    assert list(unrest(world)) == []
