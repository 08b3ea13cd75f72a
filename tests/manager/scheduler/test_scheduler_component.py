"""The scheduler as a part: what it follows, when it decides, what it writes."""

import random

import pytest
from scheduling import CPU, Desk, Later, a_node, a_service, a_spec, a_task, an_endpoint, tasks_of

from swarmlab.api import (
    MILLISECOND,
    Annotations,
    Availability,
    Duration,
    Instant,
    Node,
    NodeSpec,
    NodeState,
    OutOfSequence,
    Platform,
    ProposalDropped,
    ProposalUnknown,
    Refused,
    Service,
    Task,
    TaskState,
    Version,
)
from swarmlab.component import CancelTimer, Propose, Proposed, Record, SetTimer, TimerFired
from swarmlab.manager.scheduler import Scheduler
from swarmlab.plugin import Host
from swarmlab.store import EMPTY, Committed, Led


def test_a_pending_task_gets_a_node() -> None:
    web = a_service("web")
    desk = Desk(a_node("n0"), web)
    desk.create(a_task("t", web))
    task = desk.task("t")
    assert (task.node_id, task.status.state) == ("n0", TaskState.ASSIGNED)
    assert task.status.message == "scheduler assigned task to node"
    assert (task.status.err, task.status.timestamp) == ("", desk.now)
    assert [(record.name, record.fields) for record in desk.records] == [
        (
            "placed",
            {
                "strategy": "spread",
                "group": "web@1",
                "service": "web",
                "tasks": 1,
                "pending": 0,
                "nodes": {"n0": 1},
            },
        )
    ]


def test_only_pending_tasks_are_looked_at() -> None:
    """TestIgnoreTasks: what the allocator has not seen is not ours yet, and what has a node is not ours any more."""
    web = a_service("web")
    desk = Desk(a_node("n0"), web)
    desk.create(a_task("new", web, state=TaskState.NEW), a_task("dead", web, state=TaskState.FAILED))
    assert desk.effects == []
    desk.report("new", TaskState.PENDING)
    assert desk.on() == {"n0": 1}


def test_everything_that_waits_is_looked_at_when_leadership_begins() -> None:
    web = a_service("web", 3)
    desk = Desk([a_node("n0"), a_node("n1")], web, tasks_of(web, 3), lead=False)
    assert desk.on() == {"n0": 0, "n1": 0}
    desk.lead()
    assert sorted(desk.on().values()) == [1, 2]


def test_before_leadership_nothing_is_decided() -> None:
    scheduler = Scheduler(Host.load("spread", strict=True), random.Random(1))
    assert scheduler.step(Committed(EMPTY, ()), Desk().now) == ()
    assert scheduler.step(TimerFired("tick"), Desk().now) == ()


def test_bound_tasks_are_confirmed_on_their_node() -> None:
    """TestPreassignedTasks: node given, still the filters are asked; the text is bare and the node stays."""
    everywhere = a_service("everywhere", mode="global", cpus=2)
    desk = Desk([a_node("n0", cpus=4), a_node("n1", cpus=1), a_node("n2", availability=Availability.PAUSE)], everywhere)
    desk.create(*(a_task(f"t{number}", everywhere, node=f"n{number}", slot=0) for number in range(3)))
    assert desk.task("t0").status.message == "scheduler confirmed task can run on preassigned node"
    assert desk.pending() == {"t1": "insufficient resources on 1 node", "t2": "1 node not available for new tasks"}
    assert [desk.task(f"t{number}").node_id for number in range(3)] == ["n0", "n1", "n2"]
    assert desk.records[0].name == "confirmed"
    assert desk.records[0].fields["nodes"] == {"n0": 1}
    desk.change(Node, "n2", spec=NodeSpec())
    assert desk.pending() == {"t1": "insufficient resources on 1 node"}


def test_two_tasks_bound_to_one_node_share_its_room() -> None:
    web = a_service("web", cpus=3)
    desk = Desk(a_node("n0", cpus=4), web)
    desk.create(a_task("t0", web, node="n0"), a_task("t1", web, node="n0"))
    assert desk.task("t0").status.state == TaskState.ASSIGNED
    assert desk.pending() == {"t1": "insufficient resources on 1 node"}


