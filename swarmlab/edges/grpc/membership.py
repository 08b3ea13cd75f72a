"""Entering and leaving the managers' Raft group, as server and as client.

Managers of this kind speak a Raft of their own. A stock engine that holds the manager token asks in the same words as
they do, so they say in the metadata what they speak; whoever does not is refused.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import grpc

from swarmlab.api import NodeId, NotFound, Precondition
from swarmlab.api.proto import health_pb2, membership_pb2
from swarmlab.edges.grpc.authorisation import RAFT, SPEAKS
from swarmlab.edges.grpc.errors import raised_by
from swarmlab.edges.grpc.gate import calling, calling_node
from swarmlab.edges.grpc.handlers import Unary

SERVICE = membership_pb2.DESCRIPTOR.services_by_name["RaftMembership"]
_CHECK = f"/{health_pb2.DESCRIPTOR.services_by_name['Health'].full_name}/Check"
RESOLVER = membership_pb2.DESCRIPTOR.services_by_name["Raft"]
#: Addresses that stand for the one of the connection.
_UNSPECIFIED = ("", "0.0.0.0", "[::]", "::")  # noqa: S104  # compared with, never bound


class Member(NamedTuple):
    """One manager of the group."""

    raft_id: int
    node_id: NodeId
    #: host:port.
    addr: str


class Admitted(NamedTuple):
    """What a new member is told."""

    raft_id: int
    members: Sequence[Member]
    #: Ids of members that are gone for good.
    removed: Sequence[int] = ()


class Group(Protocol):
    """The Raft group, as its members' calls see it."""

    async def join(self, node_id: NodeId, addr: str) -> Admitted:
        """Let the manager at that address in. Raises `NotLeader`, or what became of the change."""

    async def leave(self, raft_id: int) -> None:
        """Let a member go for good. Raises `NotFound`, `Precondition` where the rest had no quorum, `NotLeader`."""

    def address_of(self, raft_id: int) -> str:
        """host:port of a member. Raises `NotFound`."""


def methods(group: Group) -> Mapping[str, Unary]:
    """{method: how it is answered} of the membership."""

    async def join(request: Any) -> Any:
        caller = calling()
        node_id = calling_node()
        if caller.speaks != RAFT:
            raise Precondition(
                "this manager speaks its own Raft and takes managers of its own kind alone: join with the worker "
                "token, or run `swarmlab swarm join` on that machine"
            )
        admitted = await group.join(node_id, _reachable(request.addr, caller.origin.address))
        members = (
            membership_pb2.RaftMember(raft_id=raft_id, node_id=member_id, addr=addr)
            for raft_id, member_id, addr in admitted.members
        )
        return membership_pb2.JoinResponse(raft_id=admitted.raft_id, members=members, removed_members=admitted.removed)

    async def leave(request: Any) -> Any:
        await group.leave(request.node.raft_id)
        return membership_pb2.LeaveResponse()

    return {"Join": join, "Leave": leave}


def resolving(group: Group) -> Mapping[str, Unary]:
    """{method: how it is answered} of the search for members."""

    async def resolve(request: Any) -> Any:
        return membership_pb2.ResolveAddressResponse(addr=group.address_of(request.raft_id))

    return {"ResolveAddress": resolve}


async def join_group(channel: grpc.aio.Channel, addr: str, seconds: float) -> Admitted:
    """Ask the manager at the other end to let this one in, which listens at `addr`.

    Raises:
        Precondition: It is a stock manager. It might take this one in, and then wait for its vote in vain.
        The error that the manager answered; `StateError` where none did.
    """
    try:
        await _call(
            channel, _CHECK, health_pb2.HealthCheckRequest(service=RAFT), health_pb2.HealthCheckResponse, seconds
        )
    except NotFound as error:
        raise Precondition(
            "the managers of this swarm are stock ones, whose Raft this node does not speak, so it can only be a "
            "worker; stock managers do not take back a promotion that was not followed: leave the swarm, and join it "
            "with the worker token"
        ) from error
    answer = await _ask(channel, "Join", membership_pb2.JoinRequest(addr=addr), seconds)
    members = tuple(Member(member.raft_id, NodeId(member.node_id), member.addr) for member in answer.members)
    return Admitted(answer.raft_id, members, tuple(answer.removed_members))


async def leave_group(channel: grpc.aio.Channel, raft_id: int, seconds: float) -> None:
    """Ask the manager at the other end to let that member go. Raises as `join_group`."""
    request = membership_pb2.LeaveRequest(node=membership_pb2.RaftMember(raft_id=raft_id))
    await _ask(channel, "Leave", request, seconds)


async def _ask(channel: grpc.aio.Channel, method: str, request: Any, seconds: float) -> Any:
    answer = {"Join": membership_pb2.JoinResponse, "Leave": membership_pb2.LeaveResponse}[method]
    return await _call(channel, f"/{SERVICE.full_name}/{method}", request, answer, seconds)


async def _call(channel: grpc.aio.Channel, path: str, request: Any, answer: Any, seconds: float) -> Any:
    call = channel.unary_unary(
        path, request_serializer=type(request).SerializeToString, response_deserializer=answer.FromString
    )
    try:
        return await call(request, timeout=seconds, metadata=((SPEAKS, RAFT),))
    except grpc.aio.AioRpcError as error:
        raise raised_by(error, path.rpartition("/")[2]) from error


def _reachable(addr: str, seen: str) -> str:
    """The address, with the one of the connection in place of an unspecified one."""
    host, _, port = addr.rpartition(":")
    if host not in _UNSPECIFIED or not seen:
        return addr
    return f"[{seen}]:{port}" if ":" in seen else f"{seen}:{port}"
