"""Stories of several managers: what befalls them breaks nothing, loses nothing, and restarts no task; many seeds.

A failure prints the command that plays the seed again. Mended bugs leave their seeds here.
"""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path

import pytest

from swarmlab.node import Replica
from swarmlab.node.consensus import Done
from swarmlab.node.reads import Answer
from swarmlab.sim import Scenario, SimDisk, Verdict, draw_story, load_scenario, play_seed, write_scenario

#: About half a minute of one processor.
SEEDS = range(24)
#: What these found: a vote for a learner that was removed meanwhile; a learner that nobody told of its removal.
FOUND = (35, 72)


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    """Fresh processes, so that all processors work, and line coverage traces none of it."""
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_cluster_of_several_managers_survives_what_befalls_it(processes: Executor) -> None:
    """Each version is the same everywhere, histories are linearizable, and in the end all is at rest."""
    verdicts = list(processes.map(play_seed, (*SEEDS, *FOUND)))
    failed = ["\n".join((verdict.recipe, *verdict.failures)) for verdict in verdicts if verdict.failures]
    assert not failed, "\n".join(failed)
    assert sum(verdict.requests for verdict in verdicts) > 100 * len(verdicts)


def test_a_story_is_the_same_for_the_same_seed_and_survives_its_file(tmp_path: Path) -> None:
    for seed in range(30):
        story = draw_story(seed)
        assert draw_story(seed) == story
        path = tmp_path / "story.yml"
        path.write_text(write_scenario(story))
        assert load_scenario(path) == story
    assert draw_story(1) != draw_story(2)
    assert [draw_story(1, managers).managers for managers in (2, 3, 4, 5, 7)] == [2, 3, 4, 5, 7]


def test_stories_are_about_everything() -> None:
    """Together the seeds of this suite contain every kind of misfortune, and every way in which it comes."""
    stories = [draw_story(seed) for seed in SEEDS]
    told = {action for story in stories for event in story.events for action in event.actions()}
    assert told >= {
        *("manager_down", "manager_up", "kill_leader", "hand_over", "partition", "heal", "disk"),
        *("promote", "demote", "deploy", "calm", "expect"),
    }
    events = [event for story in stories for event in story.events]
    partitions = " ".join(event.partition for event in events if event.partition is not None)
    assert "|" in partitions
    assert ">" in partitions
    disks = {text for event in events for text in (event.disk or {}).values()}
    assert disks >= {"stalls", "fails", "well", "20ms~1", "1s"}
    assert {story.managers for story in stories} == {3, 5}
    assert any(story.group.loses for story in stories)
    assert any(story.group.snapshot_every for story in stories)


def test_whatever_befalls_managers_alone_may_restart_no_task() -> None:
    """Where nodes are well, that is what the story expects at its end."""
    for seed in SEEDS:
        story = draw_story(seed)
        expected = [event.expect for event in story.events if event.expect is not None]
        nodes_fail = any(event.stop or event.kill or event.hang_up for event in story.events)
        assert nodes_fail or [each.restarts for each in expected] == [0], f"seed {seed}"


def test_a_seed_writes_the_same_log_under_any_hash_seed() -> None:
    """And in any process; the verdict names its digest."""

    def played(hash_seed: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", "from swarmlab.sim import play_seed; print(play_seed(20).log_sha256)"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
            timeout=100,
        ).stdout

    assert len(played("0")) == 65
    assert played("0") == played("4242")


def _failures(seed: int) -> Verdict:
    verdict = play_seed(seed)
    assert verdict.recipe == f"swarmlab sim soak --seeds 1 --start {seed}"
    return verdict


def test_reads_that_ask_nobody_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A manager that answers from its own store is behind the others now and then."""

    def read(self: Replica, done: Answer) -> None:
        if self.is_out or self._store is None:
            done(None, self._not_leader())
        else:
            done(self._store.view, None)

    monkeypatch.setattr(Replica, "read", read)
    [failure, *_] = _failures(13).failures
    assert failure.startswith("clients: the history of r")
    assert "is not linearizable" in failure


def test_disks_that_forget_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that says it has what it has not yet: when the power fails, what was promised is gone."""
    write = SimDisk.write

    def forget(self: SimDisk, what: object, done: Done) -> None:
        write(self, what, lambda _: None)  # type: ignore[arg-type]
        done(None)

    monkeypatch.setattr(SimDisk, "write", forget)
    assert _failures(13).failures


def test_whatever_is_raised_is_a_failure_of_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its place, so that a soak of thousands goes on and tells."""

    def broken(self: Scenario) -> None:
        raise ZeroDivisionError("by accident")

    monkeypatch.setattr(Scenario, "executor", broken)
    verdict = _failures(1)
    assert verdict.failures[0].startswith("ZeroDivisionError: by accident (test_stories.py:")
    assert verdict.log_sha256 == ""
