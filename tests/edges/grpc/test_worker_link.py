"""A worker and its managers over a real wire: the real agent, the real dispatcher, and managers that misbehave."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from cluster_ground import Station, stations
from msgspec.structs import replace
from patience import PATIENCE_SECONDS

from swarmlab.agent.exec import Described, Execute, Executed, Interrupt, Kept, LogOptions, Operation, Persist
from swarmlab.agent.exec import LogMessage as Line
from swarmlab.api import (
    AssignmentsRequest,
    Changes,
    ContainerSpec,
    Create,
    ExecutorError,
    Forbidden,
    HeartbeatRequest,
    HeartbeatResponse,
    Instant,
    InvalidSpec,
    ListenSubscriptionsRequest,
    LogMessage,
    LogSelector,
    LogStream,
    LogSubscriptionOptions,
    NodeDescription,
    NodeId,
    NodeState,
    NotFound,
    Peer,
    Precondition,
    PublishLogsMessage,
    PublishLogsResponse,
    ServiceId,
    SessionMessage,
    SessionRequest,
    SubscriptionMessage,
    Task,
    TaskId,
    TaskSpec,
    TaskState,
    TaskStatus,
    WeightedPeer,
    last_lines,
    seconds,
)
from swarmlab.api.wire import from_bytes, to_bytes
from swarmlab.component import Event
from swarmlab.edges.driver import LiveClock, LoopTimers
from swarmlab.edges.grpc.remotes import Remotes
from swarmlab.edges.grpc.worker_link import WorkerLink
from swarmlab.edges.tls.security import Security
from swarmlab.node import Ports, Worker, WorkerConfig, WorkerPorts

V1 = "docker.swarmkit.v1"
OUT = LogStream.LOG_STREAM_STDOUT


def remotes(*addresses: str) -> Remotes:
    peers = (WeightedPeer(Peer(NodeId(f"m{place}"), addr), 10) for place, addr in enumerate(addresses, 1))
    return Remotes(random.Random(1), peers, lambda _: None)


class Machine:
    """A real agent on an executor that does everything at once, and what it keeps and writes."""

    def __init__(self, node_id: str, known: Remotes, channels: Callable[[str], grpc.aio.Channel]) -> None:
        self.remotes = known
        self.kept: dict[TaskId, Kept] = {}
        self.lines: dict[TaskId, list[Line]] = {}
        #: (event, fields) that the agent recorded
        self.story: list[tuple[str, Any]] = []
        self.changed = asyncio.Event()
        self.description = NodeDescription(hostname=node_id)
        self._followers: list[Callable[[], None]] = []
        self._waiting: dict[TaskId, Execute] = {}
        self._timers: list[LoopTimers] = []
        clock = LiveClock()

        def timers(fire: Callable[[str, str], None]) -> LoopTimers:
            self._timers.append(LoopTimers(clock, fire))
            return self._timers[-1]

        self.link = WorkerLink(known, channels, self._receive, self._disconnected, self)
        self.worker = Worker(
            WorkerConfig(node_id=NodeId(node_id), hostname=node_id),
            Ports(clock, timers, lambda _, message, call: self.link.send(message, call), self._record),
            WorkerPorts(self._execute, self._interrupt, self.describe, lambda _: None, self._persist, lambda: None),
        )

    async def __aenter__(self) -> "Machine":
        await self.link.__aenter__()
        self.worker.start()
        return self

    async def __aexit__(self, *failure: Any) -> None:
        for timers in self._timers:
            timers.close()
        await self.link.__aexit__(*failure)

    def describe(self) -> None:
        self._post(Described(self.description))

    # NodeTasks

    def tasks(self) -> list[Kept]:
        return list(self.kept.values())

    def follow(self, changed: Callable[[], None]) -> Any:
        self._followers.append(changed)
        return type("Following", (), {"cancel": lambda _: self._followers.remove(changed)})()

    async def logs(self, task_id: TaskId, options: LogOptions) -> AsyncIterator[Line]:
        if task_id not in self.lines:
            raise NotFound(f"task {task_id} has no lines")
        for line in self.lines[task_id][-options.tail :] if options.tail else self.lines[task_id]:
            yield line
        while options.follow:
            await asyncio.get_running_loop().create_future()

    def keep(self, kept: Kept) -> None:
        self.kept[kept.task.id] = kept
        for changed in self._followers:
            changed()

    async def until(self, fact: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not fact():
                self.changed.clear()
                await self.changed.wait()

    def happened(self, name: str) -> list[Any]:
        return [fields for event, fields in self.story if event == name]

    def _receive(self, message: Any, call: int) -> None:
        self.worker.receive(message, call)
        self.changed.set()

    def _disconnected(self) -> None:
        self.worker.disconnected()
        self.changed.set()

    def _record(self, _: str, event: str, fields: Any) -> None:
        self.story.append((event, fields))
        self.changed.set()

    def _execute(self, effect: Execute) -> None:
        if effect.operation is Operation.WAIT:
            self._waiting[effect.task_id] = effect
        else:
            self._post(Executed(effect.task_id, effect.operation))

    def _interrupt(self, effect: Interrupt) -> None:
        waiting = self._waiting.pop(effect.task_id, None)
        if waiting is not None:
            self._post(Executed(effect.task_id, waiting.operation, ExecutorError("interrupted", temporary=True)))

    def _persist(self, effect: Persist) -> None:
        if effect.kept is None:
            self.kept.pop(effect.task_id, None)
        else:
            self.keep(effect.kept)

    def _post(self, event: Event) -> None:
        asyncio.get_running_loop().call_soon(self.worker.post, event)


# With real managers


@pytest.fixture
async def three(short_path):
    """A leader and two followers; the worker w is known."""
    async with stations(short_path, "m1", "m2", "m3") as made:
        made[0].world.admit("w")
        yield made


def a_machine(stations_: list[Station], *known: Station, node_id: str = "w") -> Machine:
    security = Security(stations_[0].world.credentials(node_id))
    return Machine(node_id, remotes(*(station.addr for station in known)), security.channel)


def assign(station: Station, name: str) -> None:
    task = Task(
        id=TaskId(name),
        service_id=ServiceId("web"),
        node_id=NodeId("w"),
        spec=TaskSpec(container=ContainerSpec(image="web")),
        status=TaskStatus(state=TaskState.ASSIGNED),
        desired_state=TaskState.RUNNING,
    )
    station.world.plane.commit(Changes.atomic(Create(task)))


def state_of(station: Station, name: str) -> TaskState:
    return station.world.plane.view.task(TaskId(name)).status.state


def node_state(station: Station) -> NodeState:
    return station.world.plane.view.node(NodeId("w")).status.state


async def test_a_task_over_the_wire(three):
    """Assigned by the manager, it runs on the worker, and the store hears of it."""
    leader = three[0]
    async with a_machine(three, leader) as machine:
        await leader.until(lambda: node_state(leader) is NodeState.READY)
        assign(leader, "t1")
        await leader.until(lambda: state_of(leader, "t1") is TaskState.RUNNING)
        assert machine.kept[TaskId("t1")].status.state is TaskState.RUNNING
        assert machine.link.manager.addr == leader.addr
    await leader.until(lambda: node_state(leader) is NodeState.DISCONNECTED)
    assert leader.gone == ["w"]


async def test_the_list_of_managers_comes_with_the_session(three):
    """A worker that knew one manager, which does not even lead, knows all of them once it has a session."""
    leader, follower, _ = three
    async with a_machine(three, follower) as machine:
        await leader.until(lambda: node_state(leader) is NodeState.READY)
        await machine.until(lambda: machine.happened("session-opened"))
        assert [weighted.peer.addr for weighted in machine.remotes.peers] == sorted(one.addr for one in three)
        assert machine.link.manager.addr == follower.addr


async def test_a_worker_whose_manager_goes_away(three):
    """It moves to another one, and what it runs goes on: no task is started a second time."""
    leader, second, _ = three
    async with a_machine(three, leader) as machine:
        await leader.until(lambda: node_state(leader) is NodeState.READY)
        assign(leader, "t1")
        await leader.until(lambda: state_of(leader, "t1") is TaskState.RUNNING)
        await leader.stop()
        second.lead()
        await machine.until(lambda: len(machine.happened("session-opened")) > 1)
        await second.until(lambda: node_state(second) is NodeState.READY)
        assert machine.link.manager.addr != leader.addr
        assert state_of(second, "t1") is TaskState.RUNNING
        starts = [fields for fields in machine.happened("task-changed") if fields.get("to") == "STARTING"]
        assert len(starts) <= 1


async def test_a_leader_that_resigns(three):
    """The session ends, and the next one is with whoever leads by then, over whichever manager."""
    leader, second, _ = three
    async with a_machine(three, leader) as machine:
        await machine.until(lambda: machine.happened("session-opened"))
        leader.resign()
        second.lead()
        await machine.until(lambda: len(machine.happened("session-opened")) == 2)
        assert machine.happened("session-lost")[0]["error"].startswith("NotLeader")


async def test_a_changed_description(three):
    """The session is opened again under its old id, with the same manager."""
    leader = three[0]
    async with a_machine(three, leader) as machine:
        await machine.until(lambda: machine.happened("session-opened"))
        before = machine.link.manager
        machine.description = NodeDescription(hostname="renamed")
        machine.describe()
        await machine.until(lambda: len(machine.happened("session-opened")) == 2)
        one, two = machine.happened("session-opened")
        assert (one["session"], before) == (two["session"], machine.link.manager)
        assert machine.happened("session-lost") == []
        await leader.until(
            lambda: leader.world.plane.view.node(NodeId("w")).description == NodeDescription(hostname="renamed")
        )
    await leader.until(lambda: leader.gone == ["w"])


async def test_a_node_that_was_removed(three):
    """It is refused by its certificate, and goes on to ask."""
    leader = three[0]
    leader.world.blocked.add(NodeId("w"))
    async with a_machine(three, *three) as machine:
        await machine.until(lambda: machine.happened("session-lost"))
        assert machine.happened("session-lost")[0]["error"].startswith("Forbidden")
        assert leader.heard == []


# With managers that follow a script


class Script:
    """A manager of which each method does what the test says; what it does not say is not there."""

    def __init__(self, path: Any) -> None:
        self.path = path
        self.methods: dict[str, Any] = {}
        self.calls: list[str] = []
        self.heard: asyncio.Queue[tuple[Any, int]] = asyncio.Queue()
        self.kept: list[tuple[WeightedPeer, ...]] = []
        self.remotes = Remotes(random.Random(3), (WeightedPeer(Peer(NodeId("m"), "m:1"), 10),), self.kept.append)
        self.node_tasks: Any = None

    def channel(self, addr: str) -> grpc.aio.Channel:
        self.calls.append(addr)
        return grpc.aio.insecure_channel(f"unix:{self.path}")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[WorkerLink]:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((_Script(self),))
        server.add_insecure_port(f"unix:{self.path}")
        await server.start()
        link = WorkerLink(
            self.remotes,
            self.channel,
            lambda message, call: self.heard.put_nowait((message, call)),
            lambda: self.heard.put_nowait(("disconnected", 0)),
            self.node_tasks,
        )
        try:
            async with link:
                yield link
        finally:
            await server.stop(0)

    async def next(self) -> tuple[Any, int]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.heard.get()

    def greets(self, *managers: str) -> None:
        """Answer a session with one message, and keep it open."""

        async def session(_: bytes, __: Any) -> AsyncIterator[bytes]:
            peers = tuple(WeightedPeer(Peer(NodeId(addr), addr), 10) for addr in managers)
            yield to_bytes(SessionMessage(session_id="s", managers=peers))
            await asyncio.get_running_loop().create_future()

        self.methods[f"/{V1}.Dispatcher/Session"] = grpc.unary_stream_rpc_method_handler(session)


class _Script(grpc.GenericRpcHandler):
    def __init__(self, script: Script) -> None:
        self._script = script

    def service(self, details: Any) -> Any:
        return self._script.methods.get(details.method)


@pytest.fixture
def script(short_path):
    return Script(short_path / "m.sock")


async def test_no_manager_is_known(script):
    """The agent hears of it as of any other failure, after the step in which it asked."""
    script.remotes = Remotes(random.Random(3), (), script.kept.append)
    async with script.serving() as link:
        link.send(SessionRequest(), 1)
        assert script.heard.empty()
        error, call = await script.next()
    assert (type(error), call) == (Precondition, 1)


async def test_calls_without_a_session(script):
    """What the agent says after the connection broke is answered by the word that it did."""
    async with script.serving() as link:
        link.send(HeartbeatRequest("s"), 4)
        assert await script.next() == ("disconnected", 0)


async def test_a_manager_that_ends_the_session(script):
    """The end of a stream is an error, even a friendly one."""

    async def session(_: bytes, __: Any) -> AsyncIterator[bytes]:
        yield to_bytes(SessionMessage(session_id="s"))

    script.methods[f"/{V1}.Dispatcher/Session"] = grpc.unary_stream_rpc_method_handler(session)
    async with script.serving() as link:
        link.send(SessionRequest(), 1)
        assert await script.next() == (SessionMessage(session_id="s"), 1)
        error, call = await script.next()
        assert (type(error), call, link.manager) == (Precondition, 1, None)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (grpc.StatusCode.NOT_FOUND, NotFound),
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidSpec),
        (grpc.StatusCode.PERMISSION_DENIED, Forbidden),
        (grpc.StatusCode.UNAVAILABLE, None),
        (grpc.StatusCode.CANCELLED, None),
    ],
)
async def test_codes_become_errors_of_the_tree(script, code, expected):
    """A heartbeat's error ends the session with it; one that is about the connection ends the connection."""
    script.greets("m:1")

    async def beat(_: bytes, context: Any) -> bytes:
        await context.abort(code, "so it is")

    script.methods[f"/{V1}.Dispatcher/Heartbeat"] = grpc.unary_unary_rpc_method_handler(beat)
    async with script.serving() as link:
        link.send(SessionRequest(), 1)
        await script.next()
        link.send(HeartbeatRequest("s"), 2)
        message, call = await script.next()
        assert (message, call) == ("disconnected", 0) if expected is None else (type(message), call) == (expected, 2)
        assert script.heard.empty()
    assert script.remotes.peers[0].weight < 10


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x09s", b"\x0b"])
async def test_answers_that_are_no_messages(script, data):
    """They end the session, and nothing else."""

    async def session(_: bytes, __: Any) -> AsyncIterator[bytes]:
        yield data

    script.methods[f"/{V1}.Dispatcher/Session"] = grpc.unary_stream_rpc_method_handler(session)
    async with script.serving() as link:
        link.send(SessionRequest(), 1)
        error, call = await script.next()
    assert (type(error), call) == (InvalidSpec, 1)


