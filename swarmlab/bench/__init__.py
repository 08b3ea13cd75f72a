"""Clusters made up to be timed.

Duty: the promises about speed as measurements that anybody can repeat.
Takes: sizes, a strategy and a seed.
Gives: one mapping of plain values for each run: the parameters, seconds and their parts, peak memory.
Never: judges a number, or reports one of a run that did not do all its work.
"""

from swarmlab.bench.live import LiveBench, live_bench
from swarmlab.bench.raft import RaftBench, raft_bench
from swarmlab.bench.scheduler import scheduler_bench

__all__ = ["LiveBench", "RaftBench", "live_bench", "raft_bench", "scheduler_bench"]
