"""Ports, attachments and address pools."""

from collections.abc import Mapping

from msgspec import field

from swarmlab.api.drivers import Driver
from swarmlab.api.enums import AddressFamily, PortProtocol, PublishMode
from swarmlab.api.value import Value


class PortConfig(Value, frozen=True, kw_only=True):
    """A port of a service: inside the container, outside, and how it gets out."""

    name: str = ""
    protocol: PortProtocol = PortProtocol.TCP
    #: In the container.
    target_port: int = 0
    #: Outside; 0: one is chosen.
    published_port: int = 0
    #: By the ingress mesh, or on the node's own address.
    publish_mode: PublishMode = PublishMode.INGRESS


class PortStatus(Value, frozen=True):
    """The host-mode ports that a task really bound."""

    #: One entry for each IP family, so equal ones occur.
    ports: tuple[PortConfig, ...] = ()


class NetworkAttachmentConfig(Value, frozen=True, kw_only=True):
    """A network that a task wants to be on, and as whom."""

    #: Network id; a name is resolved by the manager.
    target: str = ""
    #: Further DNS names.
    aliases: tuple[str, ...] = ()
    #: Wanted addresses.
    addresses: tuple[str, ...] = ()
    driver_attachment_opts: Mapping[str, str] = field(default_factory=dict)


class IPAMConfig(Value, frozen=True, kw_only=True):
    """A pool of addresses."""

    family: AddressFamily = AddressFamily.UNKNOWN
    #: CIDR.
    subnet: str = ""
    #: CIDR inside the subnet from which addresses are taken.
    range: str = ""
    gateway: str = ""
    #: {name: address that is kept free}.
    reserved: Mapping[str, str] = field(default_factory=dict)


class IPAMOptions(Value, frozen=True):
    """Who manages the addresses of a network, and from which pools."""

    #: Set whenever the object is.
    driver: Driver | None = None
    configs: tuple[IPAMConfig, ...] = ()
