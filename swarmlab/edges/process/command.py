"""From a task's spec to the program, environment and limits of its process."""

import grp
import os
import platform
import pwd
import resource
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from swarmlab.api import (
    ContainerSpec,
    ExecutorError,
    Mount,
    MountType,
    Platform,
    PortConfig,
    PortProtocol,
    Task,
    TaskSpec,
    Ulimit,
    Value,
)
from swarmlab.api.naming import task_name
from swarmlab.edges.process.child import Launch
from swarmlab.edges.process.proctable import MARK, mark
from swarmlab.edges.resourceenv import resource_environment
from swarmlab.edges.template import Tree, expand

#: What a task inherits of the worker's environment. Nothing else of it is the task's business.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "USER", "LOGNAME")
_UNLIMITED = resource.RLIM_INFINITY


class Places(Value, frozen=True, kw_only=True):
    """The directories of one task."""

    #: The task's own, deleted with it; its scratch, mounts and output lie in it.
    task: Path
    #: Where secrets and configs lie, by kind.
    files: Path
    #: Where named volumes of this node lie.
    volumes: Path
    #: What relative working directories start from.
    start: Path

    @property
    def scratch(self) -> Path:
        """Free to use, empty at the start."""
        return self.task / "scratch"

    @property
    def mounts(self) -> Path:
        """The root of the mount targets."""
        return self.task / "mounts"


def launch_of(task: Task, data: Tree, hostname: str, places: Places, ports: Sequence[PortConfig]) -> Launch:
    """What to start for `task`. A final `ExecutorError` for what a plain process cannot do here."""
    spec = container_of(task)
    argv = (*spec.command, *spec.args)
    if not argv:
        raise ExecutorError(
            f"image {spec.image!r} without a command: the process executor has no images, "
            "it runs the command or the arguments of the service"
        )
    env = environment(task, spec, data, hostname, places, ports)
    directory = places.start / spec.dir
    return Launch(
        argv=argv,
        program=program_path(argv[0], directory, env),
        env=env,
        directory=directory,
        identity=identity(spec),
        limits=limits(task.spec, spec),
    )


def machine() -> Platform:
    """The platform of this machine in SwarmKit's words."""
    return Platform(architecture=platform.machine(), os=platform.system().lower())


def container_of(task: Task) -> ContainerSpec:
    """The container part of the spec; other runtimes are a final `ExecutorError`."""
    if task.spec.container is None:
        raise ExecutorError(f"task {task.id} has no container spec; the process executor runs nothing else")
    return task.spec.container


def program_path(name: str, directory: Path, env: Mapping[str, str]) -> str:
    """The file that runs for `name`. A final `ExecutorError` that names it when there is none."""
    if not directory.is_dir():
        raise ExecutorError(f"working directory {directory} does not exist on this node")
    if "/" in name:
        path = directory / name
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
        raise ExecutorError(f"program {name!r} is not an executable file on this node (looked at {path})")
    found = shutil.which(name, path=env.get("PATH", os.defpath))
    if found is None:
        raise ExecutorError(f"program {name!r} is not on this node (PATH={env.get('PATH', os.defpath)})")
    return found


def environment(
    task: Task, spec: ContainerSpec, data: Tree, hostname: str, places: Places, ports: Sequence[PortConfig]
) -> dict[str, str]:
    """The whole environment: what is inherited, what we tell, what the spec says; the later wins, but for the mark."""
    env = {name: os.environ[name] for name in INHERITED if name in os.environ}
    env |= {
        "HOSTNAME": expand(spec.hostname, data, "hostname") or hostname,
        "TMPDIR": str(places.scratch),
        "SWARMLAB_TASK_ID": task.id,
        "SWARMLAB_TASK_NAME": task_name(task),
        "SWARMLAB_TASK_SLOT": str(task.slot),
        "SWARMLAB_SERVICE_NAME": task.service_annotations.name,
        "SWARMLAB_NODE_ID": task.node_id,
        "SWARMLAB_NODE_HOSTNAME": hostname,
        "SWARMLAB_SCRATCH_DIR": str(places.scratch),
        "SWARMLAB_SECRETS_DIR": str(places.files / "secrets"),
        "SWARMLAB_CONFIGS_DIR": str(places.files / "configs"),
        "SWARMLAB_MOUNTS_DIR": str(places.mounts),
    }
    env |= port_environment(ports)
    env |= resource_environment(task.assigned_generic_resources)
    for entry in spec.env:
        name, sign, value = entry.partition("=")
        if sign:
            env[name] = expand(value, data, f"env {name}")
        else:
            env.pop(name, None)
    env[MARK] = mark(places.task)
    return env


