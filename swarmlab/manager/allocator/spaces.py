"""What networks share: one space of subnets and one of VXLAN ids, in which each has its own."""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import NamedTuple

from msgspec.structs import replace

from swarmlab.api import (
    AddressFamily,
    Cluster,
    Driver,
    IPAMConfig,
    IPAMOptions,
    Network,
    NetworkId,
    Precondition,
)
from swarmlab.manager.allocator.networks import driver_of, is_node_local

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

#: What networks that ask for no subnet are cut from, and how large. Source: SwarmKit `networkallocator`.
DEFAULT_POOL = ("10.0.0.0/8",)
DEFAULT_SIZE = 24
#: Source: moby `libnetwork/drivers/overlay/ovmanager`, vxlanIDStart and vxlanIDEnd.
VXLAN_IDS = range(4096, 1 << 24)
#: The option under which engines look for the ids of a network's subnets.
VXLAN_LIST = "com.docker.network.driver.overlay.vxlanid_list"
#: A longer prefix has no room for a gateway, a load balancer and a task.
LONGEST_PREFIX = {4: 29, 6: 125}


class NoSubnet(Precondition):
    """A network cannot have its subnets or ids now."""


class _Held(NamedTuple):
    """What one network has."""

    name: str
    subnets: tuple[IPNetwork, ...]
    ids: tuple[int, ...]


class Spaces:
    """Gives networks their subnets and VXLAN ids.

    A derived index: what is in it follows from the networks. What was given out stays held until the network is seen
    again, so that a proposal which may yet be committed is never contradicted by a later one.
    """

    def __init__(self) -> None:
        self._held: dict[NetworkId, _Held] = {}
        #: The subnet and the id to be tried next, so that what was just given back is not given out at once.
        self._next_subnet = 0
        self._next_id = VXLAN_IDS.start

    def hold(self, network: Network) -> None:
        """Make what the network carries all that it has."""
        subnets = tuple(_subnets(network))
        ids = tuple(vxlan_ids(network.driver_state))
        if subnets or ids:
            self._held[network.id] = _Held(network.spec.annotations.name, subnets, ids)
            self._next_id = max(self._next_id, *(number + 1 for number in ids if number in VXLAN_IDS), VXLAN_IDS.start)
        else:
            self._held.pop(network.id, None)

    def release(self, network_id: NetworkId) -> bool:
        """The network is gone; gives whether it had anything."""
        return self._held.pop(network_id, None) is not None

    def allocated(self, network: Network, cluster: Cluster | None) -> Network:
        """The network with all that its driver needs, which it holds from now on.

        Networks of a node's own driver need nothing. Others get for each pool that they ask for, or for one that they
        do not, a subnet, a gateway and a VXLAN id.

        Raises:
            NoSubnet: What it asks for belongs to another network, or nothing is left.
        """
        options = network.spec.driver_config.options if network.spec.driver_config is not None else {}
        if is_node_local(network):
            return replace(network, driver_state=Driver(driver_of(network), options))
        earlier = self._held.pop(network.id, None)
        try:
            ipam = self._ipam(network, cluster, earlier)
            ids = self._ids(len(ipam.configs), options, earlier)
        except NoSubnet:
            if earlier is not None:
                self._held[network.id] = earlier
            raise
        listed = {**options, VXLAN_LIST: ",".join(map(str, ids))}
        made = replace(network, driver_state=Driver(driver_of(network), listed), ipam=ipam)
        self._held[network.id] = _Held(network.spec.annotations.name, tuple(_subnets(made)), ids)
        return made

    def _ipam(self, network: Network, cluster: Cluster | None, earlier: _Held | None) -> IPAMOptions:
        asked = network.spec.ipam
        driver = asked.driver if asked is not None else None
        if driver is not None and driver.name == "null":
            raise NoSubnet("IPAM driver null gives no addresses, wanted: default")
        configs = asked.configs if asked is not None else ()
        if all(config.family == AddressFamily.IPV6 or ":" in config.subnet for config in configs):
            configs = (IPAMConfig(family=AddressFamily.IPV4), *configs)
        given: list[IPAMConfig] = []
        for place, config in enumerate(configs):
            mine = [ipaddress.ip_network(other.subnet) for other in given]
            if config.subnet:
                subnet = ipaddress.ip_network(config.subnet, strict=False)
                self._check(subnet, mine)
            elif earlier is not None and place < len(earlier.subnets):
                subnet = earlier.subnets[place]
            else:
                subnet = self._next(cluster, mine)
            given.append(_completed(config, subnet))
        options = driver.options if driver is not None else {}
        return IPAMOptions(driver=Driver("default", options), configs=tuple(given))

    def _check(self, subnet: IPNetwork, mine: Iterable[IPNetwork]) -> None:
        longest = LONGEST_PREFIX[subnet.version]
        if subnet.prefixlen > longest:
            raise NoSubnet(f"subnet {subnet} is too small, wanted: /{longest} or shorter")
        for other in mine:
            if _overlap(subnet, other):
                raise NoSubnet(f"subnet {subnet} overlaps with {other} of the same network")
        for held in self._held.values():
            for other in held.subnets:
                if _overlap(subnet, other):
                    raise NoSubnet(f"subnet {subnet} overlaps with {other} of network {held.name}")

    def _next(self, cluster: Cluster | None, mine: Iterable[IPNetwork]) -> ipaddress.IPv4Network:
        """The next free piece of the cluster's pools, after the one that was given last."""
        pools = [ipaddress.IPv4Network(text, strict=False) for text in default_pools(cluster)]
        size = (cluster.subnetSize if cluster is not None else 0) or DEFAULT_SIZE
        taken = sorted(
            (int(subnet[0]), int(subnet[-1]))
            for subnet in (*mine, *(subnet for held in self._held.values() for subnet in held.subnets))
            if subnet.version == 4
        )
        for start in (self._next_subnet, 0):
            for pool in pools:
                found = _free_piece(pool, size, taken, start)
                if found is not None:
                    self._next_subnet = int(found[-1]) + 1
                    return found
        raise NoSubnet(f"no subnet /{size} is left in {', '.join(map(str, pools))}")

    def _ids(self, count: int, options: Mapping[str, str], earlier: _Held | None) -> tuple[int, ...]:
        """As many ids as there are subnets: those asked for, and next ones for the rest."""
        owners = {number: held.name for held in self._held.values() for number in held.ids}
        ids = []
        for number in vxlan_ids(Driver(options=options)):
            if number in owners:
                raise NoSubnet(f"VXLAN id {number} belongs to network {owners[number]}")
            ids.append(number)
        if earlier is not None and not ids:
            ids = list(earlier.ids)
        while len(ids) < count:
            ids.append(self._next_vxlan_id({*owners, *ids}))
        return tuple(ids[:count])

    def _next_vxlan_id(self, taken: set[int]) -> int:
        first = self._next_id if self._next_id in VXLAN_IDS else VXLAN_IDS.start
        for number in chain(range(first, VXLAN_IDS.stop), range(VXLAN_IDS.start, first)):
            if number not in taken:
                self._next_id = number + 1
                return number
        raise NoSubnet(f"no VXLAN id is left of {VXLAN_IDS[0]}-{VXLAN_IDS[-1]}")


