"""What a spec must be, as far as it can be said without looking at any other object. Source: SwarmKit `controlapi`.

Each `check_...` gives nothing for a good spec and raises `InvalidSpec` for the first thing that is wrong, with the
field's path, the value seen and the value wanted. Names that must be free, objects that must exist and placement
constraints are looked at by the control API, which has the cluster in view.
"""

import re

from swarmlab.api.drivers import Driver
from swarmlab.api.enums import FailureAction, PortProtocol, PublishMode, ResolutionMode, UpdateOrder
from swarmlab.api.errors import Unsupported
from swarmlab.api.modes import Mode, mode_of
from swarmlab.api.networks import PortConfig
from swarmlab.api.policies import UpdateConfig
from swarmlab.api.refusals import at_least, known, refuse, within
from swarmlab.api.specs import ConfigSpec, EndpointSpec, GenericRuntimeSpec, SecretSpec, ServiceSpec, TaskSpec
from swarmlab.api.task_validation import (
    check_container,
    check_networks,
    check_placement,
    check_resources,
    check_restart,
)

#: Letters, digits, dashes and underscores, with a letter or digit at both ends; it is part of a DNS name.
SERVICE_NAME = re.compile(r"[a-zA-Z0-9](?:[-_a-zA-Z0-9]*[a-zA-Z0-9])?")
SERVICE_NAME_LENGTH = 63
#: The same, and dots.
PAYLOAD_NAME = re.compile(r"[a-zA-Z0-9](?:[-_.a-zA-Z0-9]*[a-zA-Z0-9])?")
PAYLOAD_NAME_LENGTH = 64
#: Bytes; a payload is smaller than this.
SECRET_SIZE = 500 * 1024
CONFIG_SIZE = 1000 * 1024
#: Runtimes that a generic one may not be named after.
RESERVED_RUNTIMES = ("container", "attachment")


def check_service_name(name: str) -> None:
    """The name of a service is one to 63 letters, digits, dashes and underscores."""
    _check_name("name", name, SERVICE_NAME, SERVICE_NAME_LENGTH, "letters, digits, - and _")


def check_network_name(name: str) -> None:
    """The name of a network follows the same rule as that of a service."""
    check_service_name(name)


def check_payload_name(name: str) -> None:
    """The name of a secret or config is one to 64 letters, digits, dashes, underscores and dots."""
    _check_name("name", name, PAYLOAD_NAME, PAYLOAD_NAME_LENGTH, "letters, digits, -, _ and .")


def check_secret_spec(spec: SecretSpec) -> None:
    """A secret has a good name, and either a driver or data of an acceptable size."""
    check_payload_name(spec.annotations.name)
    _check_templating(spec.templating)
    if spec.driver is None:
        _check_size("data", spec.data, SECRET_SIZE)
    elif not spec.driver.name:
        refuse("driver.name", "''", "the name of a secret provider")


def check_config_spec(spec: ConfigSpec) -> None:
    """A config has a good name and data of an acceptable size."""
    check_payload_name(spec.annotations.name)
    _check_templating(spec.templating)
    _check_size("data", spec.data, CONFIG_SIZE)


def check_service_spec(spec: ServiceSpec) -> None:
    """A service can be made from `spec`, whatever else there is.

    Raises:
        InvalidSpec: Something in it cannot be right.
        Unsupported: Its runtime is neither a container nor a generic one.
    """
    check_service_name(spec.annotations.name)
    check_task_spec(spec.task)
    check_update("update", spec.update)
    check_update("rollback", spec.rollback)
    if spec.rollback is not None and spec.rollback.failure_action == FailureAction.ROLLBACK:
        refuse("rollback.failure_action", "rollback", "pause or continue: a rollback has nothing to go back to")
    check_endpoint(spec.endpoint)
    check_networks("networks", spec.networks)
    check_mode(spec)


def check_task_spec(spec: TaskSpec) -> None:
    """A service can run tasks of `spec`.

    Raises:
        InvalidSpec: Something in it cannot be right.
        Unsupported: Its runtime is neither a container nor a generic one.
    """
    check_resources(spec.resources)
    check_restart(spec.restart)
    check_placement(spec.placement)
    check_networks("task.networks", spec.networks)
    at_least("task.force_update", spec.force_update, 0)
    _check_runtime(spec)


