"""Published ports: who has which, and who gets the next one."""

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from swarmlab.api import EndpointSpec, PortConfig, PortProtocol, Precondition, PublishMode, Service, ServiceId

#: Ports that are given to those who do not say which. Source: SwarmKit `portallocator.go`.
DYNAMIC_PORTS = range(30000, 32768)

_Key = tuple[PortProtocol, int]


class PortTaken(Precondition):
    """A port cannot be had now; `owner` is the service that has it, None where there is none left to give."""

    def __init__(self, message: str, owner: ServiceId | None = None) -> None:
        super().__init__(message)
        self.owner = owner


class PortSpace:
    """The ports that are published through ingress: one space for each protocol, one owner for each port.

    A derived index: what is in it follows from the endpoints of the services.
    """

    def __init__(self) -> None:
        #: Owner of each port.
        self._owners: dict[_Key, ServiceId] = {}
        #: {service: its ports}; the same as `_owners` from the other side, without services that have none.
        self._held: dict[ServiceId, tuple[_Key, ...]] = {}
        #: The dynamic port to be tried next, so that one that was just given back is not given out at once.
        self._next: dict[PortProtocol, int] = {}

    def owner(self, protocol: PortProtocol, port: int) -> ServiceId | None:
        """The service that publishes the port."""
        return self._owners.get((protocol, port))

    def hold(self, service: ServiceId, ports: Iterable[PortConfig]) -> bool:
        """Make `ports` all that the service holds; a port that another one holds stays there.

        Returns:
            Whether the service gave up any port.
        """
        wanted = tuple(
            dict.fromkeys(
                (port.protocol, port.published_port)
                for port in ports
                if port.publish_mode == PublishMode.INGRESS
                and port.published_port
                and self._owners.get((port.protocol, port.published_port), service) == service
            )
        )
        before = self._held.pop(service, ())
        for key in before:
            del self._owners[key]
        for key in wanted:
            self._owners[key] = service
            if key[1] in DYNAMIC_PORTS:
                self._next[key[0]] = key[1] + 1
        if wanted:
            self._held[service] = wanted
        return not set(before) <= set(wanted)

    def ports_for(self, service: Service, wish: EndpointSpec, taken: dict[_Key, ServiceId]) -> tuple[PortConfig, ...]:
        """The ports that the service gets for its wish, all of them or none.

        A port that is asked for by number is given exactly. For one that is not, the service keeps the port that it has
        for the same name, protocol and target; otherwise it gets the next free dynamic one. Ports published on hosts
        are no matter of the cluster and are given as they are asked for.

        Args:
            service: Whose ports they are to be; its present endpoint tells what it has.
            wish: What it asks for.
            taken: Ports given out since this index was last brought up to date; grows by those given here.

        Raises:
            PortTaken: A port has another owner, or no dynamic port is left. Nothing was given.
        """
        mine: dict[_Key, ServiceId] = {}

        def free(key: _Key) -> bool:
            return key not in mine and taken.get(key, self._owners.get(key, service.id)) == service.id

        for port in wish.ports:
            key = (port.protocol, port.published_port)
            if port.publish_mode == PublishMode.INGRESS and port.published_port:
                if not free(key):
                    owner = taken.get(key) or self._owners.get(key)
                    raise PortTaken(f"port {key[1]}/{key[0].name.lower()} is published already", owner)
                mine[key] = service.id
        had = _kept_ports(service)
        given = []
        for port in wish.ports:
            number = port.published_port
            if port.publish_mode == PublishMode.INGRESS and not number:
                numbers = had.get(_identity(port), [])
                before = (port.protocol, numbers.pop(0) if numbers else 0)
                key = before if before[1] and free(before) else self._next_free(port.protocol, free)
                mine[key] = service.id
                number = key[1]
            given.append(replace(port, published_port=number))
        taken.update(mine)
        return tuple(given)

    def _next_free(self, protocol: PortProtocol, free: Callable[[_Key], bool]) -> _Key:
        first = self._next.get(protocol, DYNAMIC_PORTS.start)
        count = len(DYNAMIC_PORTS)
        for step in range(count):
            key = (protocol, DYNAMIC_PORTS.start + (first - DYNAMIC_PORTS.start + step) % count)
            if free(key):
                self._next[protocol] = key[1] + 1
                return key
        every = f"{DYNAMIC_PORTS[0]}-{DYNAMIC_PORTS[-1]}"
        raise PortTaken(f"no dynamic {protocol.name.lower()} port is free: all of {every} are published")


def _identity(port: PortConfig) -> tuple[str, PortProtocol, int]:
    """What a port keeps its number by."""
    return port.name, port.protocol, port.target_port


def _kept_ports(service: Service) -> dict[tuple[str, PortProtocol, int], list[int]]:
    kept: dict[tuple[str, PortProtocol, int], list[int]] = {}
    for port in service.endpoint.ports if service.endpoint is not None else ():
        if port.publish_mode == PublishMode.INGRESS:
            kept.setdefault(_identity(port), []).append(port.published_port)
    return kept
