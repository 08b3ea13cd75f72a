"""A worker that starts tasks and then waits to be killed: `worker_for_kill.py BASE CLUSTER NODE TASK=LINE ...`."""

import asyncio
import sys
from pathlib import Path

from swarmlab.agent.exec import Dependencies
from swarmlab.api import Annotations, ContainerSpec, NodeId, Task, TaskId, TaskSpec
from swarmlab.edges.driver import LiveClock
from swarmlab.edges.nodefacts import NodeFacts
from swarmlab.edges.process import ProcessExecutor


async def main(base: str, cluster: str, node: str, *lines: str) -> None:
    """Start the tasks, say so, and wait."""
    executor = ProcessExecutor(
        Path(base), NodeFacts(node_id=NodeId(node), cluster=cluster, hostname="host1"), LiveClock()
    )
    await executor.adopt([])
    for line in lines:
        name, _, script = line.partition("=")
        spec = TaskSpec(container=ContainerSpec(image="none", command=("sh", "-c", script)))
        task = Task(id=TaskId(name), service_annotations=Annotations("web"), spec=spec)
        controller = executor.controller(task, Dependencies())
        await controller.prepare()
        await controller.start()
    print("started", flush=True)
    await asyncio.get_running_loop().create_future()


asyncio.run(main(*sys.argv[1:]))
