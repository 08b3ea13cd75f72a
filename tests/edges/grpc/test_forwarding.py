"""Calls to a manager that does not lead: passed on as they are, in the name of whoever made them."""

import asyncio
from contextlib import asynccontextmanager

import grpc
import pytest
from cluster_ground import MANAGER, WORKER, call, code, stations
from control_double import Laboratory
from patience import PATIENCE_SECONDS

from swarmlab.api import (
    Annotations,
    AssignmentsRequest,
    ContainerSpec,
    HeartbeatRequest,
    HeartbeatResponse,
    InvalidSpec,
    IssueNodeCertificateRequest,
    NodeDescription,
    NodeId,
    NotLeader,
    Precondition,
    PublishLogsMessage,
    PublishLogsResponse,
    ReplicatedService,
    ServiceSpec,
    SessionMessage,
    SessionRequest,
    TaskSpec,
    seconds,
)
from swarmlab.api.wire import from_bytes, to_bytes
from swarmlab.ca import Asked, Identity, Peer
from swarmlab.edges.grpc import Client, ControlServer, forwarding
from swarmlab.edges.grpc.authorisation import REDIRECT, SPEAKS, forwarding_metadata
from swarmlab.edges.grpc.errors import DETAIL
from swarmlab.edges.grpc.gate import Gate, local_peer
from swarmlab.edges.grpc.membership import join_group
from swarmlab.edges.grpc.task_logs import TaskLogs
from swarmlab.edges.tls.security import channel

V1 = "/docker.swarmkit.v1"


@pytest.fixture
async def three(short_path):
    """A leader and two followers; the worker w is known."""
    async with stations(short_path, "m1", "m2", "m3") as made:
        made[0].world.admit("w")
        yield made


@asynccontextmanager
async def dialled(station, node_id="w", role=WORKER, anonymous=False):
    world = station.world
    credentials = None if anonymous else world.credentials(node_id, role)
    async with channel(station.addr, world.founding.root.ca_cert, credentials) as made:
        yield made


async def test_a_worker_that_speaks_with_a_follower(three):
    """Session, beats and assignments reach the leader under the worker's name; the end of the stream reaches it too."""
    leader, follower, _ = three
    async with dialled(follower) as made:
        session = made.unary_stream(f"{V1}.Dispatcher/Session")(to_bytes(SessionRequest(NodeDescription())))
        greeting = from_bytes(SessionMessage, await session.read())
        assert [manager.peer.node_id for manager in greeting.managers] == ["m1", "m2", "m3"]
        beat = await call(made, f"{V1}.Dispatcher/Heartbeat", to_bytes(HeartbeatRequest(greeting.session_id)))
        assert from_bytes(HeartbeatResponse, beat).period > 0
        work = made.unary_stream(f"{V1}.Dispatcher/Assignments")(to_bytes(AssignmentsRequest(greeting.session_id)))
        await work.read()
        assert {sender for sender, _, _ in leader.heard} == {"w"}
        assert leader.board.address_of(NodeId("w")) == "127.0.0.1"
        session.cancel()
        await leader.until(lambda: leader.gone == ["w"])
        work.cancel()
    assert follower.heard == []


async def test_errors_come_back_as_they_are(three):
    """Code, text and the exact class of the error are those of the leader."""
    _, follower, _ = three
    async with dialled(follower) as made:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(made, f"{V1}.Dispatcher/Heartbeat", to_bytes(HeartbeatRequest("x")))
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    assert raised.value.details() == "node w is not registered"
    assert DETAIL in dict(raised.value.trailing_metadata())


async def test_a_stranger_that_joins_through_a_follower(three):
    """The leader's authority hears of the stranger and its address, not of the follower."""
    leader, follower, _ = three
    leader.answers[Asked] = lambda sender, _, number: leader.board.send(sender, InvalidSpec("no"), number)
    request = to_bytes(IssueNodeCertificateRequest(token="t"))
    async with dialled(follower, anonymous=True) as made:
        found = await code(call(made, f"{V1}.NodeCA/IssueNodeCertificate", request))
    assert found == (grpc.StatusCode.INVALID_ARGUMENT, "no")
    ((sender, asked, _),) = leader.heard
    assert (sender, asked.peer) == ("stranger", Peer(address="127.0.0.1"))


