"""Networks: which there are, what tasks mean by a name, and which need something of the cluster."""

from collections.abc import Iterable

from swarmlab.api import (
    Annotations,
    Driver,
    Network,
    NetworkAttachmentConfig,
    NetworkId,
    NetworkSpec,
    Precondition,
    PublishMode,
    Service,
    Task,
)
from swarmlab.store import Snapshot

#: Marks networks that are there without anybody's asking. Source: SwarmKit `networkallocator.PredefinedLabel`.
PREDEFINED_LABEL = "com.docker.swarm.predefined"
#: Marks the cluster's own ones; before `ingress` was a field, this and the name made the ingress network.
INTERNAL_LABEL = "com.docker.swarm.internal"
#: {name of a network that every node has of itself: its driver}
PREDEFINED = {"bridge": "bridge", "host": "host", "none": "null"}
#: Drivers whose networks are a node's own matter. Source: moby `libnetwork/cnmallocator/drivers_network_linux.go`.
NODE_LOCAL_DRIVERS = frozenset({"bridge", "host", "macvlan", "ipvlan", "null"})
#: The driver of networks that ask for none.
OVERLAY = "overlay"


class NotReady(Precondition):
    """A network cannot be used now. An empty message: the network `network_id` is not allocated yet."""

    def __init__(self, message: str, network_id: NetworkId | None = None) -> None:
        super().__init__(message)
        self.network_id = network_id


def is_ingress(network: Network) -> bool:
    """Whether it carries the ports that are published through ingress."""
    annotations = network.spec.annotations
    return network.spec.ingress or (annotations.name == "ingress" and INTERNAL_LABEL in annotations.labels)


def driver_of(network: Network) -> str:
    """The driver that the network asks for."""
    wanted = network.spec.driver_config
    return (wanted.name if wanted is not None else "") or OVERLAY


def is_node_local(network: Network) -> bool:
    """Whether it needs no addresses of the cluster: each node has one of its own."""
    return driver_of(network) in NODE_LOCAL_DRIVERS or PREDEFINED_LABEL in network.spec.annotations.labels


def named_network(view: Snapshot, target: str) -> Network | None:
    """The network that a service means by `target`, an id or else a name."""
    return view.network(NetworkId(target)) or view.by_name(Network, target)


def predefined_network(name: str) -> Network:
    """The network of that name that every node has, as tasks on it carry it. It is no object of the store."""
    driver = Driver(PREDEFINED[name])
    annotations = Annotations(name, {PREDEFINED_LABEL: "true"})
    return Network(
        id=NetworkId(name), spec=NetworkSpec(annotations=annotations, driver_config=driver), driver_state=driver
    )


def usable_network(view: Snapshot, target: str) -> Network:
    """The network that is meant by `target`, allocated.

    Raises:
        NotReady: There is none, it is going away, or it is not allocated yet.
    """
    network = named_network(view, target)
    if network is None:
        if target in PREDEFINED:
            return predefined_network(target)
        raise NotReady(f"network {target} not found")
    if network.pending_delete:
        raise NotReady(f"network {network.spec.annotations.name} is being removed")
    if network.driver_state is None:
        raise NotReady("", network.id)
    return network


def wished_networks(task: Task | None, service: Service | None) -> tuple[NetworkAttachmentConfig, ...]:
    """The networks that a task is to be on, or without one the tasks that its service makes now, in order."""
    spec = task.spec if task is not None else service.spec.task if service is not None else None
    wished = spec.networks if spec is not None else ()
    return wished or (service.spec.networks if service is not None else ())


def publishes_through_ingress(service: Service) -> bool:
    """Whether the service asks for a port on every node."""
    endpoint = service.spec.endpoint
    return endpoint is not None and any(port.publish_mode == PublishMode.INGRESS for port in endpoint.ports)


def ingress_network(networks: Iterable[Network]) -> Network | None:
    """The one ingress network, where there is one."""
    return next((network for network in networks if is_ingress(network)), None)
