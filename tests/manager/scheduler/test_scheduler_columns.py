"""Columns that followed every change are the columns that are built anew."""

import random
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace
from scheduling import Desk, a_node, a_service, a_task, an_endpoint

from swarmlab.api import (
    MINUTE,
    Availability,
    Mount,
    MountType,
    Node,
    NodeSpec,
    NodeState,
    Task,
    TaskState,
    VolumeAttachment,
    parse_generic_resources,
)
from swarmlab.manager.scheduler import ClusterColumns
from swarmlab.manager.scheduler.ledger import Ledger
from swarmlab.manager.scheduler.view import View
from swarmlab.plugin import Host

HOST = Host.load("spread", strict=True)
KEYS = ("node.id", "node.hostname", "node.labels.zone", "engine.labels.kind", "node.role", "nonsense")
KIND = st.sampled_from(["", "gpu=u1,gpu=u2", "gpu=3", "fpga=2,gpu=u1"])
STATES = st.sampled_from(
    [TaskState.PENDING, TaskState.ASSIGNED, TaskState.RUNNING, TaskState.FAILED, TaskState.REJECTED, TaskState.COMPLETE]
)
SERVICES = [a_service("web", cpus=1, memory=7), a_service("db", port=80), a_service("all", mode="global")]


def facts(view: View) -> dict[str, Any]:
    """All that a view says of its nodes, in plain values."""
    nodes = view.nodes
    group = view.group_of("web", 50)
    told = {
        "ids": tuple(nodes.ids),
        "hostnames": tuple(nodes.hostnames),
        "cpu_total": nodes.cpu_total,
        "cpu_free": nodes.cpu_free,
        "memory_total": nodes.memory_total,
        "memory_free": nodes.memory_free,
        "tasks": nodes.tasks,
        "ready": nodes.ready,
        "kinds": nodes.generic_kinds,
        "web": nodes.tasks_of(SERVICES[0].id),
        "db": nodes.tasks_of(SERVICES[1].id),
        "port": view.table.port_users(("tcp", 80)),
        "gpu": (nodes.generic_total("gpu"), nodes.generic_free("gpu")),
        "fpga": (nodes.generic_total("fpga"), nodes.generic_free("fpga")),
        "uses": {volume: dict(uses) for volume, uses in view.uses.items()},
        "capacity": view.capacity(group),
        "labels": [nodes.label(key) for key in KEYS],
        "domains": [(nodes.domain(key)[0], list(nodes.domain(key)[1])) for key in KEYS],
        "usage": [nodes.usage(kind) for kind in ("cpu", "memory", "gpu")],
        "views": [nodes[place] for place in range(len(nodes))],
    }
    return {key: plain(value) for key, value in told.items()}


def plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [plain(part) for part in value] if isinstance(value, tuple | list) else value


class Following(RuleBasedStateMachine):
    """Nodes and tasks come, change and go, in commits of one or several; a view that was taken stays what it was."""

    @initialize(seed=st.integers(0, 99))
    def begin(self, seed: int) -> None:
        self.desk = Desk(SERVICES, host=HOST, lead=False)
        # Only the columns follow: the scheduler must not add changes of its own.
        self.desk.columns.led(self.desk.view)
        self.seen = len(self.desk.commits)
        self.random = random.Random(seed)
        self.fresh: list[tuple[View, dict[str, Any]]] = []
        self.kept: list[tuple[View, dict[str, Any]]] = []
        self.number = 0

    def follow(self) -> None:
        for changes in self.desk.commits[self.seen :]:
            self.desk.columns.committed(self.desk.view, changes)
        self.seen = len(self.desk.commits)
        # Asked for the first time when the columns have moved on.
        self.kept, self.fresh = [*self.kept, *self.fresh][-3:], []

    def some(self, kind: type[Any]) -> Any:
        found = self.desk.view.all(kind)
        return self.random.choice(found) if found else None

    @rule(generic=KIND, zone=st.sampled_from(["", "a", "b"]), state=st.sampled_from(list(NodeState)))
    def node_comes(self, generic: str, zone: str, state: NodeState) -> None:
        self.number += 1
        name = f"{self.random.choice('abc')}{self.number}"
        node = a_node(name, generic=generic, labels={"zone": zone}, engine={"kind": zone}, state=state, hostname="same")
        tasks = [a_task(f"t{self.number}", SERVICES[0], node=name, state=TaskState.RUNNING)] if zone else []
        self.desk.create(node, *tasks)
        self.follow()

    @rule()
    def node_goes(self) -> None:
        if node := self.some(Node):
            self.desk.remove(Node, node.id)
            self.follow()

    @rule(state=st.sampled_from(list(NodeState)), cpus=st.integers(0, 9), generic=KIND, drain=st.booleans())
    def node_changes(self, state: NodeState, cpus: int, generic: str, drain: bool) -> None:
        if node := self.some(Node):
            like = a_node(node.id, cpus=cpus, generic=generic, state=state, labels={"zone": str(cpus % 3)})
            spec = replace(like.spec, availability=Availability.DRAIN) if drain else NodeSpec()
            self.desk.change(Node, node.id, status=like.status, description=like.description, spec=spec)
            self.follow()

    @rule(count=st.integers(1, 4), state=STATES, which=st.integers(0, 2), desired=st.sampled_from(list(TaskState)))
    def tasks_come(self, count: int, state: TaskState, which: int, desired: TaskState) -> None:
        made = []
        for _ in range(count):
            self.number += 1
            node = self.some(Node)
            mount = Mount(type=MountType.CLUSTER, source="v", target="/v")
            own = SERVICES[which].spec.task
            spec = own if which else replace(own, container=replace(own.container, mounts=(mount,)))
            made.append(
                a_task(
                    f"t{self.number}",
                    SERVICES[which],
                    node=node.id if node and state != TaskState.PENDING else "gone" if self.number % 5 == 0 else "",
                    state=state,
                    desired=desired,
                    given=parse_generic_resources(self.random.choice(["gpu=u1", "gpu=2", "fpga=1"])),
                    volumes=(VolumeAttachment("v", "v", "/v"),) if not which else (),
                    spec=spec,
                )
            )
        self.desk.create(*made)
        self.follow()

    @rule(state=STATES, desired=st.sampled_from(list(TaskState)), port=st.sampled_from([0, 80]), move=st.booleans())
    def task_changes(self, state: TaskState, desired: TaskState, port: int, move: bool) -> None:
        if task := self.some(Task):
            node = self.some(Node)
            self.desk.change(
                Task,
                task.id,
                status=replace(task.status, state=state),
                desired_state=desired,
                endpoint=an_endpoint(port) if port else None,
                node_id=node.id if move and node else task.node_id,
            )
            self.follow()

    @rule()
    def task_goes(self) -> None:
        if task := self.some(Task):
            self.desk.remove(Task, task.id)
            self.follow()

    @rule()
    def view_is_kept(self) -> None:
        view = self.desk.seen()
        self.fresh.append((view, facts(self.desk.seen())))

    @invariant()
    def following_is_building(self) -> None:
        anew = ClusterColumns()
        anew.led(self.desk.view)
        rebuilt = anew.cluster_view(self.desk.view, self.desk.now, random.Random(1), HOST)
        here, there = facts(self.desk.seen()), facts(rebuilt)
        for fact, value in here.items():
            if fact != "views":  # Losses are known since leadership alone.
                assert value == there[fact], fact

    @invariant()
    def kept_views_stay_what_they_were(self) -> None:
        for view, told in self.kept:
            assert facts(view) == told


