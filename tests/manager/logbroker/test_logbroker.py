"""The log broker: who is told to publish, who may, and how a client's stream ends."""

import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec.structs import replace

from swarmlab.api import (
    Changes,
    Create,
    Delete,
    Forbidden,
    Instant,
    InvalidSpec,
    ListenSubscriptionsRequest,
    LogContext,
    LogMessage,
    LogSelector,
    LogStream,
    LogSubscriptionOptions,
    Node,
    NodeId,
    NodeState,
    NodeStatus,
    NotFound,
    NotLeader,
    Precondition,
    PublishLogsMessage,
    PublishLogsResponse,
    Service,
    ServiceId,
    StoreObject,
    SubscribeLogsMessage,
    SubscribeLogsRequest,
    SubscriptionMessage,
    Task,
    TaskId,
    TaskState,
    TaskStatus,
    Update,
)
from swarmlab.component import Disconnected, Event, Received, Send
from swarmlab.manager.logbroker import LogBroker
from swarmlab.store import EMPTY, Committed, Led, Snapshot, apply

WEB = LogSelector(service_ids=(ServiceId("web"),))
FOLLOW = LogSubscriptionOptions(follow=True)


@dataclass
class Desk:
    """A log broker, and what it sent since it was last asked."""

    broker: LogBroker = field(default_factory=lambda: LogBroker(random.Random(5)))
    view: Snapshot = EMPTY
    sent: list[tuple[str, int, Any]] = field(default_factory=list)

    def step(self, event: Event) -> list[tuple[str, int, Any]]:
        sent = []
        for effect in self.broker.step(event, Instant(1)):
            assert isinstance(effect, Send)
            sent.append((effect.to, effect.call, effect.message))
        return sent

    def commit(self, *actions: Create | Update | Delete) -> list[tuple[str, int, Any]]:
        applied = apply(self.view, (actions,), Instant(1), self.view.version + 1)
        assert not applied.refused
        self.view = applied.snapshot
        return self.step(Committed(self.view, applied.changes))

    def put(self, *objects: StoreObject) -> list[tuple[str, int, Any]]:
        return self.commit(*map(Create, objects))

    def listen(self, node: str, call: int = 1) -> list[tuple[str, int, Any]]:
        return self.step(Received(node, ListenSubscriptionsRequest(), call))

    def subscribe(
        self, selector: LogSelector = WEB, options: LogSubscriptionOptions | None = None, client: str = "c"
    ) -> list[tuple[str, int, Any]]:
        return self.step(Received(client, SubscribeLogsRequest(selector, options), 50))

    def publish(self, node: str, key: str, *lines: LogMessage, close: bool = False, call: int = 9) -> list[Any]:
        return self.step(Received(node, PublishLogsMessage(subscription_id=key, messages=lines, close=close), call))


def task(name: str, node: str = "n1", service: str = "web", state: TaskState = TaskState.RUNNING) -> Task:
    return Task(id=TaskId(name), node_id=NodeId(node), service_id=ServiceId(service), status=TaskStatus(state=state))


def line(task_id: str, node: str, text: bytes = b"x\n", at: int = 7) -> LogMessage:
    context = LogContext(service_id=ServiceId("web"), node_id=NodeId(node), task_id=TaskId(task_id))
    return LogMessage(context=context, timestamp=Instant(at), stream=LogStream.LOG_STREAM_STDOUT, data=text)


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.step(Led(EMPTY))
    desk.put(
        *(Node(id=NodeId(name), status=NodeStatus(NodeState.READY)) for name in ("n1", "n2", "n3")),
        Service(id=ServiceId("web")),
        task("t1"),
        task("t2", "n2"),
        task("t3", "n3", "api"),
    )
    for number, name in enumerate(("n1", "n2", "n3"), 1):
        assert desk.listen(name, number) == []
    return desk


def key_of(sent: list[tuple[str, int, Any]]) -> str:
    return sent[0][2].id


