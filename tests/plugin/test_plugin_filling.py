"""Handing out equal tasks: the quick ways give what single steps give."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmlab.plugin import filled, levelled
from swarmlab.plugin.filling import lowest

NODES = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 5), st.integers(-3, 9)), max_size=9
)  # height, capacity, key


def one_by_one(heights: list[int], capacity: list[int], keys: list[float], count: int) -> list[int]:
    """Each task to the lowest node with room, then the lowest key, then the first."""
    given_ = [0] * len(heights)
    for _ in range(count):
        open_ = [node for node in range(len(heights)) if given_[node] < capacity[node]]
        if not open_:
            break
        best = min(open_, key=lambda node: (heights[node] + given_[node], keys[node], node))
        given_[best] += 1
    return given_


@given(NODES, st.integers(0, 40))
@settings(max_examples=400)
def test_levelled_is_one_by_one(nodes: list[tuple[int, int, int]], count: int) -> None:
    heights, capacity, keys = ([node[part] for node in nodes] for part in range(3))
    found = levelled(np.array(heights, np.int64), np.array(capacity, np.int64), count, np.array(keys, np.int64))
    assert found.tolist() == one_by_one(heights, capacity, keys, count)


@given(NODES, st.integers(0, 40))
@settings(max_examples=400)
def test_levelled_takes_keys_that_are_fractions(nodes: list[tuple[int, int, int]], count: int) -> None:
    heights, capacity, keys = ([node[part] for node in nodes] for part in range(3))
    fractions = [key / 7 for key in keys]
    found = levelled(np.array(heights, np.int32), np.array(capacity, np.int64), count, np.array(fractions))
    assert found.tolist() == one_by_one(heights, capacity, fractions, count)


def test_levelled_with_many_more_nodes_than_tasks() -> None:
    """Keys that lie far apart are parted, not counted; the result is the same."""
    keys = np.array([10**12, 5, 10**15, 7, 6], np.int64)
    assert levelled(np.zeros(5, np.int64), np.ones(5, np.int64), 2, keys).tolist() == [0, 1, 0, 0, 1]


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=30), st.data())
def test_lowest_is_the_greatest_of_the_first(keys: list[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(keys)))
    assert lowest(np.array(keys, np.int64), count) == sorted(keys)[count - 1]
    assert lowest(np.array(keys, np.float64), count) == sorted(keys)[count - 1]


@given(st.lists(st.integers(0, 5), max_size=8), st.integers(0, 30), st.randoms(use_true_random=False))
def test_filled_fills_in_order(capacity: list[int], count: int, rnd: object) -> None:
    order = list(range(len(capacity)))
    rnd.shuffle(order)  # type: ignore[attr-defined]
    found = filled(np.array(order, np.int64), np.array(capacity, np.int64), count).tolist()
    left = count
    for node in order:
        assert found[node] == min(capacity[node], left)
        left -= found[node]


def test_filled_leaves_out_what_is_not_in_the_order() -> None:
    assert filled(np.array([2], np.int64), np.array([5, 5, 5], np.int64), 9).tolist() == [0, 0, 5]
