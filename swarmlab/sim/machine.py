"""A machine with a manager in a simulated cluster: its disk lasts, its lives come and go."""

from typing import Protocol

from swarmlab.api import (
    Availability,
    Duration,
    Membership,
    Node,
    NodeDescription,
    NodeId,
    NodeRole,
    NodeSpec,
    Value,
    seconds,
)
from swarmlab.node import Manager, MembershipPorts, Replica, ReplicaConfig
from swarmlab.raft import RaftId
from swarmlab.sim.disk import DiskModel, SimDisk
from swarmlab.sim.heap import HeapTimers
from swarmlab.sim.mesh import MeshModel
from swarmlab.store import Proposer, Snapshot


class GroupModel(Value, frozen=True, kw_only=True):
    """How managers among themselves behave."""

    tick: Duration = seconds(0.1)
    mesh: MeshModel = MeshModel()
    disk: DiskModel = DiskModel()
    raft: ReplicaConfig = ReplicaConfig()


class Making(Protocol):
    """Builds a manager from parts and ports."""

    def __call__(
        self, owner: "SimManager", proposer: Proposer, snapshot: Snapshot, membership: MembershipPorts, /
    ) -> Manager:
        """A manager that proposes there and begins with that state; its timers go to `owner.timers`."""


class SimManager:
    """A machine with a manager: its disk lasts, its lives come and go."""

    def __init__(self, name: str, disk: SimDisk) -> None:
        self.name = name
        self.disk = disk
        #: How often it was started; no two lives draw the same ids.
        self.lives = 0
        self.up = False
        #: It was told that it is no member any more, and runs no manager until it is promoted again.
        self.left = False
        self.timers: list[HeapTimers] = []
        self.manager: Manager | None = None
        self.replica: Replica | None = None

    @property
    def node_id(self) -> NodeId:
        """Its node in the cluster."""
        return NodeId(self.name)

    @property
    def raft_id(self) -> RaftId:
        """Its number in the group."""
        return self.disk.recovered.member.raft_id

    @property
    def leads(self) -> bool:
        """Whether it is up and takes proposals."""
        return self.up and self.replica is not None and self.replica.leads

    @property
    def running(self) -> tuple[Manager, Replica]:
        """Its present or last life."""
        assert self.manager is not None, f"manager {self.name} was never started"
        assert self.replica is not None, f"manager {self.name} was never started"
        return self.manager, self.replica


def manager_node(name: str) -> Node:
    """The node of a manager that takes no tasks."""
    return Node(
        id=NodeId(name),
        spec=NodeSpec(desired_role=NodeRole.MANAGER, membership=Membership.ACCEPTED, availability=Availability.DRAIN),
        role=NodeRole.MANAGER,
        description=NodeDescription(hostname=name),
    )
