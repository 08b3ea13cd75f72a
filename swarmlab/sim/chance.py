"""Distributions of spans and faults, drawn from a generator that is passed in."""

import math
import random

from swarmlab.api import Duration, InvalidSpec, Value
from swarmlab.api.quantities import parse_duration

_WANTED = "span {!r}: wanted a duration, or one with its sigma such as 200ms~0.5"
#: Beyond it one draw in a thousand is ten million times the median.
_WIDEST = 5.0


class Spread(Value, frozen=True, kw_only=True):
    """A span of time by chance: `median` times a log-normal factor of `sigma`, never below `least`."""

    median: Duration
    sigma: float = 0.0
    least: Duration = Duration(0)

    def draw(self, rng: random.Random) -> Duration:
        """One span."""
        factor = math.exp(self.sigma * rng.gauss(0.0, 1.0)) if self.sigma else 1.0
        return Duration(max(self.least, round(self.median * factor)))

    @classmethod
    def parse(cls, text: str) -> "Spread":
        """A span "200ms", or one with its sigma: "200ms~0.5".

        Raises:
            InvalidSpec: The text is neither.
        """
        span, tilde, width = text.partition("~")
        try:
            median, sigma = parse_duration(span), float(width) if tilde else 0.0
        except (InvalidSpec, ValueError) as error:
            raise InvalidSpec(_WANTED.format(text)) from error
        if median < 0 or not 0 <= sigma <= _WIDEST:
            raise InvalidSpec(_WANTED.format(text))
        return cls(median=median, sigma=sigma)


def happens(rng: random.Random, probability: float) -> bool:
    """True with that probability; draws once, whatever it is."""
    return rng.random() < probability
