"""A manager's port, over real TLS: who gets in, who does not, and what becomes of odd messages."""

import asyncio
from contextlib import asynccontextmanager

import grpc
import pytest
from cluster_ground import MANAGER, WORKER, Station, World, call, code, stations
from patience import PATIENCE_SECONDS

from swarmlab.api import (
    AssignmentsRequest,
    AttachNetworkRequest,
    AttachNetworkResponse,
    GetRootCACertificateRequest,
    GetRootCACertificateResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    InvalidSpec,
    IssueNodeCertificateRequest,
    IssueNodeCertificateResponse,
    ListenSubscriptionsRequest,
    LogContext,
    LogMessage,
    LogSelector,
    LogSubscriptionOptions,
    NodeDescription,
    NodeId,
    NodeState,
    Precondition,
    PublishLogsMessage,
    PublishLogsResponse,
    SessionMessage,
    SessionRequest,
    StateError,
    SubscribeLogsMessage,
    SubscribeLogsRequest,
    SubscriptionMessage,
    TaskId,
    TaskState,
    UpdateTaskStatusRequest,
    UpdateTaskStatusResponse,
    seconds,
)
from swarmlab.api.proto import dispatcher_pb2, health_pb2, membership_pb2
from swarmlab.api.wire import from_bytes, to_bytes
from swarmlab.ca import Asked, Peer
from swarmlab.edges.grpc.authorisation import RULES, forwarding_metadata
from swarmlab.edges.grpc.gate import STRANGERS_CALLS, calling_node
from swarmlab.edges.grpc.listener import MAX_REQUEST_BYTES
from swarmlab.edges.grpc.membership import Admitted, Member, join_group, leave_group
from swarmlab.edges.tls.security import channel

OK, DENIED = grpc.StatusCode.OK, grpc.StatusCode.PERMISSION_DENIED
V1 = "/docker.swarmkit.v1"


@pytest.fixture
async def station(short_path):
    """One manager that leads; it knows the worker w."""
    async with stations(short_path, "m1", election_seconds=0) as (one,):
        one.world.admit("w", "gone")
        yield one


@asynccontextmanager
async def dialled(station: Station, node_id: str = "w", role=WORKER, cluster_id: str = ""):
    made = channel(
        station.addr, station.world.founding.root.ca_cert, station.world.credentials(node_id, role, cluster_id)
    )
    async with made:
        yield made


@asynccontextmanager
async def dialled_without_certificate(station: Station):
    async with channel(station.addr, station.world.founding.root.ca_cert) as made:
        yield made


async def outcome(made: grpc.aio.Channel, method: str) -> grpc.StatusCode:
    """The status of a call with an empty message; one that goes on has passed the gate."""
    if method.endswith("PublishLogs"):
        opened = made.stream_unary(method)()
        return (await code(asyncio.wait_for(_published(opened), PATIENCE_SECONDS)))[0]
    if method.rsplit("/", 1)[1] in ("Session", "Assignments", "Tasks", "ListenSubscriptions", "Watch", "Events"):
        opened = made.unary_stream(method)(b"", timeout=PATIENCE_SECONDS)
        try:
            return (await code(opened.read()))[0]
        finally:
            opened.cancel()
    return (await code(call(made, method)))[0]


async def _published(opened):
    await opened.done_writing()
    return await opened


NOT_SERVED = {f"{V1}.Raft/ProcessRaftMessage", f"{V1}.Raft/StreamRaftMessage"}


def quick(station: Station) -> None:
    """Let every call of the other rooms be answered with an error at once: it has passed the gate then."""
    for kind in (
        Asked,
        ListenSubscriptionsRequest,
        PublishLogsMessage,
        AttachNetworkRequest,
    ):
        station.answers[kind] = lambda sender, _, number: station.board.send(sender, StateError("passed"), number)


