"""`demo rejoin`: a node dies and comes back, once for each strategy, and what each makes of it."""

import argparse
import sys
from collections.abc import Sequence

from swarmlab.cli.exits import UsageError
from swarmlab.cli.lab_arguments import STRATEGIES
from swarmlab.cli.output import on_terminal, show_documents, show_ids
from swarmlab.cli.rejoin import Story, tell


async def rejoin(options: argparse.Namespace) -> None:
    """Tell the story once for each strategy, then show all of them."""
    names = [name.strip() for name in (options.strategies or STRATEGIES).split(",")]
    if not all(names):
        raise UsageError(f"--strategies: {options.strategies!r}, wanted: NAME,NAME")
    executor, image = options.executor or "auto", options.image or ""
    stories = []
    for name in names:
        say = _silent if options.quiet else Progress(name)
        stories.append(await tell(name, executor=executor, image=image, seed=options.seed, say=say))
    if options.output == "name":
        show_ids(story.strategy for story in stories)
    elif options.output in ("table", "wide"):
        _show_table(stories)
    else:
        show_documents(stories, options.output)


def _silent(text: str) -> None:
    """No progress."""


class Progress:
    """A line on standard error for each step."""

    def __init__(self, strategy: str) -> None:
        self._strategy = strategy

    def __call__(self, text: str) -> None:
        print(f"{self._strategy}: {text}", file=sys.stderr, flush=True)


def _show_table(stories: Sequence[Story]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    nodes = sorted({node for story in stories for counts in story.before.values() for node in counts})
    table = Table(title="worker 4 dies and returns: tasks on " + " ".join(nodes), box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("strategy", "service", "before", "after the loss", "after the return", "max-min"):
        table.add_column(title)
    for title in ("moves", "other restarts", "seconds"):
        table.add_column(title, justify="right")
    for story in stories:
        numbers = (str(story.moves), str(story.restarts_outside_moves), f"{story.seconds:.1f}")
        for place, service in enumerate(sorted(story.before)):
            after = story.after_return[service]
            gap = max(after.values()) - min(after.values())
            table.add_row(
                Text("" if place else story.strategy, style="bold"),
                service,
                *(_counts(phase[service], nodes) for phase in (story.before, story.after_loss, story.after_return)),
                Text(str(gap), style="green" if gap <= 1 else "red"),
                *(("", "", "") if place else numbers),
            )
    width = None if on_terminal() else 160
    Console(highlight=False, width=width, soft_wrap=not on_terminal()).print(table)


def _counts(counts: dict[str, int], nodes: Sequence[str]) -> str:
    return " ".join(str(counts.get(node, 0)) for node in nodes)