async def test_a_new_session_ends_every_earlier_call(script):
    """What answers the old ones is not heard, and their connection is closed."""
    script.greets("m:1", "m:2")
    ended = asyncio.Event()

    async def assignments(_: bytes, __: Any) -> AsyncIterator[bytes]:
        try:
            await asyncio.get_running_loop().create_future()
            yield b""
        finally:
            ended.set()

    script.methods[f"/{V1}.Dispatcher/Assignments"] = grpc.unary_stream_rpc_method_handler(assignments)
    async with script.serving() as link:
        link.send(SessionRequest(), 1)
        await script.next()
        link.send(AssignmentsRequest("s"), 2)
        link.send(SessionRequest(session_id="s"), 3)
        greeting, call = await script.next()
        assert (greeting.session_id, call) == ("s", 3)
        assert script.heard.empty()
        assert script.calls == ["m:1", "m:1"]
    assert [[weighted.peer.addr for weighted in kept] for kept in script.kept] == [["m:1", "m:2"]]


async def test_a_manager_that_does_not_answer_in_time(script):
    """A session that got no answer when the agent tries again counts against its manager."""

    async def session(_: bytes, __: Any) -> AsyncIterator[bytes]:
        await asyncio.get_running_loop().create_future()
        yield b""

    script.methods[f"/{V1}.Dispatcher/Session"] = grpc.unary_stream_rpc_method_handler(session)
    async with script.serving() as link:
        link.send(SessionRequest(), 1)
        link.send(SessionRequest(), 2)
    assert script.remotes.peers[0].weight == 0


