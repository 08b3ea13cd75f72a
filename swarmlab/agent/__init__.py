"""What a worker runs.

Duty: bring the tasks assigned to this node to their desired states, and report what they are at.
Takes: session and assignment messages, ends of operations, records of an earlier life.
Gives: calls to a manager, operations for an executor, records to keep.
Never: waits, runs anything itself, or stops a task for want of a manager.
"""

from swarmlab.agent.agent import DESCRIBE_PERIOD, Agent
from swarmlab.agent.reporter import Reporter
from swarmlab.agent.session import BACKOFF_FIRST, BACKOFF_LONGEST, CALL_TIMEOUT, Session
from swarmlab.agent.task import MOVES, RETRY_FIRST, RETRY_LONGEST, Move, TaskMachine, diagram
from swarmlab.agent.worker import Worker

__all__ = [
    "BACKOFF_FIRST",
    "BACKOFF_LONGEST",
    "CALL_TIMEOUT",
    "DESCRIBE_PERIOD",
    "MOVES",
    "RETRY_FIRST",
    "RETRY_LONGEST",
    "Agent",
    "Move",
    "Reporter",
    "Session",
    "TaskMachine",
    "Worker",
    "diagram",
]