def test_a_task_bound_to_a_node_that_is_gone_is_left_alone() -> None:
    everywhere = a_service("everywhere", mode="global")
    desk = Desk(a_node("n0"), everywhere)
    desk.create(a_task("t", everywhere, node="gone"))
    assert (desk.pending(), desk.effects) == ({"t": ""}, [])


def test_bound_tasks_go_first() -> None:
    """The room that a global service needs on its node is not given to others of the same round."""
    everywhere, web = a_service("everywhere", mode="global", cpus=3), a_service("web", 1, cpus=3)
    desk = Desk(a_node("n0", cpus=4), [everywhere, web], lead=False)
    desk.create(a_task("a", web))
    desk.create(a_task("b", everywhere, node="n0"))
    desk.lead()
    assert desk.task("b").status.state == TaskState.ASSIGNED
    assert list(desk.pending()) == ["a"]


def test_groups_are_served_oldest_first() -> None:
    first, second = a_service("zebra", cpus=3), a_service("ant", cpus=3)
    desk = Desk(a_node("n0", cpus=4), [first, second], lead=False)
    desk.create(a_task("t2", first))
    desk.pass_time(1)
    desk.create(a_task("t1", second))
    desk.lead()
    assert desk.task("t2").node_id == "n0"
    assert list(desk.pending()) == ["t1"]


def test_equal_tasks_without_a_service_are_one_group() -> None:
    desk = Desk([a_node("n0"), a_node("n1")], lead=False)
    desk.create(*(a_task(f"t{number}", cpus=1) for number in range(4)), a_task("u", cpus=2))
    desk.lead()
    assert [(record.fields["group"], record.fields["tasks"]) for record in desk.records] == [
        ("one-off:t0", 4),
        ("one-off:u", 1),
    ]


def test_what_does_not_fit_waits_with_the_reasons_and_is_tried_again() -> None:
    web = a_service("web", 2, cpus=3)
    desk = Desk([a_node("n0", cpus=4), a_node("n1", cpus=1)], web)
    desk.create(*tasks_of(web, 2))
    assert desk.pending() == {"web.02": "no suitable node (insufficient resources on 2 nodes)"}
    assert desk.task("web.02").status.state == TaskState.PENDING
    assert desk.records[-1].name == "pending"
    assert desk.records[-1].fields["shortages"] == {"insufficient resources on 2 nodes": 2}
    writes = len(desk.commits)
    desk.create(a_service("other"))
    desk.change(Service, "other", spec_version=Version(7))
    assert len(desk.commits) == writes + 2, "the text has not changed, so it is not written again"
    desk.report("web.01", TaskState.FAILED)
    assert desk.task("web.02").node_id == "n0"
    assert desk.pending() == {}


def test_a_new_node_takes_what_waits() -> None:
    web = a_service("web")
    desk = Desk(web)
    desk.create(a_task("t", web))
    assert desk.pending() == {"t": "no suitable node"}
    desk.create(a_node("n0"))
    assert desk.task("t").node_id == "n0"
    assert desk.task("t").status.err == ""


def test_dead_tasks_give_their_room_back_those_told_to_stop_do_not() -> None:
    """TestSchedulerResourceConstraintDeadTask."""
    web = a_service("web", cpus=3)
    desk = Desk(a_node("n0", cpus=4), web)
    desk.create(a_task("old", web))
    desk.create(a_task("next", web))
    desk.change(Task, "old", desired_state=TaskState.SHUTDOWN)
    assert list(desk.pending()) == ["next"]
    desk.report("old", TaskState.SHUTDOWN)
    assert desk.task("next").node_id == "n0"


def test_tasks_that_were_dead_before_never_held_any() -> None:
    """TestSchedulerPreexistingDeadTask."""
    web = a_service("web", cpus=3)
    desk = Desk(a_node("n0", cpus=4), web, lead=False)
    desk.create(a_task("old", web, node="n0", state=TaskState.FAILED), a_task("next", web))
    desk.lead()
    assert desk.task("next").node_id == "n0"