TestFollowing = Following.TestCase
TestFollowing.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


def test_rows_are_used_again_and_columns_grow() -> None:
    desk = Desk()
    desk.create(*(a_node(f"n{number:03}") for number in range(40)))
    for number in range(0, 40, 2):
        desk.remove(Node, f"n{number:03}")
    desk.create(*(a_node(f"m{number:03}", cpus=number) for number in range(30)))
    nodes = desk.seen().nodes
    assert len(nodes) == 50
    assert list(nodes.ids) == sorted(nodes.ids)
    assert nodes.cpu_total[:30].tolist() == [number * 10**9 for number in range(30)]
    assert nodes.index("m007") == 7
    assert nodes.index("n000") is None


def test_a_node_that_is_lost_three_times_in_ten_minutes_is_suspect() -> None:
    desk = Desk(a_node("n0"), host=Host.load("spread", ["flapping"], strict=True))
    for _ in range(3):
        assert desk.seen().nodes.suspect.tolist() == [False]
        desk.change(Node, "n0", status=a_node("n0", state=NodeState.DOWN).status)
        desk.pass_time(MINUTE)
        desk.change(Node, "n0", status=a_node("n0").status)
    assert desk.seen().nodes.suspect.tolist() == [True]
    assert desk.seen().nodes[0].suspect
    desk.create(a_task("t"))
    assert desk.pending() == {"t": "no suitable node (node comes and goes on 1 node)"}
    desk.pass_time(8 * MINUTE)
    assert desk.seen().nodes.suspect.tolist() == [False]
    desk.create(a_task("u"))
    assert desk.pending() == {}


def test_failures_and_losses_go_with_the_node() -> None:
    web = a_service("web")
    desk = Desk([a_node("n0"), a_node("n1")], web)
    for number in range(5):
        desk.create(a_task(f"f{number}", web, node="n0", state=TaskState.RUNNING))
        desk.report(f"f{number}", TaskState.FAILED)
    group = desk.seen().group_of("web")
    assert desk.seen().nodes.failures_of(group).tolist() == [5, 0]
    desk.remove(Node, "n0")
    desk.create(a_node("n2"))
    assert desk.seen().nodes.failures_of(group).tolist() == [0, 0]


def test_failures_of_global_tasks_do_not_count() -> None:
    everywhere = a_service("everywhere", mode="global")
    desk = Desk(a_node("n0"), everywhere)
    for number in range(6):
        desk.create(a_task(f"f{number}", everywhere, node="n0", state=TaskState.RUNNING))
        desk.report(f"f{number}", TaskState.FAILED)
    view = desk.seen()
    assert view.nodes.failures_of(view.group_of("everywhere")).tolist() == [0]


def test_a_ledger_that_was_lent_stays_what_it_was() -> None:
    ledger: Ledger[str] = Ledger()
    ledger.add("a", 1, 2)
    lent = ledger.lend()
    ledger.add("a", 1, 1)
    ledger.add("b", 7, 1)
    assert lent == {"a": {1: 2}}
    assert ledger.add("a", 1, -3) == 0
    assert ledger.lend() == {"b": {7: 1}}


def test_labels_of_a_view_stay_what_they_were_for_those_who_ask_later() -> None:
    near, far = a_service("near", constraints=["node.labels.zone == a"]), a_service("far")
    desk = Desk([a_node("n0", labels={"zone": "a"}), a_node("n1", labels={"zone": "b"})], [near, far])
    view = desk.seen()
    assert view.nodes.domain("node.labels.zone")[1] == ("a", "b")
    desk.change(Node, "n1", spec=a_node("n1", labels={"zone": "a"}).spec)
    assert view.capacity(view.group_of("near", 1)).tolist() == [1, 0]
    assert desk.seen().capacity(desk.seen().group_of("near", 1)).tolist() == [1, 1]
