"""What the author of a strategy or a plugin tests it with.

Duty: clusters in a few words, a scheduler that is alone with its store, virtual time, recorded decisions, and the
    conformance suite that holds for every strategy.
Takes: strategies and plugins, by class or by name; clusters, written or drawn by chance.
Gives: decisions to compare, and what broke, with the smallest cluster that shows it.
Never: runs on a live cluster, or decides anything itself.
"""

from swarmlab.testing.builders import CPU, MIB, a_node, a_service, a_spec, a_task, an_endpoint, tasks_of
from swarmlab.testing.cases import Case, Machine, Wanted
from swarmlab.testing.clock import START, Time, Timers
from swarmlab.testing.clusters import cases
from swarmlab.testing.conformance import CHECKS, Report, Result, assert_conforms, class_spec, conformance
from swarmlab.testing.desk import Desk, Later
from swarmlab.testing.drawing import CORNERS, drawn
from swarmlab.testing.trace import golden, trace_of

__all__ = [
    "CHECKS",
    "CORNERS",
    "CPU",
    "MIB",
    "START",
    "Case",
    "Desk",
    "Later",
    "Machine",
    "Report",
    "Result",
    "Time",
    "Timers",
    "Wanted",
    "a_node",
    "a_service",
    "a_spec",
    "a_task",
    "an_endpoint",
    "assert_conforms",
    "cases",
    "class_spec",
    "conformance",
    "drawn",
    "golden",
    "tasks_of",
    "trace_of",
]
