"""The change feed over a real socket."""

import asyncio
from contextlib import aclosing

import pytest
from msgspec.structs import replace
from patience import PATIENCE_SECONDS

from swarmlab.api import (
    Annotations,
    Changes,
    Cluster,
    Delete,
    IndexEntry,
    InvalidSpec,
    NodeId,
    OutOfSequence,
    RootCA,
    Secret,
    SecretId,
    SecretSpec,
    SelectBy,
    SelectByCustom,
    SelectBySlot,
    Service,
    ServiceId,
    ServiceSpec,
    Task,
    TaskId,
    TaskState,
    Update,
    WatchActionKind,
    WatchEntry,
)
from swarmlab.edges.grpc import watch as watch_module

CREATE, UPDATE, REMOVE = (
    WatchActionKind.WATCH_ACTION_CREATE,
    WatchActionKind.WATCH_ACTION_UPDATE,
    WatchActionKind.WATCH_ACTION_REMOVE,
)


def a_service(name):
    return Service(id=ServiceId(name), spec=ServiceSpec(annotations=Annotations(name)))


async def live(feed):
    """The feed is on: what is committed from here on will come."""
    first = await anext(feed)
    assert (first.version, first.events) == (0, ())


async def test_commits_arrive_in_order_with_their_version(served):
    """One message a commit, with its version and all its events."""
    async with aclosing(served.client.watch()) as feed:
        await live(feed)
        served.plane.put(a_service("web"), a_service("db"))
        stored = served.plane.view.service("web")
        served.plane.commit(Changes.atomic(Update(replace(stored, pending_delete=True))))
        served.plane.commit(Changes.atomic(Delete(Service, "db")))
        first, second, third = [await anext(feed) for _ in range(3)]
    version = served.plane.view.version
    assert [message.version for message in (first, second, third)] == [version - 2, version - 1, version]
    assert [(event.action, event.object.id) for event in first.events] == [(CREATE, "web"), (CREATE, "db")]
    assert [(event.action, event.object.pending_delete, event.old_object) for event in second.events] == [
        (UPDATE, True, None)
    ]
    assert [(event.action, event.object.id) for event in third.events] == [(REMOVE, "db")]


async def test_watch_from_a_version_replays_what_came_after(served):
    """None is left out and none told twice between past and present."""
    since = served.plane.view.version
    served.plane.put(a_service("a"))
    served.plane.put(a_service("b"))
    async with aclosing(served.client.watch(since=since)) as feed:
        await live(feed)
        served.plane.put(a_service("c"))
        messages = [await anext(feed) for _ in range(3)]
    assert [event.object.id for message in messages for event in message.events] == ["a", "b", "c"]
    assert [message.version for message in messages] == [since + 1, since + 2, since + 3]


async def test_a_version_that_is_not_held_is_refused(served):
    """A version of the future, as of a past that is gone, is OutOfSequence."""
    with pytest.raises(OutOfSequence, match="cannot watch from version 999"):
        async for _ in served.client.watch(since=999):
            pass


async def test_old_objects_come_when_asked_for(served):
    """An update may carry what it replaced."""
    served.plane.put(a_service("web"))
    async with aclosing(served.client.watch(include_old=True)) as feed:
        await live(feed)
        stored = served.plane.view.service("web")
        served.plane.commit(Changes.atomic(Update(replace(stored, pending_delete=True))))
        message = await anext(feed)
    (event,) = message.events
    assert (event.old_object.pending_delete, event.object.pending_delete) == (False, True)


TASKS = (
    Task(id=TaskId("t1"), service_id=ServiceId("s1"), slot=1, node_id=NodeId("n1"), desired_state=TaskState.RUNNING),
    Task(id=TaskId("t2"), service_id=ServiceId("s1"), slot=2, node_id=NodeId("n2"), desired_state=TaskState.SHUTDOWN),
    Task(id=TaskId("u3"), service_id=ServiceId("s2"), slot=1, node_id=NodeId("n1"), desired_state=TaskState.RUNNING),
)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ((), ["t1", "t2", "u3"]),
        ((SelectBy(id="t2"),), ["t2"]),
        ((SelectBy(id_prefix="t"),), ["t1", "t2"]),
        ((SelectBy(service_id="s1"),), ["t1", "t2"]),
        ((SelectBy(service_id="s1"), SelectBy(node_id="n1")), ["t1"]),
        ((SelectBy(slot=SelectBySlot("s1", 2)),), ["t2"]),
        ((SelectBy(desired_state=TaskState.RUNNING),), ["t1", "u3"]),
    ],
)
async def test_filters_are_anded(served, filters, found):
    """All filters of an entry must hold."""
    entries = (WatchEntry(kind="task", action=CREATE, filters=filters),)
    async with aclosing(served.client.watch(entries)) as feed:
        await live(feed)
        served.plane.put(a_service("s0"))
        served.plane.put(*TASKS)
        message = await anext(feed)
    assert [event.object.id for event in message.events] == found


