"""The flags of `service create` as a spec, and the parts that `service update` shares with it."""

import argparse
import random
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

from swarmlab.api import (
    Annotations,
    ContainerSpec,
    CredentialSpec,
    DNSConfig,
    Driver,
    EndpointSpec,
    FailureAction,
    GenericResource,
    GlobalJob,
    GlobalService,
    HealthConfig,
    InvalidSpec,
    Isolation,
    Mode,
    NetworkAttachmentConfig,
    Placement,
    PlacementPreference,
    Privileges,
    ReplicatedJob,
    ReplicatedService,
    ResolutionMode,
    ResourceRequirements,
    Resources,
    RestartCondition,
    RestartPolicy,
    ServiceSpec,
    SpreadOver,
    TaskSpec,
    Ulimit,
    UpdateConfig,
    UpdateOrder,
    Value,
    Word,
    parse_generic_resources,
    restart_policy,
    rollback_config,
    update_config,
)
from swarmlab.cli.exits import UsageError
from swarmlab.cli.mounts import parse_mount
from swarmlab.cli.pairs import environment, environment_file, key_of, known_fields, labels, less, unique
from swarmlab.cli.ports import parse_ports
from swarmlab.cli.references import Wanted, config_target, parse_wanted, secret_target

W = TypeVar("W", bound=Word)


class Request(Value, frozen=True):
    """A spec, and the secrets and configs still to be looked up by name."""

    spec: ServiceSpec
    secrets: tuple[Wanted, ...] = ()
    configs: tuple[Wanted, ...] = ()


def created(options: argparse.Namespace, entropy: random.Random) -> Request:
    """What `service create` asks for; a service without --name gets a name made up from `entropy`."""
    container = replace(
        container_flags(options, ContainerSpec(image=options.image)),
        args=tuple(options.arguments),
        env=environment(
            "--env", [line for file in options.env_file for line in environment_file(Path(file))] + options.env
        ),
        labels=labels("--container-label", options.container_label),
        mounts=tuple(parse_mount("--mount", text) for text in options.mount),
        groups=unique(options.group),
        hosts=tuple(host_line("--host", text) for text in options.host),
        dns_config=_dns(options),
        capability_add=capabilities(options.cap_add),
        capability_drop=capabilities(options.cap_drop),
        sysctls=labels("--sysctl", options.sysctl),
        ulimits=tuple(parse_ulimit("--ulimit", text) for text in options.ulimit),
        healthcheck=health(options, None),
    )
    task = TaskSpec(
        container=container,
        resources=resource_flags(options, None, generics("--generic-resource", options.generic_resource)),
        restart=restart(options, None),
        placement=_placement(options),
        log_driver=log_driver(options, None),
        networks=tuple(parse_network("--network", text) for text in options.network),
    )
    spec = ServiceSpec(
        annotations=Annotations(
            options.name or made_up_name(entropy),
            with_affinity("--affinity", options.affinity, labels("--label", options.label)),
        ),
        task=task,
        update=policy(options, "update", None),
        rollback=policy(options, "rollback", None),
        endpoint=_endpoint(options),
        **_mode(options),
    )
    return Request(spec, wanted_secrets("--secret", options.secret), wanted_configs("--config", options.config))


def _mode(options: argparse.Namespace) -> dict[str, Any]:
    mode = Mode(options.mode or "replicated")
    if mode.is_global and options.replicas is not None:
        raise UsageError(f"--replicas does not go with --mode {mode.value}")
    if not mode.is_job and options.max_concurrent is not None:
        raise UsageError("--max-concurrent goes with --mode replicated-job alone")
    replicas = 1 if options.replicas is None else options.replicas
    match mode:
        case Mode.REPLICATED:
            return {"replicated": ReplicatedService(replicas)}
        case Mode.GLOBAL:
            return {"global_": GlobalService()}
        case Mode.GLOBAL_JOB:
            return {"global_job": GlobalJob()}
        case Mode.REPLICATED_JOB:
            at_once = replicas if options.max_concurrent is None else options.max_concurrent
            return {"replicated_job": ReplicatedJob(max_concurrent=at_once, total_completions=replicas)}


