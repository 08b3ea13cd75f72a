"""The laboratory around a manager: explanations, strategies, the story of this process."""

from collections.abc import AsyncIterator
from typing import Protocol

from swarmlab.api import Explanation, LabEvent, LabStatus, StrategyInfo, TaskId, Unsupported, Violation, WorkerInfo
from swarmlab.daemon.story import Story
from swarmlab.node import Manager
from swarmlab.plugin import Host


class Keeper(Protocol):
    """Whoever runs several nodes in one process, and can kill and revive them."""

    def nodes(self) -> tuple[WorkerInfo, ...]:
        """The nodes by name."""

    async def stop_node(self, name: str) -> None:
        """Kill a node as a loss of power does. Raises `NotFound`, or `Precondition` where it does not run."""

    async def start_node(self, name: str) -> None:
        """Revive a node. Raises `NotFound`, or `Precondition` where it runs."""


class Laboratory:
    """The `Lab` of one manager."""

    def __init__(self, manager: Manager, host: Host, story: Story, state_dir: str, keeper: Keeper | None) -> None:
        self._manager = manager
        self._host = host
        self._story = story
        self._state_dir = state_dir
        self._keeper = keeper

    def explain(self, task_id: TaskId) -> Explanation:
        """Why the task is where it is. Raises `NotFound`."""
        return self._manager.explain(task_id)

    def violations(self) -> tuple[Violation, ...]:
        """The tasks that break a hard affinity term where they are now."""
        return self._manager.violations()

    def status(self) -> LabStatus:
        """The cluster at a glance."""
        cluster = self._manager.view.cluster()
        return LabStatus(
            cluster_id=cluster.id if cluster is not None else "",
            strategy=self._host.strategy.name,
            version=self._manager.view.version,
            state_dir=self._state_dir,
            workers=self._keeper.nodes() if self._keeper is not None else (),
        )

    def strategies(self) -> tuple[StrategyInfo, ...]:
        """The strategies that can be chosen."""
        return self._host.strategies()

    async def stop_worker(self, name: str) -> None:
        """Kill a node of this process. Raises `Unsupported` where it runs one alone."""
        await self._nodes(name).stop_node(name)

    async def start_worker(self, name: str) -> None:
        """Revive a node of this process. Raises `Unsupported` where it runs one alone."""
        await self._nodes(name).start_node(name)

    def events(self, since: int = 0) -> tuple[LabEvent, ...]:
        """What this process recorded after that index, as far as it is kept."""
        return self._story.since(since)

    def follow_events(self, since: int = 0) -> AsyncIterator[LabEvent]:
        """The same, and then each as it happens."""
        return self._story.follow(since)

    def _nodes(self, name: str) -> Keeper:
        if self._keeper is None:
            raise Unsupported(
                f"node {name}: this process runs one node alone, and ends with it; 'swarmlab node update "
                "--availability drain' takes its tasks away"
            )
        return self._keeper
