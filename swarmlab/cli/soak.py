"""`sim soak`: many stories of several managers, on all processors."""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from swarmlab.api import StateError, Value
from swarmlab.cli.exits import Exit, UsageError
from swarmlab.cli.output import show_ids, show_value
from swarmlab.cli.sim import show_progress
from swarmlab.sim import Verdict, draw_story, play_seed, recipe, write_scenario

#: Seeds where --seeds says nothing.
SEEDS = 100
#: Beyond it a group is only slower.
MOST_MANAGERS = 7


class Soak(Value, frozen=True, kw_only=True):
    """What came of all seeds."""

    start: int
    seeds: int
    #: Virtual time of all of them, and real time.
    virtual_seconds: float
    seconds: float
    commits: int
    requests: int
    #: How many went wrong, and these, by their number.
    failed: int
    verdicts: tuple[Verdict, ...]


def soak(options: argparse.Namespace) -> int:
    """Play the seeds; exit code 1 where one of them failed."""
    count, start = options.seeds or SEEDS, options.start or 0
    if options.managers is not None and not 2 <= options.managers <= MOST_MANAGERS:
        raise UsageError(f"--managers: {options.managers}, wanted: 2 to {MOST_MANAGERS}", "swarmlab sim soak")
    folder = Path(options.stories) if options.stories else None
    if folder is not None and not folder.is_dir():
        raise StateError(f"{folder}: no such directory")
    shows = sys.stderr.isatty() and not options.quiet
    begin = time.monotonic()
    verdicts = []
    for verdict in _played(range(start, start + count), options.managers, options.jobs or os.cpu_count() or 1):
        verdicts.append(verdict)
        if shows:
            show_progress(len(verdicts) / count)
    failed = tuple(sorted((each for each in verdicts if each.failures), key=lambda verdict: verdict.seed))
    result = Soak(
        start=start,
        seeds=count,
        virtual_seconds=sum(verdict.seconds for verdict in verdicts),
        seconds=time.monotonic() - begin,
        commits=sum(verdict.commits for verdict in verdicts),
        requests=sum(verdict.requests for verdict in verdicts),
        failed=len(failed),
        verdicts=failed,
    )
    if options.output in ("table", "wide"):
        _show(result)
    elif options.output == "name":
        show_ids(str(verdict.seed) for verdict in failed)
    else:
        show_value(result, options.output)
    for verdict in failed:
        _complain(verdict, options.managers, folder)
    return Exit.ERROR if failed else Exit.OK


def _played(seeds: range, managers: int | None, jobs: int) -> Iterator[Verdict]:
    """The verdicts, as they come."""
    if jobs == 1 or len(seeds) == 1:
        yield from (play_seed(seed, managers) for seed in seeds)
        return
    with ProcessPoolExecutor(min(jobs, len(seeds)), multiprocessing.get_context("spawn")) as pool:
        for future in as_completed([pool.submit(play_seed, seed, managers) for seed in seeds]):
            yield future.result()


def _show(result: Soak) -> None:
    for name, value in (
        ("seeds", f"{result.start} to {result.start + result.seeds - 1}"),
        ("virtual time", f"{result.virtual_seconds:.0f} s in {result.seconds:.1f} s"),
        ("commits", result.commits),
        ("requests", result.requests),
        ("failed", result.failed),
    ):
        print(f"{name + ':':<14} {value}")


def _complain(verdict: Verdict, managers: int | None, folder: Path | None) -> None:
    for failure in verdict.failures:
        print(f"Failed: seed {verdict.seed}: {failure}", file=sys.stderr)
    print(f"Again:  {verdict.recipe}", file=sys.stderr)
    if folder is not None:
        scenario = draw_story(verdict.seed, managers)
        path = folder / f"seed-{verdict.seed}.yml"
        path.write_text(write_scenario(scenario), encoding="utf-8")
        print(f"Story:  {recipe(str(path), scenario.strategies[0], verdict.seed)}", file=sys.stderr)
