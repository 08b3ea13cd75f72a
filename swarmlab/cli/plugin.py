"""The plugin commands. They ask no cluster."""

import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

from swarmlab.api import PluginError, UnknownPlugin, Value
from swarmlab.cli.exits import Conflict, Exit, Missing
from swarmlab.cli.output import Column, show, show_documents, show_ids, show_value
from swarmlab.cli.pairs import labels


class Row(Value, frozen=True, kw_only=True):
    """One strategy or plugin, or one entry point that offers nothing."""

    name: str
    #: "strategy", "plugin", "broken" or "left out".
    kind: str
    hooks: tuple[str, ...] = ()
    api: str = ""
    origin: str = ""
    error: str = ""


COLUMNS: tuple[Column[Row], ...] = (
    Column("NAME", lambda row: row.name),
    Column("KIND", lambda row: row.kind),
    Column("HOOKS", lambda row: ", ".join(row.hooks), fold=True),
    Column("API", lambda row: row.api),
    Column("ORIGIN", lambda row: row.origin),
    Column("ERROR", lambda row: row.error, fold=True),
)


def ls(options: argparse.Namespace) -> None:
    """All that is installed, and what of it could not be loaded."""
    rows = _rows()
    if options.quiet:
        show_ids(row.name for row in rows)
    else:
        show(rows, COLUMNS, output=options.output, name=lambda row: row.name)


def new(options: argparse.Namespace) -> None:
    """Write the files; nothing that exists is written over."""
    from swarmlab.testing.skeleton import skeleton

    files = skeleton(options.name, options.kind, package=options.package)
    for path in files:
        if Path(path).exists():
            raise Conflict(f"{path} exists already")
    for path, text in files.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)
    show_ids(files)


def check(options: argparse.Namespace) -> int:
    """Every check of the conformance suite; exit code 1 where one broke."""
    from swarmlab.testing import Report, Result, conformance
    from swarmlab.testing.conformance import CASES

    strategy, plugins = _subject(options)
    seed = options.seed or 0
    try:
        report = conformance(
            strategy,
            plugins,
            labels("--set", options.set),
            cases=CASES if options.cases is None else options.cases,
            seed=seed,
            allow=options.allow,
        )
    except UnknownPlugin:
        raise
    except PluginError as error:
        promise = "it can be loaded, and has the shape that the contract wants"
        broken = Result(check="loads", promise=promise, broken=str(error))
        report = Report(strategy=strategy, plugins=plugins, seed=seed, results=(broken,))
    if options.output in ("table", "wide"):
        print(report)
    elif options.output == "name":
        show_ids(result.check for result in report.results if result.broken and not result.allowed)
    else:
        show_value(report, options.output)
    return Exit.OK if report.passed else Exit.ERROR


def test(options: argparse.Namespace) -> int:
    """Pytest on the folder, by the interpreter that runs this; its exit code."""
    if not Path(options.path).exists():
        raise Missing(f"{options.path}: no such file or folder")
    if importlib.util.find_spec("pytest") is None:
        raise Missing("pytest is not installed beside swarmlab: pip install pytest")
    folder = Path(options.path)
    where, what = (folder, ".") if folder.is_dir() else (folder.parent, folder.name)
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", what], cwd=where, check=False)  # noqa: S603 - as asked
    return Exit.OK if done.returncode == 0 else Exit.ERROR


def trace(options: argparse.Namespace) -> None:
    """Each call of a hook on a small cluster."""
    from swarmlab.testing.calls import calls

    strategy, plugins = _subject(options)
    heard = calls(strategy, plugins, labels("--set", options.set), seed=options.seed)
    if options.output in ("table", "wide"):
        for call in heard:
            print(f"{call.hook} of {call.about}" if call.about else call.hook)
            print(f"  {call.plugin}: {call.answer}")
    elif options.output == "name":
        show_ids(call.hook for call in heard)
    else:
        show_documents(heard, options.output)


def _subject(options: argparse.Namespace) -> tuple[str, tuple[str, ...]]:
    """The strategy and the plugins that are meant."""
    from swarmlab.plugin.loading import installed, is_strategy

    if is_strategy(options.subject, installed()):
        return options.subject, ()
    return options.strategy or "spread", (options.subject,)


def _rows() -> list[Row]:
    from swarmlab.plugin import API
    from swarmlab.plugin.loading import hooks_of, installed

    catalog = installed()
    here = ".".join(map(str, API))
    rows = [
        Row(
            name=name,
            kind="strategy",
            hooks=tuple(hook for hook in ("score", "place", "rebalance") if _gives(cls, hook)),
            api=".".join(map(str, cls.api)),
            origin=origin,
        )
        for name, (cls, origin) in catalog.strategies.items()
    ]
    rows += [
        Row(name=name, kind="plugin", hooks=hooks_of(plugin), api=here, origin=origin)
        for name, (plugin, origin) in catalog.plugins.items()
    ]
    for kind, points in (("broken", catalog.broken), ("left out", catalog.left_out)):
        for point, why in points.items():
            name, _, origin = point.partition(" = ")
            rows.append(Row(name=name, kind=kind, origin=origin, error=why))
    return rows


def _gives(cls: type[Any], hook: str) -> bool:
    from swarmlab.plugin import Strategy

    return getattr(cls, hook) is not getattr(Strategy, hook)
