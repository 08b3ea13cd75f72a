"""What the cluster has one of for all: published ports, subnets, addresses.

Duty: gives networks their subnets, services their ports and addresses, tasks and nodes their places on networks, and
lets tasks go from NEW to PENDING once all that they need is given.
Takes: the store's view and change lists, the time.
Gives: changes to `Network.driver_state` and `ipam`, `Service.endpoint`, to the endpoint, networks and status of tasks
that are NEW, and to `Node.attachments`; networks that were to go are deleted; records of what it did.
Never: chooses a node, or touches a task beyond PENDING.
"""

from swarmlab.manager.allocator.addresses import NoAddress
from swarmlab.manager.allocator.allocator import Allocator
from swarmlab.manager.allocator.networks import (
    NODE_LOCAL_DRIVERS,
    PREDEFINED,
    PREDEFINED_LABEL,
    is_ingress,
    named_network,
    publishes_through_ingress,
)
from swarmlab.manager.allocator.places import future_networks
from swarmlab.manager.allocator.ports import DYNAMIC_PORTS
from swarmlab.manager.allocator.spaces import LONGEST_PREFIX, NoSubnet, overlapping

__all__ = [
    "DYNAMIC_PORTS",
    "LONGEST_PREFIX",
    "NODE_LOCAL_DRIVERS",
    "PREDEFINED",
    "PREDEFINED_LABEL",
    "Allocator",
    "NoAddress",
    "NoSubnet",
    "future_networks",
    "is_ingress",
    "named_network",
    "overlapping",
    "publishes_through_ingress",
]
