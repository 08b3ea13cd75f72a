"""The laboratory's own service over a real socket."""

from contextlib import aclosing

import pytest

from swarmlab.api import (
    Instant,
    InvalidSpec,
    LabEvent,
    NodeId,
    NotFound,
    Precondition,
    ServiceId,
    Task,
    TaskId,
    WorkerInfo,
)


async def test_explain_takes_the_beginning_of_an_id(served):
    """A whole id or a beginning that only one task has; anything else says what is wrong."""
    served.plane.put(*(Task(id=TaskId(name), service_id=ServiceId("s")) for name in ("abc", "abd", "xyz")))
    explanation = await served.client.explain("xy")
    assert (explanation.task_id, explanation.verdict, explanation.decided_at) == ("xyz", "pending", 5)
    assert (await served.client.explain("abc")).task_id == "abc"
    with pytest.raises(InvalidSpec, match="'ab' is the beginning of abc, abd, wanted: that of one task"):
        await served.client.explain("ab")
    with pytest.raises(NotFound, match="task q not found"):
        await served.client.explain("q")
    with pytest.raises(InvalidSpec, match="task: ''"):
        await served.client.explain("")


async def test_status_and_strategies(served):
    """The cluster at a glance, and what may be chosen."""
    status = await served.client.status()
    assert (status.cluster_id, status.strategy, status.version) == ("c1", "spread", served.plane.view.version)
    assert [worker.name for worker in status.workers] == ["w1", "w2"]
    (strategy,) = await served.client.strategies()
    assert (strategy.name, strategy.active) == ("spread", True)


async def test_workers_stop_and_start(served):
    """The answer is the worker as it is then."""
    stopped = await served.client.stop_worker("w1")
    assert stopped == WorkerInfo(name="w1", node_id=NodeId("id-w1"), executor="sim", running=False)
    with pytest.raises(Precondition, match="does not run"):
        await served.client.stop_worker("w1")
    assert (await served.client.start_worker("w1")).running
    with pytest.raises(NotFound, match="'w9' not found"):
        await served.client.start_worker("w9")


async def test_events_of_the_past_and_of_the_future(served):
    """Without follow the stream ends; with it, each event comes as it happens, none twice."""
    assert [event.index async for event in served.client.events()] == [1, 2, 3]
    assert [event async for event in served.client.events(2)] == [
        LabEvent(index=3, at=Instant(3), component="scheduler", name="placed", fields='{"n":3}')
    ]
    async with aclosing(served.client.events(1, follow=True)) as events:
        assert [(await anext(events)).index for _ in range(2)] == [2, 3]
        served.lab.tell()
        assert (await anext(events)).index == 4


async def test_health(served):
    """The control API serves; a part that is not here is NotFound."""
    assert await served.client.serves()
    assert await served.client.serves("")
    with pytest.raises(NotFound, match="'Raft'"):
        await served.client.serves("Raft")
