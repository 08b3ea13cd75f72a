"""The door at which engines find each other.

Duty: pipes the connections of engines on the gossip port of a manager to the same port of another live worker. Engines
look for their first neighbours at the managers' hosts alone, and a manager of ours has no engine there.
Takes: the addresses of the cluster's live nodes.
Gives: `GossipRelay`.
Never: reads what it carries, which is encrypted between the engines; serves an address that is not of a node.
"""

from swarmlab.edges.gossip.relay import GOSSIP_PORT, GossipRelay, engine_addresses, gossip_address

__all__ = ["GOSSIP_PORT", "GossipRelay", "engine_addresses", "gossip_address"]
