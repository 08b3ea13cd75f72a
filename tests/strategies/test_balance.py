"""Balanced numbers against every possible assignment, on clusters small enough to list them all."""

import itertools
import random

import numpy as np
import pytest
from swarmlab_strategies.balance import Stand, balanced, gaps, moves_between

from swarmlab.plugin import Ints


def stand(have: list[int], **parts: object) -> Stand:
    n = len(have)
    arrays = {
        "have": have,
        "low": parts.get("low", [0] * n),
        "high": parts.get("high", [99] * n),
        "others": parts.get("others", [0] * n),
    }
    levels = tuple(np.array(codes, np.int32) for codes in parts.get("levels", ()))
    return Stand(**{name: np.array(values, np.int64) for name, values in arrays.items()}, levels=levels)


@pytest.mark.parametrize(
    ("have", "numbers"),
    [
        ([], []),
        ([3], [3]),
        ([0, 0], [0, 0]),
        ([2, 1, 1, 1, 0], [1, 1, 1, 1, 1]),
        ([4, 4, 4, 0, 0], [3, 3, 2, 2, 2]),
        ([5, 0, 0], [2, 2, 1]),
        ([2, 2, 2, 2, 0], [2, 2, 2, 1, 1]),
        ([1, 0, 1, 0], [1, 0, 1, 0]),
    ],
)
def test_equal_tasks_end_within_one_of_each_other(have: list[int], numbers: list[int]) -> None:
    assert balanced(stand(have)).tolist() == numbers


def test_of_equals_the_node_with_fewer_other_tasks_keeps_one_more() -> None:
    assert balanced(stand([2, 2, 2, 2, 0], others=[9, 0, 0, 0, 0])).tolist() == [1, 2, 2, 2, 1]
    assert balanced(stand([7, 1, 0], others=[0, 5, 0])).tolist() == [3, 2, 3]


def test_low_and_high_hold() -> None:
    assert balanced(stand([4, 0, 0], low=[3, 0, 0])).tolist() == [3, 1, 0]
    assert balanced(stand([6, 0, 0], high=[6, 1, 9])).tolist() == [3, 1, 2]
    assert balanced(stand([6, 0], high=[6, 0])).tolist() == [6, 0]


def test_tasks_still_to_come_are_left_the_room() -> None:
    """One of five has no node yet: it will go to the empty node, so nothing need move there."""
    numbers = balanced(stand([2, 1, 1, 0]), further=1)
    assert moves_between(np.array([2, 1, 1, 0]), numbers) == 0
    assert moves_between(np.array([2, 1, 1, 0]), balanced(stand([2, 1, 1, 0]))) == 1
    assert balanced(stand([2, 0], high=[2, 0]), further=5).tolist() == [2, 0]


def test_domains_are_levelled_before_nodes() -> None:
    """Two nodes in zone a, one in zone b: half of the tasks belong to each zone."""
    assert balanced(stand([2, 2, 0], levels=[[0, 0, 1]])).tolist() == [1, 1, 2]
    assert balanced(stand([3, 1, 0, 0], levels=[[0, 0, 1, 1]])).tolist() == [1, 1, 1, 1]


def level_at(codes: list[int], counts: list[int], low: list[int], high: list[int]) -> bool:
    """Whether no sibling could give one to another that has two fewer."""
    keys = sorted(set(codes))

    def total(values: list[int], key: int) -> int:
        return sum(value for value, code in zip(values, codes, strict=True) if code == key)

    return not any(
        total(counts, a) >= total(counts, b) + 2
        and total(counts, a) > total(low, a)
        and total(counts, b) < total(high, b)
        for a, b in itertools.permutations(keys, 2)
    )


def is_level(counts: list[int], low: list[int], high: list[int], levels: list[list[int]]) -> bool:
    """The definition of balance, branch by branch."""
    if not counts:
        return True
    codes, rest = (levels[0], levels[1:]) if levels else (list(range(len(counts))), None)
    if not level_at(codes, counts, low, high):
        return False
    if rest is None:
        return True
    for key in set(codes):
        inside = [at for at, code in enumerate(codes) if code == key]

        def part(values: list[int], inside: list[int] = inside) -> list[int]:
            return [values[at] for at in inside]

        if not is_level(part(counts), part(low), part(high), [part(level) for level in rest]):
            return False
    return True


@pytest.mark.parametrize("case", range(250))
def test_no_other_balanced_assignment_needs_fewer_moves(case: int) -> None:
    rng = random.Random(case)
    n = rng.randint(1, 5)
    have = [rng.randint(0, 3) for _ in range(n)]
    low = [rng.randint(0, number) if rng.random() < 0.2 else 0 for number in have]
    high = [number + rng.randint(0, 2) if rng.random() < 0.3 else 99 for number in have]
    levels = [[rng.randint(0, 2) for _ in range(n)] for _ in range(rng.choice([0, 0, 1, 1, 2]))]
    total = sum(have)
    best = min(
        sum(max(0, before - after) for before, after in zip(have, counts, strict=True))
        for counts in itertools.product(*(range(low[at], min(high[at], total) + 1) for at in range(n)))
        if sum(counts) == total and is_level(list(counts), low, high, levels)
    )
    found = balanced(stand(have, low=low, high=high, levels=levels))
    assert is_level(found.tolist(), low, high, levels)
    assert int(found.sum()) == total
    assert moves_between(np.array(have), found) == best


def test_gaps_are_the_widest_between_siblings() -> None:
    numbers: Ints = np.array([5, 1, 0, 7])
    usable = np.array([True, True, True, False])
    assert gaps(numbers, usable, ()) == [5]
    assert gaps(numbers, usable, [np.array([0, 0, 1, 1], np.int32)]) == [1, 4]
    assert gaps(numbers, np.zeros(4, np.bool_), ()) == [0]
