"""The managers' side of every worker.

Duty: per node a session, a pulse, and the assignments; what nodes report goes into the store.
Takes: the calls of agents, commits.
Gives: session messages, assignments, node states, task statuses, the event log of nodes and tasks.
Never: decides what runs where, or moves a task of a node that is merely cut off.
"""

from swarmlab.manager.dispatcher.dispatcher import ORPHAN_AFTER, Dispatcher, ManagersChanged

__all__ = ["ORPHAN_AFTER", "Dispatcher", "ManagersChanged"]