def container_flags(options: argparse.Namespace, container: ContainerSpec) -> ContainerSpec:
    """`container` with the single-valued flags that were given."""
    found = {
        field: getattr(options, flag)
        for flag, field in (
            ("user", "user"),
            ("workdir", "dir"),
            ("hostname", "hostname"),
            ("tty", "tty"),
            ("init", "init"),
            ("read_only", "read_only"),
            ("stop_signal", "stop_signal"),
            ("stop_grace_period", "stop_grace_period"),
            ("oom_score_adj", "oom_score_adj"),
            ("limit_pids", "pidsLimit"),
        )
        if getattr(options, flag) is not None
    }
    if options.entrypoint is not None:
        found["command"] = shell_words("--entrypoint", options.entrypoint)
    if options.isolation is not None:
        found["isolation"] = Isolation[f"ISOLATION_{options.isolation.upper()}"]
    if options.credential_spec is not None:
        privileges = container.privileges or Privileges()
        found["privileges"] = replace(privileges, credential_spec=_credential_spec(options.credential_spec))
    return replace(container, **found)


def _credential_spec(text: str) -> CredentialSpec:
    kind, sign, value = text.partition("://")
    if not (sign and value) or kind not in ("file", "registry", "config"):
        raise UsageError(f"--credential-spec: {text!r}, wanted: file://PATH, registry://NAME or config://NAME")
    return CredentialSpec(**{kind: value})


