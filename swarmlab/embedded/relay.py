"""One socket before several nodes: calls go on to whichever manager is there, byte for byte."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc

from swarmlab.edges.grpc.sockets import address

#: Metadata that each connection makes for itself.
_OF_THE_CONNECTION = frozenset({"user-agent", "te", "content-type", "host"})
_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
)


class Relay(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Passes every call on, of whatever kind: on the wire each is a stream of requests and a stream of answers.

    Args:
        own: Answers what is not passed on.
        target: The socket of a node that answers as a manager; None while there is none.
    """

    def __init__(self, own: grpc.GenericRpcHandler, target: Callable[[], Path | None]) -> None:
        self._own = own
        self._target = target

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """A handler for the method, whichever it is."""
        own = self._own.service(details)
        if own is not None:
            return own
        method = details.method

        async def passed_on(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            path = self._target()
            if path is None:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "no manager of this process runs")
                return
            sent = tuple((k, v) for k, v in context.invocation_metadata() or () if k not in _OF_THE_CONNECTION)
            async with grpc.aio.insecure_channel(address(path), options=_OPTIONS) as channel:
                call = channel.stream_stream(method)(requests, timeout=context.time_remaining(), metadata=sent)
                try:
                    async for answer in call:
                        yield answer
                except grpc.aio.AioRpcError as error:
                    trailing = tuple(error.trailing_metadata() or ())
                    await context.abort(error.code(), error.details() or "", trailing)
                finally:
                    call.cancel()

        return grpc.stream_stream_rpc_method_handler(passed_on)