async def test_entries_are_ored_and_actions_masked(served):
    """An entry tells only of its kind and of its actions."""
    entries = (WatchEntry(kind="service", action=REMOVE), WatchEntry(kind="task", action=CREATE | UPDATE))
    async with aclosing(served.client.watch(entries)) as feed:
        await live(feed)
        served.plane.put(a_service("web"), TASKS[0])
        served.plane.commit(Changes.atomic(Delete(Service, "web"), Delete(Task, "t1")))
        first, second = [await anext(feed) for _ in range(2)]
    assert [event.object.id for event in first.events] == ["t1"]
    assert [event.object.id for event in second.events] == ["web"]


async def test_no_client_sees_secrets_in_the_feed(served):
    """Data of secrets and keys of the cluster stay with the managers, in the feed as in lists."""
    async with aclosing(served.client.watch(include_old=True)) as feed:
        await live(feed)
        served.plane.put(Secret(id=SecretId("x"), spec=SecretSpec(annotations=Annotations("x"), data=b"hush")))
        cluster = served.plane.view.cluster()
        served.plane.commit(Changes.atomic(Update(replace(cluster, root_ca=RootCA(ca_key=b"key", ca_cert=b"cert")))))
        cluster = served.plane.view.cluster()
        served.plane.commit(Changes.atomic(Update(replace(cluster, fips=True))))
        secret, first, second = [(await anext(feed)).events[0] for _ in range(3)]
    assert secret.object.spec.data == b""
    assert isinstance(first.object, Cluster)
    assert (first.object.root_ca.ca_key, first.object.root_ca.ca_cert) == (b"", b"cert")
    assert second.old_object.root_ca.ca_key == b""


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        (WatchEntry(action=CREATE), r"entries\[0\]\.kind: '', wanted"),
        (WatchEntry(kind="task"), r"entries\[0\]\.action: 0, wanted"),
        (WatchEntry(kind="task", action=WatchActionKind(9)), r"entries\[0\]\.action: 9, wanted"),
        (WatchEntry(kind="task", action=CREATE, filters=(SelectBy(),)), r"filters\[0\]: nothing, wanted"),
        (
            WatchEntry(kind="task", action=CREATE, filters=(SelectBy(name="a"), SelectBy(name="b"))),
            r"filters\[1\]: a second name, wanted",
        ),
        (WatchEntry(kind="node", action=CREATE, filters=(SelectBy(node_id="a"),)), r"filters\[0\]: node_id, wanted"),
    ],
)
async def test_bad_entries_are_refused(served, entry, complaint):
    """What cannot match anything is InvalidSpec, with its place."""
    with pytest.raises(InvalidSpec, match=complaint):
        async for _ in served.client.watch((entry,)):
            pass


async def test_resources_are_watched_by_their_kind(served):
    """A kind that is no built-in one means resources of that kind; custom indexes are found in all kinds."""
    client = served.client
    await client.create_extension(Annotations("printer"))
    await client.create_extension(Annotations("scanner"))
    entries = (WatchEntry(kind="printer", action=CREATE),)
    custom = SelectBy(custom_prefix=SelectByCustom(kind="resource", index="room", value="2"))
    by_room = (WatchEntry(kind="resource", action=CREATE, filters=(custom,)),)
    async with aclosing(client.watch(entries)) as feed, aclosing(client.watch(by_room)) as rooms:
        await live(feed)
        await live(rooms)
        await client.create_resource(Annotations("s1"), "scanner")
        await client.create_resource(Annotations("p1"), "printer")
        message = await anext(feed)
        assert [event.object.annotations.name for event in message.events] == ["p1"]
        await client.create_resource(Annotations("p2", {}, (IndexEntry("room", "21"),)), "printer")
        message = await anext(rooms)
        assert [event.object.annotations.name for event in message.events] == ["p2"]


async def test_a_client_that_leaves_is_not_followed_any_more(served):
    """Closing the iterator ends the watch in the store."""
    feed = served.client.watch()
    await live(feed)
    (follower,) = served.plane.followers
    assert not follower.cancelled.is_set()
    await feed.aclose()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await follower.cancelled.wait()


async def test_a_watcher_that_falls_behind_is_told_from_where_to_go_on(served, monkeypatch):
    """A slow client neither holds up the store nor misses a commit without a word."""
    monkeypatch.setattr(watch_module, "BACKLOG", 10)
    feed = watch_module._Feed(served.plane, None)
    for number in range(12):
        served.plane.put(a_service(f"s{number}"))
    commits = feed.commits()
    versions = [(await anext(commits)).view.version for _ in range(10)]
    with pytest.raises(OutOfSequence, match=f"fell 10 commits behind, wanted: a new watch from version {versions[-1]}"):
        await anext(commits)