async def test_a_manager_without_a_log_broker(script):
    """It is a good manager for everything else."""
    script.greets("m:1")
    script.node_tasks = Machine("w", script.remotes, script.channel)

    async def beat(_: bytes, __: Any) -> bytes:
        return to_bytes(HeartbeatResponse(seconds(1)))

    script.methods[f"/{V1}.Dispatcher/Heartbeat"] = grpc.unary_unary_rpc_method_handler(beat)
    async with script.serving() as link:
        link.send(SessionRequest(), 1)
        await script.next()
        for call in range(2, 12):
            link.send(HeartbeatRequest("s"), call)
            assert await script.next() == (HeartbeatResponse(seconds(1)), call)


async def test_a_log_broker_that_ends_its_stream(script):
    """Any other end of the subscriptions ends the session, as in stock workers."""
    script.greets("m:1")
    script.node_tasks = Machine("w", script.remotes, script.channel)

    async def listen(_: bytes, context: Any) -> AsyncIterator[bytes]:
        await context.abort(grpc.StatusCode.ABORTED, "stopping")
        yield b""

    script.methods[f"/{V1}.LogBroker/ListenSubscriptions"] = grpc.unary_stream_rpc_method_handler(listen)
    async with script.serving() as link:
        link.send(SessionRequest(), 1)
        await script.next()
        assert await script.next() == ("disconnected", 0)
        assert link.manager is None


