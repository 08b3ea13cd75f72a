"""One service of a stack file as a spec."""

from typing import NamedTuple

from msgspec.structs import replace

from swarmlab.api import (
    Annotations,
    ContainerSpec,
    DNSConfig,
    Driver,
    Duration,
    EndpointSpec,
    InvalidSpec,
    Isolation,
    ResolutionMode,
    RestartCondition,
    RestartPolicy,
    ServiceSpec,
    TaskSpec,
    Ulimit,
)
from swarmlab.cli.compose_deploy import Deploy, read_deploy
from swarmlab.cli.compose_parts import Volumes, environment_files, read_files, read_health, read_ports, read_volumes
from swarmlab.cli.document import Item, Section
from swarmlab.cli.exits import Invalid, UsageError, near
from swarmlab.cli.pairs import environment_file, key_of, unique
from swarmlab.cli.service_flags import Request, capabilities, host_line

#: Label of everything that belongs to a stack; its value is the stack's name.
STACK_LABEL = "com.docker.stack.namespace"
IMAGE_LABEL = "com.docker.stack.image"
#: Key of a service with affinity terms; other tools leave out what begins with `x-`.
AFFINITY = "x-swarmlab-affinity"
#: Networks that a service of a stack asks for, by full name.
NETWORKS_LABEL = "swarmlab.networks"

#: Keys that compose knows and a swarm has no use for, as docker's own stack deploy.
_LEFT_OUT = frozenset(
    [
        "build",
        "cgroup",
        "cgroup_parent",
        "container_name",
        "cpu_count",
        "cpu_percent",
        "cpu_period",
        "cpu_quota",
        "cpu_rt_period",
        "cpu_rt_runtime",
        "cpu_shares",
        "cpus",
        "cpuset",
        "depends_on",
        "develop",
        "device_cgroup_rules",
        "devices",
        "domainname",
        "expose",
        "external_links",
        "gpus",
        "credential_spec",
        "ipc",
        "links",
        "mac_address",
        "mem_limit",
        "mem_reservation",
        "mem_swappiness",
        "memswap_limit",
        "network_mode",
        "oom_kill_disable",
        "pid",
        "platform",
        "privileged",
        "profiles",
        "pull_policy",
        "runtime",
        "scale",
        "security_opt",
        "shm_size",
        "storage_opt",
        "userns_mode",
        "uts",
        "volumes_from",
        "annotations",
        "attach",
        "blkio_config",
    ]
)


class Declared(NamedTuple):
    """What the services of a file may refer to: {key in the file: full name}."""

    stack: str
    networks: dict[str, str]
    volumes: Volumes
    secret_names: dict[str, str]
    config_names: dict[str, str]
    services: dict[str, str]


def read_service(section: Section, key: str, declared: Declared) -> Request:
    """The service under `key`."""
    deploy = read_deploy(section.within("deploy"))
    image = section.text_at("image")
    if not image:
        raise section.wrong("image is missing; a swarm runs images, it does not build them")
    container = _container(section, image, deploy, declared)
    ports = read_ports(section)
    task = TaskSpec(
        container=container,
        resources=deploy.resources,
        restart=deploy.restart or _restart(section),
        placement=deploy.placement,
        log_driver=_logging(section.within("logging")),
    )
    labels = {**deploy.labels, STACK_LABEL: declared.stack, IMAGE_LABEL: image}
    networks = _networks_of(section, declared)
    if networks:
        labels[NETWORKS_LABEL] = ",".join(networks)
    labels |= _affinity(section.get(AFFINITY), labels, declared)
    spec = ServiceSpec(
        annotations=Annotations(f"{declared.stack}_{key}", labels),
        task=task,
        update=deploy.update,
        rollback=deploy.rollback,
        endpoint=EndpointSpec(deploy.endpoint_mode or ResolutionMode.VIP, ports)
        if ports or deploy.endpoint_mode is not None
        else None,
        **deploy.mode,
    )
    secrets = read_files(section, "secrets", "", declared.secret_names)
    configs = read_files(section, "configs", "/", declared.config_names)
    _refuse_extends(section)
    section.finish(ignored=_LEFT_OUT)
    return Request(spec, secrets, configs)


def _affinity(item: Item | None, present: dict[str, str], declared: Declared) -> dict[str, str]:
    """Labels for the terms of the extension: a list, or {name: term}; services of the file under their keys."""
    if item is None:
        return {}
    from swarmlab.plugin import AFFINITY_LABEL, affinity_labels, parse_term, written

    def said(one: Item) -> str:
        try:
            term = parse_term(one.text())
        except InvalidSpec as error:
            raise one.wrong(str(error)) from error
        chain = [
            replace(wish, service=declared.services.get(wish.service, wish.service), otherwise=())
            for wish in (term, *term.otherwise)
        ]
        return written(replace(chain[0], otherwise=tuple(chain[1:])))

    if item.is_list:
        return affinity_labels([said(one) for one in item.items()], present)
    return {f"{AFFINITY_LABEL}{name}": said(one) for name, one in item.section().entries()}


def _refuse_extends(section: Section) -> None:
    if (item := section.get("extends")) is not None:
        raise item.wrong("is not read here: use a YAML anchor and <<")