def test_nodes_with_matching_tasks_are_told_and_lines_go_to_the_client(desk: Desk) -> None:
    options = LogSubscriptionOptions(tail=-3, streams=(LogStream.LOG_STREAM_STDERR,))
    sent = desk.subscribe(WEB, options)
    key = key_of(sent)
    wanted = SubscriptionMessage(id=key, selector=WEB, options=options)
    assert sent == [("n1", 1, wanted), ("n2", 2, wanted)]
    assert desk.publish("n1", key, line("t1", "n1"), line("t1", "n1", b"y\n")) == [
        ("c", 50, SubscribeLogsMessage((line("t1", "n1"), line("t1", "n1", b"y\n"))))
    ]
    assert desk.publish("n1", key, close=True) == [("n1", 9, PublishLogsResponse())]
    assert desk.publish("n2", key, line("t2", "n2"), close=True) == [
        ("c", 50, SubscribeLogsMessage((line("t2", "n2"),))),
        ("n2", 9, PublishLogsResponse()),
        ("c", 50, None),
    ]
    assert desk.publish("n2", key)[0][2].args == (f"subscription {key} not found",)


def test_without_options_and_matching_tasks_the_stream_is_empty(desk: Desk) -> None:
    desk.put(Service(id=ServiceId("new")), task("t4", "n1", "new", TaskState.STARTING))
    assert desk.subscribe(LogSelector(service_ids=(ServiceId("new"),))) == [("c", 50, None)]


def test_single_tasks_and_nodes_can_be_named(desk: Desk) -> None:
    sent = desk.subscribe(LogSelector(node_ids=(NodeId("n3"),), task_ids=(TaskId("t2"),)))
    assert [to for to, _, _ in sent] == ["n2", "n3"]


@pytest.mark.parametrize(
    ("selector", "options", "error", "about"),
    [
        (None, None, InvalidSpec, "selector: nothing"),
        (LogSelector(), None, InvalidSpec, "selector: nothing"),
        (WEB, LogSubscriptionOptions(streams=(LogStream(7),)), InvalidSpec, "options.streams: 7"),
        (LogSelector(task_ids=(TaskId("t9"),)), None, NotFound, "task t9 not found"),
    ],
)
def test_wishes_that_cannot_be_are_refused(
    desk: Desk, selector: Any, options: Any, error: type[Exception], about: str
) -> None:
    [(to, call, answer)] = desk.subscribe(selector, options)
    assert (to, call, type(answer)) == ("c", 50, error)
    assert about in str(answer)


def test_what_is_missing_is_said_at_the_end(desk: Desk) -> None:
    desk.put(Node(id=NodeId("n4")), task("t4", "n4"), task("t5", ""))
    sent = desk.subscribe(LogSelector(service_ids=WEB.service_ids, task_ids=(TaskId("t5"),)))
    key = key_of(sent)
    desk.publish("n1", key, close=True)
    [(to, call, error)] = desk.step(Disconnected("n2"))
    assert (to, call) == ("c", 50)
    assert isinstance(error, Precondition)
    assert str(error) == (
        "incomplete log stream: some logs could not be retrieved for these reasons: node n2 disconnected unexpectedly, "
        "node n4 is not available, task t5 has not been scheduled"
    )


def test_a_node_that_is_lost_does_not_hold_the_client_up(desk: Desk) -> None:
    key = key_of(desk.subscribe(LogSelector(task_ids=(TaskId("t1"), TaskId("t2")))))
    held = desk.view.node(NodeId("n1"))
    assert desk.commit(Update(replace(held, status=NodeStatus(NodeState.DOWN)))) == []
    [(to, _, error)] = desk.commit(Delete(Node, "n2"))
    assert (to, str(error).partition("reasons: ")[2]) == ("c", "node n1 is down, node n2 was removed")
    assert isinstance(desk.publish("n1", key)[0][2], NotFound)


