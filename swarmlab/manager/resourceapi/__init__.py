"""What nodes ask of the cluster for themselves: places on networks for their plain containers.

Duty: answers nodes that attach and detach containers.
Takes: their calls, commits.
Gives: tasks of no service, made and deleted; answers when that is final.
Never: gives an address or sends a task: the allocator and the dispatcher do.
"""

from swarmlab.manager.resourceapi.attachments import ResourceAllocator

__all__ = ["ResourceAllocator"]