def check_update(field: str, config: UpdateConfig | None) -> None:
    """An update or a rollback can go by `config`; None is the default."""
    if config is None:
        return
    at_least(f"{field}.parallelism", config.parallelism, 0)
    at_least(f"{field}.delay", config.delay, 0, "span")
    at_least(f"{field}.monitor", config.monitor, 0, "span")
    if not 0 <= config.max_failure_ratio <= 1:
        refuse(f"{field}.max_failure_ratio", f"{config.max_failure_ratio:g}", "a number from 0 to 1")
    known(f"{field}.failure_action", config.failure_action, FailureAction)
    known(f"{field}.order", config.order, UpdateOrder)


def check_endpoint(spec: EndpointSpec | None) -> None:
    """The ports of a service can be published together."""
    if spec is None:
        return
    known("endpoint.mode", spec.mode, ResolutionMode)
    seen: dict[tuple[int, PortProtocol], int] = {}
    for index, port in enumerate(spec.ports):
        field = f"endpoint.ports[{index}]"
        _check_port(field, port)
        if spec.mode == ResolutionMode.DNSRR and port.publish_mode == PublishMode.INGRESS:
            refuse(
                f"{field}.publish_mode",
                "ingress",
                "host: the routing mesh needs a virtual address, and the endpoint mode is dnsrr",
            )
        if port.published_port == 0:
            continue
        first = seen.setdefault((port.published_port, port.protocol), index)
        if first != index:
            refuse(
                f"{field}.published_port",
                f"{port.published_port}/{port.protocol.name.lower()}",
                f"each published port once; endpoint.ports[{first}] has it",
            )


def check_mode(spec: ServiceSpec) -> None:
    """The service has one mode, with acceptable numbers."""
    mode = mode_of(spec)
    if spec.replicated is not None:
        at_least("replicated.replicas", spec.replicated.replicas, 0)
    if spec.replicated_job is not None:
        at_least("replicated_job.max_concurrent", spec.replicated_job.max_concurrent, 0)
        at_least("replicated_job.total_completions", spec.replicated_job.total_completions, 0)
    if mode in (Mode.REPLICATED_JOB, Mode.GLOBAL_JOB) and spec.update is not None:
        refuse("update", "set", f"nothing: a {mode.value} is not updated step by step")


def _check_name(field: str, name: str, form: re.Pattern[str], length: int, alphabet: str) -> None:
    wanted = f"1 to {length} of {alphabet}, with a letter or digit at both ends"
    if len(name) > length:
        refuse(field, f"{name[:length]!r}... ({len(name)} characters)", wanted)
    if form.fullmatch(name) is None:
        refuse(field, repr(name), wanted)


def _check_size(field: str, data: bytes, limit: int) -> None:
    if not 0 < len(data) < limit:
        refuse(field, f"{len(data)} bytes", f"1 to {limit - 1} bytes")


def _check_templating(driver: Driver | None) -> None:
    if driver is not None and driver.name not in ("", "golang"):
        refuse("templating.name", repr(driver.name), "golang")


def _check_port(field: str, port: PortConfig) -> None:
    known(f"{field}.protocol", port.protocol, PortProtocol)
    known(f"{field}.publish_mode", port.publish_mode, PublishMode)
    within(f"{field}.target_port", port.target_port, 1, 65535)
    within(f"{field}.published_port", port.published_port, 0, 65535)


def _check_runtime(spec: TaskSpec) -> None:
    parts = {"container": spec.container, "attachment": spec.attachment, "generic": spec.generic}
    runtimes = [name for name, part in parts.items() if part is not None]
    if len(runtimes) != 1:
        refuse("task.runtime", " and ".join(runtimes) or "none", "exactly one of container and generic")
    if spec.container is not None:
        check_container(spec.container)
    elif spec.generic is not None:
        _check_generic(spec.generic)
    else:
        raise Unsupported("task.runtime: attachment, wanted: container or generic; attachments are not services")


def _check_generic(runtime: GenericRuntimeSpec) -> None:
    if len(runtime.kind) < 3:
        refuse("task.generic.kind", repr(runtime.kind), "at least three characters")
    if runtime.kind in RESERVED_RUNTIMES:
        refuse("task.generic.kind", repr(runtime.kind), f"a name other than {' and '.join(RESERVED_RUNTIMES)}")
    if runtime.payload is None or not runtime.payload.type_url:
        refuse("task.generic.payload", "no type", "a payload with its type")
    elif not runtime.payload.value:
        refuse("task.generic.payload", "no value", "a payload with its value")
