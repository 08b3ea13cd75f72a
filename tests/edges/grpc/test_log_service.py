"""Lines of tasks over a real socket."""

import asyncio
from contextlib import aclosing

import pytest
from msgspec.structs import replace
from patience import PATIENCE_SECONDS

from swarmlab.api import (
    Annotations,
    Changes,
    Instant,
    InvalidSpec,
    LogAttr,
    LogContext,
    LogMessage,
    LogSelector,
    LogStream,
    LogSubscriptionOptions,
    Node,
    NodeId,
    NotFound,
    Precondition,
    Service,
    ServiceId,
    ServiceSpec,
    Task,
    TaskId,
    TaskState,
    TaskStatus,
    Update,
    last_lines,
)

OUT, ERR = LogStream.LOG_STREAM_STDOUT, LogStream.LOG_STREAM_STDERR
WEB = LogSelector(service_ids=(ServiceId("web"),))


ALL = LogSubscriptionOptions()


def a_task(name, node="n1", state=TaskState.RUNNING, slot=1):
    return Task(
        id=TaskId(name),
        service_id=ServiceId("web"),
        service_annotations=Annotations("web"),
        slot=slot,
        node_id=NodeId(node),
        status=TaskStatus(state=state),
    )


@pytest.fixture
def web(served):
    """A service with two running tasks and one that has not started."""
    served.plane.put(
        Service(id=ServiceId("web"), spec=ServiceSpec(annotations=Annotations("web"))),
        Node(id=NodeId("n1")),
        Node(id=NodeId("n2")),
        a_task("t1"),
        a_task("t2", "n2", slot=2),
        a_task("t3", "n2", TaskState.PREPARING, slot=3),
    )
    return served


async def texts(client, selector, options=ALL):
    return [line.data.decode() async for line in client.subscribe_logs(selector, options)]


async def test_lines_of_a_service_come_in_the_order_of_their_times(web):
    """Without follow the tasks' lines are merged, each with where it comes from."""
    web.output.write("t1", 1, "a\n")
    web.output.write("t2", 2, "b\n", ERR)
    web.output.write("t1", 3, "c\n")
    lines = [line async for line in web.client.subscribe_logs(WEB)]
    assert [line.data for line in lines] == [b"a\n", b"b\n", b"c\n"]
    assert lines[1] == LogMessage(
        context=LogContext(service_id=ServiceId("web"), node_id=NodeId("n2"), task_id=TaskId("t2")),
        timestamp=Instant(2),
        stream=ERR,
        data=b"b\n",
        attrs=(LogAttr("k", "v"),),
    )


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        (WEB, ["a", "b"]),
        (LogSelector(node_ids=(NodeId("n2"),)), ["b"]),
        (LogSelector(task_ids=(TaskId("t1"),)), ["a"]),
        (LogSelector(task_ids=(TaskId("t1"),), node_ids=(NodeId("n2"),)), ["a", "b"]),
    ],
)
async def test_selectors(web, selector, found):
    """A task that any of the lists names is in, once."""
    web.output.write("t1", 1, "a")
    web.output.write("t2", 2, "b")
    assert await texts(web.client, selector) == found


@pytest.mark.parametrize(
    ("tail", "found"),
    [(0, "abcd"), (-1, ""), (last_lines(1), "d"), (last_lines(3), "bcd"), (1, "bcd"), (3, "d"), (9, "")],
)
async def test_tail_counts_from_either_end(web, tail, found):
    """0 is all, -1 none, -(n+1) the last n, and n > 0 leaves out the first n."""
    for number, text in enumerate("abcd"):
        web.output.write("t1", number, text)
    selector = LogSelector(task_ids=(TaskId("t1"),))
    assert "".join(await texts(web.client, selector, LogSubscriptionOptions(tail=tail))) == found


async def test_since_and_streams_are_handed_on(web):
    """What the reader of a task is asked for is what the client asked for."""
    options = LogSubscriptionOptions(since=Instant(7), streams=(ERR,), tail=last_lines(5))
    assert await texts(web.client, LogSelector(task_ids=(TaskId("t1"),)), options) == []
    ((_, asked),) = web.output.asked
    assert (asked.since, asked.streams, asked.tail, asked.follow) == (7, (ERR,), 5, False)


async def test_missing_parts_are_said_at_the_end(web):
    """A reader that does not follow ends even when a node is missing, after what there is, and says what is not."""
    web.output.write("t1", 1, "a")
    web.output.unreachable[TaskId("t2")] = "node n2 is not available"
    selector = LogSelector(task_ids=(TaskId("t1"), TaskId("t2"), TaskId("t3")))
    lines = web.client.subscribe_logs(selector)
    assert (await anext(lines)).data == b"a"
    with pytest.raises(Precondition) as caught:
        await anext(lines)
    assert str(caught.value) == (
        "incomplete log stream: web.2.t2: node n2 is not available; web.3.t3: it has not started yet"
    )


async def test_follow_joins_tasks_that_start_later(web):
    """Lines come as they are written, of tasks that are there and of those that come."""
    web.output.write("t1", 1, "old")
    async with aclosing(web.client.subscribe_logs(WEB, LogSubscriptionOptions(follow=True))) as lines:
        assert (await anext(lines)).data == b"old"
        web.output.write("t2", 2, "new")
        assert (await anext(lines)).data == b"new"
        started = replace(web.plane.view.task(TaskId("t3")), status=TaskStatus(state=TaskState.RUNNING))
        web.output.write("t3", 3, "late")
        web.plane.commit(Changes.atomic(Update(started)))
        assert (await anext(lines)).data == b"late"
    async with asyncio.timeout(PATIENCE_SECONDS):
        for task in ("t1", "t2", "t3"):
            await web.output.over[TaskId(task)].wait()


async def test_follow_of_single_tasks_ends_with_them(web):
    """There is nothing to wait for when each of the tasks that were asked for has ended."""
    web.output.write("t1", 1, "a")

    async def read():
        return await texts(web.client, LogSelector(task_ids=(TaskId("t1"),)), LogSubscriptionOptions(follow=True))

    reading = asyncio.create_task(read())
    await web.output.begun[TaskId("t1")].wait()
    web.output.end("t1")
    ended = replace(web.plane.view.task(TaskId("t1")), status=TaskStatus(state=TaskState.COMPLETE))
    web.plane.commit(Changes.atomic(Update(ended)))
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await reading == ["a"]


async def test_many_lines_come_whole_and_in_order(web):
    """Lines that are there at once share messages, and none is lost between two."""
    for number in range(1_000):
        web.output.write("t1", number, f"{number}")
    assert await texts(web.client, LogSelector(task_ids=(TaskId("t1"),))) == [str(number) for number in range(1_000)]


@pytest.mark.parametrize(
    ("selector", "options", "error"),
    [
        (LogSelector(), LogSubscriptionOptions(), InvalidSpec),
        (WEB, LogSubscriptionOptions(streams=(LogStream(7),)), InvalidSpec),
        (LogSelector(service_ids=(ServiceId("nope"),)), LogSubscriptionOptions(), NotFound),
        (LogSelector(task_ids=(TaskId("nope"),)), LogSubscriptionOptions(follow=True), NotFound),
    ],
)
async def test_bad_requests(web, selector, options, error):
    """Nothing named, an unknown stream, an unknown id."""
    with pytest.raises(error):
        await texts(web.client, selector, options)
