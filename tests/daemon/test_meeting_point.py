"""Where engines find each other: open while there are any, closed where one of them has the port itself."""

import asyncio
from collections.abc import Mapping
from typing import Any

from swarmlab.api import (
    Create,
    Delete,
    EngineDescription,
    Instant,
    Node,
    NodeDescription,
    NodeId,
    NodeState,
    NodeStatus,
    PluginDescription,
)
from swarmlab.daemon.meeting_point import MeetingPoint
from swarmlab.daemon.surroundings import Surroundings
from swarmlab.edges.driver import Alarm
from swarmlab.store import EMPTY, Committed, Snapshot, apply

HERE = "127.0.0.1"


def an_engine(name: str, addr: str) -> Node:
    engine = EngineDescription(plugins=(PluginDescription("Network", "overlay"),))
    status = NodeStatus(NodeState.READY, addr=addr)
    return Node(id=NodeId(name), status=status, description=NodeDescription(engine=engine))


class Cluster:
    """A view that changes, and what the meeting point recorded of it."""

    def __init__(self) -> None:
        self.view: Snapshot = EMPTY
        self.events: list[str] = []
        self._happened = asyncio.Event()

    def record(self, component: str, event: str, fields: Mapping[str, Any]) -> None:
        self.events.append(event)
        self._happened.set()

    def commit(self, *actions: Any) -> Committed:
        applied = apply(self.view, (actions,), Instant(1), self.view.version + 1)
        self.view = applied.snapshot
        return Committed(applied.snapshot, applied.changes)

    async def until(self, *events: str) -> None:
        async with asyncio.timeout(20):
            while tuple(self.events) != events:
                self._happened.clear()
                await self._happened.wait()


async def test_it_opens_for_engines_and_gives_way_to_one_on_this_machine() -> None:
    cluster = Cluster()
    async with asyncio.TaskGroup() as group:
        around = Surroundings(1, lambda: Instant(1), cluster.record, group, Alarm())
        async with MeetingPoint(HERE, HERE, cluster.view, around, port=0) as point:
            point.look(cluster.commit(Create(an_engine("a", "127.0.0.2"))))
            await cluster.until("relay-opened")
            assert point.open_at
            point.look(cluster.commit(Create(an_engine("b", HERE))))
            await cluster.until("relay-opened", "relay-closed")
            assert point.open_at is None
            point.look(cluster.commit(Delete(Node, NodeId("b"))))
            await cluster.until("relay-opened", "relay-closed", "relay-opened")
            point.look(cluster.commit(Delete(Node, NodeId("a"))))
            await cluster.until("relay-opened", "relay-closed", "relay-opened", "relay-closed")


async def test_engines_that_were_there_before_are_enough() -> None:
    cluster = Cluster()
    cluster.commit(Create(an_engine("a", "127.0.0.2")))
    async with asyncio.TaskGroup() as group:
        around = Surroundings(1, lambda: Instant(1), cluster.record, group, Alarm())
        async with MeetingPoint(HERE, HERE, cluster.view, around, port=0):
            await cluster.until("relay-opened")


async def test_a_port_that_is_taken_is_told_and_tried_again() -> None:
    """No manager fails for it: another program's port is none of its business."""
    cluster = Cluster()
    taken = await asyncio.start_server(lambda *_: None, HERE, 0)
    port = taken.sockets[0].getsockname()[1]
    async with asyncio.TaskGroup() as group:
        around = Surroundings(1, lambda: Instant(1), cluster.record, group, Alarm())
        async with MeetingPoint(HERE, HERE, cluster.view, around, port=port) as point:
            point.look(cluster.commit(Create(an_engine("a", "127.0.0.2"))))
            await cluster.until("relay-refused")
            taken.close()
            await taken.wait_closed()
            point.look(cluster.commit(Create(an_engine("b", "127.0.0.3"))))
            await cluster.until("relay-refused", "relay-opened")
