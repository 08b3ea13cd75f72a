"""The allocator: ports for services, then PENDING for the tasks that waited for them."""

import pytest
from allocator_world import World, port, service, task, wish
from msgspec.structs import replace

from swarmlab.api import (
    Endpoint,
    EndpointSpec,
    Instant,
    PortConfig,
    PortProtocol,
    ProposalDropped,
    PublishMode,
    ServiceId,
    TaskId,
    TaskState,
    TaskStatus,
)
from swarmlab.component import Proposed, TimerFired
from swarmlab.manager.allocator import Allocator


@pytest.fixture
def world() -> World:
    world = World()
    world.lead()
    return world


def reshaped(world: World, name: str, *ports: PortConfig) -> None:
    held = world.view.service(ServiceId(name))
    world.change(replace(held, spec=wish(*ports, name=name)))


def test_a_task_that_needs_nothing_goes_on_in_the_next_commit(world: World) -> None:
    world.put(service("web"), task("t1"), task("t2"))
    assert world.state("t1") == (TaskState.PENDING, "")
    found = world.view.task(TaskId("t2"))
    assert found.status == TaskStatus(timestamp=Instant(1), state=TaskState.PENDING, message="pending task scheduling")
    assert found.endpoint is None
    assert world.proposals == 1


def test_all_that_one_commit_makes_necessary_is_one_proposal(world: World) -> None:
    world.put(*(service(f"s{n}", port()) for n in range(40)))
    assert world.proposals == 1
    world.put(*(task(f"t{n}", f"s{n}") for n in range(40)))
    assert world.proposals == 2
    assert {world.state(f"t{n}")[0] for n in range(40)} == {TaskState.PENDING}


def test_tasks_wait_for_the_ports_of_their_service_and_get_its_endpoint(world: World) -> None:
    world.held = True
    world.put(service("web", port(8080)), task("t1"))
    assert world.state("t1") == (TaskState.NEW, "")
    world.finish()
    assert world.state("t1") == (TaskState.NEW, "")
    world.finish()
    assert world.state("t1") == (TaskState.PENDING, "")
    held = world.view.service(ServiceId("web"))
    assert held.endpoint == Endpoint(spec=held.spec.endpoint, ports=(port(8080),))
    assert world.view.task(TaskId("t1")).endpoint == held.endpoint
    assert world.waiting == []


def test_ports_are_given_exactly_or_next_in_the_dynamic_range(world: World) -> None:
    world.put(service("web", port(30001), port(0, 81), port(0, 82), port(0, 53, protocol=PortProtocol.UDP)))
    assert world.ports("web") == [30001, 30000, 30002, 30000]


def test_host_ports_are_copied_and_belong_to_nobody(world: World) -> None:
    on_host = port(8080, publish_mode=PublishMode.HOST)
    world.put(service("a", on_host), service("b", on_host), service("c", port(0, publish_mode=PublishMode.HOST)))
    assert [world.ports(name) for name in "abc"] == [[8080], [8080], [0]]


def test_a_dynamic_port_is_kept_over_updates(world: World) -> None:
    world.put(service("web", port(0, 80), port(0, 81)))
    reshaped(world, "web", port(0, 443), port(0, 81), port(9000))
    assert world.ports("web") == [30002, 30001, 9000]
    reshaped(world, "web", port(0, 81), port(0, 443))
    assert world.ports("web") == [30001, 30002]


def test_two_equal_dynamic_ports_keep_theirs_in_order(world: World) -> None:
    world.put(service("web", port(0), port(0)))
    reshaped(world, "web", port(0), port(0), port(0, 81))
    assert world.ports("web") == [30000, 30001, 30002]


def test_a_port_is_not_given_out_again_at_once(world: World) -> None:
    world.put(service("a", port()))
    world.drop(world.view.service(ServiceId("a")))
    world.put(service("b", port()))
    assert world.ports("b") == [30001]


def test_the_dynamic_range_wraps_and_ends(world: World) -> None:
    world.put(service("last", port(32767)), service("web", port()))
    assert world.ports("web") == [30000]
    world.put(service("rest", *(port(number, 80) for number in range(30001, 32767))))
    world.put(service("none", port()), task("t1", "none"))
    assert world.state("t1") == (
        TaskState.NEW,
        "no dynamic tcp port is free: all of 30000-32767 are published",
    )
    world.drop(world.view.service(ServiceId("last")))
    assert world.ports("none") == [32767]


def test_without_ports_the_endpoint_goes(world: World) -> None:
    world.put(service("web", port(8080)))
    reshaped(world, "web")
    assert world.view.service(ServiceId("web")).endpoint is None
    world.put(service("api", port(8080)))
    assert world.ports("api") == [8080]


