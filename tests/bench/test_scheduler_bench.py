"""The bench of the scheduler reports what it did, and nothing of a run that did not do it all."""

import pytest

from swarmlab.bench import scheduler_bench
from swarmlab.plugin import UnknownPlugin

FIELDS = {
    "nodes",
    "tasks",
    "services",
    "one_off",
    "distinct",
    "strategy",
    "seed",
    "seconds_total",
    "seconds_decide",
    "seconds_commit",
    "seconds_cpu",
    "placed",
    "groups",
    "peak_rss_bytes",
}


@pytest.mark.parametrize(
    ("services", "distinct", "groups"),
    [(0, False, 1), (0, True, 200), (7, False, 7)],
    ids=["one-off", "distinct", "services"],
)
def test_every_task_is_placed_and_the_parts_make_the_whole(services: int, distinct: bool, groups: int) -> None:
    found = scheduler_bench(nodes=20, tasks=200, services=services, strategy="binpack", distinct=distinct)
    assert set(found) == FIELDS
    assert (found["placed"], found["groups"], found["one_off"]) == (200, groups, services == 0)
    assert found["seconds_total"] == pytest.approx(found["seconds_decide"] + found["seconds_commit"], abs=2e-4)
    assert found["seconds_commit"] > 0
    assert found["peak_rss_bytes"] > 10_000_000


def test_a_run_that_leaves_tasks_pending_is_not_reported() -> None:
    with pytest.raises(RuntimeError, match="0 of 30 tasks were placed"):
        scheduler_bench(nodes=3, tasks=30, constraints=["node.labels.tier == gold"])


def test_an_unknown_strategy_is_told_before_anything_is_made() -> None:
    with pytest.raises(UnknownPlugin, match="spraed"):
        scheduler_bench(nodes=1, tasks=1, strategy="spraed")


def test_more_services_than_tasks() -> None:
    assert scheduler_bench(nodes=2, tasks=3, services=5)["placed"] == 3
