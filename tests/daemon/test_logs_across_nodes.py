"""Lines of tasks through a manager: of tasks on other nodes, followed, and the last ones alone."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from daemon.swarm_ground import Swarm
from patience import PATIENCE_SECONDS

from swarmlab.api import (
    Annotations,
    ContainerSpec,
    LogSelector,
    LogSubscriptionOptions,
    NodeRole,
    Placement,
    ReplicatedService,
    ServiceSpec,
    TaskSpec,
    seconds,
)
from swarmlab.edges.grpc import Client

#: Says three lines, and one more for each line that is appended to the file.
SCRIPT = "echo one; echo two; echo three; touch {file}; exec tail -n +1 -F {file}"


def a_service(file: Path) -> ServiceSpec:
    """One task on each of two nodes, both of which follow the file."""
    command = ("sh", "-c", SCRIPT.format(file=file))
    return ServiceSpec(
        annotations=Annotations(name="web"),
        task=TaskSpec(
            container=ContainerSpec(image="any", command=command, stop_grace_period=seconds(1)),
            placement=Placement(max_replicas=1),
        ),
        replicated=ReplicatedService(replicas=2),
    )


async def lines(
    client: Client, service_id: str, options: LogSubscriptionOptions
) -> AsyncGenerator[tuple[str, str], None]:
    """(node, line) as they come."""
    async with aclosing(client.subscribe_logs(LogSelector(service_ids=(service_id,)), options)) as messages:
        async for message in messages:
            assert message.context is not None
            yield message.context.node_id, message.data.decode().strip()


async def test_lines_of_two_nodes_are_read_at_either(tmp_path: Path) -> None:
    """At the leader, and at a manager that passes the wish on; followed lines come as they are written."""
    file = tmp_path / "more"
    async with asyncio.timeout(PATIENCE_SECONDS), Swarm(tmp_path, executor="process") as swarm:
        await swarm.init("m1")
        await swarm.join("m2", NodeRole.MANAGER)
        await swarm.until(lambda: swarm.voters("m1") == 2, "two managers answer")
        async with swarm.client("m1") as client:
            service = await client.create_service(a_service(file))
        await swarm.until(lambda: len(swarm.running("m1")) == 2, "two tasks run")
        nodes = sorted(swarm.running("m1").values())
        assert len(set(nodes)) == 2
        for number, name in enumerate(("m1", "m2")):
            async with swarm.client(name) as client:
                # What a task says may be a moment on its way to where it is kept.
                followed = lines(client, service.id, LogSubscriptionOptions(follow=True))
                there = [(node, line) for node in nodes for line in ("one", "two", "three", "more")[: 3 + number]]
                assert sorted([await anext(followed) for _ in there]) == sorted(there)
                with file.open("a") as more:
                    more.write("more\n")
                assert sorted([await anext(followed), await anext(followed)]) == [(node, "more") for node in nodes]
                await followed.aclose()
                last = [line async for line in lines(client, service.id, LogSubscriptionOptions(tail=-2))]
                assert sorted(last) == [(node, "more") for node in nodes]
