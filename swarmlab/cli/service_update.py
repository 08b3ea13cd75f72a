"""The flags of `service update` applied to a spec, with docker's meaning of --x-add and --x-rm.

Lists keyed by name (environment, labels, hosts, constraints, groups, DNS, mounts) are added to first and removed from
then, so that what is named in both goes. Ports, secrets, configs, networks, preferences and affinity terms are removed
first, so that what is named in both is replaced. Nothing is sorted: what is not touched keeps its place.
"""

import argparse

from msgspec.structs import replace

from swarmlab.api import (
    Annotations,
    ConfigReference,
    ContainerSpec,
    DNSConfig,
    EndpointSpec,
    GenericResource,
    Mode,
    NetworkAttachmentConfig,
    Placement,
    SecretReference,
    ServiceSpec,
    TaskSpec,
    Ulimit,
    mode_of,
)
from swarmlab.cli.exits import UsageError
from swarmlab.cli.mounts import parse_mount, with_mounts, without_mounts
from swarmlab.cli.pairs import environment, labels, less, merged, unique, without
from swarmlab.cli.ports import parse_ports, with_ports, without_ports
from swarmlab.cli.service_flags import (
    Request,
    capabilities,
    container_flags,
    endpoint_mode,
    generics,
    health,
    host_line,
    label_keys,
    log_driver,
    parse_network,
    parse_ulimit,
    policy,
    preferences,
    resource_flags,
    restart,
    shell_words,
    wanted_configs,
    wanted_secrets,
    with_affinity,
    without_affinity,
)


def updated(options: argparse.Namespace, spec: ServiceSpec) -> Request:
    """`spec` as the flags of `service update` change it."""
    task = spec.task
    container = _container(options, task.container or ContainerSpec())
    task = replace(
        task,
        container=container,
        resources=resource_flags(options, task.resources, _generic(options, task)),
        restart=restart(options, task.restart),
        placement=_placement(options, task.placement),
        log_driver=log_driver(options, task.log_driver),
        networks=_networks(options, task.networks or spec.networks),
        force_update=task.force_update + bool(options.force),
    )
    spec = replace(
        _scaled(options, spec),
        annotations=_annotations(options, spec.annotations),
        task=task,
        networks=() if options.network_add or options.network_rm else spec.networks,
        update=policy(options, "update", spec.update),
        rollback=policy(options, "rollback", spec.rollback),
        endpoint=_endpoint(options, spec.endpoint),
    )
    return Request(
        spec,
        wanted_secrets("--secret-add", options.secret_add),
        wanted_configs("--config-add", options.config_add),
    )


def scaled(spec: ServiceSpec, replicas: int) -> ServiceSpec:
    """`spec` with that many replicas, or completions of a replicated job."""
    mode = mode_of(spec)
    if mode is Mode.REPLICATED and spec.replicated is not None:
        return replace(spec, replicated=replace(spec.replicated, replicas=replicas))
    if mode is Mode.REPLICATED_JOB and spec.replicated_job is not None:
        return replace(spec, replicated_job=replace(spec.replicated_job, total_completions=replicas))
    raise UsageError(f"service {spec.annotations.name}: mode {mode.value}; only replicated services can be scaled")


def _scaled(options: argparse.Namespace, spec: ServiceSpec) -> ServiceSpec:
    if options.replicas is not None:
        spec = scaled(spec, options.replicas)
    if options.max_concurrent is not None:
        if spec.replicated_job is None:
            raise UsageError(f"--max-concurrent: service {spec.annotations.name} is not a replicated job")
        spec = replace(spec, replicated_job=replace(spec.replicated_job, max_concurrent=options.max_concurrent))
    return spec


def _annotations(options: argparse.Namespace, present: Annotations) -> Annotations:
    added = {**present.labels, **labels("--label-add", options.label_add)}
    kept = without_affinity("--affinity-rm", options.affinity_rm, less(added, label_keys(options.label_rm)))
    return replace(present, labels=with_affinity("--affinity-add", options.affinity_add, kept))


def _container(options: argparse.Namespace, present: ContainerSpec) -> ContainerSpec:
    container = container_flags(options, present)
    if options.image is not None:
        container = replace(container, image=options.image)
    if options.args is not None:
        container = replace(container, args=shell_words("--args", options.args))
    mounts = with_mounts(container.mounts, [parse_mount("--mount-add", text) for text in options.mount_add])
    sysctls = {**container.sysctls, **labels("--sysctl-add", options.sysctl_add)}
    container_labels = {**container.labels, **labels("--container-label-add", options.container_label_add)}
    add, drop = _capabilities(options, container)
    return replace(
        container,
        env=without(merged(container.env, environment("--env-add", options.env_add)), label_keys(options.env_rm)),
        labels=less(container_labels, label_keys(options.container_label_rm)),
        mounts=without_mounts(mounts, options.mount_rm),
        groups=_words(container.groups, options.group_add, options.group_rm),
        hosts=_hosts(options, container.hosts),
        dns_config=_dns(options, container.dns_config),
        secrets=_secrets(options, container.secrets),
        configs=_configs(options, container.configs),
        capability_add=add,
        capability_drop=drop,
        sysctls=less(sysctls, label_keys(options.sysctl_rm)),
        ulimits=_ulimits(options, container),
        healthcheck=health(options, container.healthcheck),
    )


