"""The benches: one JSON object each, with the parameters, `seconds_total` and its parts, and `peak_rss_bytes`."""

import argparse
import resource
import sys
from collections.abc import Mapping
from typing import Any

from swarmlab.cli.exits import CommandError, UsageError
from swarmlab.cli.output import show_ids, show_value


def scheduler(options: argparse.Namespace) -> None:
    """Time the scheduler's decisions and their commit."""
    if options.one_off and options.services is not None:
        raise UsageError("--one-off and --services exclude each other")
    if options.distinct and not options.one_off:
        raise UsageError("--distinct goes with --one-off alone")
    from swarmlab.bench import scheduler_bench

    try:
        result = scheduler_bench(
            nodes=options.nodes or 1000,
            tasks=options.tasks or 10_000,
            services=0 if options.one_off else options.services or 1,
            strategy=options.strategy or "spread",
            seed=options.seed or 0,
            distinct=bool(options.distinct),
        )
    except RuntimeError as error:  # not all tasks were placed
        raise CommandError(str(error)) from error
    show_result({"bench": "scheduler", **result}, options.output)


async def start(options: argparse.Namespace) -> None:
    """Time a service from create to all tasks running, and the bare runtime beside it."""
    from swarmlab.cli.start_bench import StartBench, measure

    bench = StartBench(
        executor=options.executor or "docker",
        replicas=options.replicas or 20,
        workers=options.workers or 4,
        rounds=options.rounds or 3,
        strategy=options.strategy or "spread",
        image=options.image or "",
    )
    result = await measure(bench, _silent if options.quiet else _say)
    show_result(result, options.output)


async def raft(options: argparse.Namespace) -> None:
    """Time what managers agree on, and the loss of their leader."""
    from swarmlab.bench.raft import RaftBench, raft_bench

    if not options.kill_leader:
        for flag in ("kills", "workers", "tasks"):
            if getattr(options, flag) is not None:
                raise UsageError(f"--{flag} goes with --kill-leader alone")
    managers = options.managers or 3
    if options.kill_leader and managers < 3:
        raise UsageError(f"--kill-leader: {managers} managers, wanted: 3 at least, so that two are left to agree")
    bench = RaftBench(
        managers=managers,
        clients=options.clients or 64,
        seconds=options.seconds or 10.0,
        tick_ms=options.tick or 100,
        kills=(options.kills or 1) if options.kill_leader else 0,
        workers=options.workers or 4,
        tasks=options.tasks or 40,
    )
    show_result(await raft_bench(bench, _silent if options.quiet else _say), options.output)


async def live(options: argparse.Namespace) -> None:
    """Time tasks on many workers over the wire, and the manager at rest."""
    from swarmlab.bench.live import LiveBench, live_bench

    workers = options.workers or 100
    tasks, services = options.tasks or 1000, options.services or 1
    if services > tasks:
        raise UsageError(f"--services: {services}, wanted: at most as many as --tasks, {tasks}")
    bench = LiveBench(
        workers=workers,
        tasks=tasks,
        services=services,
        processes=min(options.processes or 2, workers),
        idle_seconds=options.idle_seconds or 5.0,
    )
    show_result(await live_bench(bench, _silent if options.quiet else _say), options.output)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _silent(text: str) -> None:
    """No progress."""


def show_result(result: Mapping[str, Any], output: str) -> None:
    """Print one object; `peak_rss_bytes` of this process is added where the bench did not measure it."""
    found = dict(result)
    found.setdefault("peak_rss_bytes", peak_rss_bytes())
    if output == "name":
        show_ids(found)
    elif output in ("table", "wide"):
        width = max(map(len, found))
        for name, value in found.items():
            print(f"{name:<{width}}  {value}")
    else:
        show_value(found, output)


def peak_rss_bytes() -> int:
    """The most memory that this process had so far; Linux counts in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