@pytest.mark.parametrize(
    ("who", "node_id", "role", "cluster"),
    [
        ("stranger", "", None, ""),
        ("worker", "w", WORKER, ""),
        ("manager", "m2", MANAGER, ""),
        ("foreign worker", "w", WORKER, "elsewhere"),
        ("foreign manager", "m2", MANAGER, "elsewhere"),
        ("blocked worker", "gone", WORKER, ""),
        ("blocked manager", "gone", MANAGER, ""),
    ],
)
async def test_every_method_in_every_role_over_tls(station, who, node_id, role, cluster):
    """The code of each method is 7 exactly where the table says so, with a certificate that TLS itself takes."""
    quick(station)
    station.world.blocked.add(NodeId("gone"))
    dial = dialled_without_certificate(station) if role is None else dialled(station, node_id, role, cluster)
    wrong = {}
    async with dial as made:
        for method, rule in sorted(RULES.items()):
            if method in NOT_SERVED:
                continue
            allowed = rule.roles is None or (who in ("worker", "manager") and role in rule.roles)
            found = await outcome(made, method)
            if (found is DENIED) == allowed:
                wrong[method] = found
    assert wrong == {}


async def test_unknown_methods(station):
    """They are UNIMPLEMENTED for everybody, and so are the raft messages of stock managers."""
    async with dialled(station, "m2", MANAGER) as made:
        for method in (f"{V1}.Control/Everything", f"{V1}.Nothing/At", *sorted(NOT_SERVED)):
            assert (await code(call(made, method)))[0] is grpc.StatusCode.UNIMPLEMENTED
    async with dialled_without_certificate(station) as made:
        assert (await code(call(made, f"{V1}.Control/Everything")))[0] is grpc.StatusCode.UNIMPLEMENTED


async def test_whoever_comes_past_the_front_is_nobody(station):
    """A program of the same user that dials the inner socket gets nothing, not even what strangers get."""
    async with grpc.aio.insecure_channel(f"unix:{station.server.path}") as made:
        for method in (f"{V1}.CA/GetRootCACertificate", f"{V1}.Control/ListNodes"):
            assert (await code(call(made, method)))[0] is DENIED


async def test_forged_metadata(station):
    """A worker that says it passes on a call of a manager is refused, whatever it calls."""
    quick(station)
    manager = station.security.identity
    forged = forwarding_metadata(
        Peer(manager, "10.0.0.1"),
        "m1:2377",
    )
    async with dialled(station) as made:
        assert (await code(call(made, f"{V1}.Control/ListNodes", metadata=forged)))[0] is DENIED
        assert (await code(call(made, f"{V1}.Dispatcher/Heartbeat", metadata=forged)))[0] is DENIED
        await code(call(made, f"{V1}.NodeCA/IssueNodeCertificate", metadata=forged))
    ((sender, asked, _),) = station.heard
    assert (sender, asked.peer.identity, asked.peer.address) == ("stranger", None, "127.0.0.1")


async def test_a_session_from_its_beginning_to_its_end(station):
    """Session, heartbeat, assignments and a report; the end of the session's stream makes the node DISCONNECTED."""
    async with dialled(station) as made:
        session = made.unary_stream(f"{V1}.Dispatcher/Session")(
            to_bytes(SessionRequest(NodeDescription(hostname="w1")))
        )
        greeting = from_bytes(SessionMessage, await session.read())
        assert [manager.peer.addr for manager in greeting.managers] == [station.addr]
        assert greeting.node.id == "w"
        assert station.board.address_of(NodeId("w")) == "127.0.0.1"
        beat = await call(made, f"{V1}.Dispatcher/Heartbeat", to_bytes(HeartbeatRequest(greeting.session_id)))
        assert seconds(0.9) <= from_bytes(HeartbeatResponse, beat).period <= seconds(1.1)
        work = made.unary_stream(f"{V1}.Dispatcher/Assignments")(to_bytes(AssignmentsRequest(greeting.session_id)))
        assert dispatcher_pb2.AssignmentsMessage.FromString(await work.read()).results_in
        report = to_bytes(UpdateTaskStatusRequest(greeting.session_id))
        assert (
            from_bytes(UpdateTaskStatusResponse, await call(made, f"{V1}.Dispatcher/UpdateTaskStatus", report))
            == UpdateTaskStatusResponse()
        )
        assert station.world.plane.view.node(NodeId("w")).status.state is NodeState.READY
        session.cancel()
        work.cancel()
        await station.until(lambda: station.gone == ["w"])
    assert station.board.address_of(NodeId("w")) == ""


