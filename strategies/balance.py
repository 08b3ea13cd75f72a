"""Where equal tasks should be, with the fewest of them moved: pure arithmetic over arrays of nodes.

The balanced numbers are those that spread places: as level as what the nodes can hold allows, over a tree of domains
first where tasks are to be spread over labels. Almost all of them are fixed by the total; the choice is only who among
equals gets one task more. Giving it to those that have one to lose saves a move each, so the least number of moves is
the sum of what the nodes have above their numbers, minimised by that choice. For nodes this is exact by counting; for
domains by comparing what each costs with one task more and with one less, which is exact because the choice of one
domain does not change the cost of another.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from swarmlab.plugin import Counts, Flags, Floats, Ints, levelled


class Stand(NamedTuple):
    """How the tasks of one service stand; one entry per node in every array."""

    have: Ints
    #: No fewer can be left there: what cannot move, all of it on nodes that are not in play.
    low: Ints
    #: No more can be there, >= `have`.
    high: Ints
    #: Tasks of all other services; of two nodes that are equal otherwise the emptier gets the task.
    others: Ints
    #: Codes of the domains to spread over, outermost first.
    levels: tuple[Counts, ...] = ()


def balanced(stand: Stand, further: int = 0) -> Ints:
    """The number of tasks for each node, level by level, at the least number of moves.

    The sum is that of `stand.have` and of `further` tasks, as far as there is room for those: tasks of the service that
    have no node yet will go where it is lowest, and nothing need move to there.
    """
    if not len(stand.have):
        return stand.have
    total = min(int(stand.have.sum()) + further, int(stand.high.sum()))
    return _solved(stand, np.arange(len(stand.have)), total, 0).numbers


def moves_between(have: Ints, numbers: Ints) -> int:
    """How many tasks leave their node on the way from one to the other."""
    return int(np.maximum(have - numbers, 0).sum())


def gaps(numbers: Ints, usable: Flags, levels: Sequence[Counts]) -> list[int]:
    """The largest difference between two siblings, for each level: domains, outermost first, and nodes in a domain.

    Only usable nodes count, and domains that have one; all tasks of such a domain count.
    """
    widest = []
    parents = np.zeros(len(numbers), np.int64)
    for codes in levels:
        parts = _codes_of_pairs(parents, codes)
        weights: Floats = np.bincount(parts, numbers).astype(np.float64)
        first = np.unique(parts[usable], return_index=True)
        widest.append(_widest(weights[first[0]], parents[usable][first[1]]))
        parents = parts
    return [*widest, _widest(numbers[usable].astype(np.float64), parents[usable])]


class _Solution(NamedTuple):
    numbers: Ints
    moves: int


def _solved(stand: Stand, nodes: Ints, total: int, depth: int) -> _Solution:
    """The best numbers for `nodes` with `total` tasks in all, `low` and `high` allowing."""
    if len(nodes) == 1:
        return _Solution(np.array([total]), max(0, int(stand.have[nodes[0]]) - total))
    while depth < len(stand.levels):
        codes = stand.levels[depth][nodes]
        if (codes != codes[0]).any():
            return _solved_domains(stand, nodes, codes, total, depth)
        depth += 1
    have, low, high = stand.have[nodes], stand.low[nodes], stand.high[nodes]
    numbers, top, open_ = _levels(low, high, total)
    order = np.lexsort((nodes, -have, stand.others[nodes], have < top))
    numbers = _with_remainder(numbers, top, open_, order)
    return _Solution(numbers, moves_between(have, numbers))


def _solved_domains(stand: Stand, nodes: Ints, codes: Counts, total: int, depth: int) -> _Solution:
    order = np.argsort(codes, kind="stable")
    domains = np.split(nodes[order], np.flatnonzero(np.diff(codes[order])) + 1)
    low = np.array([stand.low[domain].sum() for domain in domains])
    high = np.array([stand.high[domain].sum() for domain in domains])
    others = np.array([stand.others[domain].sum() for domain in domains])
    numbers, top, open_ = _levels(low, high, total)
    saved = np.zeros(len(domains), np.int64)
    solutions: dict[tuple[int, int], _Solution] = {}
    for at in np.flatnonzero(open_).tolist():
        for number in (top - 1, top):
            solutions[at, number] = _solved(stand, domains[at], number, depth + 1)
        saved[at] = solutions[at, top - 1].moves - solutions[at, top].moves
    order = np.lexsort((np.arange(len(domains)), others, -saved))
    numbers = _with_remainder(numbers, top, open_, order)
    result = np.zeros(len(nodes), np.int64)
    moves = 0
    for at, domain in enumerate(domains):
        number = int(numbers[at])
        solution = solutions.get((at, number)) or _solved(stand, domain, number, depth + 1)
        result[np.searchsorted(nodes, domain)] = solution.numbers
        moves += solution.moves
    return _Solution(result, moves)


def _levels(low: Ints, high: Ints, total: int) -> tuple[Ints, int, Flags]:
    """As level as `low` and `high` allow, with the remainder on the first ones.

    Returns:
        The numbers; the highest level that any was raised to; and who may be either at that level or one below.
    """
    numbers = low + levelled(low, high - low, total - int(low.sum()), np.zeros(len(low), np.int64))
    raised = numbers[numbers > low]
    top = int(raised.max()) if len(raised) else 0
    open_ = (low < top) & (high >= top) & (numbers >= top - 1)
    return numbers, top, open_


def _with_remainder(numbers: Ints, top: int, open_: Flags, order: Ints) -> Ints:
    """The same numbers with the open ones' places at the top given in `order`."""
    count = int((numbers[open_] == top).sum())
    chosen = order[open_[order]]
    numbers = numbers.copy()
    numbers[chosen[:count]] = top
    numbers[chosen[count:]] = top - 1
    return numbers


def _codes_of_pairs(parents: Ints, codes: Counts) -> Ints:
    """A code for each pair of parent and code, in ascending order of the pairs."""
    pairs = parents * (int(codes.max(initial=0)) + 1) + codes
    codes_of_pairs: Ints = np.unique(pairs, return_inverse=True)[1].astype(np.int64)
    return codes_of_pairs


def _widest(numbers: Floats, parents: Ints) -> int:
    """The largest difference between two entries of one parent."""
    if not len(numbers):
        return 0
    places = np.unique(parents, return_inverse=True)[1]
    most, least = np.full(places.max() + 1, -np.inf), np.full(places.max() + 1, np.inf)
    np.maximum.at(most, places, numbers)
    np.minimum.at(least, places, numbers)
    return int((most - least).max())
