"""The shipped strategies, written against `swarmlab.plugin` alone and found like anybody's."""

from collections.abc import Sequence

from swarmlab.plugin import Strategy, hookimpl

from .balanced import Balanced
from .binpack import BinPack
from .dotproduct import DotProduct
from .least_allocated import LeastAllocated
from .optimal import Optimal
from .random_ import Random
from .rebalance import Rebalance
from .spread import Spread


@hookimpl
def swarmlab_register_strategies() -> Sequence[type[Strategy]]:
    """One class for each name."""
    return Balanced, BinPack, DotProduct, LeastAllocated, Optimal, Random, Rebalance, Spread
