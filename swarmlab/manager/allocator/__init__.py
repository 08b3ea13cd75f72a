"""What the cluster has one of for all: published ports, and later addresses.

Duty: gives services their ports, and lets tasks go from NEW to PENDING once all that they need is given.
Takes: the store's view and change lists, the time.
Gives: changes to `Service.endpoint`, `Task.endpoint` and the status of tasks that are NEW; records of what it did.
Never: chooses a node, or touches a task beyond PENDING.
"""

from swarmlab.manager.allocator.allocator import Allocator
from swarmlab.manager.allocator.networks import (
    NODE_LOCAL_DRIVERS,
    PREDEFINED,
    PREDEFINED_LABEL,
    is_ingress,
    named_network,
)
from swarmlab.manager.allocator.ports import DYNAMIC_PORTS

__all__ = [
    "DYNAMIC_PORTS",
    "NODE_LOCAL_DRIVERS",
    "PREDEFINED",
    "PREDEFINED_LABEL",
    "Allocator",
    "is_ingress",
    "named_network",
]
