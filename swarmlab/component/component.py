"""The shape of a deciding part."""

import hashlib
import random
from collections.abc import Sequence
from typing import Protocol

from swarmlab.api.moments import Instant
from swarmlab.component.effects import Effect
from swarmlab.component.events import Event


class Component(Protocol):
    """A deterministic state machine: the same events at the same times give the same effects."""

    @property
    def name(self) -> str:
        """Unique in its assembly; the owner of its timers and the address of its answers."""

    def step(self, event: Event, now: Instant) -> Sequence[Effect]:
        """Take one event; give what is to be done, in order. Events that do not concern it give nothing."""


def derived_rng(seed: int, name: str) -> random.Random:
    """The generator of the part `name` in a run of `seed`: independent of all others, equal on every platform."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return random.Random(int.from_bytes(digest[:16], "big"))
