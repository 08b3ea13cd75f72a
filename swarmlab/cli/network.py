"""The network commands."""

import argparse
import ipaddress
from collections.abc import Callable, Sequence
from typing import Any

from swarmlab.api import (
    AddressFamily,
    Annotations,
    Driver,
    IPAMConfig,
    IPAMOptions,
    Network,
    NetworkSpec,
    name_of,
)
from swarmlab.cli.cluster import connected, found
from swarmlab.cli.exits import UsageError
from swarmlab.cli.filters import filtered, has_label, starts
from swarmlab.cli.output import Column, show, show_documents, show_ids, show_pretty
from swarmlab.cli.pairs import labels

_COLUMNS = (
    Column[Network]("NETWORK ID", lambda one: one.id, id=True),
    Column[Network]("NAME", name_of),
    Column[Network]("DRIVER", lambda one: _driver(one)),
    Column[Network]("SCOPE", lambda _: "swarm"),
    Column[Network]("SUBNET", lambda one: _subnets(one)),
    Column[Network]("ATTACHABLE", lambda one: "yes" if one.spec.attachable else "no", wide=True),
    Column[Network]("INTERNAL", lambda one: "yes" if one.spec.internal else "no", wide=True),
    Column[Network]("LABELS", lambda one: _labels(one), wide=True),
)


async def create(options: argparse.Namespace) -> None:
    """Create a network and print its id."""
    spec = network_spec(options)
    async with connected(options) as client:
        print((await client.create_network(spec)).id)


async def ls(options: argparse.Namespace) -> None:
    """List networks by name."""
    known: dict[str, Callable[[Network, str], bool]] = {
        "id": lambda one, value: starts(one.id, value),
        "name": lambda one, value: starts(name_of(one), value),
        "label": lambda one, value: has_label(one.spec.annotations.labels, value),
        "driver": lambda one, value: _driver(one) == value,
    }
    async with connected(options) as client:
        kept = filtered(await client.list_networks(), options.filter, known)
    kept = sorted(kept, key=lambda one: (name_of(one), one.id))
    if options.quiet:
        show_ids(one.id for one in kept)
    else:
        show(kept, _COLUMNS, output=options.output, name=name_of, whole=bool(options.no_trunc))


async def inspect(options: argparse.Namespace) -> None:
    """Show networks in full."""
    async with connected(options) as client:
        everything = await client.list_networks()
    objects = [found("network", everything, word) for word in options.names]
    if options.output == "name":
        show_ids(name_of(one) for one in objects)
    elif options.pretty or options.output in ("table", "wide"):
        show_pretty([(name_of(one), one) for one in objects])
    else:
        show_documents(objects, options.output)


async def rm(options: argparse.Namespace) -> None:
    """Remove networks; all of them must be there before the first goes."""
    async with connected(options) as client:
        everything = await client.list_networks()
        for one in [found("network", everything, word) for word in options.names]:
            await client.remove_network(one.id)
            print(name_of(one))


def network_spec(options: argparse.Namespace) -> NetworkSpec:
    """What `network create` asks for."""
    pools = _pools(options)
    ipam = None
    if pools or options.ipam_driver or options.ipam_opt:
        driver = Driver(options.ipam_driver or "default", labels("--ipam-opt", options.ipam_opt))
        ipam = IPAMOptions(driver=driver, configs=pools)
    return NetworkSpec(
        annotations=Annotations(options.name, labels("--label", options.label)),
        driver_config=Driver(options.driver or "overlay", labels("--opt", options.opt)),
        ipv6_enabled=bool(options.ipv6),
        internal=bool(options.internal),
        attachable=bool(options.attachable),
        ingress=bool(options.ingress),
        ipam=ipam,
    )


def _pools(options: argparse.Namespace) -> tuple[IPAMConfig, ...]:
    """A pool for each --subnet, with the range, gateway and reserved addresses that lie in it."""
    subnets = [_parsed("--subnet", text, ipaddress.ip_network) for text in options.subnet]
    pools: list[dict[str, Any]] = [{"subnet": text, "reserved": {}} for text in options.subnet]

    def pool_of(flag: str, text: str, first: Any) -> dict[str, Any]:
        for subnet, pool in zip(subnets, pools, strict=True):
            if first in subnet:
                return pool
        raise UsageError(f"{flag}: {text} is in no --subnet")

    for flag, name, parse in (
        ("--ip-range", "range", lambda text: ipaddress.ip_network(text, strict=False)[0]),
        ("--gateway", "gateway", ipaddress.ip_address),
    ):
        for text in getattr(options, name if name == "gateway" else "ip_range"):
            pool = pool_of(flag, text, _parsed(flag, text, parse))
            if name in pool:
                raise UsageError(f"{flag}: {text}, but {pool['subnet']} has {pool[name]} already")
            pool[name] = text
    for name, text in labels("--aux-address", options.aux_address).items():
        address = _parsed("--aux-address", text, ipaddress.ip_address)
        pool_of("--aux-address", text, address)["reserved"][name] = text
    return tuple(
        IPAMConfig(family=AddressFamily.IPV4 if subnet.version == 4 else AddressFamily.IPV6, **pool)
        for subnet, pool in zip(subnets, pools, strict=True)
    )


def _parsed(flag: str, text: str, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        raise UsageError(f"{flag}: {error}") from None


def _driver(one: Network) -> str:
    wanted = one.spec.driver_config
    return (wanted.name if wanted is not None else "") or "overlay"


def _subnets(one: Network) -> str:
    configs: Sequence[IPAMConfig] = one.ipam.configs if one.ipam is not None else ()
    return ", ".join(config.subnet for config in configs)


def _labels(one: Network) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(one.spec.annotations.labels.items()))
