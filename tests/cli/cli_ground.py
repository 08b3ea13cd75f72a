"""The command line against a real control socket: the server lives in a thread of its own, as in another process."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest
from edges.grpc.control_double import Served, serving
from patience import PATIENCE_SECONDS

from swarmlab.api import (
    Annotations,
    ContainerSpec,
    EngineDescription,
    Instant,
    Node,
    NodeDescription,
    NodeId,
    NodeSpec,
    NodeState,
    NodeStatus,
    Platform,
    ReplicatedService,
    Resources,
    Service,
    ServiceId,
    ServiceSpec,
    Task,
    TaskId,
    TaskSpec,
    TaskState,
    TaskStatus,
)
from swarmlab.cli.main import main

T = TypeVar("T")

#: When everything in these tests happened.
NOW = Instant(1_700_000_000_000_000_000)


class Answer(NamedTuple):
    """What a command gave."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


class Ground:
    """A served cluster without orchestrators, and the command line in front of it."""

    def __init__(self, served: Served, loop: asyncio.AbstractEventLoop, capsys: pytest.CaptureFixture[str]) -> None:
        self.served = served
        self._loop = loop
        self._capsys = capsys

    def do(self, work: Callable[[], T]) -> T:
        """The answer to `work`, done in the server's thread."""

        async def call() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(PATIENCE_SECONDS)

    def put(self, *objects: Any) -> None:
        """Add objects to the store."""
        self.do(lambda: self.served.plane.put(*objects))

    def cli(self, *words: str) -> Answer:
        """Run a command against this cluster."""
        self._capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SWARMLAB_SOCKET", str(self.served.path))
            code = main(words)
        out, err = self._capsys.readouterr()
        return Answer(code, out, err)

    @property
    def view(self) -> Any:
        return self.served.plane.view


@contextmanager
def grounded(path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Ground]:
    """Serve a cluster at that socket from another thread."""
    ready = threading.Event()
    found: list[tuple[Served, asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        async with AsyncExitStack() as stack:
            served = await stack.enter_async_context(serving(path))
            over = asyncio.Event()
            found.append((served, asyncio.get_running_loop(), over))
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="served")
    thread.start()
    try:
        assert ready.wait(PATIENCE_SECONDS), "the server did not start"
        yield Ground(*found[0][:2], capsys)
    finally:
        if found:
            found[0][1].call_soon_threadsafe(found[0][2].set)
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive(), "the server did not stop"


def a_node(name: str, state: NodeState = NodeState.READY, labels: dict[str, str] | None = None) -> Node:
    return Node(
        id=NodeId(f"{name}-0123456789abcdefghijkl"),
        spec=NodeSpec(annotations=Annotations(labels=labels or {})),
        description=NodeDescription(
            hostname=name,
            platform=Platform("x86_64", "linux"),
            resources=Resources(4_000_000_000, 8 << 30),
            engine=EngineDescription(engine_version="28.2.2"),
        ),
        status=NodeStatus(state=state, addr="127.0.0.1"),
    )


def a_service(name: str, replicas: int = 1, **spec: Any) -> Service:
    has_mode = {"global_", "replicated_job", "global_job"} & spec.keys()
    mode = {} if has_mode else {"replicated": ReplicatedService(replicas)}
    return Service(
        id=ServiceId(f"{name}-service-0123456789abc"),
        spec=ServiceSpec(
            annotations=Annotations(name, spec.pop("labels", {})),
            task=spec.pop("task", TaskSpec(container=ContainerSpec(image="img:1"))),
            **mode,
            **spec,
        ),
    )


def a_task(
    service: Service,
    slot: int,
    node: Node | None = None,
    state: TaskState = TaskState.RUNNING,
    desired: TaskState = TaskState.RUNNING,
    **fields: Any,
) -> Task:
    status = TaskStatus(timestamp=NOW, state=state, message=state.name.lower(), err=fields.pop("err", ""))
    return Task(
        id=TaskId(fields.pop("id", f"{service.spec.annotations.name}{slot}-task-0123456789abc")),
        service_id=service.id,
        slot=slot,
        node_id=node.id if node is not None else NodeId(""),
        spec=service.spec.task,
        service_annotations=service.spec.annotations,
        status=status,
        desired_state=desired,
        **fields,
    )