def _networks_of(section: Section, declared: Declared) -> list[str]:
    item = section.get("networks")
    if item is None:
        return []
    entries: list[tuple[str, Item]]
    entries = [(one.text(), one) for one in item.items()] if item.is_list else list(item.section().entries())
    found = []
    for name, one in entries:
        if name != "default" and name not in declared.networks:
            raise one.wrong(f"{name!r} is not under networks of this file{near(name, sorted(declared.networks))}")
        found.append(declared.networks.get(name, f"{declared.stack}_default"))
    return found


def _container(section: Section, image: str, deploy: Deploy, declared: Declared) -> ContainerSpec:
    grace = section.span_at("stop_grace_period")
    pids = section.count_at("pids_limit")
    return ContainerSpec(
        image=image,
        command=section.words_at("entrypoint"),
        args=section.words_at("command"),
        labels={**section.labels_at("labels"), STACK_LABEL: declared.stack},
        env=_environment(section),
        hostname=section.text_at("hostname"),
        dir=section.text_at("working_dir"),
        user=section.text_at("user"),
        groups=section.texts_at("group_add"),
        init=section.truth_at("init"),
        tty=bool(section.truth_at("tty")),
        open_stdin=bool(section.truth_at("stdin_open")),
        read_only=bool(section.truth_at("read_only")),
        stop_signal=section.text_at("stop_signal"),
        stop_grace_period=None if grace is None else Duration(grace),
        mounts=read_volumes(section, declared.volumes),
        hosts=_hosts(section),
        dns_config=_dns(section),
        healthcheck=read_health(section.within("healthcheck")),
        isolation=section.word_at("isolation", _ISOLATIONS) or Isolation.ISOLATION_DEFAULT,
        pidsLimit=deploy.pids or pids or 0,
        sysctls=section.labels_at("sysctls"),
        capability_add=capabilities(section.texts_at("cap_add")),
        capability_drop=capabilities(section.texts_at("cap_drop")),
        ulimits=_ulimits(section.within("ulimits")),
        oom_score_adj=section.read_at("oom_score_adj", int) or 0,
    )


def _environment(section: Section) -> tuple[str, ...]:
    """The lines of `env_file`s, then `environment`; a name alone takes its value from here, or is left out."""
    lines: list[str] = []
    for item, path in environment_files(section):
        try:
            lines += environment_file(path)
        except Invalid as error:
            raise item.wrong(str(error)) from error
    lines += [name if value is None else f"{name}={value}" for name, value in section.pairs_at("environment").items()]
    found: dict[str, str] = {}
    for line in lines:
        name = key_of(line)
        if "=" in line:
            found[name] = line
        elif name in section.document.variables:
            found[name] = f"{name}={section.document.variables[name]}"
    return tuple(found.values())


_ISOLATIONS = {word.name.removeprefix("ISOLATION_").lower(): word for word in Isolation}


def _hosts(section: Section) -> tuple[str, ...]:
    """`extra_hosts`: `NAME:IP` or `NAME=IP`, or a mapping."""
    item = section.get("extra_hosts")
    if item is None:
        return ()
    if item.is_mapping:
        return tuple(f"{address or ''} {name}" for name, address in item.pairs().items())
    found = []
    for one in item.items():
        try:
            found.append(host_line("host", one.text().replace("=", ":", 1)))
        except UsageError as error:
            raise one.wrong(str(error)) from error
    return tuple(found)


def _dns(section: Section) -> DNSConfig | None:
    found = DNSConfig(
        unique(section.texts_at("dns")), unique(section.texts_at("dns_search")), unique(section.texts_at("dns_opt"))
    )
    return None if found == DNSConfig() else found


def _ulimits(section: Section | None) -> tuple[Ulimit, ...]:
    found = []
    for name, item in section.entries() if section is not None else ():
        if item.is_mapping:
            entry = item.section()
            soft, hard = entry.read_at("soft", int), entry.read_at("hard", int)
            if soft is None or hard is None:
                raise entry.wrong("wanted: soft and hard")
            entry.finish()
        else:
            soft = hard = item.read(int)
        found.append(Ulimit(name, soft, hard))
    return tuple(found)


def _logging(section: Section | None) -> Driver | None:
    if section is None:
        return None
    found = Driver(section.text_at("driver"), section.labels_at("options"))
    section.finish()
    return found


def _restart(section: Section) -> RestartPolicy | None:
    """`restart` of the service itself, where `deploy` says nothing: no, always, unless-stopped, on-failure[:N]."""
    item = section.get("restart")
    if item is None:
        return None
    word, sign, attempts = item.text().partition(":")
    if word == "on-failure" and (not sign or attempts.isdigit()):
        return RestartPolicy(condition=RestartCondition.ON_FAILURE, max_attempts=int(attempts or 0))
    if word in ("always", "unless-stopped") and not sign:
        return RestartPolicy(condition=RestartCondition.ANY)
    if word in ("no", "false", "none") and not sign:
        return RestartPolicy(condition=RestartCondition.NONE)
    raise item.wrong(f"{item.text()!r}, wanted: no, always, unless-stopped or on-failure:N")