class Broker(Script):
    """A manager that sends subscriptions and keeps what is published."""

    def __init__(self, path: Any) -> None:
        super().__init__(path)
        self.subscriptions: asyncio.Queue[SubscriptionMessage] = asyncio.Queue()
        self.published: asyncio.Queue[PublishLogsMessage] = asyncio.Queue()
        self.ended: asyncio.Queue[int] = asyncio.Queue()
        self.greets("m:1")
        self.methods[f"/{V1}.LogBroker/ListenSubscriptions"] = grpc.unary_stream_rpc_method_handler(self._listen)
        self.methods[f"/{V1}.LogBroker/PublishLogs"] = grpc.stream_unary_rpc_method_handler(self._publish)
        self.machine = self.node_tasks = Machine("w", self.remotes, self.channel)

    async def _listen(self, data: bytes, _: Any) -> AsyncIterator[bytes]:
        assert from_bytes(ListenSubscriptionsRequest, data) == ListenSubscriptionsRequest()
        while True:
            yield to_bytes(await self.subscriptions.get())

    async def _publish(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        count = 0
        async for request in requests:
            message = from_bytes(PublishLogsMessage, request)
            if message.subscription_id == "unwelcome":
                await context.abort(grpc.StatusCode.NOT_FOUND, "no such subscription")
            self.published.put_nowait(message)
            count += 1
        self.ended.put_nowait(count)
        return to_bytes(PublishLogsResponse())

    async def message(self) -> PublishLogsMessage:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.published.get()

    async def end(self) -> int:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.ended.get()


@pytest.fixture
async def broker(short_path):
    made = Broker(short_path / "m.sock")
    async with made.serving() as link:
        link.send(SessionRequest(), 1)
        await made.next()
        yield made


def a_kept(name: str, state: TaskState = TaskState.RUNNING, service: str = "web") -> Kept:
    task = Task(id=TaskId(name), service_id=ServiceId(service), node_id=NodeId("w"))
    return Kept(task, TaskStatus(state=state))


def a_line(text: str, at: int = 1) -> Line:
    return Line(timestamp=Instant(at), stream=OUT, data=text.encode(), attrs=(("k", "v"),))


def wanted(name: str = "s1", **options: Any) -> SubscriptionMessage:
    return SubscriptionMessage(
        id=name, selector=LogSelector(service_ids=(ServiceId("web"),)), options=LogSubscriptionOptions(**options)
    )


async def test_lines_that_are_there(broker):
    """The tasks that match and have begun publish what they wrote; then the node says that it is done."""
    ended, early = a_kept("t2", TaskState.COMPLETE), a_kept("t3", TaskState.PREPARING)
    for kept in (a_kept("t1"), ended, early, a_kept("t4", service="db")):
        broker.machine.keep(kept)
        broker.machine.lines[kept.task.id] = [a_line(f"{kept.task.id}\n")]
    broker.subscriptions.put_nowait(wanted())
    messages = [await broker.message() for _ in range(3)]
    lines = sorted((line for message in messages for line in message.messages), key=lambda line: line.data)
    assert [line.data for line in lines] == [b"t1\n", b"t2\n"]
    assert lines[0] == LogMessage(
        context=replace(lines[0].context, service_id=ServiceId("web"), node_id=NodeId("w"), task_id=TaskId("t1")),
        timestamp=Instant(1),
        stream=OUT,
        data=b"t1\n",
        attrs=lines[0].attrs,
    )
    assert [(attr.key, attr.value) for attr in lines[0].attrs] == [("k", "v")]
    assert messages[-1] == PublishLogsMessage(subscription_id="s1", close=True)
    assert await broker.end() == 3


async def test_the_tail_is_that_of_the_wire(broker):
    """-(n+1) is the last n lines."""
    broker.machine.keep(a_kept("t1"))
    broker.machine.lines[TaskId("t1")] = [a_line(text) for text in "abcd"]
    broker.subscriptions.put_nowait(wanted(tail=last_lines(2)))
    assert [line.data for line in (await broker.message()).messages] == [b"c", b"d"]


async def test_lines_that_follow(broker):
    """Tasks that start later are joined, until nothing more is wanted."""
    broker.machine.lines[TaskId("t1")] = [a_line("one")]
    broker.machine.lines[TaskId("t2")] = [a_line("two")]
    broker.machine.keep(a_kept("t1"))
    broker.subscriptions.put_nowait(wanted(follow=True))
    assert (await broker.message()).messages[0].data == b"one"
    broker.machine.keep(a_kept("t2", TaskState.STARTING))
    broker.machine.keep(a_kept("t2"))
    assert (await broker.message()).messages[0].data == b"two"
    broker.subscriptions.put_nowait(SubscriptionMessage(id="s1", close=True))
    assert (await broker.message()).close
    assert await broker.end() == 3
    assert broker.machine._followers == []


async def test_a_node_without_such_tasks(broker):
    """It says at once that it has nothing."""
    broker.subscriptions.put_nowait(wanted())
    assert await broker.message() == PublishLogsMessage(subscription_id="s1", close=True)


async def test_a_task_whose_lines_cannot_be_had(broker):
    """The others are published all the same."""
    broker.machine.keep(a_kept("t1"))
    broker.machine.keep(a_kept("t2"))
    broker.machine.lines[TaskId("t2")] = [a_line("two")]
    broker.subscriptions.put_nowait(wanted())
    assert (await broker.message()).messages[0].data == b"two"
    assert (await broker.message()).close


async def test_many_lines_come_in_messages_that_a_manager_takes(broker):
    """None is larger than a manager takes, whatever the lines are."""
    broker.machine.keep(a_kept("t1"))
    broker.machine.lines[TaskId("t1")] = [a_line("x" * 700_000) for _ in range(6)]
    broker.subscriptions.put_nowait(wanted())
    sizes = []
    while not (message := await broker.message()).close:
        sizes.append([len(line.data) for line in message.messages])
    assert sizes == [[700_000]] * 6


async def test_a_subscription_that_the_manager_ends(broker):
    """It is over for the node too; the session and other subscriptions go on."""
    broker.machine.keep(a_kept("t1"))
    broker.machine.lines[TaskId("t1")] = [a_line("one")]
    broker.subscriptions.put_nowait(wanted("unwelcome", follow=True))
    broker.subscriptions.put_nowait(wanted("s2"))
    assert (await broker.message()).subscription_id == "s2"
    assert (await broker.message()).close
    assert broker.heard.empty()


async def test_a_worker_that_stops(broker):
    """Subscriptions that follow end with the link."""
    broker.machine.keep(a_kept("t1"))
    broker.machine.lines[TaskId("t1")] = [a_line("one")]
    broker.subscriptions.put_nowait(wanted(follow=True))
    assert (await broker.message()).messages