async def test_what_a_client_says_of_itself_is_not_passed_on(three):
    """A worker that forges the metadata is refused by the follower already; a stranger's are dropped."""
    leader, follower, _ = three
    forged = forwarding_metadata(Peer(Identity(NodeId("m9"), leader.cluster_id, MANAGER), "10.0.0.9"), "x:1")[:-1]
    async with dialled(follower) as made:
        found = await code(call(made, f"{V1}.Dispatcher/Heartbeat", metadata=forged))
        assert found[0] is grpc.StatusCode.PERMISSION_DENIED
    leader.answers[Asked] = lambda sender, _, number: leader.board.send(sender, InvalidSpec("no"), number)
    async with dialled(follower, anonymous=True) as made:
        await code(call(made, f"{V1}.NodeCA/IssueNodeCertificate", metadata=forged))
    ((_, asked, _),) = leader.heard
    assert asked.peer == Peer(address="127.0.0.1")


async def test_streams_of_requests_are_passed_on(three):
    """Lines that a node publishes to a follower arrive at the leader one by one, and its answer comes back."""
    leader, follower, _ = three

    def published(sender, message, number):
        if message.close:
            leader.board.send(sender, PublishLogsResponse(), number)

    leader.answers[PublishLogsMessage] = published
    async with dialled(follower) as made:
        publishing = made.stream_unary(f"{V1}.LogBroker/PublishLogs")()
        for number in range(3):
            await publishing.write(to_bytes(PublishLogsMessage(subscription_id=f"s{number}")))
        await publishing.done_writing()
        assert from_bytes(PublishLogsResponse, await publishing) == PublishLogsResponse()
    assert [message.subscription_id for _, message, _ in leader.heard] == ["s0", "s1", "s2", "s0"]


async def test_a_manager_joins_through_a_follower(three):
    """Which Raft it speaks is told to the leader as well, and its address is the one that it comes from."""
    _, follower, _ = three
    async with dialled(follower, "m4", MANAGER) as made:
        admitted = await join_group(made, "0.0.0.0:4242", PATIENCE_SECONDS)
        assert [member.addr for member in admitted.members] == ["10.0.0.1:2377", "127.0.0.1:4242"]
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(made, f"{V1}.RaftMembership/Join", metadata=((SPEAKS, "another"),))
        assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_without_a_leader(short_path):
    """A call that the leader has to answer is UNAVAILABLE in the end; what any manager answers is answered."""
    async with stations(short_path, "m1", "m2", election_seconds=0.1) as (leader, follower):
        leader.world.admit("w")
        leader.resign()
        await check_without_a_leader(follower)


async def check_without_a_leader(follower):
    async with dialled(follower) as made:
        found = await code(call(made, f"{V1}.Dispatcher/Heartbeat"))
    assert found == (grpc.StatusCode.UNAVAILABLE, "this manager does not lead")
    async with dialled(follower, "m9", MANAGER) as made:
        assert (await code(call(made, f"{V1}.Health/Check")))[0] is grpc.StatusCode.OK


async def test_calls_wait_through_an_election(three):
    """Those of nodes and those that another manager passed on, until somebody leads: another one, or this one."""
    leader, follower, other = three
    other.answers[HeartbeatRequest] = lambda sender, _, number: other.board.send(sender, HeartbeatResponse(7), number)
    leader.resign()
    redirected = ((REDIRECT, "10.0.0.9:2377"),)
    async with dialled(follower) as made, dialled(other, "m9", MANAGER) as manager:
        beat = asyncio.ensure_future(code(call(made, f"{V1}.Dispatcher/Heartbeat")))
        here = asyncio.ensure_future(code(call(manager, f"{V1}.Control/ListNodes", metadata=redirected)))
        session = made.unary_stream(f"{V1}.Dispatcher/Session")(to_bytes(SessionRequest(NodeDescription())))
        greeting = asyncio.ensure_future(session.read())
        # Whatever is answered at once is answered before what comes later on the same connections.
        await code(call(made, f"{V1}.Control/ListNodes"))
        await code(call(manager, f"{V1}.Health/Check"))
        assert not any(waiting.done() for waiting in (beat, here, greeting))
        other.lead()
        assert (await beat)[0] is grpc.StatusCode.OK
        assert (await here)[0] is grpc.StatusCode.OK
        assert from_bytes(SessionMessage, await greeting).session_id
        session.cancel()
        await other.until(lambda: other.gone == ["w"])


