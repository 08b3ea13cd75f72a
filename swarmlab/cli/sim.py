"""`sim run`: a scenario in a simulated cluster."""

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from swarmlab.api import StateError
from swarmlab.cli.exits import Exit, Invalid, UsageError
from swarmlab.cli.output import show_ids, show_value
from swarmlab.cli.pairs import labels

if TYPE_CHECKING:
    from swarmlab.sim import Regret


def run(options: argparse.Namespace) -> int:
    """Run the scenario; exit code 0 where it went as expected, else 1."""
    if options.scenario is None:
        raise UsageError("--scenario FILE is wanted", "swarmlab sim run")
    scenario = Path(options.scenario)
    if not scenario.is_file():
        raise Invalid(f"{scenario}: no such file")
    log = Path(options.log) if options.log else None
    if log is not None and not log.absolute().parent.is_dir():
        raise StateError(f"{log}: its directory does not exist")
    from swarmlab.sim import run_scenario

    start = time.monotonic()
    result = run_scenario(
        scenario,
        options.strategy,
        options.seed or 0,
        log,
        parameters=labels("--set", options.set),
        regret=_objective(options),
        progress=show_progress if sys.stderr.isatty() and not options.quiet else None,
    )
    if options.output in ("table", "wide"):
        for name, value in (
            ("scenario", result.scenario),
            ("strategy", result.strategy),
            ("seed", result.seed),
            ("virtual time", f"{result.seconds:.1f} s in {time.monotonic() - start:.2f} s"),
            ("commits", result.commits),
            ("decisions", result.decisions),
            ("moves", result.moves),
            ("restarts", result.restarts),
            *((("requests", result.requests),) if result.requests else ()),
            ("log", result.log_sha256),
        ):
            print(f"{name + ':':<14} {value}")
        for service, nodes in sorted(result.tasks.items()):
            print(f"{service + ':':<14} " + " ".join(f"{node}={number}" for node, number in sorted(nodes.items())))
        if result.regret is not None:
            _show_regret(result.regret)
    elif options.output == "name":
        show_ids([result.scenario])
    else:
        show_value(result, options.output)
    for failure in result.failures:
        print(f"Failed: {failure}", file=sys.stderr)
    return Exit.ERROR if result.failures else Exit.OK


def _objective(options: argparse.Namespace) -> str:
    """What regret is measured in; empty where it is not asked for."""
    if not options.regret:
        if options.objective:
            raise UsageError("--objective says what --regret measures, and --regret is missing", "swarmlab sim run")
        return ""
    return options.objective or "spread"


def _show_regret(regret: "Regret") -> None:
    sums = ", ".join(f"{goal} {value:g}" for goal, value in regret.regret.items()) or "none"
    judged = f"{regret.best} of {regret.judged} plans are the best possible"
    left = f", {regret.plans - regret.judged} were too large to judge" if regret.plans > regret.judged else ""
    print(f"{'regret:':<14} {sums} ({regret.objective}; {judged}{left}; worst {regret.worst:.1%})")


def show_progress(share: float) -> None:
    """A bar on standard error; the full one goes away."""
    done = round(share * 30)
    end = "\r\033[K" if share >= 1 else ""
    print(f"\r[{'#' * done}{'.' * (30 - done)}] {share:4.0%}{end}", end="", file=sys.stderr, flush=True)
