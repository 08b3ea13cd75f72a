"""Partitions as scenario files write them: "m1 w1 | m2 m3" parts two sides, "m1 > m2 m3" mutes one of them."""

from collections.abc import Iterator
from itertools import permutations

from swarmlab.api import InvalidSpec, Value


class Partition(Value, frozen=True, kw_only=True):
    """Machines between which nothing gets through."""

    #: Two or more, none empty, no machine on two of them.
    sides: tuple[tuple[str, ...], ...]
    #: Only what the first side sends to the second is lost.
    one_way: bool = False

    @classmethod
    def parse(cls, text: str) -> "Partition":
        """The partition of that text.

        Raises:
            InvalidSpec: It has no sides, an empty one, or a machine on two of them.
        """
        one_way = ">" in text
        sides = tuple(tuple(side.split()) for side in text.split(">" if one_way else "|"))
        names = [name for side in sides for name in side]
        if not all(sides) or len(sides) < 2 or (one_way and (len(sides) > 2 or "|" in text)):
            raise InvalidSpec(f"partition {text!r}: wanted sides such as 'm1 | m2 m3', or 'm1 > m2 m3' for one way")
        if len(set(names)) < len(names):
            raise InvalidSpec(f"partition {text!r}: a machine stands on two sides")
        return cls(sides=sides, one_way=one_way)

    def pairs(self) -> Iterator[tuple[str, str]]:
        """(sender, receiver) of all that is lost."""
        for left, right in [self.sides] if self.one_way else permutations(self.sides, 2):
            yield from ((sender, receiver) for sender in left for receiver in right)

    def names(self) -> tuple[str, ...]:
        """All machines, side by side."""
        return tuple(name for side in self.sides for name in side)


def has_sides(text: str) -> bool:
    """Whether the text tells of sides, and not of one machine."""
    return "|" in text or ">" in text
