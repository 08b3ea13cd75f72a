"""Promotion and demotion: from the role that a node is wished to have to the one that it has.

Duty: promotes at once; lets a manager that is to be demoted, or that was removed, leave the raft group, and demotes it
only after that.
Takes: the store's view and change lists, the managers of the raft group, the end of each departure.
Gives: roles for the store, on which certificates follow; `LeaveRaft` for whoever holds the group.
Never: counts a quorum itself, or takes a role from a node that is still a member.
"""

from swarmlab.manager.rolemanager.rolemanager import LeaveRaft, RaftLeft, RoleManager

__all__ = ["LeaveRaft", "RaftLeft", "RoleManager"]
