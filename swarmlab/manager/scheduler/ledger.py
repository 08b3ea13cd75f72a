"""Sparse counts that can be lent out."""

from collections.abc import Mapping
from typing import Generic, TypeVar

K = TypeVar("K")


class Ledger(Generic[K]):
    """{key: {row: count}}, counts never zero.

    What was lent stays as it was: the first change of a key afterwards copies that key's counts, not the others'.
    """

    __slots__ = ("_counts", "_lent", "_own")

    def __init__(self) -> None:
        self._counts: dict[K, dict[int, int]] = {}
        self._lent = False
        #: Keys whose counts were copied or made since the last loan.
        self._own: set[K] = set()

    def lend(self) -> Mapping[K, Mapping[int, int]]:
        """The counts as they are now; they will not change."""
        self._lent = True
        return self._counts

    def add(self, key: K, row: int, count: int) -> int:
        """Add `count`, which may be negative; gives the new count."""
        if self._lent:
            self._counts = dict(self._counts)
            self._own.clear()
            self._lent = False
        if key in self._own:
            counts = self._counts[key]
        else:
            counts = self._counts[key] = dict(self._counts.get(key, ()))
            self._own.add(key)
        total = counts.get(row, 0) + count
        if total:
            counts[row] = total
        else:
            counts.pop(row, None)
            if not counts:
                del self._counts[key]
                self._own.discard(key)
        return total
