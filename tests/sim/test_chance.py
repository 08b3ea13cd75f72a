"""Spans by chance: their texts and their draws."""

import math
import random
import statistics

import pytest

from swarmlab.api import InvalidSpec, seconds
from swarmlab.sim.chance import Spread, happens


@pytest.mark.parametrize(
    ("text", "spread"),
    [
        ("200ms", Spread(median=seconds(0.2))),
        ("0s", Spread(median=seconds(0))),
        ("1m30s", Spread(median=seconds(90))),
        ("2s~0.5", Spread(median=seconds(2), sigma=0.5)),
        ("2s~0", Spread(median=seconds(2))),
    ],
)
def test_texts(text: str, spread: Spread) -> None:
    assert Spread.parse(text) == spread


@pytest.mark.parametrize(
    "text", ["", "200", "ms", "2s~", "2s~x", "2s~-1", "2s~nan", "2s~inf", "-2s", "2s ~ 1s", "~0.5"]
)
def test_bad_texts_are_named(text: str) -> None:
    with pytest.raises(InvalidSpec, match=r"wanted a duration, or one with its sigma such as 200ms~0\.5") as refusal:
        Spread.parse(text)
    assert f"span {text!r}" in str(refusal.value)


def test_without_sigma_it_is_the_median() -> None:
    rng = random.Random(1)
    assert {Spread(median=seconds(3)).draw(rng) for _ in range(5)} == {seconds(3)}


def test_with_sigma_it_is_log_normal_around_the_median() -> None:
    rng = random.Random(1)
    draws = [Spread(median=seconds(2), sigma=0.5).draw(rng) for _ in range(4_000)]
    assert statistics.median(draws) == pytest.approx(seconds(2), rel=0.05)
    assert statistics.stdev(math.log(draw) for draw in draws) == pytest.approx(0.5, rel=0.05)


def test_it_is_never_below_the_least() -> None:
    rng = random.Random(1)
    draws = [Spread(median=seconds(1), sigma=2.0, least=seconds(1)).draw(rng) for _ in range(100)]
    assert min(draws) == seconds(1)
    assert max(draws) > seconds(1)


def test_probability_draws_once_whatever_it_is() -> None:
    """So that a run in which faults are off draws everything else as one in which they are on."""
    for probability, outcome in ((0.0, False), (1.0, True)):
        rng, twin = random.Random(5), random.Random(5)
        assert happens(rng, probability) is outcome
        twin.random()
        assert rng.getstate() == twin.getstate()
    rng = random.Random(5)
    assert sum(happens(rng, 0.25) for _ in range(10_000)) == pytest.approx(2_500, rel=0.06)