async def test_a_call_with_a_deadline_hears_of_the_election_before_it(three, monkeypatch):
    """That nobody leads is certain; that a deadline passed would leave it open what was done."""
    monkeypatch.setattr(forwarding, "LAST_WORD_SECONDS", PATIENCE_SECONDS)
    leader, follower, _ = three
    leader.resign()
    async with dialled(follower) as made:
        found = await code(call(made, f"{V1}.Dispatcher/Heartbeat"))
    assert found == (grpc.StatusCode.UNAVAILABLE, "this manager does not lead")


async def test_a_stop_ends_what_waits_for_an_election(three):
    leader, follower, _ = three
    leader.resign()
    async with dialled(follower) as made:
        beat = asyncio.ensure_future(code(call(made, f"{V1}.Dispatcher/Heartbeat")))
        await code(call(made, f"{V1}.Control/ListNodes"))
        await follower.forwarder.__aexit__()
        assert await beat == (grpc.StatusCode.UNAVAILABLE, "this manager does not lead")


async def test_a_leader_that_is_not_there_any_more(three):
    """A call that did not reach it goes to the next one, as soon as that is known; its caller does not notice."""
    leader, follower, other = three
    other.answers[HeartbeatRequest] = lambda sender, _, number: other.board.send(sender, HeartbeatResponse(7), number)
    await leader.stop()
    async with dialled(follower) as made:
        beat = asyncio.ensure_future(code(call(made, f"{V1}.Dispatcher/Heartbeat")))
        session = made.unary_stream(f"{V1}.Dispatcher/Session")(to_bytes(SessionRequest(NodeDescription())))
        greeting = asyncio.ensure_future(session.read())
        await code(call(made, f"{V1}.Control/ListNodes"))
        assert not beat.done()
        other.lead()
        assert (await beat)[0] is grpc.StatusCode.OK
        assert from_bytes(SessionMessage, await greeting).session_id
        session.cancel()
        await other.until(lambda: other.gone == ["w"])


async def test_a_leader_that_is_gone(three):
    """A leader that cannot be reached ends its streams as UNAVAILABLE; the next one is found as soon as it is known."""
    leader, follower, other = three
    async with dialled(follower) as made:
        session = made.unary_stream(f"{V1}.Dispatcher/Session")(to_bytes(SessionRequest(NodeDescription())))
        await session.read()
        await leader.stop()
        assert (await code(session.read()))[0] is grpc.StatusCode.UNAVAILABLE
        other.lead()
        session = made.unary_stream(f"{V1}.Dispatcher/Session")(to_bytes(SessionRequest(NodeDescription())))
        assert from_bytes(SessionMessage, await session.read()).session_id
        session.cancel()
        await other.until(lambda: other.gone == ["w"])


async def test_a_leader_that_answers_as_it_goes(three, monkeypatch):
    """What it has answered arrives, though the follower knows the next leader already."""
    leader, follower, other = three
    monkeypatch.setattr(forwarding, "GRACE_SECONDS", 60.0)
    asked = asyncio.get_running_loop().create_future()
    leader.answers[HeartbeatRequest] = lambda sender, _, number: asked.set_result((sender, number))
    async with dialled(follower) as made:
        beat = asyncio.ensure_future(call(made, f"{V1}.Dispatcher/Heartbeat"))
        sender, number = await asked
        other.lead()
        follower.forwarder.look()
        await code(call(made, f"{V1}.Dispatcher/Heartbeat"))
        leader.board.send(sender, HeartbeatResponse(seconds(5)), number)
        assert from_bytes(HeartbeatResponse, await beat) == HeartbeatResponse(seconds(5))


async def test_a_leader_that_falls_silent(three, monkeypatch):
    """Whoever waits for it hears of the next leader as soon as the follower does, and not by a deadline."""
    leader, follower, other = three
    monkeypatch.setattr(forwarding, "GRACE_SECONDS", 0.01)
    heard = asyncio.Event()
    leader.answers[HeartbeatRequest] = lambda *_: heard.set()
    async with dialled(follower) as made:
        session = made.unary_stream(f"{V1}.Dispatcher/Session")(to_bytes(SessionRequest(NodeDescription())))
        await session.read()
        beat = asyncio.ensure_future(code(call(made, f"{V1}.Dispatcher/Heartbeat")))
        await heard.wait()
        follower.forwarder.look()
        await asyncio.sleep(0)
        assert not beat.done()
        other.lead()
        follower.forwarder.look()
        changed = "the leader has changed meanwhile; it may have been done"
        assert await beat == (
            grpc.StatusCode.DEADLINE_EXCEEDED,
            f"/docker.swarmkit.v1.Dispatcher/Heartbeat: {changed}",
        )
        assert await code(session.read()) == (
            grpc.StatusCode.DEADLINE_EXCEEDED,
            f"/docker.swarmkit.v1.Dispatcher/Session: {changed}",
        )


