"""The socket itself: where it may lie, who may be there, and what happens when one side goes away."""

import asyncio
import os
import socket
import stat
from contextlib import aclosing
from pathlib import Path

import grpc
import pytest
from control_double import Plane, serving
from msgspec.structs import replace
from patience import PATIENCE_SECONDS

from swarmlab.api import (
    Annotations,
    ConfigSpec,
    ContainerSpec,
    InvalidSpec,
    NotFound,
    ProposalUnknown,
    ReplicatedService,
    ServiceSpec,
    StateError,
    SwarmlabError,
    TaskSpec,
    TooLarge,
)
from swarmlab.api.proto import control_pb2, lab_pb2
from swarmlab.api.wire import encode
from swarmlab.edges.grpc import Client, ControlServer, listener
from swarmlab.edges.grpc.sockets import MAX_PATH_BYTES, address

WEB = ServiceSpec(
    annotations=Annotations("web"),
    task=TaskSpec(container=ContainerSpec(image="nginx")),
    replicated=ReplicatedService(1),
)


async def start(path: Path) -> None:
    """Serve there for a moment."""
    async with serving(path):
        pass


async def test_directory_and_socket_are_for_this_user_alone(short_path):
    """A missing directory is made with mode 0700; the socket goes with the server."""
    path = short_path / "a" / "b" / "control.sock"
    async with serving(path) as served:
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert await served.client.serves()
    assert not path.exists()


async def test_path_that_does_not_fit_is_refused(short_path):
    """One byte too long is refused with path, length and limit, by server and client; the longest one works."""
    room = MAX_PATH_BYTES - len(os.fsencode(short_path)) - 1
    await start(short_path / ("x" * room))
    path = short_path / ("x" * (room + 1))
    for attempt in (start(path), Client(path).__aenter__()):
        with pytest.raises(StateError) as caught:
            await attempt
        assert str(path) in str(caught.value)
        assert "is 108 bytes long, wanted: at most 107" in str(caught.value)


async def test_length_is_counted_in_bytes(short_path):
    """What counts is the encoded path, not its letters."""
    with pytest.raises(StateError, match="wanted: at most 107"):
        await start(short_path / ("\u00fc" * 50))


@pytest.mark.parametrize("name", ["with space.sock", "100%41.sock", "a#b?c.sock", "\u00fcber.sock"])
async def test_odd_names_are_taken_as_they_are(short_path, name):
    """gRPC reads targets as URIs; the file that is made has the very name that was asked for."""
    path = short_path / name
    async with serving(path) as served:
        assert stat.S_ISSOCK(path.stat().st_mode)
        assert await served.client.serves()


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o1777])
async def test_directory_that_others_can_write_to_is_refused(short_path, mode):
    """Whoever can write there could put a socket of his own in place of ours."""
    folder = short_path / "open"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(StateError, match=rf"mode {mode:04o} lets others write there, wanted: 0700"):
        await start(folder / "control.sock")


async def test_directory_that_cannot_be_made(short_path):
    """A file in the way is named."""
    (short_path / "file").write_text("")
    with pytest.raises(StateError, match=r"socket directory .*file/run: Not a directory"):
        await start(short_path / "file" / "run" / "control.sock")


async def test_socket_of_a_dead_process_is_replaced(short_path):
    """What a killed server left does not stand in the way of the next."""
    path = short_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
        killed.listen()
    assert stat.S_ISSOCK(path.stat().st_mode)
    async with serving(path) as served:
        assert await served.client.serves()


async def test_socket_of_a_living_server_is_left_alone(short_path):
    """A second server is refused, and the first one goes on."""
    path = short_path / "control.sock"
    async with serving(path) as served:
        with pytest.raises(StateError, match="another server answers there"):
            await start(path)
        assert await served.client.serves()


async def test_something_else_at_the_path_is_left_alone(short_path):
    """A file is neither replaced nor connected to."""
    path = short_path / "control.sock"
    path.write_text("precious")
    with pytest.raises(StateError, match="something else at that path"):
        await start(path)
    with pytest.raises(StateError, match="something else at that path"):
        await Client(path).__aenter__()
    assert path.read_text() == "precious"


