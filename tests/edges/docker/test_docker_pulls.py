"""When images are pulled and when not, against a real engine and a registry of this machine."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from docker_engine import TEST_IMAGE, image_tar
from docker_registry import Registry, serving
from executor_ground import LiveGround, docker_ground
from patience import PATIENCE_SECONDS

from swarmlab.agent.exec import Operation
from swarmlab.api import ExecutorError
from swarmlab.edges.docker import Engine
from swarmlab.edges.docker import pulls as pulls_module
from swarmlab.edges.docker.pulls import Pulls, has_tag, is_pinned, pull_policy, registry_of

PREPARE = Operation.PREPARE


@pytest.fixture
async def registry(engine: Engine) -> AsyncIterator[Registry]:
    busybox = shutil.which("busybox")
    assert busybox is not None
    async with serving(Registry(image_tar(Path(busybox)))) as made:
        yield made
        for image in await engine.call(lambda api: api.images(all=True)):
            names = [*(image["RepoTags"] or ()), *(image["RepoDigests"] or ())]
            if any(name.startswith(made.host) for name in names):
                await engine.call(lambda api, image=image: api.remove_image(image["Id"], force=True))


@pytest.fixture(autouse=True)
def enough_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What holds for some seconds holds for the whole test, however slow the machine."""
    monkeypatch.setattr(pulls_module, "FRESH_SECONDS", 3600.0)
    monkeypatch.setattr(pulls_module, "REST_SECONDS", 3600.0)
    monkeypatch.setattr(pulls_module, "PATIENCE_SECONDS", dict.fromkeys((True, False), float(PATIENCE_SECONDS)))


@pytest.fixture
async def node(engine: Engine) -> AsyncIterator[LiveGround]:
    async for made in docker_ground(engine):
        yield made


def manifests_asked(registry: Registry) -> int:
    return sum(count for key, count in registry.asked.items() if "/manifests/latest" in key)


async def version_of(engine: Engine, image: str) -> str:
    found = await engine.call(lambda api: api.inspect_image(image))
    return found["Config"]["Labels"]["version"]


@pytest.mark.docker
async def test_many_tasks_of_one_image_are_one_pull(node: LiveGround, registry: Registry) -> None:
    image = f"{registry.host}/team/app"
    tasks = [node.bare_task(image=image, command=("true",)) for _ in range(5)]
    answers = await asyncio.gather(*(node.do(PREPARE, task) for task in tasks))
    assert [answer.error for answer in answers] == [None] * 5
    blobs = {key: count for key, count in registry.asked.items() if "/blobs/" in key}
    assert set(blobs.values()) == {1}
    seen = manifests_asked(registry)
    late = node.bare_task(image=image, command=("true",))
    assert (await node.do(PREPARE, late)).error is None
    assert manifests_asked(registry) == seen  # asked a moment ago


@pytest.mark.docker
async def test_a_tag_that_moved_is_pulled_again(engine: Engine, registry: Registry) -> None:
    image = f"{registry.host}/team/app:latest"
    assert await Pulls(engine).ensure(image, "always", "") == ""
    assert await version_of(engine, image) == "1"
    registry.publish("2")
    assert await Pulls(engine).ensure(image, "missing", "") == ""
    assert await version_of(engine, image) == "1"
    pulls = Pulls(engine)
    assert await pulls.ensure(image, "always", "") == ""
    assert await version_of(engine, image) == "2"
    registry.publish("3")
    assert await pulls.ensure(image, "always", "") == ""
    assert await version_of(engine, image) == "2"  # for FRESH_SECONDS


@pytest.mark.docker
async def test_a_digest_is_pulled_only_when_it_is_missing(engine: Engine, registry: Registry) -> None:
    image = f"{registry.host}/team/app@{registry.latest}"
    assert await Pulls(engine).ensure(image, "always", "") == ""
    seen = dict(registry.asked)
    assert await Pulls(engine).ensure(image, "always", "") == ""
    assert registry.asked == seen


@pytest.mark.docker
async def test_what_was_built_here_is_never_asked_of_a_registry(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image without digests never came from a registry; asking one costs seconds where none is reached."""

    async def asked(self: Pulls, image: str, *_: object) -> None:
        raise AssertionError(f"{image} is pulled")

    monkeypatch.setattr(Pulls, "_pull", asked)
    assert await Pulls(engine).ensure(TEST_IMAGE, "always", "") == ""


@pytest.mark.docker
async def test_a_registry_that_is_down_does_not_stop_a_task_whose_image_is_here(
    node: LiveGround, registry: Registry, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    image = f"{registry.host}/team/app"
    assert await Pulls(engine).ensure(image, "always", "") == ""
    await registry.stop()
    for name in (image, f"{image}:latest"):
        assert (await node.do(PREPARE, node.bare_task(image=name, command=("true",)))).error is None
    assert caplog.text.count("pull_failed") == 1  # the second time it is left alone
    assert "here=True" in caplog.text


@pytest.mark.docker
async def test_an_unknown_image_says_what_the_registry_said(node: LiveGround, registry: Registry) -> None:
    answer = await node.do(PREPARE, node.bare_task(image=f"{registry.host}/team/app:9", command=("true",)))
    assert answer.error is not None
    assert "is not on this node; pull failed: manifest unknown" in str(answer.error)
    assert not answer.error.temporary


@pytest.mark.docker
async def test_a_pull_outlives_the_task_that_asked(engine: Engine, registry: Registry) -> None:
    """An interrupted preparation does not throw away what is half pulled."""
    image = f"{registry.host}/team/app"
    pulls = Pulls(engine)
    asking = asyncio.create_task(pulls.ensure(image, "always", ""))
    while not registry.asked:  # noqa: ASYNC110 - the engine asks in its own time
        await asyncio.sleep(0.005)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert await pulls.ensure(image, "always", "") == ""
    assert all(count == 1 for key, count in registry.asked.items() if "/blobs/" in key)


@pytest.mark.docker
async def test_closing_breaks_off_what_runs(engine: Engine, registry: Registry) -> None:
    pulls = Pulls(engine)
    asking = asyncio.create_task(pulls.ensure(f"{registry.host}/team/app", "always", ""))
    await asyncio.sleep(0)
    await pulls.close()
    with pytest.raises(asyncio.CancelledError):
        await asking


@pytest.mark.parametrize(
    ("image", "registry", "tagged", "pinned"),
    [
        ("nginx", "docker.io", False, False),
        ("nginx:1.27", "docker.io", True, False),
        ("team/app", "docker.io", False, False),
        ("localhost/app", "localhost", False, False),
        ("127.0.0.1:5000/app", "127.0.0.1:5000", False, False),
        ("127.0.0.1:5000/app:2", "127.0.0.1:5000", True, False),
        ("registry.example.com/team/app@sha256:" + "0" * 64, "registry.example.com", True, True),
        ("sha256:" + "a" * 64, "docker.io", True, True),
        ("a" * 64, "docker.io", False, True),
    ],
)
def test_references_are_read(image: str, registry: str, tagged: bool, pinned: bool) -> None:
    assert (registry_of(image), has_tag(image), is_pinned(image)) == (registry, tagged, pinned)


def test_the_label_wins_over_the_node() -> None:
    assert pull_policy({}, "missing") == "missing"
    assert pull_policy({"swarmlab.pull": "never"}, "always") == "never"
    with pytest.raises(ExecutorError, match=r"swarmlab\.pull='no', wanted: always, missing, never"):
        pull_policy({}, "no")