@pytest.mark.parametrize(
    ("session_id", "expected"),
    [("wrong", grpc.StatusCode.INVALID_ARGUMENT), ("", grpc.StatusCode.INVALID_ARGUMENT)],
)
async def test_codes_that_stock_workers_look_at(station, session_id, expected):
    """No session: NOT_FOUND. A wrong one: INVALID_ARGUMENT. Either makes a worker build another session."""
    beat = to_bytes(HeartbeatRequest(session_id))
    async with dialled(station) as made:
        assert (await code(call(made, f"{V1}.Dispatcher/Heartbeat", beat)))[0] is grpc.StatusCode.NOT_FOUND
        session = made.unary_stream(f"{V1}.Dispatcher/Session")(to_bytes(SessionRequest(NodeDescription())))
        await session.read()
        assert (await code(call(made, f"{V1}.Dispatcher/Heartbeat", beat)))[0] is expected
        session.cancel()


async def test_a_connection_that_breaks_ends_its_session(station):
    """A worker that is gone without a word is noticed when its connection is."""
    async with dialled(station) as made:
        session = made.unary_stream(f"{V1}.Dispatcher/Session")(to_bytes(SessionRequest(NodeDescription())))
        await session.read()
        station.front.disconnect(NodeId("w"))
        assert (await code(session.read()))[0] is grpc.StatusCode.UNAVAILABLE
        await station.until(lambda: station.gone == ["w"])


async def test_a_second_session_takes_the_place_of_the_first(station):
    """The first one's stream ends with an error, and its end is not taken for the end of the node."""
    async with dialled(station) as one, dialled(station) as two:
        first = one.unary_stream(f"{V1}.Dispatcher/Session")(to_bytes(SessionRequest(NodeDescription())))
        session_id = from_bytes(SessionMessage, await first.read()).session_id
        again = to_bytes(SessionRequest(NodeDescription(), session_id))
        second = two.unary_stream(f"{V1}.Dispatcher/Session")(again)
        assert from_bytes(SessionMessage, await second.read()).session_id == session_id
        assert (await code(first.read()))[0] is grpc.StatusCode.INVALID_ARGUMENT
        beat = to_bytes(HeartbeatRequest(session_id))
        assert (await code(call(two, f"{V1}.Dispatcher/Heartbeat", beat)))[0] is OK
        assert station.gone == []
        second.cancel()
        await station.until(lambda: station.gone == ["w"])


async def test_a_manager_that_resigns_ends_every_call(station):
    """Sessions end with UNAVAILABLE, so that workers look for the next leader."""
    async with dialled(station) as made:
        session = made.unary_stream(f"{V1}.Dispatcher/Session")(to_bytes(SessionRequest(NodeDescription())))
        await session.read()
        station.resign()
        assert (await code(session.read()))[0] is grpc.StatusCode.UNAVAILABLE
        assert await code(call(made, f"{V1}.Dispatcher/Heartbeat")) == (
            grpc.StatusCode.UNAVAILABLE,
            "this manager does not lead",
        )


async def test_texts_that_are_not_unicode(station):
    """One bad byte in a text of a stock engine costs that byte, not the message."""
    request = dispatcher_pb2.SessionRequest()
    request.description.hostname = "host-XX"
    data = request.SerializeToString().replace(b"XX", b"\xff\xfe")
    async with dialled(station) as made:
        session = made.unary_stream(f"{V1}.Dispatcher/Session")(data)
        await session.read()
        session.cancel()
    node = station.world.plane.view.node(NodeId("w"))
    assert node.description.hostname == "host-\ufffd\ufffd"


async def test_states_that_nobody_knows(station):
    """A report with an unknown state, and one without a status, are taken without harm."""
    async with dialled(station) as made:
        session = made.unary_stream(f"{V1}.Dispatcher/Session")(to_bytes(SessionRequest(NodeDescription())))
        report = dispatcher_pb2.UpdateTaskStatusRequest()
        report.session_id = from_bytes(SessionMessage, await session.read()).session_id
        report.updates.add(task_id="nobody").status.state = 9999
        report.updates.add(task_id="nobody")
        path = f"{V1}.Dispatcher/UpdateTaskStatus"
        assert await code(call(made, path, report.SerializeToString())) == (OK, "")
        session.cancel()
    assert TaskState(9999) == 9999


