"""Networks as users ask for them; the allocator gives them their addresses."""

import ipaddress
import random

from swarmlab.api import (
    AlreadyExists,
    Changes,
    Create,
    Delete,
    Filters,
    Forbidden,
    InvalidSpec,
    IPAMConfig,
    IPAMOptions,
    Network,
    NetworkId,
    NetworkSpec,
    Precondition,
    PublishMode,
    Service,
    Task,
    TaskState,
    new_id,
)
from swarmlab.api.validation import check_network_name
from swarmlab.manager.allocator import NODE_LOCAL_DRIVERS, PREDEFINED_LABEL, is_ingress
from swarmlab.manager.controlapi.filters import EVERYTHING, narrowed
from swarmlab.manager.controlapi.stored import require_free_name, stored
from swarmlab.store import ReferencesNetwork, Snapshot

#: Drivers that can be asked for; empty is overlay.
DRIVERS = frozenset({"", "overlay"}) | NODE_LOCAL_DRIVERS
IPAM_DRIVERS = frozenset({"", "default", "null"})


def create_network(view: Snapshot, spec: NetworkSpec, ids: random.Random) -> tuple[Changes, Network]:
    """A new network.

    Raises:
        InvalidSpec: Name, driver or addresses are not acceptable, or an ingress network is to be attachable.
        Forbidden: The label of predefined networks is used.
        NameConflict: Another network has the name.
        AlreadyExists: There is an ingress network already.
    """
    check_network_name(spec.annotations.name)
    if PREDEFINED_LABEL in spec.annotations.labels:
        raise Forbidden(f"label {PREDEFINED_LABEL} is for internally created predefined networks and cannot be applied")
    driver = spec.driver_config.name if spec.driver_config is not None else ""
    if driver not in DRIVERS:
        raise InvalidSpec(f"network driver '{driver}' is not supported: {', '.join(sorted(filter(None, DRIVERS)))} are")
    _check_ipam(spec.ipam)
    if spec.ingress and spec.attachable:
        raise InvalidSpec("the ingress network cannot be attachable")
    network = Network(id=NetworkId(new_id(ids)), spec=spec)
    if is_ingress(network):
        for other in view.networks():
            if is_ingress(other):
                raise AlreadyExists(f"ingress network ({other.id}) is already present")
    require_free_name(view, Network, spec.annotations.name)
    return Changes.atomic(Create(network)), network


def get_network(view: Snapshot, network_id: NetworkId) -> Network:
    """The network of that id.

    Raises:
        NotFound: There is none.
    """
    return stored(view, Network, network_id)


def list_networks(view: Snapshot, filters: Filters = EVERYTHING) -> tuple[Network, ...]:
    """The networks that match, sorted by id."""
    return narrowed(
        view.networks(),
        filters,
        name=lambda network: network.spec.annotations.name,
        labels=lambda network: network.spec.annotations.labels,
    )


def remove_network(view: Snapshot, network_id: NetworkId) -> tuple[Changes, None]:
    """Nothing of the network left.

    Raises:
        NotFound: No such network.
        Precondition: It is predefined, a service or a task that has not ended is attached to it, or it is the ingress
            network and a service publishes through it.
    """
    network = stored(view, Network, network_id)
    name = network.spec.annotations.name
    if PREDEFINED_LABEL in network.spec.annotations.labels:
        raise Precondition(f"network {name} ({network_id}) is predefined and can't be removed")
    for service in view.find(Service, ReferencesNetwork(network.id)):
        raise Precondition(f"network {network_id} is in use by service {service.id} ({service.spec.annotations.name})")
    for task in view.find(Task, ReferencesNetwork(network.id)):
        if task.status.state <= TaskState.RUNNING:
            raise Precondition(f"network {network_id} is in use by task {task.id}")
    if is_ingress(network):
        for service in view.services():
            if _publishes_through_ingress(service):
                raise Precondition(
                    f"ingress network cannot be removed because service {service.id} "
                    f"({service.spec.annotations.name}) depends on it"
                )
    return Changes.atomic(Delete(Network, network_id)), None


def _publishes_through_ingress(service: Service) -> bool:
    endpoint = service.spec.endpoint
    return endpoint is not None and any(port.publish_mode == PublishMode.INGRESS for port in endpoint.ports)


def _check_ipam(ipam: IPAMOptions | None) -> None:
    if ipam is None:
        return
    driver = ipam.driver.name if ipam.driver is not None else ""
    if driver not in IPAM_DRIVERS:
        raise InvalidSpec(f"IPAM driver '{driver}' is not supported: default and null are")
    for config in ipam.configs:
        _check_pool(config)


def _check_pool(config: IPAMConfig) -> None:
    """The pool's parts are addresses, and lie in one another."""
    subnet = _network("subnet", config.subnet) if config.subnet else None
    within = _network("ip range", config.range) if config.range else None
    if subnet is not None and within is not None and not _holds(subnet, within):
        raise InvalidSpec(f"ipam configuration: ip range {config.range} is not in subnet {config.subnet}")
    inside = {"gateway": config.gateway} if config.gateway else {}
    inside |= {f"auxiliary address {name}": address for name, address in config.reserved.items()}
    for what, text in inside.items():
        try:
            address = ipaddress.ip_interface(text).ip
        except ValueError:
            raise InvalidSpec(f"ipam configuration: invalid {what} {text!r}, wanted an address") from None
        if subnet is not None and address not in subnet:
            raise InvalidSpec(f"ipam configuration: {what} {text} is not in subnet {config.subnet}")


def _network(what: str, text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise InvalidSpec(f"ipam configuration: invalid {what} {text!r}, wanted an address with a prefix") from None


def _holds(
    outer: ipaddress.IPv4Network | ipaddress.IPv6Network, inner: ipaddress.IPv4Network | ipaddress.IPv6Network
) -> bool:
    return outer.version == inner.version and inner[0] in outer and inner[-1] in outer
