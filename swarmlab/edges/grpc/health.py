"""Whether the parts of this server serve: as long as it answers, those that it has do."""

from collections.abc import Mapping
from typing import Any

from swarmlab.api import NotFound
from swarmlab.api.proto.health_pb2 import DESCRIPTOR, HealthCheckRequest, HealthCheckResponse
from swarmlab.edges.grpc.handlers import Unary

SERVICE = DESCRIPTOR.services_by_name["Health"]
#: Names that may be asked for; the empty one is the server itself.
PARTS = ("", "ControlAPI")


async def check(request: HealthCheckRequest) -> Any:
    """SERVING. Raises `NotFound` for a part that is not here."""
    if request.service not in PARTS:
        raise NotFound(f"health: no part {request.service!r} here, wanted: ControlAPI or nothing")
    return HealthCheckResponse(status=HealthCheckResponse.SERVING)


def methods() -> Mapping[str, Unary]:
    """{method: how it is answered}."""
    return {"Check": check}