@pytest.mark.parametrize("data", [b"\x0a\xff\x01", b"\x0b", b"\xff" * 20, b"\x0a" + b"\x80" * 10])
async def test_bytes_that_are_no_message(station, data):
    """They are INVALID_ARGUMENT, and the connection goes on."""
    async with dialled(station) as made:
        for _ in range(2):
            found = await code(call(made, f"{V1}.Dispatcher/Heartbeat", data))
            assert found[0] is grpc.StatusCode.INVALID_ARGUMENT


async def test_messages_that_are_too_large(station):
    """More than 4 MiB is refused, of a worker and of a stranger, and the connection goes on."""
    large = b"\x0a" + b"\x80\x80\x80\x02" + b"a" * MAX_REQUEST_BYTES
    async with dialled(station) as made:
        found = await code(call(made, f"{V1}.Dispatcher/Heartbeat", large))
        assert found[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await code(call(made, f"{V1}.Dispatcher/Heartbeat")))[0] is grpc.StatusCode.NOT_FOUND


async def test_large_messages_to_workers(station):
    """What a worker is sent has no such limit: ten megabytes of assignments arrive."""
    big = NodeDescription(hostname="a" * 3_000_000)
    async with dialled(station) as made:
        session = made.unary_stream(f"{V1}.Dispatcher/Session")(to_bytes(SessionRequest(big)))
        greeting = from_bytes(SessionMessage, await session.read())
        assert len(greeting.node.description.hostname) == 3_000_000
        session.cancel()


