"""The control socket in TLS, as stock `swarmctl` wants it."""

import asyncio
import ssl
import stat
from contextlib import asynccontextmanager

import grpc
import pytest
from cluster_ground import World
from control_double import Laboratory
from patience import PATIENCE_SECONDS

from swarmlab.api import StateError
from swarmlab.api.proto import control_pb2
from swarmlab.edges.grpc import ControlServer
from swarmlab.edges.grpc.task_logs import TaskLogs
from swarmlab.edges.tls.local_front import LocalTlsFront
from swarmlab.edges.tls.security import server_context

LIST = "/docker.swarmkit.v1.Control/ListClusters"


@pytest.fixture
async def front(short_path):
    world = World()
    lab = Laboratory(world.plane)
    inside = short_path / "run" / "control.sock"
    async with ControlServer(inside, world.plane, TaskLogs(world.plane, None), lab):
        made = LocalTlsFront(short_path / "run" / "swarmctl.sock", inside, lambda: server_context(world.founder))
        async with made:
            made.root = world.founder.root
            yield made


async def clusters(front: LocalTlsFront) -> list[str]:
    credentials = grpc.ssl_channel_credentials(front.root)
    options = (("grpc.ssl_target_name_override", "swarm-manager"), ("grpc.use_local_subchannel_pool", 1))
    async with grpc.aio.secure_channel(f"unix:{front.path}", credentials, options=options) as made:
        answer = await made.unary_unary(LIST)(b"", timeout=PATIENCE_SECONDS)
    return [cluster.spec.annotations.name for cluster in control_pb2.ListClustersResponse.FromString(answer).clusters]


async def test_a_client_in_tls_reads_the_cluster(front):
    """Without a certificate: whoever reaches the socket may do everything."""
    assert await clusters(front) == ["default"]


async def test_what_swarmctl_looks_at(front):
    """It verifies nothing, and wants HTTP/2 to be agreed upon."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    async with asyncio.timeout(PATIENCE_SECONDS):
        _, writer = await asyncio.open_unix_connection(str(front.path), ssl=context, server_hostname="swarmctl")
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        writer.close()


async def test_only_this_user_reaches_the_socket(front):
    assert stat.S_IMODE(front.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(front.path.parent.stat().st_mode) == 0o700


async def test_two_fronts_at_one_path(front, short_path):
    """The second one leaves the first alone."""
    second = LocalTlsFront(front.path, short_path / "x", front._context)
    with pytest.raises(StateError, match="another server answers there"):
        async with second:
            pass
    assert await clusters(front) == ["default"]


async def test_the_socket_goes_with_the_front(short_path):
    """And one that a dead process left is no hindrance."""
    path = short_path / "run" / "swarmctl.sock"

    @asynccontextmanager
    async def entered():
        async with LocalTlsFront(path, short_path / "x", lambda: ssl.create_default_context()) as made:
            yield made

    async with entered():
        assert path.exists()
    assert not path.exists()
