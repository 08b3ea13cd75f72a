"""The one failure of a group of tasks, by itself."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def alone() -> AsyncIterator[None]:
    """Let the one failure of a group of tasks come out of it by itself; several stay together."""
    failure: Exception | None = None
    try:
        yield
    except ExceptionGroup as group:
        failure = group
    while isinstance(failure, ExceptionGroup) and len(failure.exceptions) == 1:
        failure = failure.exceptions[0]
    if failure is not None:
        raise failure
