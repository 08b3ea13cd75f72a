"""The way to the engine: over a socket, over TCP with and without TLS, and what goes wrong on it."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import docker.errors
import pytest
import requests
import urllib3.exceptions
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from docker_engine import TEST_CLUSTER, TEST_IMAGE
from executor_ground import docker_ground

from swarmlab.api import ExecutorError
from swarmlab.edges.docker import Engine, engine_answers, engine_url
from swarmlab.edges.docker.errors import EngineRefusalError, EngineSilentError, translated
from swarmlab.edges.docker.logs import _message
from swarmlab.edges.docker.streams import json_objects


async def carry(behind: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """All bytes of a connection to and from the engine."""
    there, out = await asyncio.open_unix_connection(behind.removeprefix("unix://"))

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
        except ConnectionError:
            pass
        for end in (writer, out):
            end.transport.abort()

    async with asyncio.TaskGroup() as group:
        group.create_task(copy(reader, out))
        group.create_task(copy(there, writer))


@pytest.fixture
async def tcp(engine_at: str) -> AsyncIterator[str]:
    """The engine over plain TCP."""
    server = await asyncio.start_server(lambda reader, writer: carry(engine_at, reader, writer), "127.0.0.1", 0)
    yield f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


def make_certificates(directory: Path) -> None:
    """ca.pem, cert.pem and key.pem as docker keeps them; the same certificate serves both ends."""
    now = datetime.now(UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "engine")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (directory / "ca.pem").write_bytes(pem)
    (directory / "cert.pem").write_bytes(pem)
    (directory / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


async def run_something(engine: Engine) -> None:
    """A task from beginning to end with its output: calls and streams."""
    async for node in docker_ground(engine):
        assert await node.output(node.task("echo hello")) == ["hello"]


@pytest.mark.docker
async def test_an_engine_over_tcp(engine: Engine, tcp: str) -> None:
    assert await engine_answers(tcp)
    far = Engine(tcp)
    await run_something(far)
    await far.close()


@pytest.mark.docker
@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
@pytest.mark.parametrize("verify", ["1", ""])
async def test_an_engine_over_tls(
    engine: Engine, engine_at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verify: str
) -> None:
    make_certificates(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tmp_path / "ca.pem")
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    server = await asyncio.start_server(
        lambda reader, writer: carry(engine_at, reader, writer), "127.0.0.1", 0, ssl=context
    )
    url = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # stronger than docker's own settings
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_HOST", url)
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    monkeypatch.setenv("DOCKER_TLS_VERIFY", verify)
    assert engine_url().partition("://")[2] == url.partition("://")[2]
    assert await engine_answers()
    far = Engine()
    await run_something(far)
    await far.close()
    server.close()


@pytest.mark.docker
async def test_a_cancelled_call_ends_before_its_caller(engine: Engine) -> None:
    """Otherwise a container could appear after a step was answered as broken off."""
    begun, ended = asyncio.Event(), []
    loop = asyncio.get_running_loop()

    def ask(api: docker.APIClient) -> None:
        loop.call_soon_threadsafe(begun.set)
        api.wait(identifier)
        ended.append(True)

    made = await engine.call(
        lambda api: api.create_container(TEST_IMAGE, ["sleep", "1000"], labels={"swarmlab.cluster": TEST_CLUSTER})
    )
    identifier = made["Id"]
    await engine.call(lambda api: api.start(identifier))
    call = asyncio.create_task(engine.call(ask))
    await begun.wait()
    call.cancel()
    await asyncio.sleep(0)
    assert not call.done()
    await engine.call(lambda api: api.kill(identifier))
    with pytest.raises(asyncio.CancelledError):
        await call
    assert ended == [True]


async def test_nobody_at_the_socket(tmp_path: Path) -> None:
    url = f"unix://{tmp_path}/none.sock"
    assert not await engine_answers(url)
    engine = Engine(url)
    with pytest.raises(EngineSilentError, match=f"engine not reachable at {url}: No such file or directory") as caught:
        await engine.call(lambda api: api.info())
    assert caught.value.temporary
    with pytest.raises(EngineSilentError, match="engine not reachable at"):
        async with engine.streams.open("GET", "/events"):
            pass
    await engine.close()
    await engine.close()


async def test_an_address_of_another_kind_is_refused() -> None:
    engine = Engine("ssh://somewhere")
    with pytest.raises(ExecutorError, match="engine ssh://somewhere: wanted unix:// or tcp://"):
        async with engine.streams.open("GET", "/events"):
            pass
    await engine.close()


def refusal(status: int, explanation: str) -> docker.errors.APIError:
    response = requests.Response()
    response.status_code = status
    return docker.errors.APIError("no", response, explanation)


@pytest.mark.parametrize(
    ("error", "kind", "message", "temporary"),
    [
        (refusal(404, "No such image: x"), EngineRefusalError, "No such image: x", False),
        (refusal(409, "in use"), EngineRefusalError, "in use", False),
        (refusal(500, "port is already allocated"), EngineRefusalError, "port is already allocated", False),
        (refusal(500, "context canceled"), EngineRefusalError, "context canceled", True),
        (refusal(503, "starting"), EngineRefusalError, "starting", True),
        (requests.ConnectionError("gone"), EngineSilentError, "engine not reachable at unix:///x: Conn", True),
        (requests.ReadTimeout("slow"), EngineSilentError, "engine not reachable at unix:///x: ReadTimeout: slow", True),
        (urllib3.exceptions.ProtocolError("cut"), EngineSilentError, "engine not reachable at unix:///x: Proto", True),
        (BrokenPipeError(), EngineSilentError, "engine not reachable at unix:///x: BrokenPipeError", True),
        (docker.errors.DockerException("version?"), EngineSilentError, "engine not reachable at unix:///x: Dock", True),
    ],
)
def test_errors_are_translated_once(error: Exception, kind: type, message: str, temporary: bool) -> None:
    with pytest.raises(kind) as caught, translated("unix:///x"):
        raise error
    assert str(caught.value).startswith(message)
    assert caught.value.temporary == temporary


async def objects(*chunks: bytes) -> list[dict[str, object]]:
    class Body:
        async def iter_any(self) -> AsyncIterator[bytes]:
            for chunk in chunks:
                yield chunk

    return [one async for one in json_objects(Body())]  # type: ignore[arg-type]


async def test_objects_come_however_they_are_cut() -> None:
    assert await objects(b'{"a":1}\n{"b":', b'2}\n\n{"c":"}{"}', b"\n") == [{"a": 1}, {"b": 2}, {"c": "}{"}]
    assert await objects(b'{"a":1}\r\n{"b":2}') == [{"a": 1}, {"b": 2}]
    assert await objects() == []


@pytest.mark.parametrize(
    ("line", "timestamp", "data"),
    [
        (b"2026-11-24T02:03:20.392982671Z hello\n", 1795485800_392982671, b"hello\n"),
        (b"2026-11-24T02:03:20.5Z \n", 1795485800_500000000, b"\n"),
        (b"2026-11-24T02:03:20Z x", 1795485800_000000000, b"x"),
        (b"no time at all\n", 0, b"no time at all\n"),
    ],
)
def test_log_lines_begin_with_their_time(line: bytes, timestamp: int, data: bytes) -> None:
    from swarmlab.api import LogStream

    message = _message(LogStream.LOG_STREAM_STDERR, line)
    assert (message.timestamp, message.data, message.stream) == (timestamp, data, LogStream.LOG_STREAM_STDERR)
