"""Clusters of 1 to 9 under faults: the paper's safety at every step, and agreement once all is well again."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor

import pytest
from raft_chaos import play

#: All seeds take about half a minute of one processor; `play(seed, STEPS, print)` tells the story of one.
SEEDS = 2_000
STEPS = 900
SHARD = 100


def play_all(first: int) -> None:
    for seed in range(first, first + SHARD):
        play(seed, STEPS)


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    """Fresh processes, so that all processors work and line coverage, which the transcripts give, traces none of it."""
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_faults_break_nothing_and_the_cluster_recovers(processes: Executor) -> None:
    """Election safety, append-only leaders, log matching, leader completeness, one state machine, no stale read."""
    assert list(processes.map(play_all, range(0, SEEDS, SHARD))) == [None] * (SEEDS // SHARD)
