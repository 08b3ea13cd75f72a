"""Several managers in a simulated cluster: workers follow whoever leads, and nothing is lost with a leader."""

import pytest
from test_world import deploy, make, nodes

from swarmlab.api import NotLeader, Precondition, TaskState, seconds
from swarmlab.sim import InvariantBroken, World, running_by_node, unrest
from swarmlab.sim.managers import SimManagers


def group(world: World) -> SimManagers:
    assert world.managers is not None
    return world.managers


def starts(world: World) -> int:
    """Tasks there ever were."""
    return len({task.id for task in world.view.tasks()})


@pytest.mark.parametrize("managers", [3, 5])
def test_services_run_as_under_one_manager(managers: int) -> None:
    """Three workers, six tasks, two on each; every manager has the same store."""
    world = make(managers=managers)
    deploy(world, 6)
    own = {f"m{number}": "UNKNOWN" for number in range(1, managers + 1)}
    assert nodes(world) == {**own, "w1": "READY", "w2": "READY", "w3": "READY"}
    assert running_by_node(world.view) == {"web": {"w1": 2, "w2": 2, "w3": 2}}
    world.run_for(seconds(90))
    assert list(unrest(world)) == []
    views = [each.running[0].view for each in group(world).all]
    assert [view.version for view in views] == [views[0].version] * managers
    assert list(group(world).disagreements()) == []


@pytest.mark.parametrize("managers", [3, 5])
def test_the_death_of_a_leader_restarts_no_task(managers: int) -> None:
    """Workers find the next leader, which gives them time enough to come."""
    world = make(managers=managers)
    deploy(world, 6)
    before = {task.id for task in world.view.tasks()}
    dead = group(world).wait_for_leader()
    group(world).crash(dead)
    with pytest.raises(NotLeader):
        world.request(lambda *_: (_ for _ in ()).throw(AssertionError))  # type: ignore[arg-type]
    leader = group(world).wait_for_leader()
    assert leader is not dead
    world.run_for(seconds(60))
    assert {task.id for task in world.view.tasks()} == before
    assert all(task.status.state is TaskState.RUNNING for task in world.view.tasks())
    group(world).start(dead)
    world.run_for(seconds(90))
    assert list(unrest(world)) == []
    assert dead.running[0].view.version == world.view.version


def test_a_leader_that_is_cut_off_from_the_others_gives_way() -> None:
    """Its workers go over to the new one, and what it had in hand does not count."""
    world = make(managers=3)
    deploy(world, 3)
    old = group(world).wait_for_leader()
    group(world).cut_off(old)
    world.run_for(seconds(10))
    new = group(world).wait_for_leader()
    assert new is not old
    assert not old.leads
    deploy(world, 6, "api")
    assert running_by_node(world.view)["api"] == {"w1": 2, "w2": 2, "w3": 2}
    group(world).heal()
    world.run_for(seconds(90))
    assert list(unrest(world)) == []
    assert list(group(world).disagreements()) == []
    assert old.running[0].view.version == new.running[0].view.version


def test_without_a_majority_nothing_changes_and_tasks_run_on() -> None:
    """Reads and tasks are as they were; writes wait for a leader in vain."""
    world = make(managers=3)
    deploy(world, 6)
    first, second, _ = group(world).all
    group(world).crash(first)
    group(world).crash(second)
    world.run_for(seconds(5))
    with pytest.raises(Precondition, match="no manager leads"):
        deploy(world, 1, "late")
    assert sum(len(worker.executor.running) for worker in world.workers) == 6
    world.start_manager()
    deploy(world, 1, "late")
    world.run_for(seconds(90))
    assert list(unrest(world)) == []


def test_the_power_of_all_managers_fails_at_once() -> None:
    """They come back with what was committed."""
    world = make(managers=3)
    deploy(world, 6)
    version = world.view.version
    for kept, each in enumerate(group(world).all):
        group(world).crash(each, kept)
    world.run_for(seconds(3))
    world.start_manager()
    group(world).wait_for_leader()
    assert world.view.version >= version
    world.run_for(seconds(120))
    assert list(unrest(world)) == []


def test_the_same_seed_gives_the_same_story() -> None:
    """With faults, byte for byte; another seed another one."""

    def story(seed: int) -> list[bytes]:
        world = make(managers=3, seed=seed)
        deploy(world, 4)
        world.stop_manager()
        world.run_for(seconds(10))
        world.start_manager()
        deploy(world, 4, "api")
        world.run_for(seconds(60))
        return [line.encode() for line in world.log]

    assert story(7) == story(7)
    assert story(7) != story(8)


def test_two_managers_that_differ_are_found_out() -> None:
    """Each commit is held against what the first manager had at that version."""
    world = make(managers=3)
    leader = group(world).wait_for_leader()
    other = next(each for each in group(world).all if each is not leader)
    group(world).cut_off(other)
    service = deploy(world, 1)
    event = next(iter(leader.running[0].store._history.since(world.view.version - 1, world.view.version)))[1]
    [change, *_] = event.changes
    group(world)._hear(other, event)
    wrong = world.view.node(world.workers[0].node_id)
    assert wrong is not None
    older = group(world)._agreed[service.meta.version.index] if service.meta.version.index else world.view
    assert older is not None
    forged = type(event)(event.view, (type(change)(change.kind, change.object, change.old),))
    group(world)._agreed[event.view.version] = group(world)._agreed[1]
    with pytest.raises(InvariantBroken, match=f"at version {event.view.version}: manager {other.name} has another"):
        group(world)._hear(other, forged)
