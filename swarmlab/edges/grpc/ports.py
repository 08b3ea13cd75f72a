"""What the control server needs of the manager, the tasks' output and the laboratory behind it."""

import random
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol, TypeVar

from swarmlab.api import (
    Changes,
    Explanation,
    Instant,
    LabEvent,
    LabStatus,
    LogMessage,
    LogSelector,
    LogSubscriptionOptions,
    ManagerStatus,
    NodeId,
    StrategyInfo,
    TaskId,
    Violation,
)
from swarmlab.store import Committed, Snapshot

T = TypeVar("T")

#: What a request does: from the view, entropy for ids and the time, to changes and the answer.
Request = Callable[[Snapshot, random.Random, Instant], tuple[Changes, T]]


class Subscription(Protocol):
    """A follower of the commits."""

    def cancel(self) -> None:
        """Deliver no more."""


class ControlPlane(Protocol):
    """The manager, as a server of requests sees it."""

    @property
    def view(self) -> Snapshot:
        """The committed state."""

    def managers(self) -> Mapping[NodeId, ManagerStatus] | None:
        """{node: its place in the managers' group}; None where one manager decides alone."""

    async def mutate(self, request: Request[T]) -> T:
        """Commit what `request` asks for, and its answer once it is final.

        Raises what the request does and what the store does. A caller that goes away takes nothing back.
        """

    def watch(self, since: int | None, deliver: Callable[[Committed], None]) -> Subscription:
        """Deliver every commit after `since`, the past ones before this returns; or, with None, from now on.

        Raises:
            OutOfSequence: The past is not held that far back.
        """


class LogSource(Protocol):
    """The output of tasks, wherever they run. `TaskLogs` makes one from tasks that can be read one by one."""

    def logs(self, selector: LogSelector, options: LogSubscriptionOptions) -> AsyncIterator[LogMessage]:
        """The wanted lines. Closing the iterator ends the reading.

        Raises:
            NotFound: Something that the selector names is not there.
            Precondition: At the end, when lines are missing; the message says which and why.
        """


class Lab(Protocol):
    """The laboratory around the cluster."""

    def explain(self, task_id: TaskId) -> Explanation:
        """Why the task is where it is. Raises `NotFound`."""

    def violations(self) -> tuple[Violation, ...]:
        """The tasks that break a hard affinity term where they are now."""

    def status(self) -> LabStatus:
        """The cluster at a glance."""

    def strategies(self) -> tuple[StrategyInfo, ...]:
        """The strategies that can be chosen."""

    async def stop_worker(self, name: str) -> None:
        """Kill a worker as a loss of power does. Raises `NotFound`, or `Precondition` where it does not run."""

    async def start_worker(self, name: str) -> None:
        """Revive a worker. Raises `NotFound`, or `Precondition` where it runs."""

    def events(self, since: int = 0) -> tuple[LabEvent, ...]:
        """What the parts recorded after that index, as far as it is kept, oldest first."""

    def follow_events(self, since: int = 0) -> AsyncIterator[LabEvent]:
        """The same, and then each as it happens."""
