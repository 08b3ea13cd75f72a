"""A node: one process with a state directory, in a swarm or not yet.

Duty: the life of a node: founds, joins and leaves swarms, runs the worker and, as long as its certificate says so, the
manager; renews its certificate; serves the local socket throughout.
Takes: a configuration, a state directory, requests on the local socket.
Gives: `Daemon`, started and stopped as a context; the machines on which workers run tasks.
Never: decides what the parts of a manager or a worker decide, or touches a task when its role changes.
"""

from swarmlab.daemon.config import DaemonConfig
from swarmlab.daemon.daemon import Daemon

__all__ = ["Daemon", "DaemonConfig"]