def _words(present: tuple[str, ...], added: list[str], removed: list[str]) -> tuple[str, ...]:
    gone = set(removed)
    return tuple(word for word in unique([*present, *added]) if word not in gone)


def _hosts(options: argparse.Namespace, present: tuple[str, ...]) -> tuple[str, ...]:
    """Lines `IP NAME...`; --host-rm takes `NAME`, or `NAME:IP` for one of several addresses."""
    found = unique([*present, *(host_line("--host-add", text) for text in options.host_add)])
    for text in options.host_rm:
        name, _, address = text.partition(":")
        found = tuple(line for line in found if not _is_host(line, name, address))
    return found


def _is_host(line: str, name: str, address: str) -> bool:
    words = line.split()
    return words[1:2] == [name] and address in ("", words[0])


def _dns(options: argparse.Namespace, present: DNSConfig | None) -> DNSConfig | None:
    before = present or DNSConfig()
    after = DNSConfig(
        nameservers=_words(before.nameservers, options.dns_add, options.dns_rm),
        search=_words(before.search, options.dns_search_add, options.dns_search_rm),
        options=_words(before.options, options.dns_option_add, options.dns_option_rm),
    )
    return present if after == before else after


def _secrets(options: argparse.Namespace, present: tuple[SecretReference, ...]) -> tuple[SecretReference, ...]:
    return tuple(reference for reference in present if reference.secret_name not in options.secret_rm)


def _configs(options: argparse.Namespace, present: tuple[ConfigReference, ...]) -> tuple[ConfigReference, ...]:
    return tuple(reference for reference in present if reference.config_name not in options.config_rm)


def _capabilities(options: argparse.Namespace, present: ContainerSpec) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is added is no longer dropped, what is dropped no longer added; RESET forgets what was there."""
    add, drop = capabilities(options.cap_add), capabilities(options.cap_drop)
    before_add = () if "CAP_RESET" in add else present.capability_add
    before_drop = () if "CAP_RESET" in drop else present.capability_drop
    return (
        tuple(word for word in unique([*before_add, *add]) if word not in drop and word != "CAP_RESET"),
        tuple(word for word in unique([*before_drop, *drop]) if word not in add and word != "CAP_RESET"),
    )


def _ulimits(options: argparse.Namespace, present: ContainerSpec) -> tuple[Ulimit, ...]:
    found = {limit.name: limit for limit in present.ulimits}
    found.update({limit.name: limit for text in options.ulimit_add for limit in [parse_ulimit("--ulimit-add", text)]})
    gone = label_keys(options.ulimit_rm)
    return tuple(limit for name, limit in found.items() if name not in gone)


def _generic(options: argparse.Namespace, task: TaskSpec) -> tuple[GenericResource, ...]:
    reservations = task.resources.reservations if task.resources is not None else None
    present = reservations.generic if reservations is not None else ()
    added = generics("--generic-resource-add", options.generic_resource_add)
    amounts = dict(_amount(resource) for resource in (*present, *added))
    gone = label_keys(options.generic_resource_rm)
    return generics("--generic-resource-add", [f"{kind}={amounts[kind]}" for kind in amounts if kind not in gone])


def _amount(resource: GenericResource) -> tuple[str, int]:
    item = resource.discrete_resource_spec
    return (item.kind, item.value) if item is not None else ("", 0)


def _placement(options: argparse.Namespace, present: Placement | None) -> Placement | None:
    before = present or Placement()
    gone = [preference.spread for preference in preferences("--placement-pref-rm", options.placement_pref_rm)]
    kept = [preference for preference in before.preferences if preference.spread not in gone]
    limit = options.replicas_max_per_node
    after = replace(
        before,
        constraints=_words(before.constraints, options.constraint_add, options.constraint_rm),
        preferences=(*kept, *preferences("--placement-pref-add", options.placement_pref_add)),
        max_replicas=before.max_replicas if limit is None else limit,
    )
    return present if after == before else after


def _networks(
    options: argparse.Namespace, present: tuple[NetworkAttachmentConfig, ...]
) -> tuple[NetworkAttachmentConfig, ...]:
    added = [parse_network("--network-add", text) for text in options.network_add]
    gone = {*options.network_rm, *(network.target for network in added)}
    return (*(network for network in present if network.target not in gone), *added)


def _endpoint(options: argparse.Namespace, present: EndpointSpec | None) -> EndpointSpec | None:
    before = present or EndpointSpec()
    added = [port for text in options.publish_add for port in parse_ports("--publish-add", text)]
    after = EndpointSpec(
        before.mode if options.endpoint_mode is None else endpoint_mode(options.endpoint_mode),
        with_ports(without_ports(before.ports, "--publish-rm", options.publish_rm), added),
    )
    return present if after == before else after