async def test_strangers_have_few_calls_at_once(station):
    """A connection without a certificate may not pile up calls that wait; those of others are not counted."""
    async with dialled_without_certificate(station) as made, dialled_without_certificate(station) as other:
        station.answers[Asked] = lambda *_: None
        waiting = [
            asyncio.create_task(code(call(made, f"{V1}.CA/GetRootCACertificate"))) for _ in range(STRANGERS_CALLS)
        ]
        await station.until(lambda: len(station.heard) == STRANGERS_CALLS)
        found = await code(call(made, f"{V1}.CA/GetRootCACertificate"))
        assert found[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        station.answers[Asked] = answering(station, GetRootCACertificateResponse(b"root"))
        assert (await code(call(other, f"{V1}.CA/GetRootCACertificate")))[0] is OK
        for sender, _, number in station.heard[:STRANGERS_CALLS]:
            station.board.send(sender, GetRootCACertificateResponse(b"root"), number)
        assert set(await asyncio.gather(*waiting)) == {(OK, "")}
        assert (await code(call(made, f"{V1}.CA/GetRootCACertificate")))[0] is OK


def answering(station, answer):
    return lambda sender, _, number: station.board.send(sender, answer, number)


async def test_who_asks_the_authority(station):
    """The authority hears the identity and the address of the caller beside the message."""
    station.answers[Asked] = answering(station, GetRootCACertificateResponse(b"root"))
    async with dialled(station) as worker, dialled_without_certificate(station) as stranger:
        for made in (worker, stranger):
            answer = await call(made, f"{V1}.CA/GetRootCACertificate")
            assert from_bytes(GetRootCACertificateResponse, answer).certificate == b"root"
    assert [(sender, asked.message, asked.peer.address) for sender, asked, _ in station.heard] == [
        ("w", GetRootCACertificateRequest(), "127.0.0.1"),
        ("stranger", GetRootCACertificateRequest(), "127.0.0.1"),
    ]


async def test_failed_attempts_to_join(station):
    """An address that guesses is stopped; those that succeed are not counted, and neither are renewals."""
    path = f"{V1}.NodeCA/IssueNodeCertificate"
    request = to_bytes(IssueNodeCertificateRequest(token="t"))
    async with dialled_without_certificate(station) as made, dialled(station) as worker:
        station.answers[Asked] = answering(station, IssueNodeCertificateResponse(NodeId("n")))
        for _ in range(8):
            assert (await code(call(made, path, request)))[0] is OK
        station.answers[Asked] = answering(station, InvalidSpec("no such token"))
        codes = [(await code(call(made, path, request)))[0] for _ in range(6)]
        assert codes == [grpc.StatusCode.INVALID_ARGUMENT] * 5 + [grpc.StatusCode.RESOURCE_EXHAUSTED]
        assert (await code(call(worker, path, request)))[0] is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_stock_manager_is_refused(station):
    """It is told what to do instead, with the code at which a stock engine prints the text and stays outside."""
    request = membership_pb2.JoinRequest(addr="10.0.0.2:2377").SerializeToString()
    async with dialled(station, "m2", MANAGER) as made:
        found, text = await code(call(made, f"{V1}.RaftMembership/Join", request))
    assert found is grpc.StatusCode.FAILED_PRECONDITION
    assert "join with the worker token" in text


async def test_a_stock_manager_is_not_asked_to_let_us_in(station, monkeypatch):
    """It might do so, and then wait for a vote that never comes. It is known by a part that it has not."""
    monkeypatch.setattr("swarmlab.edges.grpc.membership.RAFT", "swarmlab.raft.v0")
    async with dialled(station, "m2", MANAGER) as made:
        with pytest.raises(Precondition, match="the managers of this swarm are stock ones"):
            await join_group(made, "0.0.0.0:4242", 10)


async def test_our_own_managers_join_and_leave(station):
    """They get an id and the members; an unspecified address is the one that they come from."""
    async with dialled(station, "m2", MANAGER) as made:
        admitted = await join_group(made, "0.0.0.0:4242", PATIENCE_SECONDS)
        await leave_group(made, 7, PATIENCE_SECONDS)
        resolve = f"{V1}.Raft/ResolveAddress"
        found = await call(made, resolve, membership_pb2.ResolveAddressRequest(raft_id=1).SerializeToString())
        unknown = await code(call(made, resolve, membership_pb2.ResolveAddressRequest(raft_id=9).SerializeToString()))
    members = (Member(1, NodeId("m1"), "10.0.0.1:2377"), Member(7, NodeId("m2"), "127.0.0.1:4242"))
    assert admitted == Admitted(7, members, (3,))
    assert station.left == [7]
    assert membership_pb2.ResolveAddressResponse.FromString(found).addr == station.addr
    assert unknown[0] is grpc.StatusCode.NOT_FOUND


async def test_the_raft_between_managers(short_path):
    """Whatever its methods are called, they are for managers; their handler writes by itself, and knows who calls."""
    callers = []

    async def carry(parcels, context):
        callers.append(calling_node())
        async for parcel in parcels:
            await context.write(parcel)

    methods = {"Carry": grpc.stream_stream_rpc_method_handler(carry)}
    station = Station(World(), "m1", short_path)
    station.raft = grpc.method_handlers_generic_handler("swarmlab.raft.v1.Raft", methods)
    async with station:
        async with dialled(station, "m2", MANAGER) as made:
            carrying = made.stream_stream("/swarmlab.raft.v1.Raft/Carry")()
            await carrying.write(b"one")
            assert await carrying.read() == b"one"
            await carrying.done_writing()
            assert await carrying.read() is grpc.aio.EOF
        async with dialled(station) as made:
            carrying = made.stream_stream("/swarmlab.raft.v1.Raft/Carry")()
            assert (await code(carrying.read()))[0] is DENIED
    assert callers == ["m2"]


async def test_health(station):
    """Raft serves as long as it does; an unknown part is none."""

    async def status(made, part):
        request = health_pb2.HealthCheckRequest(service=part).SerializeToString()
        return health_pb2.HealthCheckResponse.FromString(await call(made, f"{V1}.Health/Check", request)).status

    async with dialled(station, "m2", MANAGER) as made:
        assert await status(made, "Raft") == health_pb2.HealthCheckResponse.SERVING
        station.world.leader = None
        assert await status(made, "Raft") == health_pb2.HealthCheckResponse.NOT_SERVING
        assert await status(made, "") == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError):
            await status(made, "Chess")


def test_golden_bytes():
    """The very bytes that a stock worker reads, worked out by hand from the protocol."""
    assert to_bytes(HeartbeatResponse(seconds(5))) == bytes.fromhex("0a020805")
    assert to_bytes(SubscriptionMessage(id="s", selector=LogSelector(), options=LogSubscriptionOptions())) == (
        b"\x0a\x01s\x12\x00\x1a\x00"
    )
    assert to_bytes(
        SubscriptionMessage(id="s", selector=LogSelector(), options=LogSubscriptionOptions(), close=True)
    ) == (b"\x0a\x01s\x12\x00\x1a\x00\x20\x01")


