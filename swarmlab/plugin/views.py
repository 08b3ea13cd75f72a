"""The cluster as plugins and strategies see it."""

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from msgspec import field

from swarmlab.api import Duration, Instant, NodeId, ServiceId, TaskId, TaskState, Value
from swarmlab.plugin.arrays import Floats, Ints
from swarmlab.plugin.decisions import Moves, Placement, Plan, Refusals, Scores
from swarmlab.plugin.groups import Group
from swarmlab.plugin.nodes import NodeTable


class ServiceView(Value, frozen=True, kw_only=True):
    """One service."""

    id: ServiceId
    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    #: "replicated", "global", "replicated-job" or "global-job".
    mode: str = "replicated"
    #: Wanted tasks; of jobs the wanted completions; 0 for the global kinds.
    replicas: int = 0
    spec_version: int = 0


class TaskView(Value, frozen=True, kw_only=True):
    """One task that is on a node."""

    id: TaskId
    service: ServiceId = ServiceId("")
    #: 1.. for replicated services; 0 for the global kinds.
    slot: int = 0
    node_id: NodeId
    state: TaskState
    desired_state: TaskState
    spec_version: int = 0
    #: Since it was created.
    age: Duration = Duration(0)
    #: Labels of the task itself.
    labels: Mapping[str, str] = field(default_factory=dict)
    #: Volumes that live on its node alone: (type, source, target).
    local_volumes: tuple[tuple[str, str, str], ...] = ()

    @property
    def active(self) -> bool:
        """On its node to stay: not told to stop, not at its end."""
        return self.desired_state <= TaskState.COMPLETE and TaskState.ASSIGNED <= self.state <= TaskState.RUNNING


class ClusterView(ABC):
    """One version of the cluster, decided against as a whole. Immutable; `after` gives a what-if branch.

    A view is good until the decision is made: keep what you computed, not the view.
    """

    @property
    @abstractmethod
    def nodes(self) -> NodeTable:
        """All nodes; free amounts count what this branch placed already."""

    @property
    @abstractmethod
    def version(self) -> int:
        """Of the store; a branch has that of its root."""

    @property
    @abstractmethod
    def now(self) -> Instant: ...

    @property
    @abstractmethod
    def rng(self) -> random.Random:
        """Seeded by the run; the only source of chance."""

    @property
    @abstractmethod
    def options(self) -> Mapping[str, Any]:
        """{"plugin.option": value} of the plugins in use, defaults filled in."""

    @property
    @abstractmethod
    def services(self) -> Mapping[ServiceId, ServiceView]:
        """All services, in the order of their ids."""

    @abstractmethod
    def tasks_of(self, service: ServiceId) -> tuple[TaskView, ...]:
        """Its tasks between ASSIGNED and RUNNING, by id; those told to stop too (see `TaskView.active`)."""

    @abstractmethod
    def task(self, task: TaskId) -> TaskView | None:
        """A task between ASSIGNED and RUNNING."""

    @abstractmethod
    def group_of(self, service: ServiceId, count: int = 1) -> Group:
        """`count` further tasks of that service as it is now. Raises NotFound."""

    @abstractmethod
    def refusals(self, group: Group) -> tuple[Refusals, ...]:
        """Every reason that refuses any node, in the order of the filters; a node may be refused for several."""

    @abstractmethod
    def capacity(self, group: Group) -> Ints:
        """How many more tasks of `group` each node could take, 0 where a filter refuses.

        The least over resources, replicas per node and host ports, and never more than `group.count`.
        """

    @abstractmethod
    def score_parts(self, group: Group) -> tuple[Scores, ...]:
        """What the strategy in use and each score hook say, with their names; without those that said nothing."""

    @abstractmethod
    def scores(self, group: Group) -> Floats:
        """The weighted sum of `score_parts`; zeros without any."""

    @abstractmethod
    def after(self, change: Plan | Placement | Moves) -> "ClusterView":
        """The cluster as it would be with those tasks placed, or moved, and running.

        Costs the change, and a copy of each column that it touches. Nothing is checked: amounts may become negative.
        A branch knows the new tasks by their counts alone: `tasks_of` here still lists the old ones where they were.
        """

    @abstractmethod
    def misfit(self, plan: Plan) -> str | None:
        """What of `plan` does not fit when its placements are taken in order, in words; None: all of it fits.

        Cheap for a plan whose placements were each handed to `after`, in their order, when `capacity` had been asked.
        """
