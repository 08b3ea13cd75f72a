"""Several managers in one process: they come up, lose and regain each other, and leave nothing behind."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from patience import PATIENCE_SECONDS

from swarmlab.api import (
    Annotations,
    ContainerSpec,
    NodeState,
    ReplicatedService,
    ServiceSpec,
    TaskSpec,
    TaskState,
    name_of,
    seconds,
)
from swarmlab.edges.grpc import Client
from swarmlab.embedded import EmbeddedConfig, Fleet
from swarmlab.manager.controlapi import create_service


def a_service(replicas: int) -> ServiceSpec:
    container = ContainerSpec(image="any", command=("sleep", "1000"), stop_grace_period=seconds(1))
    return ServiceSpec(
        annotations=Annotations(name="web"),
        task=TaskSpec(container=container),
        replicated=ReplicatedService(replicas=replicas),
    )


async def until(fleet: Fleet, holds: Callable[[], object], what: str) -> None:
    """Wait for a commit or a record after which it holds."""
    news = asyncio.Event()
    watch = fleet.watch(None, lambda _: news.set())

    async def listen() -> None:
        async for _ in fleet.follow_events(fleet.story.last):
            news.set()

    listener = asyncio.create_task(listen())
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds():
                news.clear()
                await news.wait()
    except TimeoutError:
        raise AssertionError(f"{what}: it did not come; {[e.name for e in fleet.events()[-20:]]}") from None
    finally:
        listener.cancel()
        watch.cancel()
        await asyncio.gather(listener, return_exceptions=True)


def running(fleet: Fleet) -> int:
    return sum(task.status.state is TaskState.RUNNING for task in fleet.view.tasks())


def is_ready(fleet: Fleet, name: str) -> bool:
    return any(name_of(node) == name and node.status.state is NodeState.READY for node in fleet.view.nodes())


async def test_managers_are_lost_and_come_back(tmp_path: Path) -> None:
    """Requests go on through one socket, whoever leads; the story tells of the loss."""
    socket = tmp_path / "run" / "s.sock"
    config = EmbeddedConfig(managers=3, workers=2, executor="sim", socket=socket, heartbeat=seconds(1))
    async with Fleet(config) as fleet, Client(socket) as client:
        status = await client.status()
        assert [(worker.name, worker.running) for worker in status.workers] == [
            (name, True) for name in ("m1", "m2", "m3", "w1", "w2")
        ]
        await fleet.mutate(lambda view, ids, now: create_service(view, a_service(5), ids, now))
        await until(fleet, lambda: running(fleet) == 5, "five tasks run")
        stopped = await client.stop_worker("m1")
        assert not stopped.running
        await until(fleet, lambda: "leader-lost" in {event.name for event in fleet.events()}, "the loss is noticed")
        await until(fleet, lambda: fleet.leads, "another manager leads")
        await until(fleet, lambda: is_ready(fleet, "w1") and is_ready(fleet, "w2"), "workers found another manager")
        (service,) = await client.list_services()
        assert service.spec.annotations.name == "web"
        await client.start_worker("m1")
        await until(fleet, lambda: is_ready(fleet, "m1"), "m1 is back")
        assert all(worker.running for worker in (await client.status()).workers)
    assert not socket.exists()


async def test_a_fleet_goes_on_from_its_directory(tmp_path: Path) -> None:
    config = EmbeddedConfig(managers=3, workers=1, executor="sim", state_dir=tmp_path / "state")
    async with Fleet(config) as fleet:
        await fleet.mutate(lambda view, ids, now: create_service(view, a_service(2), ids, now))
        first = fleet.status().cluster_id
    async with Fleet(config) as fleet:
        assert "nodes-not-ready" not in {event.name for event in fleet.events()}
        await until(fleet, lambda: running(fleet) == 2, "two tasks run")
        assert fleet.status().cluster_id == first
        assert [service.spec.annotations.name for service in fleet.view.services()] == ["web"]
