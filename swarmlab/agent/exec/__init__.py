"""Where tasks really run, seen from the agent.

Duty: the words between the agent's core and whatever carries out its steps.
Takes: `Execute`, `Interrupt`, `Describe`, `Persist`, `Configure`, `Retire`.
Gives: `Executed`, `Described`, `Restored`, `Leaving`.
Never: runs anything itself; executors are edges or simulated.
"""

from swarmlab.agent.exec.ports import (
    Configure,
    Controller,
    Dependencies,
    Describe,
    Described,
    Execute,
    Executed,
    Executor,
    Interrupt,
    Kept,
    Leaving,
    LogMessage,
    LogOptions,
    Operation,
    Persist,
    Restored,
    Retire,
    Runtime,
)

__all__ = [
    "Configure",
    "Controller",
    "Dependencies",
    "Describe",
    "Described",
    "Execute",
    "Executed",
    "Executor",
    "Interrupt",
    "Kept",
    "Leaving",
    "LogMessage",
    "LogOptions",
    "Operation",
    "Persist",
    "Restored",
    "Retire",
    "Runtime",
]
