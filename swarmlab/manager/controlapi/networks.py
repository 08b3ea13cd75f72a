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
    NameConflict,
    Network,
    NetworkId,
    NetworkSpec,
    Precondition,
    Service,
    Task,
    TaskState,
    new_id,
)
from swarmlab.api.validation import check_network_name
from swarmlab.manager.allocator import (
    LONGEST_PREFIX,
    NODE_LOCAL_DRIVERS,
    PREDEFINED,
    PREDEFINED_LABEL,
    is_ingress,
    overlapping,
    publishes_through_ingress,
)
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
        NameConflict: Another network has the name, or each node has one of that name.
        AlreadyExists: There is an ingress network already.
        Precondition: Another network has an address of a subnet that is asked for.
    """
    check_network_name(spec.annotations.name)
    if PREDEFINED_LABEL in spec.annotations.labels:
        raise Forbidden(f"label {PREDEFINED_LABEL} is for internally created predefined networks and cannot be applied")
    driver = spec.driver_config.name if spec.driver_config is not None else ""
    if driver not in DRIVERS:
        raise InvalidSpec(f"network driver '{driver}' is not supported: {', '.join(sorted(filter(None, DRIVERS)))} are")
    _check_ipam(spec.ipam, needs_addresses=driver not in NODE_LOCAL_DRIVERS)
    if spec.annotations.name in PREDEFINED:
        raise NameConflict(f"network {spec.annotations.name} is one that each node has; take another name")
    if spec.ingress and spec.attachable:
        raise InvalidSpec("the ingress network cannot be attachable")
    network = Network(id=NetworkId(new_id(ids)), spec=spec)
    if is_ingress(network):
        for other in view.networks():
            if is_ingress(other):
                raise AlreadyExists(f"ingress network ({other.id}) is already present")
    require_free_name(view, Network, spec.annotations.name)
    _check_overlap(view, spec)
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
    # A spec may name its networks as well as give their ids.
    referrers = (ReferencesNetwork(network.id), ReferencesNetwork(NetworkId(name)))
    for service in view.find(Service, *referrers):
        raise Precondition(f"network {network_id} is in use by service {service.id} ({service.spec.annotations.name})")
    for task in view.find(Task, *referrers):
        if task.status.state <= TaskState.RUNNING:
            raise Precondition(f"network {network_id} is in use by task {task.id}")
    if is_ingress(network):
        for service in view.services():
            if publishes_through_ingress(service):
                raise Precondition(
                    f"ingress network cannot be removed because service {service.id} "
                    f"({service.spec.annotations.name}) depends on it"
                )
    return Changes.atomic(Delete(Network, network_id)), None


def _check_overlap(view: Snapshot, spec: NetworkSpec) -> None:
    """Nothing where the subnets that are asked for belong to nobody. What is asked for at once, the allocator parts."""
    for config in spec.ipam.configs if spec.ipam is not None else ():
        for other in view.networks() if config.subnet else ():
            subnet = overlapping(other, config.subnet)
            if subnet is not None:
                whose = f"{other.spec.annotations.name} ({other.id})"
                raise Precondition(f"subnet {config.subnet} overlaps with {subnet} of network {whose}")


def _check_ipam(ipam: IPAMOptions | None, *, needs_addresses: bool) -> None:
    if ipam is None:
        return
    driver = ipam.driver.name if ipam.driver is not None else ""
    if driver not in IPAM_DRIVERS:
        raise InvalidSpec(f"IPAM driver '{driver}' is not supported: default and null are")
    if driver == "null" and needs_addresses:
        raise InvalidSpec("IPAM driver 'null' gives no addresses, and an overlay network needs some: default does")
    for config in ipam.configs:
        _check_pool(config, needs_addresses=needs_addresses)


def _check_pool(config: IPAMConfig, *, needs_addresses: bool) -> None:
    """The pool's parts are addresses, and lie in one another."""
    subnet = _network("subnet", config.subnet) if config.subnet else None
    if subnet is not None and needs_addresses and subnet.prefixlen > LONGEST_PREFIX[subnet.version]:
        raise InvalidSpec(
            f"ipam configuration: subnet {config.subnet} is too small, wanted: /{LONGEST_PREFIX[subnet.version]} or "
            "shorter, with room for a gateway, services and tasks"
        )
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
