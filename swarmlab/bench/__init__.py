"""Clusters made up to be timed.

Duty: the promises about speed as measurements that anybody can repeat.
Takes: sizes, a strategy and a seed.
Gives: one mapping of plain values for each run: the parameters, seconds and their parts, peak memory.
Never: judges a number, or reports one of a run that did not do all its work.
"""

from swarmlab.bench.scheduler import scheduler_bench

# `raft` and `live` are imported by their own names: they load all of a live cluster, which would count as memory of the
# scheduler's.
__all__ = ["scheduler_bench"]
