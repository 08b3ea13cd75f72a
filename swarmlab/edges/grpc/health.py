"""Whether the parts of a server serve."""

from collections.abc import Callable, Mapping
from typing import Any

import grpc

from swarmlab.api import NotFound
from swarmlab.api.proto.health_pb2 import DESCRIPTOR, HealthCheckRequest, HealthCheckResponse
from swarmlab.edges.grpc.errors import raised_by
from swarmlab.edges.grpc.handlers import Unary

SERVICE = DESCRIPTOR.services_by_name["Health"]
#: The part of a manager that takes part in consensus, or is about to.
RAFT = "Raft"
#: {part: whether it serves}
Parts = Mapping[str, Callable[[], bool]]


def _as_long_as_it_answers() -> bool:
    return True


#: The parts of the local server; the empty name is the server itself.
LOCAL: Parts = {"": _as_long_as_it_answers, "ControlAPI": _as_long_as_it_answers}


def methods(parts: Parts = LOCAL) -> Mapping[str, Unary]:
    """{method: how it is answered}."""

    async def check(request: HealthCheckRequest) -> Any:
        """Whether the part serves. Raises `NotFound` for one that is not here."""
        serves = parts.get(request.service)
        if serves is None:
            wanted = ", ".join(part for part in sorted(parts) if part)
            raise NotFound(f"health: no part {request.service!r} here, wanted: {wanted} or nothing")
        return HealthCheckResponse(status=HealthCheckResponse.SERVING if serves() else HealthCheckResponse.NOT_SERVING)

    return {"Check": check}


async def serves(channel: grpc.aio.Channel, part: str, seconds: float) -> bool:
    """Whether the part of the server at the other end serves.

    Raises:
        The error that the server answered; `StateError` where none was reached.
    """
    check = channel.unary_unary(
        f"/{SERVICE.full_name}/Check",
        request_serializer=HealthCheckRequest.SerializeToString,
        response_deserializer=HealthCheckResponse.FromString,
    )
    try:
        answer = await check(HealthCheckRequest(service=part), timeout=seconds)
    except grpc.aio.AioRpcError as error:
        raise raised_by(error, "Check") from error
    return bool(answer.status == HealthCheckResponse.SERVING)