def test_a_taken_port_is_named_with_its_owner_and_given_when_it_is_freed(world: World) -> None:
    world.put(service("api", port(8080)))
    world.put(service("web", port(9090), port(8080)), task("t1"))
    reason = "port 8080/tcp is published already by service api (api)"
    assert world.state("t1") == (TaskState.NEW, reason)
    assert ("allocation-failed", {"service": "web", "reason": reason}) in world.records
    assert world.ports("web") == []
    world.put(task("t2"))
    assert world.state("t2") == (TaskState.NEW, reason)
    world.put(service("other", port(9090)))
    assert world.ports("other") == [9090]
    world.drop(world.view.service(ServiceId("api")))
    assert world.state("t1")[1] == "port 9090/tcp is published already by service other (other)"
    reshaped(world, "other", port(9091))
    assert world.ports("web") == [9090, 8080]
    assert [world.state(name) for name in ("t1", "t2")] == [(TaskState.PENDING, "")] * 2


def test_a_reason_is_written_once(world: World) -> None:
    world.put(service("api", port(8080)), service("zzz", port(1)))
    world.put(service("web", port(8080)), task("t1"))
    before = world.view.version
    world.drop(world.view.service(ServiceId("zzz")))
    assert world.view.version == before + 1
    assert len([name for name, _ in world.records if name == "allocation-failed"]) == 1


def test_a_failed_service_is_tried_again_when_its_own_wish_changes(world: World) -> None:
    world.put(service("api", port(8080)))
    world.put(service("web", port(8080)), task("t1"))
    reshaped(world, "web", port(8081))
    assert world.ports("web") == [8081]
    assert world.state("t1") == (TaskState.PENDING, "")


def test_two_services_of_one_commit_do_not_get_one_port(world: World) -> None:
    world.put(service("a", port(80)), service("b", port(80)), task("ta", "a"), task("tb", "b"))
    assert world.state("ta")[0] == TaskState.PENDING
    assert world.state("tb") == (TaskState.NEW, "port 80/tcp is published already by service a (a)")


def test_what_is_allocated_is_restored_before_anything_is_given_out() -> None:
    """A service with an early id asks for any port; a later one has the first dynamic port already."""
    world = World()
    ports = (port(30000),)
    done = service("z", port(0), endpoint=Endpoint(spec=EndpointSpec(ports=(port(0),)), ports=ports))
    world.put(service("a", port(0)), done, task("t1", "z"), task("t2", "a"))
    world.allocator = Allocator()
    world.lead()
    assert (world.ports("a"), world.ports("z")) == ([30001], [30000])
    assert {world.state("t1")[0], world.state("t2")[0]} == {TaskState.PENDING}


def test_a_new_leader_forgets_the_proposal_of_the_old_term(world: World) -> None:
    world.held = True
    world.put(service("web", port(0)))
    lost = world.waiting.pop()
    world.lead()
    world.step(Proposed(lost.tag, error=ProposalDropped("no leader")))
    assert world.timers == []
    world.finish()
    assert world.ports("web") == [30000]


def test_a_service_that_changed_meanwhile_is_allocated_as_it_is_now(world: World) -> None:
    world.held = True
    world.put(service("web", port(8080)), task("t1"))
    reshaped(world, "web", port(8081))
    world.finish()
    world.finish()
    assert world.ports("web") == [8081]
    world.finish()
    assert world.state("t1") == (TaskState.PENDING, "")


def test_a_dropped_proposal_is_made_again_after_a_pause(world: World) -> None:
    world.held = True
    world.put(service("web"), task("t1"))
    lost = world.waiting.pop()
    world.step(Proposed(lost.tag, error=ProposalDropped("no quorum")))
    assert [timer.at - world.now for timer in world.timers] == [1_000_000_000]
    assert world.waiting == []
    world.step(TimerFired(world.timers[0].name))
    world.finish()
    assert world.state("t1") == (TaskState.PENDING, "")


def test_tasks_that_are_not_wanted_any_more_are_ended(world: World) -> None:
    """Found by a story of faults: told to stop in the very moment of their creation, they stayed NEW for ever."""
    world.put(service("web"), task("t1", "web", TaskState.SHUTDOWN), task("t2", "gone"), task("t3", ""))
    ends = [world.state(name)[0] for name in ("t1", "t2", "t3")]
    assert ends == [TaskState.SHUTDOWN, TaskState.NEW, TaskState.PENDING]


def test_a_task_that_is_told_to_stop_while_it_waits_is_ended(world: World) -> None:
    world.put(service("api", port(8080)), service("web", port(8080)), task("t1"))
    waiting = world.view.task(TaskId("t1"))
    assert waiting.status.state == TaskState.NEW
    world.change(replace(waiting, desired_state=TaskState.SHUTDOWN))
    assert world.state("t1") == (TaskState.SHUTDOWN, "")


def test_a_task_that_went_away_meanwhile_is_forgotten(world: World) -> None:
    world.put(service("api", port(8080)))
    world.put(service("web", port(8080)), task("t1"))
    world.drop(world.view.task(TaskId("t1")))
    world.drop(world.view.service(ServiceId("api")))
    assert world.ports("web") == [8080]
    world.drop(world.view.service(ServiceId("web")))
    assert world.view.tasks() == ()
