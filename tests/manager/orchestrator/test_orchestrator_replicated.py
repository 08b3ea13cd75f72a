"""Replicated services: how many tasks, in which slots, and what happens when nodes go."""

from orchestrator_world import World, a_spec

from swarmlab.api import TaskState


def test_a_new_service_gets_a_task_in_each_of_its_first_slots() -> None:
    world = World(["n1", "n2"])
    web = world.create(a_spec(replicas=3))
    world.run(1)
    assert world.shape(web) == [
        (1, "n1", "v1", "RUNNING", "RUNNING"),
        (2, "n2", "v1", "RUNNING", "RUNNING"),
        (3, "n1", "v1", "RUNNING", "RUNNING"),
    ]
    assert world.records("created") == [{"service": web, "name": "web", "tasks": 3}]


def test_a_failed_task_is_replaced_after_its_delay() -> None:
    world = World(["n1"])
    web = world.create(a_spec(replicas=1))
    world.run(1)
    [task] = world.running(web)
    world.end(task)
    world.run(4.9)
    assert world.shape(web) == [
        (1, "n1", "v1", "FAILED", "SHUTDOWN"),
        (1, "n1", "v1", "READY", "READY"),
    ]
    world.run(1)
    assert world.shape(web)[1] == (1, "n1", "v1", "RUNNING", "RUNNING")
    assert [fields["why"] for fields in world.records("restarted")] == ["FAILED: exit 1"]


def test_removing_a_service_leaves_nothing() -> None:
    world = World(["n1"])
    web = world.create(a_spec(replicas=3))
    world.run(1)
    world.remove(web)
    world.run(2)
    assert world.view.tasks() == ()
    assert TaskState.RUNNING