async def test_client_without_a_server_says_what_to_do(short_path):
    """No socket, or one that nobody listens on: what it is and how to get further."""
    path = short_path / "control.sock"
    with pytest.raises(
        StateError, match=r"no cluster answers at the socket .*: there is none; start one with `swarmlab"
    ):
        await Client(path).__aenter__()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(StateError, match="the process that made it is gone; start one"):
        await Client(path).__aenter__()


async def test_server_that_went_away_is_noticed_by_the_next_call(short_path):
    """A client that outlives its server raises StateError, for changes too: nothing was sent."""
    path = short_path / "control.sock"
    async with serving(path) as served:
        other = Client(path, timeout=PATIENCE_SECONDS)
        await other.__aenter__()
        assert await other.serves()
        assert await served.client.serves()
    with pytest.raises(StateError, match="no cluster answers"):
        await other.list_services()
    await other.__aexit__()


async def test_stop_of_the_server_ends_streams(short_path):
    """A stream that is open hears of the stop at once."""
    path = short_path / "control.sock"
    async with serving(path) as served:
        other = Client(path)
        await other.__aenter__()
        feed = other.watch()
        await anext(feed)
        assert await served.client.serves()
    with pytest.raises(StateError, match=r"Watch: the server at .* went away"):
        await anext(feed)
    await other.__aexit__()


class Slow(Plane):
    """Commits when told to."""

    def __init__(self):
        super().__init__()
        self.begun = asyncio.Event()
        self.left = asyncio.Event()
        self.go_on = asyncio.Event()

    async def mutate(self, request):
        self.begun.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.left.set()
            raise
        return await super().mutate(request)


@pytest.fixture
async def slow(short_path):
    """A server whose commits take as long as the test wants, its plane, and its path."""
    plane = Slow()
    path = short_path / "control.sock"
    async with serving(path) as served:
        other = path.with_name("slow.sock")
        async with ControlServer(other, plane, served.server_logs, served.lab):
            yield plane, other


async def test_deadline_of_a_change_leaves_its_end_unknown(slow):
    """No answer in time: a change may have been made, and the client says so."""
    plane, path = slow
    async with Client(path, timeout=0.2) as client:
        with pytest.raises(ProposalUnknown, match=r"CreateService: no answer within 0\.2 s .* look before repeating"):
            await client.create_service(WEB)
        assert await client.list_services() == ()
    assert plane.view.services() == ()


async def test_client_that_goes_away_stops_nobody_else(slow):
    """A call that is cancelled ends; others are served as before."""
    plane, path = slow
    async with Client(path) as client:
        call = asyncio.create_task(client.create_service(WEB))
        await plane.begun.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await plane.left.wait()
        plane.go_on.set()
        assert (await client.create_service(WEB)).spec == WEB


async def test_request_in_hand_is_answered_before_a_stop(short_path):
    """A server that stops gives a request the time that it needs, within bounds."""
    plane = Slow()
    path = short_path / "control.sock"
    async with serving(path.with_name("other.sock")) as served:
        server = ControlServer(path, plane, served.server_logs, served.lab)
        await server.__aenter__()
        async with Client(path) as client:
            call = asyncio.create_task(client.create_service(WEB))
            await plane.begun.wait()
            stop = asyncio.create_task(server.__aexit__(None, None, None))
            await asyncio.sleep(0)
            plane.go_on.set()
            assert (await call).spec == WEB
            await stop


async def test_change_in_hand_when_the_server_goes_is_unknown(short_path, monkeypatch):
    """A server that could not wait for the end of a change: the client does not know it either."""
    monkeypatch.setattr(listener, "STOP_SECONDS", 0.0)
    plane = Slow()
    path = short_path / "control.sock"
    async with serving(path.with_name("other.sock")) as served:
        server = ControlServer(path, plane, served.server_logs, served.lab)
        await server.__aenter__()
        async with Client(path) as client:
            call = asyncio.create_task(client.create_service(WEB))
            await plane.begun.wait()
            await server.__aexit__(None, None, None)
            with pytest.raises(ProposalUnknown, match=r"CreateService: the server at .* went away"):
                await call


