"""Moves of running tasks, asked of the strategy when a node joined or returned.

Duty: notices that there is something to balance, asks the strategy once it is quiet, checks each move, and follows the
moves to their end.
Takes: the store's view and change lists, the strategy in use, the time.
Gives: `MovesWished` for the replicated orchestrator; records of each plan, its moves, and what was left out and why.
Never: writes a task, or has two plans under way.
"""

from swarmlab.manager.rebalancer.rebalancer import Rebalancer

__all__ = ["Rebalancer"]