async def test_two_managers_that_take_each_other_for_the_leader(three):
    """A call that was passed on once is not passed on again, but tried elsewhere once its first manager knows more."""
    leader, follower, other = three
    true_world = follower.world
    # The follower takes `other` for the leader, and `other` the true one.
    follower.world = type("Mistaken", (), {"leader": other, "cluster_id": leader.cluster_id, "blocked": set()})()
    async with (
        dialled(other),
        channel(follower.addr, leader.world.founding.root.ca_cert, leader.world.credentials("w")) as made,
    ):
        passed_on = forwarding_metadata(Peer(Identity(NodeId("w"), leader.cluster_id, WORKER)), "10.0.0.9:2377")
        async with dialled(other, "m9", MANAGER) as manager:
            found = await code(call(manager, f"{V1}.Dispatcher/Heartbeat", metadata=passed_on))
        assert found == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"/docker.swarmkit.v1.Dispatcher/Heartbeat: more than one redirect to the leader; here {leader.addr} is "
            "known to lead",
        )
        beat = asyncio.ensure_future(code(call(made, f"{V1}.Dispatcher/Heartbeat")))
        await asyncio.sleep(0)
        assert not beat.done()
        follower.world = true_world
        follower.forwarder.look()
        assert (await beat)[0] is grpc.StatusCode.NOT_FOUND


async def test_deadlines_are_passed_on(three):
    """The leader is not kept busy with a call that nobody waits for any more."""
    leader, follower, _ = three
    serving = []
    leader.answers[HeartbeatRequest] = lambda *_: serving.append(asyncio.current_task())
    async with dialled(follower) as made:
        beat = made.unary_unary(f"{V1}.Dispatcher/Heartbeat")(b"", timeout=0.2)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await beat
        assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.wait(serving)


async def test_the_certificate_of_a_follower_changes(three):
    """After a renewal the leader is dialled anew."""
    leader, follower, _ = three
    async with dialled(follower) as made:
        await code(call(made, f"{V1}.Dispatcher/Heartbeat"))
        first = len(leader.front)
        follower.forwarder.renew()
        assert (await code(call(made, f"{V1}.Dispatcher/Heartbeat")))[0] is grpc.StatusCode.NOT_FOUND
        assert first == 1


async def test_the_local_socket_of_a_follower(three, short_path, monkeypatch):
    """Requests of the command line are passed on and count for the follower; what is its own it answers itself."""
    leader, follower, _ = three
    plane = follower.world.plane
    path = short_path / "control" / "swarmlab.sock"
    gate = Gate(local_peer, follower, follower.forwarder)
    lab = Laboratory(plane)
    async with (
        ControlServer(path, plane, TaskLogs(plane, None), lab, gate=gate),
        Client(path, timeout=PATIENCE_SECONDS) as client,
    ):
        task = TaskSpec(container=ContainerSpec(image="web"))
        spec = ServiceSpec(annotations=Annotations("web"), task=task, replicated=ReplicatedService(1))
        service = await client.create_service(spec)
        assert (await client.get_service(service.id)).spec.annotations.name == "web"
        assert (await client.status()).strategy == "spread"
        leader.resign()
        listing = asyncio.ensure_future(client.list_services())
        assert (await client.status()).strategy == "spread"
        assert not listing.done()
        follower.lead()
        assert [service.id for service in await listing] == [service.id]
        follower.resign()
        monkeypatch.setattr(forwarding, "LAST_WORD_SECONDS", PATIENCE_SECONDS)
        with pytest.raises(NotLeader):
            await client.list_services()


async def test_errors_through_the_local_socket(three, short_path):
    """The class of an error survives both ways: client to follower to leader and back."""
    _, follower, _ = three
    plane = follower.world.plane
    path = short_path / "control" / "swarmlab.sock"
    gate = Gate(local_peer, follower, follower.forwarder)
    lab = Laboratory(plane)
    async with (
        ControlServer(path, plane, TaskLogs(plane, None), lab, gate=gate),
        Client(path, timeout=PATIENCE_SECONDS) as client,
    ):
        with pytest.raises(Precondition):
            await client.remove_node(follower.world.founding.node_id)
