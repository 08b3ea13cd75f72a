"""From a task to the engine's description of its container, and nothing else."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from swarmlab.api import (
    AppArmorMode,
    ContainerSpec,
    ExecutorError,
    HealthConfig,
    Isolation,
    Mount,
    MountType,
    PortConfig,
    PortProtocol,
    PortStatus,
    Privileges,
    Propagation,
    PublishMode,
    ResourceRequirements,
    SeccompMode,
    Task,
    stop_grace_period,
)
from swarmlab.api.moments import SECOND
from swarmlab.api.naming import task_name
from swarmlab.edges.docker.events import TASK_LABEL
from swarmlab.edges.nodefacts import NodeFacts
from swarmlab.edges.resourceenv import resource_environment
from swarmlab.edges.taskfiles import TaskFile, unix_mode
from swarmlab.edges.template import Tree, expand

CLUSTER_LABEL = "swarmlab.cluster"
NODE_LABEL = "swarmlab.node"
#: A limit of n CPUs is n of these in each of these.
CPU_PERIOD_MICROSECONDS = 100_000
_ISOLATIONS = {Isolation.ISOLATION_PROCESS: "process", Isolation.ISOLATION_HYPERV: "hyperv"}
_PROTOCOLS = {member.name.lower(): member for member in PortProtocol}
#: {driver of a network that each node has of itself: the mode of a container on it}
NETWORK_MODES = {"bridge": "bridge", "host": "host", "null": "none"}

Json = dict[str, Any]


def container_of(task: Task) -> ContainerSpec:
    """The container part of the spec; other runtimes are a final `ExecutorError`."""
    if task.spec.container is None:
        raise ExecutorError(f"task {task.id} has no container spec; the docker executor runs nothing else")
    return task.spec.container


def container_config(task: Task, facts: NodeFacts, data: Tree, files: Sequence[tuple[TaskFile, Path]]) -> Json:
    """The body of the request that makes the container; `files` are mounted read-only each at its place.

    Absent parts are left to the image and the engine. A final `ExecutorError` for what no engine can do.
    """
    spec = container_of(task)
    config: Json = {
        "Image": spec.image,
        "Env": _environment(task, spec, data),
        "Labels": container_labels(task, spec, facts),
        "StopTimeout": math.ceil(stop_grace_period(task.spec) / SECOND),
        "Tty": spec.tty,
        "OpenStdin": spec.open_stdin,
        "HostConfig": _host_config(task, spec, data, files),
        "ExposedPorts": {_port_key(port): {} for port in _host_ports(task)},
    }
    given = {
        "Hostname": expand(spec.hostname, data, "hostname"),
        "User": spec.user,
        "WorkingDir": spec.dir,
        "Entrypoint": list(spec.command),
        "Cmd": list(spec.args),
        "StopSignal": spec.stop_signal,
        "Healthcheck": _health(spec.healthcheck),
    }
    return config | {name: value for name, value in given.items() if value}


def container_labels(task: Task, spec: ContainerSpec, facts: NodeFacts) -> dict[str, str]:
    """The user's labels, SwarmKit's and ours; the later win."""
    return {
        **spec.labels,
        "com.docker.swarm.task": "",
        "com.docker.swarm.task.id": task.id,
        "com.docker.swarm.task.name": task_name(task),
        "com.docker.swarm.node.id": facts.node_id,
        "com.docker.swarm.service.id": task.service_id,
        "com.docker.swarm.service.name": task.service_annotations.name,
        CLUSTER_LABEL: facts.cluster,
        NODE_LABEL: facts.node_id,
        TASK_LABEL: task.id,
    }


def port_status(inspected: Mapping[str, Any]) -> PortStatus | None:
    """The host ports that the engine says it bound, once each, sorted.

    A port that the engine chose may be another one under IPv6 than under IPv4. A node is reached by its IPv4 address as
    a rule, so the ports there are told, and those of IPv6 only where there are no others.
    """
    bound = (inspected.get("NetworkSettings") or {}).get("Ports") or {}
    ports = set()
    for key, bindings in bound.items():
        number, _, protocol = key.partition("/")
        told = [binding for binding in bindings or () if ":" not in binding.get("HostIp", "")] or bindings or ()
        for binding in told:
            ports.add((int(number), _PROTOCOLS[protocol or "tcp"], int(binding["HostPort"])))
    if not ports:
        return None
    return PortStatus(
        ports=tuple(
            PortConfig(protocol=protocol, target_port=target, published_port=published, publish_mode=PublishMode.HOST)
            for target, protocol, published in sorted(ports)
        )
    )


def _environment(task: Task, spec: ContainerSpec, data: Tree) -> list[str]:
    env = [f"{name}={value}" for name, value in resource_environment(task.assigned_generic_resources).items()]
    for entry in spec.env:
        name, sign, value = entry.partition("=")
        env.append(f"{name}={expand(value, data, f'env {name}')}" if sign else name)
    return env


def _port_bindings(task: Task) -> Json:
    """{port of the container: its host ports}; one port may be published more than once."""
    bindings: Json = {}
    for port in _host_ports(task):
        bindings.setdefault(_port_key(port), []).append({"HostPort": str(port.published_port or "")})
    return bindings


def _host_config(task: Task, spec: ContainerSpec, data: Tree, files: Sequence[tuple[TaskFile, Path]]) -> Json:
    driver = task.log_driver or task.spec.log_driver
    config: Json = {
        "Mounts": [_mount(mount, data) for mount in spec.mounts] + [_file_mount(file, path) for file, path in files],
        "PortBindings": _port_bindings(task),
        "ReadonlyRootfs": spec.read_only,
        **_resources(task.spec.resources),
    }
    given = {
        "NetworkMode": _network_mode(task),
        "Init": spec.init,
        "CapAdd": list(spec.capability_add),
        "CapDrop": list(spec.capability_drop),
        "GroupAdd": list(spec.groups),
        "SecurityOpt": _security(spec.privileges),
        "ExtraHosts": list(_extra_hosts(spec.hosts)),
        "Sysctls": dict(sorted(spec.sysctls.items())),
        "Ulimits": [{"Name": limit.name, "Soft": limit.soft, "Hard": limit.hard} for limit in spec.ulimits],
        "PidsLimit": spec.pidsLimit,
        "OomScoreAdj": spec.oom_score_adj,
        "Isolation": _ISOLATIONS.get(spec.isolation),
        "LogConfig": {"Type": driver.name, "Config": dict(driver.options)} if driver and driver.name else None,
    }
    if spec.dns_config is not None:
        given |= {
            "Dns": list(spec.dns_config.nameservers),
            "DnsSearch": list(spec.dns_config.search),
            "DnsOptions": list(spec.dns_config.options),
        }
    # Only `Init` says something by being false.
    return config | {name: value for name, value in given.items() if value or (name == "Init" and value is not None)}


def _network_mode(task: Task) -> str | None:
    """The mode of the one network that the task is on; None for none: the engine puts it on its bridge."""
    modes = []
    for attachment in task.networks:
        network = attachment.network
        driver = network.driver_state.name if network is not None and network.driver_state is not None else ""
        if driver not in NETWORK_MODES:
            name = network.spec.annotations.name if network is not None else ""
            wanted = ", ".join(sorted(NETWORK_MODES))
            raise ExecutorError(f"network {name!r} is of driver {driver!r}, this node has: {wanted}")
        modes.append(NETWORK_MODES[driver])
    if len(modes) > 1:
        raise ExecutorError(f"networks {', '.join(modes)}: this node puts a container on one network, no more")
    return modes[0] if modes else None


def _resources(wanted: ResourceRequirements | None) -> Json:
    if wanted is None:
        return {}
    config: Json = {}
    memory = wanted.limits.memory_bytes if wanted.limits is not None else 0
    if wanted.limits is not None and wanted.limits.nano_cpus > 0:
        config["CpuPeriod"] = CPU_PERIOD_MICROSECONDS
        config["CpuQuota"] = wanted.limits.nano_cpus * CPU_PERIOD_MICROSECONDS // 1_000_000_000
    if memory > 0:
        config["Memory"] = memory
    if wanted.reservations is not None and wanted.reservations.memory_bytes > 0:
        config["MemoryReservation"] = wanted.reservations.memory_bytes
    if wanted.swap_bytes is not None:
        config["MemorySwap"] = -1 if wanted.swap_bytes < 0 else memory + wanted.swap_bytes
    if wanted.memory_swappiness is not None and wanted.memory_swappiness >= 0:
        config["MemorySwappiness"] = wanted.memory_swappiness
    return config


def _security(privileges: Privileges | None) -> list[str]:
    if privileges is None:
        return []
    options = []
    if privileges.credential_spec is not None:
        raise ExecutorError("credential specs are of Windows; this executor runs Linux containers")
    if (selinux := privileges.selinux_context) is not None:
        if selinux.disable:
            options.append("label=disable")
        parts = ("user", "role", "type", "level")
        options += [f"label={part}:{value}" for part in parts if (value := getattr(selinux, part))]
    if (seccomp := privileges.seccomp) is not None:
        if seccomp.mode is SeccompMode.UNCONFINED:
            options.append("seccomp=unconfined")
        elif seccomp.mode is SeccompMode.CUSTOM:
            options.append(f"seccomp={seccomp.profile.decode()}")
    if privileges.apparmor is not None and privileges.apparmor.mode is AppArmorMode.DISABLED:
        options.append("apparmor=unconfined")
    if privileges.no_new_privileges:
        options.append("no-new-privileges=true")
    return options


def _health(config: HealthConfig | None) -> Json:
    if config is None:
        return {}
    durations = {
        "Interval": config.interval,
        "Timeout": config.timeout,
        "StartPeriod": config.start_period,
        "StartInterval": config.start_interval,
        "Retries": config.retries,
    }
    return {"Test": list(config.test)} | {name: int(value) for name, value in durations.items() if value}


def _mount(mount: Mount, data: Tree) -> Json:
    if mount.type is MountType.CLUSTER:
        raise ExecutorError(f"mount {mount.source!r}: cluster volumes are not provided on this node")
    config: Json = {
        "Type": mount.type.name.lower(),
        "Source": expand(mount.source, data, "mount source"),
        "Target": expand(mount.target, data, "mount target"),
        "ReadOnly": mount.readonly,
    }
    if mount.consistency:
        config["Consistency"] = mount.consistency.name.lower()
    if mount.type is MountType.BIND and (bind := mount.bind_options) is not None:
        config["BindOptions"] = {
            "Propagation": "" if bind.propagation is Propagation.RPRIVATE else bind.propagation.name.lower(),
            "NonRecursive": bind.nonrecursive,
            "CreateMountpoint": bind.createmountpoint,
            "ReadOnlyNonRecursive": bind.readonlynonrecursive,
            "ReadOnlyForceRecursive": bind.readonlyforcerecursive,
        }
    if mount.type is MountType.VOLUME and (volume := mount.volume_options) is not None:
        config["VolumeOptions"] = {
            "NoCopy": volume.nocopy,
            "Labels": {key: expand(value, data, f"volume label {key}") for key, value in sorted(volume.labels.items())},
        }
        if volume.subpath:
            config["VolumeOptions"]["Subpath"] = volume.subpath
        if (driver := volume.driver_config) is not None:
            options = {
                key: expand(value, data, f"volume option {key}") for key, value in sorted(driver.options.items())
            }
            config["VolumeOptions"]["DriverConfig"] = {"Name": driver.name, "Options": options}
    if mount.type is MountType.TMPFS and (tmpfs := mount.tmpfs_options) is not None:
        # The engine prints the mode as an octal number into the mount options: it wants the bits of Unix.
        config["TmpfsOptions"] = {"SizeBytes": tmpfs.size_bytes, "Mode": unix_mode(tmpfs.mode)}
        if tmpfs.options:
            config["TmpfsOptions"]["Options"] = [option.split("=", 1) for option in tmpfs.options.split(",")]
    return config


def _file_mount(file: TaskFile, path: Path) -> Json:
    return {"Type": "bind", "Source": str(path), "Target": str(file.target), "ReadOnly": True}


def _extra_hosts(lines: Iterable[str]) -> Iterable[str]:
    """hosts(5) has the address first and any number of names; the engine wants `name:address` for each."""
    for line in lines:
        address, *names = line.split() or [""]
        if not names:
            raise ExecutorError(f"host {line!r}, wanted: an address and a name")
        yield from (f"{name}:{address}" for name in names)


def _host_ports(task: Task) -> list[PortConfig]:
    ports = task.endpoint.ports if task.endpoint is not None else ()
    return [port for port in ports if port.publish_mode is PublishMode.HOST]


def _port_key(port: PortConfig) -> str:
    return f"{port.target_port}/{port.protocol.name.lower()}"
