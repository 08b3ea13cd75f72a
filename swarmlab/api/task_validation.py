"""What a task's spec must be: resources, restart, placement, and the container with all that belongs to it."""

import posixpath
from collections.abc import Sequence

from swarmlab.api.containers import ConfigReference, ContainerSpec, FileTarget, HealthConfig, SecretReference, Ulimit
from swarmlab.api.enums import Isolation, MountType, RestartCondition
from swarmlab.api.images import check_image
from swarmlab.api.moments import MILLISECOND
from swarmlab.api.mounts import Mount
from swarmlab.api.networks import NetworkAttachmentConfig
from swarmlab.api.placement import Placement
from swarmlab.api.policies import RestartPolicy
from swarmlab.api.quantities import MAX_INT64, format_cpus, format_duration
from swarmlab.api.refusals import at_least, known, refuse, within
from swarmlab.api.resources import ResourceRequirements, Resources
from swarmlab.api.templates import check_template

#: Nano-CPUs; a thousandth of a core. Source: SwarmKit `controlapi/service.go`.
LEAST_CPUS = 1_000_000
#: Bytes.
LEAST_MEMORY = 4 * 1024 * 1024
LEAST_HEALTH_SPAN = MILLISECOND


def check_resources(requirements: ResourceRequirements | None) -> None:
    """Limits and reservations are nothing at all, or enough to be of use."""
    if requirements is None:
        return
    for field, resources in (("limits", requirements.limits), ("reservations", requirements.reservations)):
        if resources is not None:
            _check_amounts(f"task.resources.{field}", resources)
    if requirements.swap_bytes is not None:
        within("task.resources.swap_bytes", requirements.swap_bytes, -1, MAX_INT64)
    if requirements.memory_swappiness is not None:
        within("task.resources.memory_swappiness", requirements.memory_swappiness, -1, 100)


def check_restart(policy: RestartPolicy | None) -> None:
    """Tasks can be restarted by `policy`; None is the default."""
    if policy is None:
        return
    known("task.restart.condition", policy.condition, RestartCondition)
    at_least("task.restart.delay", policy.delay, 0, "span")
    at_least("task.restart.max_attempts", policy.max_attempts, 0)
    at_least("task.restart.window", policy.window, 0, "span")


def check_placement(placement: Placement | None) -> None:
    """Preferences, platforms and numbers are in form; constraints are read elsewhere."""
    if placement is None:
        return
    at_least("task.placement.max_replicas", placement.max_replicas, 0)
    for index, preference in enumerate(placement.preferences):
        if preference.spread is None or not preference.spread.spread_descriptor:
            refuse(f"task.placement.preferences[{index}]", "nothing", "spread over a property such as node.labels.zone")
    for index, platform in enumerate(placement.platforms):
        for part, text in (("architecture", platform.architecture), ("os", platform.os)):
            if text != text.strip():
                refuse(f"task.placement.platforms[{index}].{part}", repr(text), "a word such as amd64 or linux")


def check_networks(field: str, networks: Sequence[NetworkAttachmentConfig]) -> None:
    """Every attachment names its network."""
    for index, network in enumerate(networks):
        if not network.target:
            refuse(f"{field}[{index}].target", "''", "the id or name of a network")


def check_container(spec: ContainerSpec) -> None:
    """A container can be made from `spec`, as far as can be told without its image."""
    check_image("task.container.image", spec.image)
    _check_texts(spec)
    _check_mounts(spec.mounts)
    _check_health(spec.healthcheck)
    at_least("task.container.stop_grace_period", spec.stop_grace_period, 0, "span")
    _check_secrets(spec.secrets)
    _check_configs(spec)
    known("task.container.isolation", spec.isolation, Isolation)
    within("task.container.pidsLimit", spec.pidsLimit, -1, MAX_INT64)
    within("task.container.oom_score_adj", spec.oom_score_adj, -1000, 1000)
    for index, ulimit in enumerate(spec.ulimits):
        _check_ulimit(f"task.container.ulimits[{index}]", ulimit)


def _check_amounts(field: str, resources: Resources) -> None:
    cpus, memory = resources.nano_cpus, resources.memory_bytes
    if cpus and not LEAST_CPUS <= cpus <= MAX_INT64:
        refuse(f"{field}.nano_cpus", f"{format_cpus(cpus)} CPUs", f"0, or at least {format_cpus(LEAST_CPUS)} CPUs")
    if memory and not LEAST_MEMORY <= memory <= MAX_INT64:
        refuse(f"{field}.memory_bytes", f"{memory} bytes", "0, or at least 4 MiB")
    kinds: set[str] = set()
    for index, resource in enumerate(resources.generic):
        place = f"{field}.generic[{index}]"
        amount = resource.discrete_resource_spec
        if resource.named_resource_spec is not None or amount is None:
            unit = resource.named_resource_spec
            refuse(
                place, f"{unit.kind}={unit.value}" if unit else "nothing", "an amount such as gpu=2: units are chosen"
            )
        if not amount.kind:
            refuse(f"{place}.kind", "''", "the kind of the resource")
        if amount.kind in kinds:
            refuse(f"{place}.kind", repr(amount.kind), "each kind once")
        kinds.add(amount.kind)
        within(f"{place}.value", amount.value, 0, MAX_INT64)