async def test_too_large_a_request_is_refused(served):
    """Four megabytes are the limit, as with a stock manager."""
    with pytest.raises(TooLarge):
        await served.client.create_config(ConfigSpec(annotations=Annotations("big"), data=b"x" * 5_000_000))


async def test_errors_inside_the_server_are_not_taken_for_the_clients(served, caplog):
    """A fault of ours is INTERNAL, and the log has all of it."""

    def broken():
        raise ZeroDivisionError("oops")

    served.lab.status = broken
    with pytest.raises(SwarmlabError, match="internal error: ZeroDivisionError: oops"):
        await served.client.status()
    assert "request_failed" in caplog.text


async def raw(path: Path, method: str, data: bytes) -> grpc.aio.AioRpcError:
    """The status that a client of another make gets for these bytes."""
    async with grpc.aio.insecure_channel(address(path)) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(method)(data, timeout=PATIENCE_SECONDS)
    return caught.value


CONTROL = "/docker.swarmkit.v1.Control"


@pytest.mark.parametrize(
    ("method", "data", "code"),
    [
        (f"{CONTROL}/CreateService", b"\xff\xff", grpc.StatusCode.INVALID_ARGUMENT),
        (f"{CONTROL}/GetService", b"\x0a\x01\xff", grpc.StatusCode.INVALID_ARGUMENT),
        (f"{CONTROL}/GetService", b"", grpc.StatusCode.INVALID_ARGUMENT),
        (f"{CONTROL}/GetService", b"\x0a\x01x", grpc.StatusCode.NOT_FOUND),
        (f"{CONTROL}/UpdateService", b"\x0a\x01x", grpc.StatusCode.INVALID_ARGUMENT),
        (f"{CONTROL}/CreateService", b"", grpc.StatusCode.INVALID_ARGUMENT),
        (f"{CONTROL}/Nothing", b"", grpc.StatusCode.UNIMPLEMENTED),
        ("/docker.swarmkit.v1.CA/GetUnlockKey", b"", grpc.StatusCode.UNIMPLEMENTED),
    ],
)
async def test_status_codes_for_any_client(served, method, data, code):
    """What programs of another make rely on: the codes of SwarmKit, and INVALID_ARGUMENT for bytes that are none."""
    assert (await raw(served.path, method, data)).code() is code


async def test_class_of_an_error_travels_beside_its_code(served):
    """The metadata name the class; stale versions are ABORTED."""
    await served.client.create_service(WEB)
    request = control_pb2.CreateServiceRequest(spec=encode(WEB))
    error = await raw(served.path, f"{CONTROL}/CreateService", request.SerializeToString())
    assert error.code() is grpc.StatusCode.ALREADY_EXISTS
    (detail,) = [value for key, value in error.trailing_metadata() if key == "swarmlab-error-bin"]
    assert lab_pb2.ErrorDetail.FromString(detail).kind == "NameConflict"


async def test_longest_message_arrives(served):
    """A message that was cut to what fits does fit, in any script."""
    with pytest.raises(InvalidSpec, match="name: '\N{SNOWMAN}"):
        await served.client.create_service(replace(WEB, annotations=Annotations("\N{SNOWMAN}" * 9_000)))
    with pytest.raises(NotFound, match=r"\.\.\.$"):
        await served.client.get_service("\N{SNOWMAN}" * 9_000)


async def test_client_that_was_not_entered(short_path):
    """A client is used as a context."""
    with pytest.raises(StateError, match="is not open"):
        await Client(short_path / "control.sock").list_services()


async def test_streams_end_when_they_are_closed_early(served):
    """Leaving a stream in the middle leaves the client as it was."""
    async with aclosing(served.client.events(follow=True)) as events:
        assert (await anext(events)).index == 1
    assert await served.client.serves()
    with pytest.raises(InvalidSpec):
        await served.client.explain("")
