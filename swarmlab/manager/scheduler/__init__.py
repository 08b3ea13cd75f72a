"""Tasks onto nodes.

Duty: a node for every task that waits for one: filters, columns, plans, and the words that explain them.
Takes: the store's view and change lists, a plugin host, the time.
Gives: PENDING tasks made ASSIGNED, or the reason why not in `status.err`; views for whoever else judges placements.
Never: changes a task that has a node, talks to one, or remembers what the store does not hold, failures apart.
"""

from swarmlab.manager.scheduler.scheduler import Scheduler
from swarmlab.manager.scheduler.view import ClusterColumns

__all__ = ["ClusterColumns", "Scheduler"]
