"""The executor that runs tasks as containers of a local Docker Engine."""

import asyncio
import logging
import os
from collections.abc import Collection
from typing import Any

from swarmlab.agent.exec import Controller, Dependencies
from swarmlab.api import (
    EncryptionKey,
    EngineDescription,
    Node,
    NodeDescription,
    Platform,
    PluginDescription,
    Task,
    TaskId,
)
from swarmlab.edges.docker.container import CLUSTER_LABEL, NETWORK_MODES, NODE_LABEL, container_of
from swarmlab.edges.docker.controller import DockerController
from swarmlab.edges.docker.engine import Engine
from swarmlab.edges.docker.errors import EngineRefusalError
from swarmlab.edges.docker.events import TASK_LABEL
from swarmlab.edges.docker.pulls import PULL_VARIABLE, Pulls, pull_policy
from swarmlab.edges.nodefacts import NodeFacts, declared_resources
from swarmlab.edges.taskfiles import TaskFiles, private_place

_log = logging.getLogger(__name__)

#: Networks that this executor can put a container on. An engine that is not in swarm mode has no overlay of a cluster,
#: and its drivers for a node's own networks need a network of that name, which nobody makes here.
NETWORK_DRIVERS = frozenset(NETWORK_MODES)


class DockerExecutor:
    """Tasks as containers of `engine`, which other nodes and other programs may use too: ours bear the node's label.

    Tasks go on without this object; `adopt` of a later one finds them. `engine` is closed by who made it.
    `pull` is the policy for tasks without the label `swarmlab.pull`.
    """

    def __init__(self, engine: Engine, facts: NodeFacts, pull: str | None = None) -> None:
        self.engine = engine
        self.facts = facts
        self.pull = pull_policy({}, pull or os.environ.get(PULL_VARIABLE, "always"))
        self.pulls = Pulls(engine)
        self.files = TaskFiles(private_place("docker", facts.cluster, facts.node_id))
        #: Tasks that have a container here, as far as this object knows.
        self.present: set[TaskId] = set()
        self._platform: Platform | None = None

    async def describe(self) -> NodeDescription:
        """What the engine tells of itself, and `facts` of this node where several share the engine."""
        info: dict[str, Any] = await self.engine.call(lambda api: api.info())
        self._platform = Platform(architecture=info["Architecture"], os=info["OSType"])
        if (info.get("Swarm") or {}).get("LocalNodeState") not in (None, "", "inactive"):
            _log.warning("engine_in_swarm_mode url=%s", self.engine.url)
        labels = dict(label.partition("=")[::2] for label in info.get("Labels") or ())
        plugins = {
            (kind, name) for kind, names in (info.get("Plugins") or {}).items() for name in names or () if kind and name
        }
        plugins = {(kind, name) for kind, name in plugins if kind != "Network" or name in NETWORK_DRIVERS}
        return NodeDescription(
            hostname=self.facts.hostname or info["Name"],
            platform=self._platform,
            resources=declared_resources(self.facts, info["NCPU"] * 1_000_000_000, info["MemTotal"]),
            engine=EngineDescription(
                engine_version=info["ServerVersion"],
                labels=dict(sorted({**labels, **self.facts.labels}.items())),
                plugins=tuple(PluginDescription(type=kind, name=name) for kind, name in sorted(plugins)),
            ),
        )

    async def platform(self) -> Platform:
        """The engine's platform, asked for once."""
        if self._platform is None:
            info: dict[str, Any] = await self.engine.call(lambda api: api.info())
            self._platform = Platform(architecture=info["Architecture"], os=info["OSType"])
        return self._platform

    async def adopt(self, tasks: Collection[TaskId]) -> None:
        """Find our containers again, and remove those of none of `tasks`."""
        await self.engine.events.open()
        found = await containers(self.engine, self.facts.cluster, self.facts.node_id)
        await _remove(self.engine, [container for container, task in found if task not in tasks])
        self.present = {task for _, task in found if task in tasks}
        self.files.keep(tasks)

    def controller(self, task: Task, dependencies: Dependencies) -> Controller:
        """The controller of that task; a task without a container spec is refused."""
        container_of(task)
        return DockerController(self, task, dependencies)

    async def configure(self, node: Node | None, keys: tuple[EncryptionKey, ...]) -> None:
        """Nothing of it concerns containers on the engine's own networks."""

    async def close(self) -> None:
        """Break off pulls. Containers go on."""
        await self.pulls.close()

    async def kill_all(self) -> None:
        """The node dies: remove every container of it at once, and its files."""
        await remove_containers(self.engine, self.facts.cluster, self.facts.node_id)
        self.present.clear()
        self.files.keep(())


async def containers(engine: Engine, cluster: str, node: str = "") -> list[tuple[str, TaskId]]:
    """Ids and tasks of our containers, of one node or of the whole cluster; running or not, sorted by task."""
    labels = [f"{CLUSTER_LABEL}={cluster}"] + ([f"{NODE_LABEL}={node}"] if node else [])
    found: list[dict[str, Any]] = await engine.call(lambda api: api.containers(all=True, filters={"label": labels}))
    return sorted(
        ((one["Id"], TaskId(one["Labels"].get(TASK_LABEL, ""))) for one in found), key=lambda pair: (pair[1], pair[0])
    )


async def remove_containers(engine: Engine, cluster: str, node: str = "") -> int:
    """Kill and delete our containers, of one node or of the whole cluster; how many there were."""
    found = await containers(engine, cluster, node)
    await _remove(engine, [container for container, _ in found])
    return len(found)


async def _remove(engine: Engine, ids: Collection[str]) -> None:
    async def one(container: str) -> None:
        try:
            await engine.call(lambda api: api.remove_container(container, v=True, force=True))
        except EngineRefusalError as error:
            if error.status not in (404, 409):  # gone, or going
                raise

    results = await asyncio.gather(*(one(container) for container in ids), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
