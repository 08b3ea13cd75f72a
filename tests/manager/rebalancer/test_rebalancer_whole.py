"""The rebalancer in a whole simulated cluster, with the real orchestrators, scheduler and workers around it."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from swarmlab.sim import run_scenario

HEADER = """
description: A node dies and returns.
source: made up by a test
strategies: [rebalance]
"""


def run(folder: Path, text: str, seed: int) -> tuple[Any, list[dict[str, Any]]]:
    """The result, and what the rebalancer recorded. Invariants are checked at every commit of the run."""
    path, log = folder / "made-up.yml", folder / "log.jsonl"
    path.write_text(HEADER + text)
    result = run_scenario(path, "rebalance", seed, log)
    assert not result.failures, result.failures
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return result, [line for line in lines if line["component"] == "rebalancer"]


def moves_of(records: list[dict[str, Any]]) -> int:
    return sum(len(record["moves"]) for record in records if record["event"] == "rebalance-plan")


@pytest.mark.parametrize("seed", range(8))
def test_a_node_dies_and_returns_and_every_service_is_level_with_the_fewest_moves(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    count = rng.randint(3, 6)
    services = {f"s{number}": rng.randint(2, 9) for number in range(rng.randint(1, 5))}
    lines = "".join(f"  {name}: {{replicas: {replicas}, cpus: 0.1}}\n" for name, replicas in services.items())
    result, records = run(
        tmp_path,
        f"nodes: [{{name: w, count: {count}}}]\nservices:\n{lines}"
        f"events:\n  - {{at: 20s, stop: w{count}}}\n  - {{at: 60s, start: w{count}}}\nuntil: 3m\n",
        seed,
    )
    for name, replicas in services.items():
        counts = [result.tasks.get(name, {}).get(f"w{number}", 0) for number in range(1, count + 1)]
        assert sum(counts) == replicas
        assert max(counts) - min(counts) <= 1, (name, counts)
    plans = [record for record in records if record["event"] == "rebalance-plan"]
    assert result.restarts == 0
    assert result.moves == moves_of(records) == sum(plan["bound"] for plan in plans)
    assert all(record["failed"] == 0 for record in records if record["event"] == "rebalance-done")


def test_moves_that_wait_for_each_others_room_are_made_in_two_plans(tmp_path: Path) -> None:
    """B holds two tasks of api and is full; web may go there once api has left for C."""
    result, records = run(
        tmp_path,
        """
nodes:
  - {name: a, cpus: 8, labels: {web: "yes", api: "no"}}
  - {name: b, cpus: 4, labels: {web: "yes", api: "yes"}}
services:
  api: {replicas: 2, cpus: 2, constraints: ["node.labels.api == yes"]}
  web: {replicas: 0, cpus: 2, constraints: ["node.labels.web == yes"]}
events:
  - {at: 5s, scale: {web: 2}}
  - {at: 10s, expect: {tasks: {api: {b: 2}, web: {a: 2}}}}
  - {at: 20s, join: {name: c, cpus: 2, labels: {web: "no", api: "yes"}}}
  - {at: 60s, expect: {tasks: {api: {b: 1, c: 1}, web: {a: 1, b: 1}}, moves: 2, restarts: 0}}
until: 60s
""",
        3,
    )
    plans = [record for record in records if record["event"] == "rebalance-plan" and record["moves"]]
    assert [len(plan["moves"]) for plan in plans] == [1, 1]
    assert plans[0]["refused"][0]["why"] == "the target cannot take it now: insufficient resources"
    assert result.restarts == 0


@pytest.mark.parametrize("seed", range(8))
def test_however_tight_it_is_the_moves_come_to_an_end(tmp_path: Path, seed: int) -> None:
    rng = random.Random(1000 + seed)
    count = rng.randint(3, 5)
    nodes = ", ".join(f"{{name: w{number}, cpus: {rng.randint(3, 8)}}}" for number in range(1, count + 1))
    lines = "".join(
        f"  s{number}: {{replicas: {rng.randint(1, 5)}, cpus: {rng.randint(1, 3)}}}\n" for number in range(4)
    )
    _, records = run(
        tmp_path,
        f"nodes: [{nodes}]\nservices:\n{lines}"
        f"events:\n  - {{at: 20s, stop: w1}}\n  - {{at: 60s, start: w1}}\nuntil: 5m\n",
        seed,
    )
    plans = [record for record in records if record["event"] == "rebalance-plan"]
    assert moves_of(records) <= 40
    assert not plans[-1]["moves"] or plans[-1]["at"] < 280 * 10**9