async def test_a_manager_that_knows_of_no_manager(station):
    """An empty list would strand a stock worker for good: its session ends with an error instead."""
    station.managers = ()
    async with dialled(station) as made:
        session = made.unary_stream(f"{V1}.Dispatcher/Session")(to_bytes(SessionRequest(NodeDescription())))
        found, text = await code(session.read())
    assert (found, "no manager" in text) == (grpc.StatusCode.INTERNAL, True)


async def test_logs_from_a_node_to_a_client(station):
    """A node hears of a subscription, publishes, and the lines reach the reader; the end of the stream ends it."""
    reader = {}

    def subscribed(sender, message, number):
        reader["client"] = sender, number
        node, listening = reader["node"]
        station.board.send(
            node, SubscriptionMessage(id="s1", selector=message.selector, options=message.options), listening
        )

    def published(sender, message, number):
        client, reading = reader["client"]
        if message.messages:
            station.board.send(client, SubscribeLogsMessage(message.messages), reading)
        if message.close:
            station.board.send(client, None, reading)
            station.board.send(sender, PublishLogsResponse(), number)

    station.answers[ListenSubscriptionsRequest] = lambda sender, _, number: reader.update(node=(sender, number))
    station.answers[SubscribeLogsRequest] = subscribed
    station.answers[PublishLogsMessage] = published
    line = LogMessage(context=LogContext(task_id=TaskId("t1"), node_id=NodeId("w")), data=b"hello\n")
    async with dialled(station) as made:
        listening = made.unary_stream(f"{V1}.LogBroker/ListenSubscriptions")(b"")
        await station.until(lambda: "node" in reader)
        lines = station.board.logs(LogSelector(task_ids=(TaskId("t1"),)), LogSubscriptionOptions())
        first = asyncio.create_task(anext(lines))
        wanted = from_bytes(SubscriptionMessage, await listening.read())
        assert wanted.selector.task_ids == ("t1",)
        publishing = made.stream_unary(f"{V1}.LogBroker/PublishLogs")()
        await publishing.write(to_bytes(PublishLogsMessage(subscription_id="s1", messages=(line,))))
        assert await first == line
        await publishing.done_writing()
        assert from_bytes(PublishLogsResponse, await publishing) == PublishLogsResponse()
        with pytest.raises(StopAsyncIteration):
            await anext(lines)
        assert station.gone == [reader["client"][0]]
        listening.cancel()


async def test_a_publisher_waits_for_its_reader(station):
    """A node may not send more than a slow reader takes: its stream stands still meanwhile."""
    reader = {}
    station.answers[SubscribeLogsRequest] = lambda sender, _, number: reader.update(client=(sender, number))

    def published(_, message, __):
        client, reading = reader["client"]
        station.board.send(client, SubscribeLogsMessage(message.messages), reading)

    station.answers[PublishLogsMessage] = published
    taken = []

    async def messages():
        for number in range(1000):
            taken.append(number)
            station.happened.set()
            yield PublishLogsMessage(subscription_id="s", messages=(LogMessage(data=b"%d" % number),))

    lines = station.board.logs(LogSelector(), LogSubscriptionOptions())
    first = asyncio.create_task(anext(lines))
    await station.until(lambda: "client" in reader)
    publishing = asyncio.create_task(station.board.publish(NodeId("w"), messages()))
    assert (await first).data == b"0"
    for _ in range(50):
        await asyncio.sleep(0)
    ahead = len(taken)
    assert ahead < 30
    for number in range(1, 100):
        assert (await anext(lines)).data == b"%d" % number
    await station.until(lambda: len(taken) >= 100)
    publishing.cancel()
    await asyncio.wait([publishing])
    await lines.aclose()
    assert station.heard[-1][1] == PublishLogsMessage(subscription_id="s", close=True)


async def test_attachments(station):
    """A worker's container asks for a place on a network and is answered by the part that gives it."""
    station.answers[AttachNetworkRequest] = answering(station, AttachNetworkResponse(TaskId("t9")))
    async with dialled(station) as made:
        answer = await call(
            made, f"{V1}.ResourceAllocator/AttachNetwork", to_bytes(AttachNetworkRequest(container_id="c"))
        )
    assert from_bytes(AttachNetworkResponse, answer).attachment_id == "t9"
    assert station.heard == [("w", AttachNetworkRequest(container_id="c"), 1)]