def test_a_task_whose_service_vanished_leaves_the_queue() -> None:
    """TestSchedulerUnassignedMap."""
    web = a_service("web", cpus=9)
    desk = Desk(a_node("n0"), web)
    desk.create(a_task("t", web))
    desk.remove(Service, "web")
    effects = len(desk.effects)
    desk.create(a_node("n1", cpus=99))
    desk.create(a_node("n2", cpus=99))
    assert len(desk.effects) == effects
    assert desk.task("t").node_id == ""


def test_a_pending_task_that_is_told_to_stop_is_ended() -> None:
    """TestUnscheduleableTask: or a stop-first update waits for ever."""
    web = a_service("web", cpus=9)
    desk = Desk(a_node("n0"), web)
    desk.create(a_task("t", web))
    desk.change(Service, "web", spec_version=Version(2))
    desk.change(Task, "t", desired_state=TaskState.SHUTDOWN)
    assert desk.task("t").status.state == TaskState.SHUTDOWN
    assert desk.records[-1].name == "ended"


def test_defect_07_tasks_that_are_told_to_stop_are_never_placed() -> None:
    web = a_service("web", cpus=9)
    desk = Desk(a_node("n0"), web)
    desk.create(a_task("stop", web), a_task("remove", web))
    desk.change(Task, "remove", desired_state=TaskState.REMOVE)
    desk.change(Task, "stop", desired_state=TaskState.SHUTDOWN)
    desk.create(a_node("n1", cpus=99))
    assert (desk.task("stop").node_id, desk.task("remove").node_id) == ("", "")
    assert desk.task("remove").status.state == TaskState.PENDING, "the reaper deletes it as it is"
    everywhere = a_service("everywhere", mode="global", cpus=9)
    desk.create(everywhere, a_task("g", everywhere, node="n0"))
    desk.change(Task, "g", desired_state=TaskState.SHUTDOWN)
    desk.change(Node, "n0", description=desk.view.node("n1").description)  # type: ignore[arg-type, union-attr]
    assert desk.task("g").status.state == TaskState.SHUTDOWN


def test_a_delayed_restart_is_placed_already() -> None:
    web = a_service("web")
    desk = Desk(a_node("n0"), web)
    desk.create(a_task("t", web, desired=TaskState.READY))
    assert desk.task("t").node_id == "n0"


def test_defect_01_every_reason_of_every_node_is_counted() -> None:
    """SwarmKit counts what failed since the last node that passed, and the first reason of each node alone."""
    web = a_service("web", 3, cpus=2, constraints=["node.labels.zone == a"], max_replicas=1)
    nodes = [
        a_node("n0", labels={"zone": "a"}),
        a_node("n1", labels={"zone": "b"}, cpus=1),
        a_node("n2", cpus=1, state=NodeState.DOWN),
        a_node("n3", cpus=1, labels={"zone": "a"}),
    ]
    desk = Desk(nodes, web)
    desk.create(*tasks_of(web, 3))
    assert desk.on("web") == {"n0": 1, "n1": 0, "n2": 0, "n3": 0}
    assert desk.pending()["web.02"] == (
        "no suitable node (insufficient resources on 3 nodes; scheduling constraints not satisfied on 2 nodes; "
        "1 node not available for new tasks; max replicas per node limit exceed)"
    )


def test_defect_04_a_node_that_changed_after_the_commit_is_not_used() -> None:
    """The task waits out its debounce; meanwhile the emptier node is drained. The decision sees it."""
    web = a_service("web")
    desk = Desk([a_node("n0"), a_node("n1")], web, debounce=50 * MILLISECOND)
    desk.create(a_task("t", web))
    desk.change(Node, "n0", spec=NodeSpec(availability=Availability.DRAIN))
    desk.pass_time(60 * MILLISECOND)
    assert desk.task("t").node_id == "n1"


def test_defect_04_a_task_that_changed_under_way_is_refused_and_decided_anew() -> None:
    """The store compares versions; nothing has to be undone, because nothing was counted before the commit."""
    proposer = Later()
    web = a_service("web", cpus=3)
    desk = Desk([a_node("n0"), a_node("n1")], web, proposer=proposer, debounce=50 * MILLISECOND)
    desk.create(a_task("t", web))
    proposer.at_once = False
    desk.change(Task, "t", annotations=Annotations("renamed"))
    desk.pass_time(60 * MILLISECOND)
    assert [record.name for record in desk.records] == ["placed"], "decided on a view in which the change was not yet"
    proposer.answer()
    assert [record.name for record in desk.records] == ["placed", "refused"]
    assert desk.task("t").node_id == ""
    proposer.at_once = True
    desk.change(Node, "n0", spec=NodeSpec(availability=Availability.DRAIN))
    desk.pass_time(2000 * MILLISECOND)
    assert desk.task("t").node_id == "n1"
    assert desk.seen().nodes.cpu_free.tolist() == [4 * CPU, CPU]


