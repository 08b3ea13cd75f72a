"""Services into tasks.

Duty: for every service the tasks it wants, and no others: made, restarted, updated, moved, stopped and cleared away.
Takes: the store's view and change lists, wishes for moves, the time.
Gives: changes to tasks (`desired_state`, new and deleted tasks) and to `Service.update_status`; records of what it did.
Never: chooses a node, talks to one, or remembers what the store does not hold.

Records: `created`, `restarted`, `update` (each new status), `move-begun`, `moved`, `move-failed`, `move-cancelled`,
`rejected`, `orphaned`, `removed`; and `proposal-failed`, `proposal-refused`. They come when what they tell is
committed. The service label `swarmlab.update.timeout` says how long a new task may take to run before an update counts
it as failed.
"""

from swarmlab.manager.orchestrator.enforcer import ConstraintEnforcer
from swarmlab.manager.orchestrator.global_ import GlobalOrchestrator
from swarmlab.manager.orchestrator.jobs import JobsOrchestrator
from swarmlab.manager.orchestrator.moves import MOVE_FROM, MOVE_REASON, MOVE_TO, MovesWished
from swarmlab.manager.orchestrator.reaper import TaskReaper
from swarmlab.manager.orchestrator.replicated import ReplicatedOrchestrator

__all__ = [
    "MOVE_FROM",
    "MOVE_REASON",
    "MOVE_TO",
    "ConstraintEnforcer",
    "GlobalOrchestrator",
    "JobsOrchestrator",
    "MovesWished",
    "ReplicatedOrchestrator",
    "TaskReaper",
]
