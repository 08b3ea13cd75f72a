"""What a service leans on: secrets, configs and networks that must be there, ports that must be free."""

from collections.abc import Iterable

from swarmlab.api import (
    ConfigReference,
    InvalidSpec,
    NotFound,
    PortConfig,
    PortProtocol,
    PublishMode,
    SecretReference,
    Service,
    ServiceId,
    ServiceSpec,
)
from swarmlab.manager.allocator import PREDEFINED, is_ingress, named_network
from swarmlab.store import Snapshot


def check_references(view: Snapshot, spec: ServiceSpec) -> None:
    """Nothing where all that `spec` refers to is there.

    Raises:
        InvalidSpec: A secret or config is not there under the id and the name given; or a network is ingress.
        NotFound: A network is not there.
    """
    container = spec.task.container
    if container is not None:
        _require("secret", [ref.secret_name for ref in container.secrets if not _secret_is_there(view, ref)])
        _require("config", [ref.config_name for ref in container.configs if not _config_is_there(view, ref)])
    for attachment in (*spec.task.networks, *spec.networks):
        _check_network(view, attachment.target)


def check_ports(view: Snapshot, spec: ServiceSpec, own: ServiceId | None = None) -> None:
    """Nothing where no service but `own` publishes what `spec` asks for by number.

    A port that is published through ingress is the cluster's, so it clashes with the same port of any other service.
    Two services may both publish a port on hosts: the scheduler keeps their tasks apart.

    Raises:
        InvalidSpec: A port is taken; the message names its owner.
    """
    wanted = {(port.published_port, port.protocol): port.publish_mode for port in _asked(spec)}
    if not wanted:
        return
    for other in view.services():
        if other.id == own:
            continue
        for port in _published(other):
            mode = wanted.get((port.published_port, port.protocol))
            if mode is None or mode == port.publish_mode == PublishMode.HOST:
                continue
            kind = "an ingress port" if port.publish_mode == PublishMode.INGRESS else "a host-published port"
            raise InvalidSpec(
                f"port '{port.published_port}'{_protocol(port)} is already in use by service "
                f"'{other.spec.annotations.name}' ({other.id}) as {kind}"
            )


def _require(word: str, missing: list[str]) -> None:
    if missing:
        raise InvalidSpec(f"{word}{'s' if len(missing) > 1 else ''} not found: {', '.join(missing)}")


def _secret_is_there(view: Snapshot, reference: SecretReference) -> bool:
    secret = view.secret(reference.secret_id)
    return secret is not None and secret.spec.annotations.name == reference.secret_name


def _config_is_there(view: Snapshot, reference: ConfigReference) -> bool:
    config = view.config(reference.config_id)
    return config is not None and config.spec.annotations.name == reference.config_name


def _check_network(view: Snapshot, target: str) -> None:
    if target in PREDEFINED:
        return
    network = named_network(view, target)
    if network is None:
        raise NotFound(f"network {target} not found")
    if is_ingress(network):
        raise InvalidSpec(
            f'Service cannot be explicitly attached to the ingress network "{network.spec.annotations.name}"'
        )


def _asked(spec: ServiceSpec) -> Iterable[PortConfig]:
    """Ports that are asked for by number."""
    return () if spec.endpoint is None else (port for port in spec.endpoint.ports if port.published_port)


def _published(service: Service) -> Iterable[PortConfig]:
    """Ports that the service asks for by number, and those that it was given."""
    yield from _asked(service.spec)
    if service.endpoint is not None:
        yield from (port for port in service.endpoint.ports if port.published_port)


def _protocol(port: PortConfig) -> str:
    return "" if port.protocol == PortProtocol.TCP else f"/{port.protocol.name.lower()}"