@pytest.mark.parametrize(
    "answer",
    [
        Proposed("tick", 3, (Refused(0, OutOfSequence("t")),)),
        Proposed("tick", error=ProposalDropped("no quorum")),
        Proposed("tick", error=ProposalUnknown("no answer")),
    ],
)
def test_after_a_refusal_or_an_error_it_waits_before_it_tries_again(answer: Proposed) -> None:
    desk = Desk([a_node("n0")], web := a_service("web"), lead=False)
    desk.create(a_task("t", web))
    scheduler, now = desk.scheduler, desk.now
    assert [type(effect) for effect in scheduler.step(Led(desk.view), now)] == [CancelTimer, Record, Propose]
    desk.create(a_task("u", web))
    assert scheduler.step(Committed(desk.view, desk.commits[-1]), now) == []
    assert scheduler.step(TimerFired("tick"), now) == (), "one proposal at a time"
    effects = scheduler.step(answer, now)
    assert [type(effect) for effect in effects] == [Record, SetTimer]
    assert effects[1] == SetTimer("tick", Instant(now + 1000 * MILLISECOND))
    assert [type(effect) for effect in scheduler.step(TimerFired("tick"), now)] == [Record, Propose]


def test_what_comes_while_a_proposal_is_under_way_is_looked_at_afterwards() -> None:
    proposer = Later()
    web = a_service("web", 2)
    desk = Desk([a_node("n0"), a_node("n1")], web, proposer=proposer)
    proposer.at_once = False
    desk.create(a_task("t0", web))
    desk.create(a_task("t1", web))
    proposer.answer()
    assert len(desk.effects) == 1, "t0 is being assigned"
    proposer.answer()
    assert len(desk.effects) == 1, "t1 is known, but the assignment of t0 is still under way"
    proposer.answer()
    assert len(desk.effects) == 2
    proposer.answer()
    assert desk.on() == {"n0": 1, "n1": 1}


@pytest.mark.parametrize("commits", [1, 3])
def test_it_waits_until_a_burst_is_over(commits: int) -> None:
    web = a_service("web")
    desk = Desk(a_node("n0"), web, debounce=50 * MILLISECOND)
    for number in range(commits):
        desk.create(a_task(f"t{number}", web))
        desk.pass_time(49 * MILLISECOND)
    assert desk.on() == {"n0": 0}
    desk.pass_time(MILLISECOND)
    assert desk.on() == {"n0": commits}
    assert len(desk.effects) == 1


def test_it_does_not_wait_longer_than_the_latency() -> None:
    web = a_service("web")
    desk = Desk(a_node("n0"), web, debounce=50 * MILLISECOND)
    for number in range(25):
        desk.create(a_task(f"t{number:02}", web))
        desk.pass_time(40 * MILLISECOND)
    assert desk.on() == {"n0": 25}


def test_what_concerns_nobody_who_waits_causes_nothing() -> None:
    web = a_service("web", cpus=9)
    desk = Desk(a_node("n0"), web, debounce=50 * MILLISECOND)
    running = a_task("r", node="n0", state=TaskState.STARTING)
    desk.create(running)
    desk.report("r", TaskState.RUNNING)
    assert desk.timers == {}
    desk.create(a_task("t", web))
    desk.pass_time(60 * MILLISECOND)
    desk.change(Task, "r", annotations=Annotations("renamed"))
    assert desk.timers == {}


