"""Lines of tasks, from the nodes that have them to the clients that want them.

Duty: tells each listening node whose lines are wanted of it, and passes on what it publishes.
Takes: clients' subscriptions, nodes' listening and publishing, commits, the ends of connections.
Gives: messages to nodes and to clients.
Never: keeps a line, or waits for a slow reader: the edge that hands it the lines does.
"""

from swarmlab.manager.logbroker.logbroker import LogBroker

__all__ = ["LogBroker"]
