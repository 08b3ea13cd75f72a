"""What is known to fit, so that a plan need not be worked out twice."""

from swarmlab.plugin import Placement

#: Most placements that are remembered for one view; what is not remembered is worked out again.
LIMIT = 100_000


class Fits:
    """Which placements were tried on which branch, and whether they fitted.

    Branches have numbers, 0 for the root. A strategy that asks for room, places, and goes on with the branch after it
    has done what a check would do; so its plan is checked by following the numbers.
    """

    __slots__ = ("_branches", "_kept", "_tried")

    def __init__(self) -> None:
        self._branches = 0
        self._kept = 0
        #: {branch: (placement, the branch after it, it fitted)}
        self._tried: dict[int, list[tuple[Placement, int, bool]]] = {}

    def branch(self) -> int:
        """The number of a new branch that nothing leads to."""
        self._branches += 1
        return self._branches

    def tried(self, branch: int, placement: Placement, *, fits: bool) -> int:
        """The number of the branch after `placement`."""
        number = self.branch()
        if self._kept < LIMIT:
            self._kept += 1
            self._tried.setdefault(branch, []).append((placement, number, fits))
        return number

    def after(self, branch: int, placement: Placement) -> int | None:
        """The branch after `placement`, this very one, where it was tried and fitted."""
        for tried, number, fits in self._tried.get(branch, ()):
            if tried is placement:
                return number if fits else None
        return None