def test_a_move_is_placed_where_it_was_wished_to() -> None:
    web = a_service("web", 2)
    desk = Desk([a_node("n0"), a_node("n1")], web)
    desk.create(a_task("old", web, node="n0", state=TaskState.RUNNING))
    desk.create(a_task("other", web, node="n0", state=TaskState.RUNNING))
    labels = {"swarmlab.move.from": "old", "swarmlab.move.to": "n0", "swarmlab.move.reason": "why not"}
    desk.create(a_task("new", web, annotations=Annotations(labels=labels)))
    assert desk.task("new").node_id == "n0", "spread would have taken n1"
    assert desk.records[-1].fields == {
        "service": "web",
        "task": "old",
        "new_task": "new",
        "to": "n0",
        "reason": "why not",
    }


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("n1", "insufficient resources on 1 node"),
        ("n2", "1 node not available for new tasks"),
        ("n9", "the node is gone"),
    ],
)
def test_a_move_that_does_not_fit_is_dropped(to: str, why: str) -> None:
    web = a_service("web", 2, cpus=2)
    desk = Desk([a_node("n0"), a_node("n1", cpus=1), a_node("n2", state=NodeState.DOWN)], web)
    desk.create(a_task("old", web, node="n0", state=TaskState.RUNNING))
    labels = {"swarmlab.move.from": "old", "swarmlab.move.to": to}
    desk.create(a_task("new", web, annotations=Annotations(labels=labels)))
    new = desk.task("new")
    assert (new.node_id, new.desired_state, new.status.err) == ("", TaskState.REMOVE, f"move dropped: {why}")
    assert (desk.records[-1].name, desk.records[-1].fields["why"]) == ("move-dropped", why)


def test_moves_come_after_what_must_run() -> None:
    web, db = a_service("web", 2, cpus=3), a_service("db", cpus=3)
    desk = Desk([a_node("n0"), a_node("n1")], [web, db], lead=False)
    labels = {"swarmlab.move.from": "old", "swarmlab.move.to": "n1"}
    desk.create(a_task("old", web, node="n0", state=TaskState.RUNNING))
    desk.create(a_task("a-move", web, annotations=Annotations(labels=labels)), a_task("z", db))
    desk.lead()
    assert desk.task("z").node_id == "n1"
    assert desk.task("a-move").desired_state == TaskState.REMOVE


def test_a_task_that_changes_while_it_waits_is_judged_by_what_it_is_now() -> None:
    desk = Desk(a_node("n0"), lead=True)
    desk.create(a_task("t", cpus=9))
    assert list(desk.pending()) == ["t"]
    desk.change(Task, "t", spec=a_spec(cpus=1))
    assert desk.task("t").node_id == "n0"
    desk.create(a_task("u", cpus=9))
    desk.remove(Task, "u")
    effects = len(desk.effects)
    desk.create(a_node("n1", cpus=99))
    assert len(desk.effects) == effects


def test_a_task_that_becomes_bound_changes_its_queue() -> None:
    web = a_service("web", cpus=9)
    desk = Desk(a_node("n0"), web)
    desk.create(a_task("t", web))
    desk.change(Task, "t", node_id="n0")
    assert desk.pending() == {"t": "insufficient resources on 1 node"}


def test_host_ports_are_kept_apart() -> None:
    web = a_service("web", 3, port=80)
    desk = Desk([a_node("n0"), a_node("n1")], web)
    desk.create(*tasks_of(web, 3))
    assert desk.on() == {"n0": 1, "n1": 1}
    assert desk.pending() == {"web.03": "no suitable node (host-mode port already in use on 2 nodes)"}
    desk.create(a_task("else", endpoint=an_endpoint(80)))
    assert "else" in desk.pending()
    desk.create(a_task("free", endpoint=an_endpoint(81)))
    assert desk.task("free").status.state == TaskState.ASSIGNED


def test_a_port_that_two_tasks_hold_is_free_when_both_are_gone() -> None:
    """Races can put two on one node; the first to go does not free it. SwarmKit's set does."""
    web = a_service("web", port=80)
    desk = Desk(a_node("n0"), web)
    desk.create(
        a_task("a", web, node="n0", state=TaskState.RUNNING), a_task("b", web, node="n0", state=TaskState.RUNNING)
    )
    desk.create(a_task("c", web))
    desk.report("a", TaskState.FAILED)
    assert list(desk.pending()) == ["c"]
    desk.report("b", TaskState.FAILED)
    assert desk.task("c").node_id == "n0"