def _check_texts(spec: ContainerSpec) -> None:
    """Texts that become arguments and variables of a process hold no NUL; templates are in form."""
    for field, texts in (
        ("command", spec.command),
        ("args", spec.args),
        ("env", spec.env),
        ("hostname", (spec.hostname,)),
        ("dir", (spec.dir,)),
        ("user", (spec.user,)),
    ):
        for text in texts:
            if "\0" in text:
                refuse(f"task.container.{field}", repr(text), "a text without NUL")
    check_template("task.container.hostname", spec.hostname)
    for index, variable in enumerate(spec.env):
        name, _, value = variable.partition("=")
        if not name:
            refuse(f"task.container.env[{index}]", repr(variable), "NAME=VALUE, or NAME to unset it")
        check_template(f"task.container.env[{index}]", value)


def _check_mounts(mounts: Sequence[Mount]) -> None:
    places: dict[str, int] = {}
    for index, mount in enumerate(mounts):
        field = f"task.container.mounts[{index}]"
        known(f"{field}.type", mount.type, MountType)
        if not mount.target:
            refuse(f"{field}.target", "''", "a path in the container")
        check_template(f"{field}.source", mount.source)
        check_template(f"{field}.target", mount.target)
        first = places.setdefault(posixpath.normpath(mount.target), index)
        if first != index:
            refuse(f"{field}.target", repr(mount.target), f"a path of its own; task.container.mounts[{first}] has it")
        if mount.tmpfs_options is not None:
            at_least(f"{field}.tmpfs_options.size_bytes", mount.tmpfs_options.size_bytes, 0)
        if mount.volume_options is not None:
            for text in mount.volume_options.labels.values():
                check_template(f"{field}.volume_options.labels", text)
            driver = mount.volume_options.driver_config
            for text in driver.options.values() if driver is not None else ():
                check_template(f"{field}.volume_options.driver_config.options", text)


def _check_health(config: HealthConfig | None) -> None:
    if config is None:
        return
    for name in ("interval", "timeout", "start_period", "start_interval"):
        span = getattr(config, name)
        if span and span < LEAST_HEALTH_SPAN:
            refuse(f"task.container.healthcheck.{name}", format_duration(span), "0, or at least 1ms")
    within("task.container.healthcheck.retries", config.retries, 0, 2**31 - 1)


def _check_secrets(references: Sequence[SecretReference]) -> None:
    places: dict[str, str] = {}
    for index, reference in enumerate(references):
        field = f"task.container.secrets[{index}]"
        _check_reference(field, reference.secret_id, reference.secret_name)
        if reference.file is None:
            refuse(field, "no target", "a file")
        _check_file(field, reference.file, reference.secret_name, places)


def _check_configs(spec: ContainerSpec) -> None:
    places: dict[str, str] = {}
    for index, reference in enumerate(spec.configs):
        field = f"task.container.configs[{index}]"
        _check_reference(field, reference.config_id, reference.config_name)
        if (reference.file is None) == (reference.runtime is None):
            refuse(field, "no target" if reference.file is None else "two targets", "either a file or the runtime")
        if reference.file is not None:
            _check_file(field, reference.file, reference.config_name, places)
    credentials = spec.privileges.credential_spec if spec.privileges is not None else None
    if credentials is None:
        return
    sources = [name for name in ("file", "registry", "config") if getattr(credentials, name) is not None]
    if len(sources) > 1:
        refuse("task.container.privileges.credential_spec", " and ".join(sources), "one source")
    if credentials.config and not any(_is_runtime_config(reference, credentials.config) for reference in spec.configs):
        refuse(
            "task.container.privileges.credential_spec.config",
            repr(credentials.config),
            "the id of one of task.container.configs that has the runtime as its target",
        )


def _is_runtime_config(reference: ConfigReference, config_id: str) -> bool:
    return reference.config_id == config_id and reference.runtime is not None


def _check_reference(field: str, object_id: str, name: str) -> None:
    if not object_id or not name:
        refuse(field, f"id {object_id!r} and name {name!r}", "both id and name")


def _check_file(field: str, file: FileTarget, name: str, places: dict[str, str]) -> None:
    """`places` is {path: name of the object that is there} so far."""
    if not file.name or posixpath.basename(file.name) in ("", ".", ".."):
        refuse(f"{field}.file.name", repr(file.name), "the name of a file")
    other = places.setdefault(posixpath.normpath(file.name), name)
    if other != name:
        refuse(f"{field}.file.name", repr(file.name), f"a file of its own; {other} has it")
    for part, number in (("uid", file.uid), ("gid", file.gid)):
        if number and not (number.isascii() and number.isdecimal()):
            refuse(f"{field}.file.{part}", repr(number), "a decimal number")
    within(f"{field}.file.mode", file.mode, 0, 2**32 - 1)


def _check_ulimit(field: str, ulimit: Ulimit) -> None:
    if not ulimit.name:
        refuse(f"{field}.name", "''", "the name of a limit such as nofile")
    if ulimit.hard != -1 and not -1 <= ulimit.soft <= ulimit.hard:
        refuse(field, f"soft {ulimit.soft}, hard {ulimit.hard}", "a soft limit that is not above the hard one")