def shell_words(flag: str, text: str) -> tuple[str, ...]:
    """The words of `text` as a shell parts them."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"{flag}: {text!r}: {error}") from error


def host_line(flag: str, text: str) -> str:
    """`NAME:IP` as a line of the hosts file: `IP NAME`."""
    name, sign, address = text.partition(":")
    if not (name and sign and address):
        raise UsageError(f"{flag}: {text!r}, wanted: NAME:IP")
    return f"{address} {name}"


def capabilities(words: Sequence[str]) -> tuple[str, ...]:
    """Capabilities in upper case with the prefix CAP_, as docker writes them; ALL stays ALL."""
    names = (word.upper() for word in words)
    return unique(name if name == "ALL" or name.startswith("CAP_") else f"CAP_{name}" for name in names)


def parse_ulimit(flag: str, text: str) -> Ulimit:
    """`NAME=SOFT[:HARD]`; the hard limit is the soft one where it is left out, -1 is no limit."""
    name, sign, value = text.partition("=")
    soft, _, hard = value.partition(":")
    try:
        limit = Ulimit(name, int(soft), int(hard or soft))
    except ValueError:
        limit = Ulimit()
    if not (limit.name and sign):
        raise UsageError(f"{flag}: {text!r}, wanted: NAME=SOFT:HARD such as nofile=1024:2048")
    if limit.hard != -1 and (limit.soft == -1 or limit.soft > limit.hard):
        raise UsageError(f"{flag}: {text!r}: the soft limit is above the hard one")
    return limit


def parse_network(flag: str, text: str) -> NetworkAttachmentConfig:
    """`NAME`, or `name=NAME,alias=ALIAS,driver-opt=KEY=VALUE`."""
    if "=" not in text:
        return NetworkAttachmentConfig(target=text)
    found = known_fields(flag, text, ("name", "alias", "driver-opt"))
    names = [value for key, value in found if key == "name" and value]
    if not names:
        raise UsageError(f"{flag}: {text!r}: name=NAME is missing")
    return NetworkAttachmentConfig(
        target=names[-1],
        aliases=tuple(value for key, value in found if key == "alias" and value),
        driver_attachment_opts=labels(flag, [value for key, value in found if key == "driver-opt" and value]),
    )


def generics(flag: str, texts: Sequence[str]) -> tuple[GenericResource, ...]:
    """Generic resources of `KIND=NUMBER` texts."""
    try:
        found = parse_generic_resources(",".join(texts))
    except InvalidSpec as error:
        raise UsageError(f"{flag}: {error}") from error
    named = [item.named_resource_spec for item in found if item.named_resource_spec is not None]
    if named:
        raise UsageError(f"{flag}: '{named[0].kind}={named[0].value}', wanted: KIND=NUMBER; a task asks for amounts")
    return found


def resource_flags(
    options: argparse.Namespace, present: ResourceRequirements | None, generic: tuple[GenericResource, ...]
) -> ResourceRequirements | None:
    """`present` with the limits and reservations given; None where nothing was ever asked for."""
    before = present or ResourceRequirements()
    limits = _amounts(before.limits, options.limit_cpu, options.limit_memory, ())
    reservations = _amounts(before.reservations, options.reserve_cpu, options.reserve_memory, generic)
    if present is None and limits is None and reservations is None:
        return None
    return replace(before, limits=limits, reservations=reservations)


def _amounts(
    present: Resources | None, cpu: int | None, memory: int | None, generic: tuple[GenericResource, ...]
) -> Resources | None:
    before = present or Resources()
    after = Resources(
        nano_cpus=before.nano_cpus if cpu is None else cpu,
        memory_bytes=before.memory_bytes if memory is None else memory,
        generic=generic,
    )
    return present if after == before and present is None else after


def restart(options: argparse.Namespace, present: RestartPolicy | None) -> RestartPolicy | None:
    """`present`, or the usual policy, with the --restart flags given; `present` where none was."""
    found = given(
        options,
        {
            "restart_delay": "delay",
            "restart_max_attempts": "max_attempts",
            "restart_window": "window",
        },
    )
    if options.restart_condition is not None:
        found["condition"] = word_of(RestartCondition, options.restart_condition)
    return replace(present or restart_policy(TaskSpec()), **found) if found else present


def policy(options: argparse.Namespace, what: str, present: UpdateConfig | None) -> UpdateConfig | None:
    """`present`, or the usual policy, with the --update or --rollback flags given; `present` where none was."""
    found = given(
        options,
        {
            f"{what}_parallelism": "parallelism",
            f"{what}_delay": "delay",
            f"{what}_monitor": "monitor",
            f"{what}_max_failure_ratio": "max_failure_ratio",
        },
    )
    if (action := getattr(options, f"{what}_failure_action")) is not None:
        found["failure_action"] = word_of(FailureAction, action)
    if (order := getattr(options, f"{what}_order")) is not None:
        found["order"] = word_of(UpdateOrder, order)
    usual = update_config(ServiceSpec()) if what == "update" else rollback_config(ServiceSpec())
    return replace(present or usual, **found) if found else present


def given(options: argparse.Namespace, fields: dict[str, str]) -> dict[str, Any]:
    """{field: value} of the flags that were given."""
    return {field: getattr(options, flag) for flag, field in fields.items() if getattr(options, flag) is not None}


def word_of(kind: type[W], word: str) -> W:
    """The member of an enum that a flag's word names."""
    return kind[word.upper().replace("-", "_")]


def health(options: argparse.Namespace, present: HealthConfig | None) -> HealthConfig | None:
    """`present` with the --health flags given; `present` where none was."""
    found = given(
        options,
        {
            "health_interval": "interval",
            "health_timeout": "timeout",
            "health_retries": "retries",
            "health_start_period": "start_period",
            "health_start_interval": "start_interval",
        },
    )
    if options.health_cmd is not None:
        found["test"] = ("CMD-SHELL", options.health_cmd) if options.health_cmd else ()
    if options.no_healthcheck:
        if found:
            raise UsageError("--no-healthcheck does not go with other --health flags")
        return HealthConfig(test=("NONE",))
    if not found:
        return present
    before = present or HealthConfig()
    return replace(replace(before, test=()) if before.test[:1] == ("NONE",) else before, **found)


