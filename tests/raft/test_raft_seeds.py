"""Clusters of 1 to 9 under faults: the paper's safety at every step, and agreement once all is well again."""

import pytest
from raft_chaos import play

#: All seeds take about half a minute; `play(seed, STEPS, print)` tells the story of one.
SEEDS = 2_000
STEPS = 900
SHARD = 100


@pytest.mark.parametrize("first", range(0, SEEDS, SHARD))
def test_faults_break_nothing_and_the_cluster_recovers(first: int) -> None:
    """Election safety, append-only leaders, log matching, leader completeness, one state machine, no stale read."""
    for seed in range(first, first + SHARD):
        play(seed, STEPS)