def test_a_node_that_comes_back_with_more_takes_more() -> None:
    web = a_service("web", 2, cpus=3)
    desk = Desk(a_node("n0", cpus=3), web)
    desk.create(*tasks_of(web, 2))
    assert len(desk.pending()) == 1
    desk.change(Node, "n0", description=a_node("n0", cpus=6).description)
    assert desk.on() == {"n0": 2}


def test_a_deleted_node_takes_its_load_with_it() -> None:
    web = a_service("web", cpus=1)
    desk = Desk([a_node("n0"), a_node("n1")], web)
    desk.create(a_task("t", web, node="n0", state=TaskState.RUNNING))
    desk.remove(Node, "n0")
    desk.create(a_node("n2"))
    assert desk.seen().nodes.cpu_free.tolist() == [4 * CPU, 4 * CPU]
    desk.report("t", TaskState.ORPHANED)
    assert desk.seen().nodes.cpu_free.tolist() == [4 * CPU, 4 * CPU]


def test_a_name_that_comes_again_starts_with_what_lies_there() -> None:
    web = a_service("web", cpus=1)
    desk = Desk(a_node("n0"), web)
    desk.create(a_task("t", web, node="n0", state=TaskState.RUNNING))
    desk.remove(Node, "n0")
    desk.create(a_node("n0"))
    assert desk.seen().nodes.cpu_free.tolist() == [3 * CPU]
    assert desk.seen().nodes.tasks_of(web.id).tolist() == [1]


def test_platforms_constraints_and_plugins_in_one_text() -> None:
    spec = a_spec(platforms=[Platform("arm64", "linux")], constraints=["node.role == manager"], logs="splunk")
    desk = Desk(a_node("n0", plugins=[("Log", "json-file")]))
    desk.create(a_task("t", spec=spec))
    assert desk.pending()["t"] == (
        "no suitable node (missing plugin on 1 node; scheduling constraints not satisfied on 1 node; "
        "unsupported platform on 1 node)"
    )


def test_the_order_in_which_things_came_into_the_store_decides_nothing() -> None:
    def run(order: random.Random) -> list[tuple[str, dict[str, object]]]:
        services = [a_service(f"s{number}", 4, cpus=1, max_replicas=2) for number in range(5)]
        objects = [*(a_node(f"n{number}", cpus=3) for number in range(6)), *services]
        tasks = [task for service in services for task in tasks_of(service, 4)]
        order.shuffle(objects)
        order.shuffle(tasks)
        desk = Desk(objects, tasks, lead=False).lead()
        return [(record.name, dict(record.fields)) for record in desk.records]

    first = run(random.Random(1))
    assert len(first) >= 5
    assert all(run(random.Random(seed)) == first for seed in range(2, 8))


def test_it_is_told_when_a_plugin_fails(tmp_path) -> None:
    file = tmp_path / "bad.py"
    file.write_text(
        "from swarmlab.plugin import Strategy\n"
        "class Bad(Strategy):\n"
        "    name = 'bad'\n"
        "    def place(self, groups, view):\n"
        "        raise ZeroDivisionError('no')\n"
    )
    web = a_service("web")
    desk = Desk(a_node("n0"), web, host=Host.load(f"{file}:Bad"))
    desk.create(a_task("t", web))
    assert desk.task("t").node_id == "n0", "the fall-back strategy has placed it"
    assert [record.name for record in desk.records] == ["plugin-failed", "placed"]
    assert desk.records[0].fields["plugin"] == "bad"
    assert "ZeroDivisionError: no (bad.py, line 5)" in desk.records[0].fields["error"]
    assert desk.records[1].fields["strategy"] == "spread"


def test_the_debounce_and_the_latency_are_swarmkits_by_default() -> None:
    scheduler = Scheduler(Host.load("spread", strict=True), random.Random(1))
    now = Desk().now
    web = a_service("web")
    desk = Desk(a_node("n0"), web, lead=False)
    scheduler.step(Led(desk.view), now)
    desk.create(a_task("t", web))
    effects = scheduler.step(Committed(desk.view, desk.commits[-1]), now)
    assert [effect.at - now for effect in effects] == [Duration(50 * MILLISECOND)]  # type: ignore[attr-defined]
