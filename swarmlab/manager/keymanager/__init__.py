"""The keys with which nodes speak to each other beside the managers.

Duty: keeps three keys for each of gossip and IPsec in the cluster object, and replaces the oldest from time to time.
Takes: the store's view and change lists, the time, entropy of the operating system.
Gives: changes to `Cluster.network_bootstrap_keys` and its clock; the dispatcher hands the keys out.
Never: shows a key in a record, or keeps one outside of the store.
"""

from swarmlab.manager.keymanager.keymanager import KEYS, ROTATION, SUBSYSTEMS, KeyManager, first_keys, rotated

__all__ = ["KEYS", "ROTATION", "SUBSYSTEMS", "KeyManager", "first_keys", "rotated"]