def default_pools(cluster: Cluster | None) -> tuple[str, ...]:
    """The pools from which networks get their subnets."""
    return (cluster.defaultAddressPool if cluster is not None else ()) or DEFAULT_POOL


def vxlan_ids(driver: Driver | None) -> Iterator[int]:
    """The VXLAN ids among the options of a driver; texts that are none are left out."""
    listed = driver.options.get(VXLAN_LIST, "") if driver is not None else ""
    return (int(text) for text in listed.split(",") if text.strip().isdigit())


def overlapping(network: Network, asked: str) -> str | None:
    """The subnet of an allocated network that overlaps with the one asked for."""
    wanted = ipaddress.ip_network(asked, strict=False)
    return next((str(subnet) for subnet in _subnets(network) if _overlap(wanted, subnet)), None)


def _subnets(network: Network) -> Iterator[IPNetwork]:
    configs = network.ipam.configs if network.ipam is not None else ()
    return (ipaddress.ip_network(config.subnet, strict=False) for config in configs if config.subnet)


def _overlap(one: IPNetwork, other: IPNetwork) -> bool:
    return one.version == other.version and one[0] <= other[-1] and other[0] <= one[-1]  # type: ignore[operator]


def _free_piece(
    pool: ipaddress.IPv4Network, size: int, taken: Iterable[tuple[int, int]], start: int
) -> ipaddress.IPv4Network | None:
    """The first piece of the pool from `start` on that touches none of `taken`, which are sorted."""
    width = 1 << (32 - size)
    candidate = -(-max(start, int(pool[0])) // width) * width
    for first, last in taken:
        if first <= candidate + width - 1 and candidate <= last:
            candidate = -(-(last + 1) // width) * width
    fits = size >= pool.prefixlen and candidate + width - 1 <= int(pool[-1])
    return ipaddress.IPv4Network((candidate, size)) if fits else None


def _completed(config: IPAMConfig, subnet: IPNetwork) -> IPAMConfig:
    """The pool as it is given: with its subnet and a gateway."""
    reserved = {ipaddress.ip_interface(text).ip for text in config.reserved.values()}
    within = ipaddress.ip_network(config.range, strict=False) if config.range else subnet
    if within.version != subnet.version or within[0] not in subnet or within[-1] not in subnet:
        raise NoSubnet(f"ip range {config.range} is not in subnet {subnet}")
    gateway = ipaddress.ip_interface(config.gateway).ip if config.gateway else None
    if gateway is None:
        first = within[0] + 1 if within[0] == subnet[0] else within[0]
        while first in reserved:
            first += 1
        gateway = first
    if gateway not in subnet:
        raise NoSubnet(f"gateway {gateway} is not in subnet {subnet}")
    family = AddressFamily.IPV4 if subnet.version == 4 else AddressFamily.IPV6
    return replace(config, family=family, subnet=str(subnet), gateway=str(gateway))
