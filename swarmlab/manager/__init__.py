"""What only a leader runs.

Duty: from requests to tasks on nodes: control API, orchestrators, allocator, scheduler, rebalancer, dispatcher, role
manager, each a room of its own; the placement expressions that several of them read are in `constraint.py`.
Takes: requests, commits, messages of workers, timers.
Gives: changes for the store, messages for workers, records of what was decided.
Never: waits, opens or sends; no room keeps a second copy of the cluster.
"""
