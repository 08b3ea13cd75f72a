"""How long tests wait for what is bound to come: long enough for a machine that does ten other things."""

import time
from collections.abc import Callable, Sequence

#: For what comes in milliseconds or a few seconds unless it is broken. Below the time-out of a whole test.
PATIENCE_SECONDS = 120


def wait_until(holds: Callable[[], object], told: Callable[[], object], pause: float = 0.02) -> None:
    """Look again and again until it holds; `told` is what is said where it never does."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, told()
        time.sleep(pause)


def patient(words: Sequence[str]) -> list[str]:
    """The words of a command that waits, with our patience in place of its own."""
    found = list(words)
    if "--wait" in found and "--timeout" not in found:
        place = found.index("--wait")
        found[place:place] = ["--timeout", f"{PATIENCE_SECONDS}s"]
    return found
