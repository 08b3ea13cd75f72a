"""What the author of a strategy or a plugin tests it with.

Duty: clusters in a few words, a scheduler that is alone with its store, virtual time, recorded decisions, and the
    conformance suite that holds for every strategy.
Takes: strategies and plugins, by class or by name; clusters, written or drawn by chance.
Gives: decisions to compare, and what broke, with the smallest cluster that shows it.
Never: runs on a live cluster, or decides anything itself.
"""

from swarmlab.testing.builders import CPU, MIB, a_node, a_service, a_spec, a_task, an_endpoint, tasks_of
from swarmlab.testing.clock import START, Time, Timers
from swarmlab.testing.desk import Desk, Later

__all__ = [
    "CPU",
    "MIB",
    "START",
    "Desk",
    "Later",
    "Time",
    "Timers",
    "a_node",
    "a_service",
    "a_spec",
    "a_task",
    "an_endpoint",
    "tasks_of",
]
