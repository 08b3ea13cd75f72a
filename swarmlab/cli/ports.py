"""Published ports: docker's short and long notation, and how `ls` shows them."""

import re
from collections.abc import Iterable, Sequence

from swarmlab.api import PortConfig, PortProtocol, PublishMode
from swarmlab.cli.exits import UsageError
from swarmlab.cli.pairs import known_fields

_SHORT = re.compile(r"(?:(?:(?P<ip>.*):)?(?P<outside>[0-9-]*):)?(?P<inside>[0-9-]+)(?:/(?P<protocol>\w+))?")
_LONG_KEYS = ("target", "published", "protocol", "mode", "name")
_PROTOCOLS = {protocol.name.lower(): protocol for protocol in PortProtocol}
_MODES = {mode.name.lower(): mode for mode in PublishMode}
#: More ports than this in one range are a slip of the hand.
_RANGE_LIMIT = 1000


def parse_ports(flag: str, text: str) -> tuple[PortConfig, ...]:
    """Ports of `8080:80/tcp`, `80`, `8080-8082:80-82`, or `target=80,published=8080,protocol=tcp,mode=host`.

    A published port left out, or 0, is chosen by the cluster. The short notation means the ingress mode, as in docker.
    """
    return _parse_long(flag, text) if "=" in text else _parse_short(flag, text)


def _parse_long(flag: str, text: str) -> tuple[PortConfig, ...]:
    values = {key: value or "" for key, value in known_fields(flag, text, _LONG_KEYS)}
    if "target" not in values:
        raise UsageError(f"{flag}: {text!r}: target=PORT is missing")
    port = PortConfig(
        name=values.get("name", ""),
        protocol=protocol_of(flag, values.get("protocol", "tcp")),
        target_port=number(flag, "target", values["target"], least=1),
        published_port=number(flag, "published", values.get("published", "0"), least=0),
        publish_mode=publish_mode_of(flag, values.get("mode", "ingress")),
    )
    return (port,)


def _parse_short(flag: str, text: str) -> tuple[PortConfig, ...]:
    match = _SHORT.fullmatch(text)
    if match is None:
        raise UsageError(f"{flag}: {text!r}, wanted: PUBLISHED:TARGET such as 8080:80/tcp, or target=80,published=8080")
    if match["ip"] is not None:
        raise UsageError(
            f"{flag}: {text!r}: a port is published on every address of a node, not on {match['ip']!r} alone"
        )
    inside = _range(flag, "target", match["inside"], least=1)
    outside = _range(flag, "published", match["outside"], least=0) if match["outside"] else [0] * len(inside)
    if len(inside) != len(outside):
        raise UsageError(f"{flag}: {text!r}: {len(outside)} published ports for {len(inside)} targets")
    protocol = protocol_of(flag, match["protocol"] or "tcp")
    return tuple(
        PortConfig(protocol=protocol, target_port=target, published_port=published)
        for target, published in zip(inside, outside, strict=True)
    )


def _range(flag: str, what: str, text: str, *, least: int) -> list[int]:
    first, dash, last = text.partition("-")
    start = number(flag, what, first, least=least)
    end = number(flag, what, last, least=least) if dash else start
    if not start <= end < start + _RANGE_LIMIT:
        raise UsageError(f"{flag}: {what} range {text!r}, wanted: FIRST-LAST with at most {_RANGE_LIMIT} ports")
    return list(range(start, end + 1))


def number(flag: str, what: str, text: str, *, least: int) -> int:
    """A port number from `least` to 65535."""
    if not (text.isascii() and text.isdigit() and least <= int(text) <= 65535):
        raise UsageError(f"{flag}: {what} port {text!r}, wanted: a number from {least} to 65535")
    return int(text)


def protocol_of(flag: str, word: str) -> PortProtocol:
    """The protocol of that word, in any case."""
    if word.lower() not in _PROTOCOLS:
        raise UsageError(f"{flag}: protocol {word!r}, wanted: {', '.join(_PROTOCOLS)}")
    return _PROTOCOLS[word.lower()]


def publish_mode_of(flag: str, word: str) -> PublishMode:
    """The publish mode of that word."""
    if word not in _MODES:
        raise UsageError(f"{flag}: mode {word!r}, wanted: {', '.join(_MODES)}")
    return _MODES[word]


def without_ports(ports: Sequence[PortConfig], flag: str, texts: Iterable[str]) -> tuple[PortConfig, ...]:
    """`ports` without those of the named targets: `80`, `80/udp`, or a port as it was published."""
    gone = [port for text in texts for port in parse_ports(flag, text)]
    return tuple(
        port
        for port in ports
        if not any(
            port.target_port == other.target_port
            and port.protocol == other.protocol
            and other.published_port in (0, port.published_port)
            for other in gone
        )
    )


def with_ports(ports: Sequence[PortConfig], added: Iterable[PortConfig]) -> tuple[PortConfig, ...]:
    """`ports` and `added` ones that are not there yet."""
    return tuple(dict.fromkeys([*ports, *added]))


def format_ports(ports: Iterable[PortConfig]) -> str:
    """`*:8080->80/tcp, *:9000-9002->9000-9002/tcp`: sorted, consecutive ports merged."""
    ordered = sorted(ports, key=lambda port: (port.protocol, port.published_port, port.target_port))
    runs: list[list[PortConfig]] = []
    for port in ordered:
        if runs and _continues(runs[-1][-1], port):
            runs[-1].append(port)
        else:
            runs.append([port])
    return ", ".join(
        f"*:{_span(run[0].published_port, run[-1].published_port)}"
        f"->{_span(run[0].target_port, run[-1].target_port)}/{run[0].protocol.name.lower()}"
        for run in runs
    )


def _continues(last: PortConfig, port: PortConfig) -> bool:
    return (
        port.protocol == last.protocol
        and port.published_port == last.published_port + 1
        and port.target_port == last.target_port + 1
    )


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"
