"""Networks: which need something of the cluster, and which have it."""

from swarmlab.api import Network, NetworkId
from swarmlab.store import Snapshot

#: Marks networks that are there without anybody's asking. Source: SwarmKit `networkallocator.PredefinedLabel`.
PREDEFINED_LABEL = "com.docker.swarm.predefined"
#: Marks the cluster's own ones; before `ingress` was a field, this and the name made the ingress network.
INTERNAL_LABEL = "com.docker.swarm.internal"
#: Names of the networks that every node has of itself.
PREDEFINED = frozenset({"host", "bridge", "none"})
#: Drivers whose networks are a node's own matter. Source: moby `libnetwork/cnmallocator/drivers_network_linux.go`.
NODE_LOCAL_DRIVERS = frozenset({"bridge", "host", "macvlan", "ipvlan", "null"})


def is_ingress(network: Network) -> bool:
    """Whether it carries the ports that are published through ingress."""
    annotations = network.spec.annotations
    return network.spec.ingress or (annotations.name == "ingress" and INTERNAL_LABEL in annotations.labels)


def named_network(view: Snapshot, target: str) -> Network | None:
    """The network that a service means by `target`, an id or else a name."""
    return view.network(NetworkId(target)) or view.by_name(Network, target)


def unallocated(view: Snapshot, target: str) -> str | None:
    """Why a task cannot be attached to the network `target` yet; None where it can."""
    if target in PREDEFINED:
        return None
    network = named_network(view, target)
    if network is None:
        return f"network {target} not found"
    driver = network.spec.driver_config.name if network.spec.driver_config is not None else ""
    if (
        driver in NODE_LOCAL_DRIVERS
        or PREDEFINED_LABEL in network.spec.annotations.labels
        or network.driver_state is not None
    ):
        return None
    return f"network {network.spec.annotations.name} ({driver or 'overlay'}) is not allocated"