def log_driver(options: argparse.Namespace, present: Driver | None) -> Driver | None:
    """The log driver given, with its options; `present` where none was."""
    if options.log_driver is None:
        if options.log_opt:
            raise UsageError("--log-opt goes with --log-driver alone")
        return present
    return Driver(options.log_driver, labels("--log-opt", options.log_opt))


def preferences(flag: str, texts: Sequence[str]) -> tuple[PlacementPreference, ...]:
    """Placement preferences of `spread=DESCRIPTOR` texts."""
    found = []
    for text in texts:
        kind, _, descriptor = text.partition("=")
        if kind != "spread" or not descriptor:
            raise UsageError(f"{flag}: {text!r}, wanted: spread=node.labels.KEY")
        found.append(PlacementPreference(SpreadOver(descriptor)))
    return tuple(found)


def _placement(options: argparse.Namespace) -> Placement | None:
    placement = Placement(
        constraints=tuple(options.constraint),
        preferences=preferences("--placement-pref", options.placement_pref),
        max_replicas=options.replicas_max_per_node or 0,
    )
    return None if placement == Placement() else placement


def _dns(options: argparse.Namespace) -> DNSConfig | None:
    dns = DNSConfig(unique(options.dns), unique(options.dns_search), unique(options.dns_option))
    return None if dns == DNSConfig() else dns


def _endpoint(options: argparse.Namespace) -> EndpointSpec | None:
    ports = tuple(port for text in options.publish for port in parse_ports("--publish", text))
    if not ports and options.endpoint_mode is None:
        return None
    return EndpointSpec(endpoint_mode(options.endpoint_mode), ports)


def endpoint_mode(word: str | None) -> ResolutionMode:
    """The mode of that word, VIP for none."""
    return ResolutionMode[(word or "vip").upper()]


def wanted_secrets(flag: str, texts: Sequence[str]) -> tuple[Wanted, ...]:
    """The secrets that --secret names."""
    return tuple(parse_wanted(flag, text, secret_target) for text in texts)


def wanted_configs(flag: str, texts: Sequence[str]) -> tuple[Wanted, ...]:
    """The configs that --config names."""
    return tuple(parse_wanted(flag, text, config_target) for text in texts)


def with_affinity(flag: str, terms: Sequence[str], present: dict[str, str]) -> dict[str, str]:
    """The labels `present`, and one for each affinity term that is not among them."""
    if not terms:
        return present
    from swarmlab.plugin import affinity_labels

    try:
        return {**present, **affinity_labels(terms, present)}
    except InvalidSpec as error:
        raise UsageError(f"{flag}: {error}") from error


def without_affinity(flag: str, terms: Sequence[str], present: dict[str, str]) -> dict[str, str]:
    """The labels `present` without the affinity terms that are named, or said in other words."""
    if not terms:
        return present
    from swarmlab.plugin import AFFINITY_LABEL, affinity_terms, parse_term

    try:
        known = affinity_terms(present)
        gone = set()
        for text in terms:
            named = [text] if text in known else [name for name, term in known.items() if term == parse_term(text)]
            if not named:
                raise UsageError(f"{flag}: the service has no such term: {text!r}")
            gone |= {f"{AFFINITY_LABEL}{name}" for name in named}
    except InvalidSpec as error:
        raise UsageError(f"{flag}: {error}") from error
    return less(present, gone)


def label_keys(texts: Sequence[str]) -> list[str]:
    """The keys of `KEY` or `KEY=VALUE` texts."""
    return [key_of(text) for text in texts]


_QUALITIES = ("brisk", "calm", "deft", "eager", "gentle", "hardy", "jolly", "keen", "merry", "nimble", "spry", "warm")
_CREATURES = ("ant", "bee", "cricket", "dove", "finch", "gull", "heron", "ibis", "jay", "lark", "newt", "owl", "wren")


def made_up_name(entropy: random.Random) -> str:
    """A name for a service that was given none: `calm_wren_42`."""
    return f"{entropy.choice(_QUALITIES)}_{entropy.choice(_CREATURES)}_{entropy.randrange(100)}"
