"""What a story tells while it goes on."""

import time
from collections.abc import Callable


class Steps:
    """Prints what is done, what came of it, and when."""

    def __init__(self, say: Callable[[str], object] = print) -> None:
        self._say = say
        self._start = time.monotonic()
        self._number = 0

    def title(self, text: str) -> None:
        """A part of the story."""
        self._say(f"\n=== {text} ===")

    def step(self, text: str) -> None:
        """A new step."""
        self._number += 1
        self._say(f"\n[{self._number}] {text}  ({time.monotonic() - self._start:.0f} s)")

    def shown(self, command: str, text: str) -> str:
        """A command that was run, and what it printed."""
        self._say(f"    $ {command}")
        for line in text.splitlines():
            self._say(f"    {line}")
        return text

    def checked(self, holds: bool, text: str) -> None:
        """A fact that has to hold."""
        if not holds:
            raise AssertionError(text)
        self._say(f"    ok: {text}")
