"""The example mines coins: the services of its stack file, as processes and as containers."""

import asyncio
import importlib.util
import json
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from docker_engine import engine, engine_at
from executor_ground import LiveGround, docker_ground
from msgspec.structs import replace

from swarmlab.agent.exec import Operation
from swarmlab.api import Endpoint, PortConfig, PublishMode, ServiceSpec, Task
from swarmlab.cli.compose import read_stack
from swarmlab.edges.docker import Engine
from swarmlab.edges.driver import LiveClock
from swarmlab.edges.process import ProcessExecutor

__all__ = ["engine", "engine_at"]

ROOT = Path(__file__).resolve().parent.parent.parent
HERE = ROOT / "examples" / "dockercoins"

#: One hash in so many is a coin, so three coins are a matter of luck: seconds as a rule, but not in every run.
MINING_SECONDS = 180


def services() -> dict[str, ServiceSpec]:
    stack = read_stack(str(HERE / "stack.yml"), "coins", {})
    assert stack.warnings == ()
    return {request.spec.annotations.name.removeprefix("coins_"): request.spec for request in stack.services}


@pytest.fixture
async def process_node(tmp_path: Path) -> AsyncIterator[LiveGround]:
    clock = LiveClock()
    node = LiveGround(lambda facts: ProcessExecutor(tmp_path, facts, clock, start=ROOT))
    await node.open()
    yield node
    await node.close()


@pytest.fixture
async def docker_node(engine: Engine, engine_at: str) -> AsyncIterator[LiveGround]:
    if shutil.which("docker") is None:
        pytest.skip("no docker command: the image of dockercoins was not built")
    build = await asyncio.create_subprocess_exec(
        HERE / "build.sh", env={**os.environ, "DOCKER_HOST": engine_at, "PYTHON": sys.executable}
    )
    assert await build.wait() == 0
    async for node in docker_ground(engine):
        yield node


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def node(request: pytest.FixtureRequest) -> LiveGround:
    made = request.getfixturevalue(f"{request.param}_node")
    assert isinstance(made, LiveGround)
    return made


class Coins:
    """The five services on one node, on host ports that were free."""

    def __init__(self, node: LiveGround) -> None:
        self._node = node
        self._specs = services()
        self._env = ["DELAY_MS=0", "REDIS_SERVER="]
        self.tasks: dict[str, Task] = {}

    async def start(self, name: str) -> int:
        """Start one; its host port, which later ones are told."""
        spec = self._specs[name]
        container = spec.task.container
        assert container is not None
        container = replace(container, env=(*container.env, *self._env))
        ports = [replace(port, published_port=0) for port in spec.endpoint.ports] if spec.endpoint is not None else []
        task = self._node.bare_task(name=name, image=container.image)
        task = replace(task, spec=replace(spec.task, container=container), endpoint=Endpoint(ports=tuple(ports)))
        await self._node.run(task)
        self.tasks[name] = task
        status = self._node.answers[-1].ports
        if status is None:
            return 0
        port = status.ports[0].published_port
        self._env.append(f"{name.upper()}=127.0.0.1:{port} host.docker.internal:{port}")
        return port


async def numbers(port: int) -> dict[str, float]:
    """What the page shows; nothing while it comes up."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /json HTTP/1.0\r\n\r\n")
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
    except OSError:
        return {}
    return json.loads(body) if b" 200 " in head.partition(b"\r\n")[0] else {}


@pytest.mark.timeout(240)
async def test_coins_are_mined(node: LiveGround) -> None:
    coins = Coins(node)
    for name in ("redis", "rng", "hasher", "worker"):
        await coins.start(name)
    page = await coins.start("webui")
    seen: list[float] = []
    async with asyncio.timeout(MINING_SECONDS):
        while len(seen) < 3:
            now = (await numbers(page)).get("coins", 0)
            if now > (seen[-1] if seen else 0):
                seen.append(now)
            await asyncio.sleep(0.05)
    last = await numbers(page)
    assert last["hashes"] >= last["coins"]
    for name, task in coins.tasks.items():
        answer = await node.do(Operation.SHUTDOWN, task)
        assert answer.error is None
        assert answer.container is not None
        assert answer.container.exit_code == 0, name


def test_the_usual_addresses_are_those_of_the_stack_file() -> None:
    """A service finds the others without being told when all have the ports of the stack."""
    text = "".join(
        (HERE / name).read_text() for name in ("worker.py", "peers.py", "redis.py", "rng.py", "hasher.py", "webui.py")
    )
    specs = services()
    for name in ("redis", "rng", "hasher", "webui"):
        endpoint = specs[name].endpoint
        assert endpoint is not None
        (port,) = endpoint.ports
        assert port == PortConfig(
            target_port=port.target_port, published_port=port.target_port, publish_mode=PublishMode.HOST
        )
        assert f"port({port.published_port})" in text
        if name != "webui":
            assert (
                f'"{name.upper()}", "127.0.0.1:{port.published_port} host.docker.internal:{port.published_port}"'
                in text
            )
    assert sorted(specs) == ["hasher", "redis", "rng", "webui", "worker"]


@pytest.fixture
def redis() -> Iterator[ModuleType]:
    """The module of the stand-in."""
    sys.path.insert(0, str(HERE))
    spec = importlib.util.spec_from_file_location("dockercoins_redis", HERE / "redis.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(HERE))


def said(redis: ModuleType, request: bytes) -> bytes:
    """All that one connection is told for `request`."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(request)
        ours.shutdown(socket.SHUT_WR)
        handler = redis.Connection.__new__(redis.Connection)
        handler.data = redis.Data()
        handler.request, handler.client_address, handler.server = theirs, None, None
        handler.setup()
        handler.handle()
        handler.finish()
        theirs.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: ours.recv(4096), b""))


@pytest.mark.parametrize(
    ("request_bytes", "answer"),
    [
        (b"PING\r\n", b"+PONG\r\n"),
        (b"*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nping\r\n$2\r\nhi\r\n", b"+PONG\r\n$2\r\nhi\r\n"),
        (b"GET a\r\nSET a 1\r\nGET a\r\nINCR a\r\nINCRBY a 40\r\n", b"$-1\r\n+OK\r\n$1\r\n1\r\n:2\r\n:42\r\n"),
        (
            b"HSET w a 1 b 2\r\nHSET w a 3\r\nHGET w a\r\nHLEN w\r\nHLEN none\r\n",
            b":2\r\n:0\r\n$1\r\n3\r\n:2\r\n:0\r\n",
        ),
        (b"SET a x\r\nINCR a\r\n", b"+OK\r\n-ERR value is not an integer or out of range\r\n"),
        (b"SET a\r\nPING\r\n", b"-ERR wrong number of arguments for 'SET'\r\n+PONG\r\n"),
        (b"DANCE\r\nPING\r\n", b"-ERR unknown command 'DANCE'\r\n+PONG\r\n"),
        (b"*1\r\nPING\r\n", b"-ERR Protocol error: expected '$', got 'P'\r\n"),
        (b"*-7\r\n", b"-ERR Protocol error: invalid length\r\n"),
        (b"SET a 1\r\nDEL a b\r\nGET a\r\nQUIT\r\nPING\r\n", b"+OK\r\n:1\r\n$-1\r\n"),
    ],
)
def test_the_stand_in_speaks_as_redis_does(redis: ModuleType, request_bytes: bytes, answer: bytes) -> None:
    assert said(redis, request_bytes) == answer
