"""The shipped builders and the desk, for the tests of the rooms that they are made of."""

from swarmlab.testing import (
    CPU,
    MIB,
    START,
    Desk,
    Later,
    a_node,
    a_service,
    a_spec,
    a_task,
    an_endpoint,
    tasks_of,
)

__all__ = [
    "CPU",
    "MIB",
    "START",
    "Desk",
    "Later",
    "a_node",
    "a_service",
    "a_spec",
    "a_task",
    "an_endpoint",
    "tasks_of",
]
