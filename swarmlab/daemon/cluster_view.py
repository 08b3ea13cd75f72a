"""What the gate, the forwarder and the Raft group are to the services of a manager."""

import asyncio
from collections.abc import Callable, Collection
from typing import TypeVar

from swarmlab.api import ClusterId, Instant, ManagerStatus, NodeId, NotFound, NotLeader, Peer, WeightedPeer
from swarmlab.daemon.doorstep import look
from swarmlab.daemon.worker_part import WEIGHT
from swarmlab.edges.grpc.forwarding import Channels
from swarmlab.edges.grpc.membership import Admitted, Member
from swarmlab.manager.controlapi.nodes import current_blacklist
from swarmlab.node import Joined, Manager, Replica
from swarmlab.raft import RaftId

T = TypeVar("T")


class Belonging:
    """Which certificates count: the gate's view of the cluster.

    Args:
        cluster_id: What certificates say as their organisation.
        manager: Knows who was removed.
        clock: Black lists end.
    """

    def __init__(self, cluster_id: ClusterId, manager: Manager, clock: Callable[[], Instant]) -> None:
        self.cluster_id = cluster_id
        self._manager = manager
        self._clock = clock

    @property
    def blocked(self) -> Collection[NodeId | str]:
        """Nodes that were removed and whose certificates have not run out."""
        cluster = self._manager.view.cluster()
        if cluster is None or not cluster.blacklisted_certificates:
            return ()
        return current_blacklist(cluster, self._clock()).keys()


class Lead:
    """Who leads, as this manager knows it."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    @property
    def leads(self) -> bool:
        """It is this manager."""
        return self._replica.leads

    @property
    def leader_addr(self) -> str:
        """host:port of another manager that leads; empty where none is known."""
        leader = self._replica.leader
        return leader.addr if leader is not None and leader.raft_id != self._replica.member.raft_id else ""


class ManagersGroup:
    """The Raft group, as calls of other managers see it.

    Args:
        replica: This manager's part in it.
        channels: Opens a connection to a manager that wants to come in.
    """

    def __init__(self, replica: Replica, channels: Channels) -> None:
        self._replica = replica
        self._channels = channels

    async def join(self, node_id: NodeId, addr: str) -> Admitted:
        """Let the manager at that address in, if it is reached there.

        Raises:
            NotLeader: This one cannot.
            Precondition: It is not reached.
            SwarmlabError: What became of the change.
        """
        if not self._replica.leads:
            raise NotLeader
        await look(self._channels, node_id, addr)
        ended: asyncio.Future[Joined] = asyncio.get_running_loop().create_future()
        self._replica.join(node_id, addr, lambda joined, error: _end(ended, joined, error))
        joined = await ended
        members = tuple(Member(member.raft_id, member.node_id, member.addr) for member in joined.roster.members)
        return Admitted(joined.member.raft_id, members, joined.roster.removed)

    async def leave(self, raft_id: int) -> None:
        """Let a member go for good. Raises `NotFound`, `Precondition` where the rest had no quorum, `NotLeader`."""
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._replica.leave(RaftId(raft_id), lambda error: _end(ended, None, error))
        await ended

    def address_of(self, raft_id: int) -> str:
        """host:port of a member. Raises `NotFound`."""
        member = self._replica.roster.get(RaftId(raft_id))
        if member is None:
            raise NotFound(f"no member of the raft group has the id {raft_id}")
        return member.addr

    def peers(self) -> tuple[WeightedPeer, ...]:
        """The managers as workers are told of them."""
        return tuple(WeightedPeer(Peer(member.node_id, member.addr), WEIGHT) for member in self._replica.members())

    def statuses(self) -> dict[NodeId, ManagerStatus]:
        """{node: its place in the group}."""
        return dict(self._replica.managers())


def _end(future: "asyncio.Future[T]", answer: T | None, error: Exception | None) -> None:
    """End a future that its waiter may have given up."""
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(answer)  # type: ignore[arg-type]  # None is what a future of None takes
