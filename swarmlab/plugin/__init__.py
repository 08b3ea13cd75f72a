"""All that a plugin author imports.

Duty: hookspecs, views, decisions, the base of strategies, and the host that loads, asks and checks them.
Takes: names of strategies and plugins, groups of equal tasks, views of the cluster.
Gives: checked refusals, scores, terms, plans and moves, each with the name of who said it.
Never: writes to the store, or lets a plugin do so.

`from swarmlab.plugin import Strategy, hookimpl` and so on; the modules below are an inner matter.
"""

from swarmlab.api import (
    HOUR,
    MINUTE,
    SECOND,
    Availability,
    Duration,
    Instant,
    InvalidSpec,
    NodeId,
    NodeRole,
    NodeState,
    NotFound,
    PluginError,
    ServiceId,
    Shortage,
    StrategyInfo,
    TaskId,
    TaskSpec,
    TaskState,
    UnknownPlugin,
)
from swarmlab.plugin.arrays import Counts, Flags, Floats, Ints, Texts, sealed
from swarmlab.plugin.decisions import (
    NOT_SEARCHED,
    OWN,
    Decision,
    Kept,
    Move,
    Moves,
    Placement,
    Plan,
    Proof,
    Refusals,
    Scores,
    Term,
    Terms,
    Trigger,
    merged,
)
from swarmlab.plugin.filling import filled, levelled, spread_over
from swarmlab.plugin.groups import Group, Reservation
from swarmlab.plugin.hookspecs import hookimpl, hookspec
from swarmlab.plugin.host import Host
from swarmlab.plugin.loading import Catalog, with_usual
from swarmlab.plugin.nodes import NodeTable, NodeView
from swarmlab.plugin.options import Option
from swarmlab.plugin.strategy import API, Strategy
from swarmlab.plugin.terms import AFFINITY_LABEL, NODE_KEYS, affinity_labels, affinity_terms, parse_term, written
from swarmlab.plugin.views import ClusterView, ServiceView, TaskView

__all__ = [
    "AFFINITY_LABEL",
    "API",
    "HOUR",
    "MINUTE",
    "NODE_KEYS",
    "NOT_SEARCHED",
    "OWN",
    "SECOND",
    "Availability",
    "Catalog",
    "ClusterView",
    "Counts",
    "Decision",
    "Duration",
    "Flags",
    "Floats",
    "Group",
    "Host",
    "Instant",
    "Ints",
    "InvalidSpec",
    "Kept",
    "Move",
    "Moves",
    "NodeId",
    "NodeRole",
    "NodeState",
    "NodeTable",
    "NodeView",
    "NotFound",
    "Option",
    "Placement",
    "Plan",
    "PluginError",
    "Proof",
    "Refusals",
    "Reservation",
    "Scores",
    "ServiceId",
    "ServiceView",
    "Shortage",
    "Strategy",
    "StrategyInfo",
    "TaskId",
    "TaskSpec",
    "TaskState",
    "TaskView",
    "Term",
    "Terms",
    "Texts",
    "Trigger",
    "UnknownPlugin",
    "affinity_labels",
    "affinity_terms",
    "filled",
    "hookimpl",
    "hookspec",
    "levelled",
    "merged",
    "parse_term",
    "sealed",
    "spread_over",
    "with_usual",
    "written",
]
