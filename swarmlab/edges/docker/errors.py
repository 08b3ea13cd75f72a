"""What goes wrong on the way to an engine, in our words."""

import contextlib
from collections.abc import Iterator

import docker.errors
import requests.exceptions
import urllib3.exceptions

from swarmlab.api import ExecutorError

#: What the client raises when the engine is not there, or stops in the middle of an answer.
SILENT = (
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
    urllib3.exceptions.HTTPError,
    OSError,
)
#: Words of an engine that goes down or comes up; it will be itself again in a moment.
_PASSING = ("shutting down", "context canceled", "connection refused", "transport is closing", "connection reset")


class EngineSilentError(ExecutorError):
    """The engine does not answer; what was asked may or may not have been done."""

    def __init__(self, url: str, why: object) -> None:
        super().__init__(f"engine not reachable at {url}: {why}", temporary=True)


class EngineRefusalError(ExecutorError):
    """The engine said no, with an HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        passing = status == 503 or (status >= 500 and any(words in message for words in _PASSING))
        super().__init__(message, temporary=passing)
        self.status = status


@contextlib.contextmanager
def translated(url: str) -> Iterator[None]:
    """Errors of the client for the engine at `url`, as `ExecutorError`s."""
    try:
        yield
    except docker.errors.APIError as error:
        status = error.response.status_code if error.response is not None else 500
        raise EngineRefusalError(str(error.explanation or error).strip(), status) from error
    except SILENT as error:
        raise EngineSilentError(url, _innermost(error)) from error
    except docker.errors.DockerException as error:
        # The client's own, as when it cannot ask for the version.
        raise EngineSilentError(url, _innermost(error)) from error


def _innermost(error: BaseException) -> str:
    """The first cause in words: the later ones only say that a connection was aborted."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