def test_with_follow_nodes_join_as_tasks_come_to_them(desk: Desk) -> None:
    sent = desk.subscribe(WEB, FOLLOW)
    key = key_of(sent)
    assert [to for to, _, _ in sent] == ["n1", "n2"]
    assert desk.put(task("t6", "n1"), task("t7", "", state=TaskState.PENDING)) == []
    held = desk.view.task(TaskId("t7"))
    moved = replace(held, node_id=NodeId("n3"), status=TaskStatus(state=TaskState.ASSIGNED))
    wanted = SubscriptionMessage(id=key, selector=WEB, options=FOLLOW)
    assert desk.commit(Update(moved)) == [("n3", 3, wanted)]
    for node in ("n1", "n2"):
        assert desk.publish(node, key, close=True) == [(node, 9, PublishLogsResponse())]
    assert desk.step(Disconnected("c")) == [("n3", 3, replace(wanted, close=True))]
    assert desk.step(Disconnected("c")) == []


def test_a_node_that_comes_back_goes_on_where_it_was(desk: Desk) -> None:
    options = LogSubscriptionOptions(follow=True, tail=-11)
    key = key_of(desk.subscribe(WEB, options))
    desk.publish("n1", key, line("t1", "n1", at=90), line("t1", "n1", at=80))
    assert desk.step(Disconnected("n1")) == []
    assert isinstance(desk.publish("n1", key, line("t1", "n1"))[0][2], NotFound)
    later = LogSubscriptionOptions(follow=True, since=Instant(90))
    assert desk.listen("n1", 4) == [("n1", 4, SubscriptionMessage(id=key, selector=WEB, options=later))]
    assert desk.publish("n1", key, line("t1", "n1", at=99))[0][0] == "c"
    assert [(to, call) for to, call, _ in desk.listen("n2", 5)] == [("n2", 2), ("n2", 5)]


def test_a_node_that_comes_late_is_told_what_is_followed(desk: Desk) -> None:
    desk.put(Node(id=NodeId("n4")), task("t4", "n4"))
    desk.subscribe(WEB, FOLLOW)
    assert [(to, call) for to, call, _ in desk.listen("n4", 4)] == [("n4", 4)]
    assert isinstance(desk.listen("stranger", 5)[0][2], NotFound)


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ([("", [])], InvalidSpec),
        ([("nothing", [])], NotFound),
        ([("one", []), ("two", [])], InvalidSpec),
        ([("one", [line("t2", "n2")])], Forbidden),
        ([("one", [line("t2", "n1")])], Forbidden),
    ],
)
def test_nodes_are_believed_about_their_own_tasks_and_subscriptions_alone(
    desk: Desk, messages: list[tuple[str, list[LogMessage]]], error: type[Exception]
) -> None:
    keys = {"one": key_of(desk.subscribe()), "two": key_of(desk.subscribe(client="d"))}
    answers = [desk.publish("n1", keys.get(name, name), *lines) for name, lines in messages]
    assert [type(answer) for _, _, answer in answers[-1]] == [error]
    assert answers[:-1] == [[]] * (len(messages) - 1)


def test_a_node_that_was_not_asked_may_not_publish(desk: Desk) -> None:
    key = key_of(desk.subscribe())
    assert isinstance(desk.publish("n3", key, line("t3", "n3"))[0][2], NotFound)


def test_lines_of_a_task_that_was_deleted_meanwhile_pass(desk: Desk) -> None:
    key = key_of(desk.subscribe())
    assert desk.publish("n1", key, line("gone", "n1"))[0][0] == "c"


def test_a_new_term_ends_all_calls(desk: Desk) -> None:
    key = key_of(desk.subscribe())
    desk.publish("n1", key)
    ended = desk.step(Led(desk.view))
    assert [(to, call) for to, call, _ in ended] == [("n1", 1), ("n2", 2), ("n3", 3), ("n1", 9), ("c", 50)]
    assert all(isinstance(error, NotLeader) for _, _, error in ended)
    assert [type(answer) for _, _, answer in desk.subscribe()] == [Precondition]


def test_before_a_term_nothing_is_answered() -> None:
    assert [type(answer) for _, _, answer in Desk().listen("n1")] == [NotLeader]


def test_changes_without_actions_are_nothing(desk: Desk) -> None:
    assert not Changes()
    assert desk.step(Committed(desk.view, ())) == []