def port_environment(ports: Sequence[PortConfig]) -> dict[str, str]:
    """`PORT` for the first published port, and for each `PORT_<target>` (with `_UDP`, `_SCTP`) and `PORT_<NAME>`."""
    env: dict[str, str] = {}
    for port in ports:
        published = str(port.published_port or port.target_port)
        suffix = "" if port.protocol is PortProtocol.TCP else f"_{port.protocol.name}"
        env.setdefault("PORT", published)
        env[f"PORT_{port.target_port}{suffix}"] = published
        if port.name:
            env["PORT_" + "".join(char if char.isalnum() else "_" for char in port.name.upper())] = published
    return env


def identity(spec: ContainerSpec) -> tuple[int, int, tuple[int, ...]] | None:
    """Whom the process becomes; None to stay who we are. Changing needs root: else a final `ExecutorError`."""
    if not spec.user and not spec.groups:
        return None
    user_name, _, group_name = spec.user.partition(":")
    uid, gid = _user(user_name) if user_name else (os.getuid(), os.getgid())
    if group_name:
        gid = _group(group_name)
    groups = tuple(_group(name) for name in spec.groups)
    if os.getuid() != 0:
        if (uid, gid) == (os.getuid(), os.getgid()) and set(groups) <= {gid, *os.getgroups()}:
            return None
        raise ExecutorError(f"user {spec.user!r}: this worker runs as uid {os.getuid()}; only root can become another")
    return uid, gid, groups


def _user(name: str) -> tuple[int, int]:
    try:
        entry = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except KeyError:
        if name.isdecimal():
            return int(name), 0  # docker's rule for a uid without an entry
        raise ExecutorError(f"user {name!r} is not known on this node") from None
    return entry.pw_uid, entry.pw_gid


def _group(name: str) -> int:
    if name.isdecimal():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise ExecutorError(f"group {name!r} is not known on this node") from None


def limits(task_spec: TaskSpec, spec: ContainerSpec) -> dict[int, tuple[int, int]]:
    """{RLIMIT number: (soft, hard)}: the ulimits, and the memory limit as a bound of private writable memory.

    A CPU share and a count of processes have no like among these limits, and are left to executors that can.
    """
    found = dict(_ulimit(ulimit) for ulimit in spec.ulimits)
    caps = task_spec.resources.limits if task_spec.resources is not None else None
    if caps is not None and caps.memory_bytes > 0:
        found.setdefault(resource.RLIMIT_DATA, (caps.memory_bytes, caps.memory_bytes))
    return found


def _ulimit(ulimit: Ulimit) -> tuple[int, tuple[int, int]]:
    number = getattr(resource, f"RLIMIT_{ulimit.name.upper()}", None)
    if not isinstance(number, int):
        raise ExecutorError(f"ulimit {ulimit.name!r} is not known on this node")
    soft = ulimit.soft if ulimit.soft >= 0 else _UNLIMITED
    hard = ulimit.hard if ulimit.hard >= 0 else _UNLIMITED
    _, highest = resource.getrlimit(number)
    if os.getuid() != 0 and highest != _UNLIMITED and (hard == _UNLIMITED or hard > highest):
        raise ExecutorError(f"ulimit {ulimit.name}={ulimit.soft}:{ulimit.hard}: this worker may give {highest} at most")
    return number, (soft, hard)


def lay_mounts(spec: ContainerSpec, data: Tree, places: Places) -> None:
    """Show each mount at its target below the task's mounts: a link to the host's path or the node's volume.

    A final `ExecutorError` where the source of a bind is missing, or the kind is none that a plain process can have.
    """
    for mount in spec.mounts:
        target = expand(mount.target, data, "mount target")
        place = places.mounts / target.lstrip("/")
        if ".." in Path(target).parts or place == places.mounts:
            raise ExecutorError(f"mount target {target!r}, wanted: an absolute path without '..'")
        place.parent.mkdir(parents=True, exist_ok=True)
        if mount.type is MountType.TMPFS:
            place.mkdir(exist_ok=True)
        elif not place.is_symlink():
            place.symlink_to(_source(mount, expand(mount.source, data, "mount source"), places))


def _source(mount: Mount, source: str, places: Places) -> Path:
    if mount.type is MountType.BIND:
        path = places.start / source
        if not path.exists():
            if mount.bind_options is None or not mount.bind_options.createmountpoint:
                raise ExecutorError(f"mount source {path} does not exist on this node")
            path.mkdir(parents=True)
        return path
    if mount.type is MountType.VOLUME and source and "/" not in source and source not in (".", ".."):
        path = places.volumes / source
        path.mkdir(parents=True, exist_ok=True)
        return path
    if mount.type is MountType.VOLUME and not source:
        path = places.task / "volumes" / mount.target.strip("/").replace("/", "-")
        path.mkdir(parents=True, exist_ok=True)
        return path
    kind = mount.type.name.lower()
    raise ExecutorError(f"mount {kind} {source!r}: the process executor has binds, volumes and tmpfs")
