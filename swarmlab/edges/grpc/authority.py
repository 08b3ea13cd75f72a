"""The services of the certificate authority, answered by the component behind a switchboard."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.message import Message

from swarmlab.api import (
    GetRootCACertificateRequest,
    GetUnlockKeyRequest,
    IssueNodeCertificateRequest,
    NodeCertificateStatusRequest,
    Value,
)
from swarmlab.api.proto import ca_pb2
from swarmlab.api.wire import decode, encode
from swarmlab.ca import Asked
from swarmlab.edges.grpc.attempts import Attempts
from swarmlab.edges.grpc.gate import calling
from swarmlab.edges.grpc.handlers import Unary
from swarmlab.edges.grpc.switchboard import Switchboard

CA = ca_pb2.DESCRIPTOR.services_by_name["CA"]
NODE_CA = ca_pb2.DESCRIPTOR.services_by_name["NodeCA"]
#: The address of callers without a certificate: answers are told apart by the number of the call.
STRANGER = "stranger"


def ca_methods(board: Switchboard) -> Mapping[str, Unary]:
    """{method: how it is answered} of the root and of the unlock key."""

    async def root(request: Any) -> Message:
        return encode(await _asked(board, decode(GetRootCACertificateRequest, request)))

    async def unlock_key(request: Any) -> Message:
        return encode(await _asked(board, decode(GetUnlockKeyRequest, request)))

    return {"GetRootCACertificate": root, "GetUnlockKey": unlock_key}


def node_ca_methods(board: Switchboard, attempts: Attempts) -> Mapping[str, Unary]:
    """{method: how it is answered} of the certificates of nodes. What strangers try and fail at is counted."""

    async def issue(request: Any) -> Message:
        return await tried(decode(IssueNodeCertificateRequest, request))

    async def status(request: Any) -> Message:
        return await tried(decode(NodeCertificateStatusRequest, request))

    async def tried(message: Value) -> Message:
        origin = calling().origin
        if origin.local or origin.identity is not None:
            return encode(await _asked(board, message))
        with attempts.attempt(origin.address):
            return encode(await _asked(board, message))

    return {"IssueNodeCertificate": issue, "NodeCertificateStatus": status}


async def _asked(board: Switchboard, message: Value) -> Any:
    origin = calling().origin
    sender = STRANGER if origin.identity is None else origin.identity.node_id
    return await board.ask(sender, Asked(origin, message))
