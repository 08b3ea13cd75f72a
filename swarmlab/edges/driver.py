"""The live driver's clock, timers and entropy: what an Assembly needs of the world."""

import asyncio
import gc
import secrets
import time
from collections.abc import Callable
from typing import ParamSpec

from swarmlab.api import Instant

P = ParamSpec("P")


class LiveClock:
    """Wall-clock instants that never go back: the time at the start, plus what the monotonic clock has counted."""

    def __init__(self) -> None:
        self._offset = time.time_ns() - time.monotonic_ns()

    def __call__(self) -> Instant:
        return Instant(self._offset + time.monotonic_ns())


class Alarm:
    """Raised by the first thing that fails in a callback of the loop, which would only write it to a log.

    What decides must not go on half done: the parts of a machine run through `guard`, and the owner of the machine
    awaits `raised` among the tasks that its life depends on.
    """

    def __init__(self) -> None:
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def guard(self, action: Callable[P, object]) -> Callable[P, None]:
        """`action`, for use as a callback."""

        def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                action(*args, **kwargs)
            except Exception as error:
                # The first one counts; those after it come of a machine that is broken already.
                if not self._failure.done():
                    self._failure.set_exception(error)

        return guarded

    async def raised(self) -> None:
        """Raise what failed first, as soon as something has."""
        await asyncio.shield(self._failure)


class LoopTimers:
    """Named timers of the components of one assembly, on the running event loop."""

    def __init__(self, clock: Callable[[], Instant], fire: Callable[[str, str], None]) -> None:
        self._clock = clock
        self._fire = fire
        self._loop = asyncio.get_running_loop()
        self._handles: dict[tuple[str, str], asyncio.TimerHandle] = {}
        self._closed = False

    def set(self, owner: str, name: str, at: Instant) -> None:
        """Call `fire(owner, name)` at `at`; a timer of that owner and name moves."""
        if self._closed:
            return
        self.cancel(owner, name)
        delay = max(0, at - self._clock()) / 1e9
        self._handles[owner, name] = self._loop.call_later(delay, self._due, owner, name)

    def cancel(self, owner: str, name: str) -> None:
        """Forget the timer, if there is one."""
        handle = self._handles.pop((owner, name), None)
        if handle is not None:
            handle.cancel()

    def close(self) -> None:
        """Cancel all; later ones are not taken."""
        self._closed = True
        for handle in self._handles.values():
            handle.cancel()
        self._handles.clear()

    def _due(self, owner: str, name: str) -> None:
        del self._handles[owner, name]
        self._fire(owner, name)


def settle_memory() -> None:
    """Let the garbage collector pass over all that is there now: what was imported, and what a start has made.

    For a process that is up. A full collection stops everything; from then on it looks at what came later alone, in a
    node process at less than a tenth.
    """
    gc.collect()
    gc.freeze()


def fresh_seed() -> int:
    """A seed from the operating system, for a cluster that was not given one."""
    return secrets.randbits(63)
