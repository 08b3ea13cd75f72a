"""Addresses on networks: who has which, and who gets the next one."""

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from swarmlab.api import IPAMConfig, Network, NetworkId, Precondition

#: Who has an address: a kind of object, and its id.
Owner = tuple[str, str]
TASK, SERVICE, NODE = "task", "service", "node"
#: A network, and an address on it as CIDR text.
Place = tuple[NetworkId, str]


class NoAddress(Precondition):
    """An address cannot be had now; one may come free on `network_id`."""

    def __init__(self, network_id: NetworkId, message: str) -> None:
        super().__init__(message)
        self.network_id = network_id


class _Pool(NamedTuple):
    """The addresses of one subnet that are given out, as numbers."""

    version: int
    subnet: str
    prefix: int
    #: Bounds of the subnet, both inside.
    bottom: int
    top: int
    #: Bounds of what is given to those who do not ask, both inside.
    first: int
    last: int
    #: Given to nobody: the gateway, reserved ones, the subnet's own address and its broadcast address.
    excluded: frozenset[int]


class _Book:
    """One network's addresses."""

    def __init__(self, name: str, pools: Sequence[_Pool]) -> None:
        self.name = name
        self.pools = tuple(pools)
        #: The number after the one given last in each pool; None: not looked for yet.
        self.following: list[int | None] = [None] * len(self.pools)
        #: Pools in which nothing was found since something was given back.
        self.exhausted: set[int] = set()


class Addresses:
    """Gives owners their addresses on networks; a freed one is given out again late.

    A derived index: what is in it follows from the objects that carry the addresses. What was given out stays with its
    owner until that object is seen again, so that a proposal which may yet be committed is never contradicted by a
    later one: it would be refused then, because its object has another version.
    """

    def __init__(self) -> None:
        self._books: dict[NetworkId, _Book] = {}
        #: {network: {address without its prefix: owner}}
        self._taken: dict[NetworkId, dict[str, Owner]] = {}
        #: {owner: its places}; the same as `_taken` from the other side, without owners that have none.
        self._held: dict[Owner, tuple[Place, ...]] = {}

    def define(self, network: Network) -> None:
        """Give out addresses of an allocated network."""
        configs = network.ipam.configs if network.ipam is not None and network.driver_state is not None else ()
        if network.id not in self._books and configs:
            self._books[network.id] = _Book(network.spec.annotations.name, [_pool(config) for config in configs])

    def drop(self, network_id: NetworkId) -> None:
        """The network is gone: nothing more is given out. What is held stays until its owners let go of it."""
        self._books.pop(network_id, None)
        if not self._taken.get(network_id, True):
            del self._taken[network_id]

    def holds(self, owner: Owner) -> bool:
        """Whether the owner has any address."""
        return owner in self._held

    def users(self, network_id: NetworkId, kind: str) -> bool:
        """Whether any owner of that kind has an address on the network."""
        return any(owner[0] == kind for owner in self._taken.get(network_id, {}).values())

    def hold(self, owner: Owner, places: Iterable[Place]) -> set[NetworkId]:
        """Make `places` all that the owner has; an address that another one has stays there.

        Returns:
            The networks on which the owner gave an address up.
        """
        wanted = tuple(places)
        before = self._held.get(owner, ())
        if wanted == before:
            return set()
        freed = {(network_id, _bare(text)) for network_id, text in before}
        for network_id, address in freed:
            del self._taken[network_id][address]
        kept = []
        for network_id, text in wanted:
            taken = self._taken.setdefault(network_id, {})
            address = _bare(text)
            if taken.setdefault(address, owner) == owner:
                kept.append((network_id, text))
                freed.discard((network_id, address))
        if kept:
            self._held[owner] = tuple(kept)
        else:
            self._held.pop(owner, None)
        networks = {network_id for network_id, _ in freed}
        for network_id in networks:
            if network_id in self._books:
                self._books[network_id].exhausted.clear()
            else:
                self.drop(network_id)
        return networks

    @contextmanager
    def together(self, owner: Owner) -> Iterator[None]:
        """What is given to the owner within is given whole: an error takes it back."""
        before = self._held.get(owner, ())
        try:
            yield
        except Exception:
            self.hold(owner, before)
            raise

    def give(self, owner: Owner, network_id: NetworkId, wanted: Sequence[str] = ()) -> tuple[str, ...]:
        """The owner's addresses on the network as CIDR texts, one of each family: those that it has, or new ones.

        Args:
            owner: Whose they are to be.
            network_id: An allocated network.
            wanted: Addresses that are asked for, with or without a prefix.

        Raises:
            NoAddress: One that is asked for cannot be had, or none is left. Nothing was given.
        """
        book = self._books.get(network_id)
        if book is None:
            raise NoAddress(network_id, f"network {network_id} gives out no addresses")
        before = self._held.get(owner, ())
        present = tuple(text for held, text in before if held == network_id)
        if present:
            return present
        asked = {_version(text): _bare(text) for text in wanted}
        given = []
        try:
            for version in dict.fromkeys(pool.version for pool in book.pools):
                if version in asked:
                    text = self._exactly(owner, book, network_id, asked[version], version)
                else:
                    text = self._next(book, network_id, version)
                self._taken.setdefault(network_id, {})[_bare(text)] = owner
                given.append(text)
        except NoAddress:
            for text in given:
                del self._taken[network_id][_bare(text)]
            raise
        self._held[owner] = (*before, *((network_id, text) for text in given))
        return tuple(given)

    def _exactly(self, owner: Owner, book: _Book, network_id: NetworkId, address: str, version: int) -> str:
        try:
            number = int(ipaddress.ip_address(address))
        except ValueError:
            raise NoAddress(network_id, f"address {address!r} of network {book.name} is none") from None
        address = _text(number, version)
        for pool in book.pools:
            if pool.version != version or not pool.bottom <= number <= pool.top:
                continue
            if number in pool.excluded:
                raise NoAddress(network_id, f"address {address} of network {book.name} is given to nobody")
            if self._taken.get(network_id, {}).get(address, owner) != owner:
                raise NoAddress(network_id, f"address {address} of network {book.name} is in use")
            return f"{address}/{pool.prefix}"
        subnets = ", ".join(pool.subnet for pool in book.pools)
        raise NoAddress(network_id, f"address {address} is not of network {book.name}, which has {subnets}")

    def _next(self, book: _Book, network_id: NetworkId, version: int) -> str:
        taken = self._taken.setdefault(network_id, {})
        for place, pool in enumerate(book.pools):
            if pool.version != version or place in book.exhausted:
                continue
            start = book.following[place]
            if start is None:
                start = _after_all(taken, pool)
            for number in _round(pool, start):
                address = _text(number, version)
                if number not in pool.excluded and address not in taken:
                    book.following[place] = number + 1
                    return f"{address}/{pool.prefix}"
            book.exhausted.add(place)
        subnets = ", ".join(pool.subnet for pool in book.pools if pool.version == version)
        raise NoAddress(network_id, f"no address is left on network {book.name} ({subnets})")


