"""The strategy commands. They ask no cluster: what can be chosen is what is installed."""

import argparse
from collections.abc import Sequence

from msgspec.structs import replace

from swarmlab.api import StrategyInfo
from swarmlab.cli.exits import Missing, near, quoted
from swarmlab.cli.output import Column, show_ids, show_value
from swarmlab.cli.output import show as show_rows
from swarmlab.cli.pairs import labels

COLUMNS: tuple[Column[StrategyInfo], ...] = (
    Column("NAME", lambda one: one.name),
    Column("REBALANCES", lambda one: "yes" if one.rebalances else "no"),
    Column("SUMMARY", lambda one: one.summary, fold=True),
    Column("ORIGIN", lambda one: one.origin, wide=True),
    Column("PARAMETERS", lambda one: ", ".join(f"{k}={v}" for k, v in sorted(one.parameters.items())), wide=True),
)


def installed(plugins: Sequence[str]) -> tuple[StrategyInfo, ...]:
    """The strategies that can be chosen, by name."""
    from swarmlab.plugin import Host

    return Host.load("spread", plugins=tuple(plugins)).strategies()


def ls(options: argparse.Namespace) -> None:
    """List strategies by name."""
    found = sorted(installed(options.plugin), key=lambda one: one.name)
    if options.quiet:
        show_ids(one.name for one in found)
    else:
        show_rows(found, COLUMNS, output=options.output, name=lambda one: one.name)


def show(options: argparse.Namespace) -> None:
    """Show one strategy, with its formula as the given parameters make it."""
    found = {one.name: one for one in installed(options.plugin)}
    if options.name not in found:
        raise Missing(f"strategy not found: {quoted(options.name)}{near(options.name, sorted(found))}")
    from swarmlab.plugin import Host

    given = labels("--set", options.set)
    host = Host.load(options.name, plugins=tuple(options.plugin), parameters=given)
    strategy = next(one for one in host.strategies() if one.active)
    own = {name: value for name, value in given.items() if "." not in name}
    strategy = replace(strategy, parameters={**strategy.parameters, **own})
    if options.output == "name":
        show_ids([strategy.name])
    elif options.output in ("table", "wide"):
        print(f"{strategy.name}: {strategy.summary}")
        print(f"  from:       {strategy.origin}")
        print(f"  rebalances: {'yes' if strategy.rebalances else 'no'}")
        print(f"  formula:    {strategy.formula or 'not told'}")
        for plugin in host.plugins:
            settings = [f"{key}={value}" for key, value in host.options.items() if key.startswith(f"{plugin}.")]
            print(f"  plugin:     {' '.join([plugin, *settings])}")
        for name, value in sorted(strategy.parameters.items()):
            print(f"  --set {name}={value}")
    else:
        show_value(strategy, options.output)
