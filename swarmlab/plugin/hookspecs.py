"""What plugins are asked. An implementation may leave out trailing arguments, and any that it does not need."""

from collections.abc import Mapping, Sequence
from typing import Any

import pluggy

from swarmlab.plugin.decisions import Decision, Refusals, Scores, Terms
from swarmlab.plugin.groups import Group
from swarmlab.plugin.nodes import NodeTable
from swarmlab.plugin.options import Option
from swarmlab.plugin.strategy import Strategy
from swarmlab.plugin.views import ClusterView

hookspec = pluggy.HookspecMarker("swarmlab")
#: Marks a function of a plugin as the answer to the hook of its name.
hookimpl = pluggy.HookimplMarker("swarmlab")


@hookspec
def swarmlab_register_strategies() -> Sequence[type[Strategy]] | None:
    """The strategies that this module offers by name.

    Called once, when strategies are looked for. Two of one name are an error that names both sources.

    Since: plugin API 1.0.
    """


@hookspec
def swarmlab_register_plugins() -> Mapping[str, object] | None:
    """The plugins that this module offers: {name: a module or an object with hook implementations}.

    Called once, when plugins are looked for. A plugin is heard only when it was asked for by name.

    Since: plugin API 1.0.
    """


@hookspec
def swarmlab_add_options() -> Sequence[Option] | None:
    """What users can set for this plugin; the values come back in `options` and `view.options`.

    Called once, when the plugin is loaded.

    Since: plugin API 1.0.
    """


@hookspec
def swarmlab_filter(
    group: Group, nodes: NodeTable, view: ClusterView, options: Mapping[str, Any]
) -> Refusals | Sequence[Refusals] | None:
    """Name the nodes that must not run tasks of `group`, and why.

    Called once per group of equal tasks, before scoring; every implementation is asked.

    Args:
        group: Equal tasks still to place; `group.reservation` is in nano-CPUs and bytes, integers.
        nodes: All n nodes sorted by id, as columns of length n; free amounts count this batch's earlier placements.
        view: The version decided against; one `view.version` for the whole batch.
        options: {"plugin.option": value}.

    Returns:
        A boolean array of length n (True: refused) with a reason, and where it applies need and have per node; several
        of them for several reasons; None where nothing is refused. All reasons are kept, counted, and shown to users.

    Raises:
        Nothing expected. Any exception becomes PluginError(plugin, hook): it fails a simulated run; a live cluster
        reports it and goes on without this plugin's answer.

    Since: plugin API 1.0. Source: SwarmKit `scheduler/filter.go` (Check and Explain).
    """


@hookspec
def swarmlab_score(group: Group, nodes: NodeTable, view: ClusterView, options: Mapping[str, Any]) -> Scores | None:
    """Say how well each node suits the next task of `group`.

    Args:
        group: Equal tasks still to place.
        nodes: All n nodes sorted by id, as columns of length n.
        view: The version decided against.
        options: {"plugin.option": value}.

    Returns:
        A float array of length n in [0.0, 1.0], higher is better, and a weight; merged as a weighted sum. None: no
        opinion.

    Raises:
        Nothing expected; as for `swarmlab_filter`.

    Since: plugin API 1.0.
    """


@hookspec
def swarmlab_affinity(group: Group, view: ClusterView, options: Mapping[str, Any]) -> Terms | None:
    """Say near or far from which other services the tasks of `group` should be.

    Called for the group that is placed, and, for symmetric terms, for the services that run already; so it must depend
    on `group` and `options` alone, never on where tasks are.

    Returns:
        Terms; hard ones refuse nodes, the others score them. None: no wishes.

    Raises:
        Nothing expected; as for `swarmlab_filter`.

    Since: plugin API 1.0.
    """


@hookspec
def swarmlab_observe(decision: Decision, options: Mapping[str, Any]) -> None:
    """Hear of a decision, once it is committed.

    Args:
        decision: One group's.
        options: {"plugin.option": value}.

    Raises:
        Nothing expected; a fault is reported and changes no decision.

    Since: plugin API 1.0.
    """