def _pool(config: IPAMConfig) -> _Pool:
    subnet = ipaddress.ip_network(config.subnet, strict=False)
    within = ipaddress.ip_network(config.range, strict=False) if config.range else subnet
    excluded = {int(subnet[0])}
    if subnet.version == 4:
        excluded.add(int(subnet[-1]))
    for text in (config.gateway, *config.reserved.values()):
        if text:
            excluded.add(int(ipaddress.ip_interface(text).ip))
    return _Pool(
        version=subnet.version,
        subnet=str(subnet),
        prefix=subnet.prefixlen,
        bottom=int(subnet[0]),
        top=int(subnet[-1]),
        first=int(within[0]),
        last=int(within[-1]),
        excluded=frozenset(excluded),
    )


def _after_all(taken: Iterable[str], pool: _Pool) -> int:
    """The number after the highest one in use, so that a new leader does not give out first what was just freed."""
    numbers = (int(ipaddress.ip_address(text)) for text in taken if _version(text) == pool.version)
    return max((number + 1 for number in numbers if pool.first <= number <= pool.last), default=pool.first)


def _round(pool: _Pool, start: int) -> Iterator[int]:
    """Every number of the pool once, from `start` on."""
    if not pool.first <= start <= pool.last:
        start = pool.first
    yield from range(start, pool.last + 1)
    yield from range(pool.first, start)


def _bare(text: str) -> str:
    return text.partition("/")[0]


def _version(text: str) -> int:
    return 6 if ":" in text else 4


def _text(number: int, version: int) -> str:
    if version == 6:
        return str(ipaddress.IPv6Address(number))
    return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
