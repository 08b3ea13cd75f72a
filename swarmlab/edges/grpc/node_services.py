"""The services that nodes call for as long as they live, answered by the components behind a switchboard."""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from google.protobuf.message import Message

from swarmlab.api import (
    AssignmentsRequest,
    AttachNetworkRequest,
    DetachNetworkRequest,
    HeartbeatRequest,
    ListenSubscriptionsRequest,
    PublishLogsMessage,
    SessionRequest,
    StateError,
    TasksRequest,
    UpdateTaskStatusRequest,
    UpdateVolumeStatusRequest,
    Value,
)
from swarmlab.api.proto import dispatcher_pb2, logbroker_pb2, resource_pb2
from swarmlab.api.wire import decode, encode
from swarmlab.edges.grpc.gate import calling, calling_node
from swarmlab.edges.grpc.handlers import Collect, Stream, Unary
from swarmlab.edges.grpc.switchboard import Switchboard

DISPATCHER = dispatcher_pb2.DESCRIPTOR.services_by_name["Dispatcher"]
LOG_BROKER = logbroker_pb2.DESCRIPTOR.services_by_name["LogBroker"]
RESOURCE_ALLOCATOR = resource_pb2.DESCRIPTOR.services_by_name["ResourceAllocator"]


def dispatcher_methods(board: Switchboard) -> Mapping[str, Unary]:
    """{method: how it is answered} of the dispatcher, without the streams."""
    return {
        "Heartbeat": _asks(board, HeartbeatRequest),
        "UpdateTaskStatus": _asks(board, UpdateTaskStatusRequest),
        "UpdateVolumeStatus": _asks(board, UpdateVolumeStatusRequest),
    }


def dispatcher_streams(board: Switchboard) -> Mapping[str, Stream]:
    """{method: how it is answered} of the dispatcher's streams."""

    async def session(request: Any) -> AsyncIterator[Message]:
        node_id, address = calling_node(), calling().origin.address
        async with aclosing(board.session(node_id, address, decode(SessionRequest, request))) as messages:
            async for message in messages:
                if not message.managers:
                    # A stock worker forgets whoever is not in the list, and with nobody left it is stranded for good.
                    raise StateError(f"no manager is known of which node {node_id} could be told, wanted: one at least")
                yield encode(message)

    return {
        "Session": session,
        "Tasks": _streams(board, TasksRequest),
        "Assignments": _streams(board, AssignmentsRequest),
    }


def log_broker_streams(board: Switchboard) -> Mapping[str, Stream]:
    """{method: how it is answered} of the log broker, for nodes that listen."""
    return {"ListenSubscriptions": _streams(board, ListenSubscriptionsRequest)}


def log_broker_collecting(board: Switchboard) -> Mapping[str, Collect]:
    """{method: how it is answered} of the log broker, for nodes that publish."""

    async def publish(requests: AsyncIterator[Any]) -> Message:
        async def messages() -> AsyncIterator[PublishLogsMessage]:
            async for request in requests:
                yield decode(PublishLogsMessage, request)

        return encode(await board.publish(calling_node(), messages()))

    return {"PublishLogs": publish}


def resource_allocator_methods(board: Switchboard) -> Mapping[str, Unary]:
    """{method: how it is answered} of the attachments."""
    return {
        "AttachNetwork": _asks(board, AttachNetworkRequest),
        "DetachNetwork": _asks(board, DetachNetworkRequest),
    }


def _asks(board: Switchboard, kind: type[Value]) -> Unary:
    async def ask(request: Any) -> Message:
        return encode(await board.ask(calling_node(), decode(kind, request)))

    return ask


def _streams(board: Switchboard, kind: type[Value]) -> Stream:
    async def stream(request: Any) -> AsyncIterator[Message]:
        async with aclosing(board.stream(calling_node(), decode(kind, request))) as messages:
            async for message in messages:
                yield encode(message)

    return stream
