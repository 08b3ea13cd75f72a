"""The error tree and gRPC's status codes, in both directions.

A status code is coarser than the tree, so the exact class travels beside it in the trailing metadata, as an
`ErrorDetail`. Programs that do not know it see code and message; errors of programs that do not send it become the
class that stands for the code.
"""

import logging
from collections.abc import Iterable
from typing import Any

from grpc import StatusCode as Code
from grpc.aio import AioRpcError

from swarmlab.api import (
    AlreadyExists,
    ExecutorError,
    Forbidden,
    InvalidSpec,
    Locked,
    NameConflict,
    NotFound,
    NotLeader,
    OutOfSequence,
    PluginError,
    Precondition,
    ProposalDropped,
    ProposalUnknown,
    StateError,
    SwarmlabError,
    TooLarge,
    UnknownPlugin,
    Unsupported,
)
from swarmlab.api.proto.lab_pb2 import ErrorDetail

_log = logging.getLogger(__name__)

#: Key of the metadata that carry the `ErrorDetail`.
DETAIL = "swarmlab-error-bin"
#: Bytes of a message on its way, where each byte outside of ASCII takes three: with the detail it has to fit the 8 KiB
#: that clients accept as metadata.
MESSAGE_BYTES = 6000

#: {class: status code}. A class of the tree that is not here has the code of its nearest ancestor.
CODES: dict[type[SwarmlabError], Code] = {
    SwarmlabError: Code.UNKNOWN,
    InvalidSpec: Code.INVALID_ARGUMENT,
    NotFound: Code.NOT_FOUND,
    AlreadyExists: Code.ALREADY_EXISTS,
    NameConflict: Code.ALREADY_EXISTS,
    OutOfSequence: Code.ABORTED,
    Precondition: Code.FAILED_PRECONDITION,
    Forbidden: Code.PERMISSION_DENIED,
    Unsupported: Code.UNIMPLEMENTED,
    TooLarge: Code.RESOURCE_EXHAUSTED,
    NotLeader: Code.UNAVAILABLE,
    ProposalDropped: Code.UNAVAILABLE,
    ProposalUnknown: Code.DEADLINE_EXCEEDED,
    PluginError: Code.INTERNAL,
    UnknownPlugin: Code.INVALID_ARGUMENT,
    ExecutorError: Code.INTERNAL,
    StateError: Code.INTERNAL,
    Locked: Code.FAILED_PRECONDITION,
}
#: {status code: class} for errors that come without their class.
CLASSES: dict[Code, type[SwarmlabError]] = {
    Code.INVALID_ARGUMENT: InvalidSpec,
    Code.OUT_OF_RANGE: InvalidSpec,
    Code.NOT_FOUND: NotFound,
    Code.ALREADY_EXISTS: AlreadyExists,
    Code.ABORTED: OutOfSequence,
    Code.FAILED_PRECONDITION: Precondition,
    Code.PERMISSION_DENIED: Forbidden,
    Code.UNAUTHENTICATED: Forbidden,
    Code.UNIMPLEMENTED: Unsupported,
    Code.RESOURCE_EXHAUSTED: TooLarge,
}
_NAMED = {cls.__name__: cls for cls in CODES}
#: How a stock manager words a stale version, for which it has no code.
_STALE = "update out of sequence"

Metadata = tuple[tuple[str, bytes], ...]


def status_of(error: BaseException) -> tuple[Code, str, Metadata]:
    """Code, message and metadata that say `error` to a client.

    What is not of the tree is our own fault: the client hears INTERNAL, the log all of it.
    """
    if not isinstance(error, SwarmlabError):
        _log.error("request_failed error=%r", error, exc_info=error)
        return Code.INTERNAL, _cut(f"internal error: {type(error).__name__}: {error}"), ()
    kind = next(cls for cls in type(error).__mro__ if cls in CODES)
    detail = ErrorDetail(kind=kind.__name__)
    match error:
        case NotLeader():
            detail.hint = error.hint
        case PluginError():
            detail.plugin, detail.hook = error.plugin, error.hook
            if isinstance(error, UnknownPlugin):
                detail.near.extend(error.near)
        case ExecutorError():
            detail.temporary = error.temporary
            if error.exit_code is not None:
                detail.exit_code.value = error.exit_code
    return CODES[kind], _cut(str(error)), ((DETAIL, detail.SerializeToString()),)


def error_of(code: Code, message: str, metadata: Iterable[tuple[str, Any]]) -> SwarmlabError | None:
    """The error of the tree that a status says; None for codes that are about the call and not about the request."""
    for key, value in metadata:
        if key == DETAIL:
            detail = ErrorDetail.FromString(value)
            if detail.kind in _NAMED:
                return _made(_NAMED[detail.kind], message, detail)
    if code is Code.UNKNOWN:
        return OutOfSequence(message) if _STALE in message else SwarmlabError(message)
    if code in (Code.INTERNAL, Code.DATA_LOSS):
        return SwarmlabError(message)
    return CLASSES[code](message) if code in CLASSES else None


def raised_by(error: AioRpcError, method: str) -> SwarmlabError:
    """The error of the tree for a call that a manager refused, did not answer, or did not get.

    What may have been done all the same is `ProposalUnknown`.
    """
    code, message = error.code(), error.details() or ""
    known = error_of(code, message, error.trailing_metadata() or ())
    if known is not None:
        return known
    if code is Code.UNAVAILABLE and "failed to connect" in message:
        return StateError(f"{method}: {message}")
    return ProposalUnknown(f"{method}: {code.name}: {message}")


def _cut(message: str) -> str:
    """As much of `message` as a client takes; lone surrogates, which no wire carries, as question marks."""
    message = message.encode(errors="replace").decode()
    size = 0
    for place, letter in enumerate(message):
        size += 1 if " " <= letter <= "~" and letter != "%" else 3 * len(letter.encode())
        if size > MESSAGE_BYTES:
            return f"{message[: max(0, place - 3)]}..."
    return message


def _made(cls: type[SwarmlabError], message: str, detail: ErrorDetail) -> SwarmlabError:
    """An error of that very class, which says `message` whatever its constructor would say."""
    error = cls.__new__(cls)
    error.args = (message,)
    match error:
        case NotLeader():
            error.hint = detail.hint
        case PluginError():
            error.plugin, error.hook = detail.plugin, detail.hook
            if isinstance(error, UnknownPlugin):
                error.near = tuple(detail.near)
        case ExecutorError():
            error.temporary = detail.temporary
            error.exit_code = detail.exit_code.value if detail.HasField("exit_code") else None
    return error
