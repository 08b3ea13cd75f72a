"""What a node process is started with, and the addresses that follow from it."""

import socket
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from msgspec import field

from swarmlab.api import InvalidSpec, Value

#: Where managers listen, as docker's do.
PORT = 2377
LISTEN = f"0.0.0.0:{PORT}"
#: A documentation address (RFC 5737): no packet is sent to find the address that would be used to reach it.
_FAR_AWAY = ("192.0.2.1", 9)


class DaemonConfig(Value, frozen=True, kw_only=True):
    """What `swarmlab daemon` starts."""

    state_dir: Path
    #: host:port where a manager listens; port 0: a free one, which the node keeps from then on.
    listen_addr: str = LISTEN
    #: host or host:port where others reach this node; empty: the listening host, else that of the default route.
    advertise_addr: str = ""
    #: "auto": docker where an Engine answers, else process.
    executor: str = "auto"
    #: Empty: that of the machine.
    hostname: str = ""
    strategy: str = "spread"
    parameters: Mapping[str, str] = field(default_factory=dict)
    plugins: tuple[str, ...] = ()
    #: Of raft; all managers of a swarm should have the same.
    tick_ms: int = 1000
    heartbeat_ticks: int = 1
    election_ticks: int = 10
    #: None: from the operating system.
    seed: int | None = None


class Address(NamedTuple):
    """A host and a port."""

    host: str
    port: int

    @property
    def text(self) -> str:
        """host:port, IPv6 hosts in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_anywhere(self) -> bool:
        """It means every address of the machine."""
        return self.host in ("", "0.0.0.0", "::")  # noqa: S104  # compared, not bound


def parse_address(what: str, text: str, port: int = PORT) -> Address:
    """The address that `text` is: host, host:port or [host]:port; `port` where it has none.

    Raises:
        InvalidSpec: It is something else.
    """
    bracketed = text.startswith("[")
    host, colon, digits = text.rpartition(":")
    if not colon or (bracketed and not host.endswith("]")) or (not bracketed and ":" in host):
        host, digits = text, str(port)
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if (
        not host
        or set(host) & set("[]")
        or not digits.isascii()
        or not digits.isdigit()
        or int(digits) > 65535
        or any(map(str.isspace, host))
    ):
        raise InvalidSpec(f"{what}: {text!r}, wanted: HOST or HOST:PORT")
    return Address(host, int(digits))


def settled_addresses(config: DaemonConfig, listen: str = "", advertise: str = "") -> tuple[Address, Address]:
    """Where this node listens as a manager, and where others reach it; `listen` and `advertise` go before `config`.

    A port 0 becomes a free one.

    Raises:
        InvalidSpec: An address cannot be read, or none is found at which others reach this node.
    """
    bound = parse_address("listen address", listen or config.listen_addr)
    if bound.port == 0:
        bound = bound._replace(port=_free_port(bound.host))
    wanted = advertise or config.advertise_addr
    if not wanted:
        host = _default_host() if bound.is_anywhere else bound.host
        return bound, Address(host, bound.port)
    reached = parse_address("advertise address", wanted, bound.port)
    try:
        anywhere = ip_address(reached.host).is_unspecified
    except ValueError:
        raise InvalidSpec(f"advertise address: {wanted!r}, wanted: an IP address, or IP:PORT") from None
    if anywhere:
        raise InvalidSpec(f"advertise address: {wanted!r}, wanted: an address at which other nodes reach this one")
    return bound, reached._replace(port=reached.port or bound.port)


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        try:
            probe.bind((host, 0))
        except OSError as error:
            raise InvalidSpec(f"listen address: {host!r}: {error.strerror}") from error
        return int(probe.getsockname()[1])


def _default_host() -> str:
    """The address that this machine has on its way out; without one, the loopback, which this machine alone reaches."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_FAR_AWAY)
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
