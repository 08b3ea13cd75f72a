"""What a service has of the cluster: its published ports, and an address of its own on each of its networks."""

from collections.abc import Iterable, Iterator

from swarmlab.api import Endpoint, Network, NetworkId, PortConfig, ResolutionMode, Service, VirtualIP
from swarmlab.manager.allocator.addresses import SERVICE, Addresses, Place
from swarmlab.manager.allocator.networks import (
    NotReady,
    is_node_local,
    named_network,
    publishes_through_ingress,
    usable_network,
    wished_networks,
)
from swarmlab.store import Snapshot


def ports_of(service: Service) -> tuple[PortConfig, ...]:
    """The ports that the service has."""
    return service.endpoint.ports if service.endpoint is not None else ()


def places_of(service: Service) -> Iterator[Place]:
    """The addresses that the service has."""
    vips = service.endpoint.virtual_ips if service.endpoint is not None else ()
    return ((vip.network_id, vip.addr) for vip in vips)


def has_virtual_ips(service: Service) -> bool:
    """Whether the name of the service stands for one address on each network; so it is where nothing else is said."""
    return service.spec.endpoint is None or service.spec.endpoint.mode == ResolutionMode.VIP


def is_allocated(service: Service, view: Snapshot, ingress: Network | None) -> bool:
    """Whether the service has what its spec asks of the cluster."""
    wanted = set(_wanted_vips(service, view, ingress))
    if service.endpoint is None:
        return service.spec.endpoint is None and not wanted
    if service.endpoint.spec != service.spec.endpoint or (service.spec.endpoint is None and not wanted):
        return False
    return {vip.network_id for vip in service.endpoint.virtual_ips} == wanted


def virtual_ips(
    service: Service, view: Snapshot, ingress: Network | None, addresses: Addresses
) -> tuple[VirtualIP, ...]:
    """The addresses that the service gets, in the order of its networks; those that it has, it keeps.

    Raises:
        NotReady: A network of it cannot be used now.
        NoAddress: A network has none left.
    """
    found = []
    for network_id in _wanted_vips(service, view, ingress):
        network = usable_network(view, network_id)
        # The wire has room for one address of a service on a network; the first is of IPv4.
        found.append(VirtualIP(network.id, addresses.give((SERVICE, service.id), network.id)[0]))
    return tuple(found)


def endpoint(service: Service, ports: tuple[PortConfig, ...], vips: tuple[VirtualIP, ...]) -> Endpoint | None:
    """What the service has, made of its parts."""
    if service.spec.endpoint is None and not vips:
        return None
    return Endpoint(spec=service.spec.endpoint, ports=ports, virtual_ips=vips)


def _wanted_vips(service: Service, view: Snapshot, ingress: Network | None) -> Iterable[NetworkId]:
    """The networks on which the service is to have an address; names that stand for nothing stay as they are."""
    if not has_virtual_ips(service):
        return ()
    wanted: dict[NetworkId, None] = {}
    if ingress is not None and publishes_through_ingress(service):
        wanted[ingress.id] = None
    for wish in wished_networks(None, service):
        network = named_network(view, wish.target)
        if network is None:
            try:
                usable_network(view, wish.target)
            except NotReady:
                wanted[NetworkId(wish.target)] = None
        elif not is_node_local(network):
            wanted[network.id] = None
    return wanted
