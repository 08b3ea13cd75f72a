"""The container that a task runs."""

from collections.abc import Mapping

from msgspec import field

from swarmlab.api.enums import AppArmorMode, Isolation, SeccompMode
from swarmlab.api.ids import ConfigId, SecretId
from swarmlab.api.moments import Duration
from swarmlab.api.mounts import Mount
from swarmlab.api.value import Value


class Image(Value, frozen=True):
    """A reference to a container image."""

    reference: str = ""


class FileTarget(Value, frozen=True, kw_only=True):
    """The file as which a secret or config appears in a container."""

    #: File name or absolute path.
    name: str = ""
    #: Decimal text.
    uid: str = ""
    #: Decimal text.
    gid: str = ""
    #: Bits of Go's os.FileMode; 0o444 is the same there.
    mode: int = 0


class RuntimeTarget(Value, frozen=True):
    """A config that the engine reads itself instead of showing it as a file."""


class SecretReference(Value, frozen=True):
    """A secret that a container gets, and where."""

    secret_id: SecretId = SecretId("")
    #: As it was when the reference was made.
    secret_name: str = ""
    #: Always set.
    file: FileTarget | None = None


class ConfigReference(Value, frozen=True, kw_only=True):
    """A config that a container gets: as a file, or for the engine to read."""

    config_id: ConfigId = ConfigId("")
    #: As it was when the reference was made.
    config_name: str = ""
    #: It appears as a file; or `runtime` is set.
    file: FileTarget | None = None
    #: It is used as a credential spec.
    runtime: RuntimeTarget | None = None


class HealthConfig(Value, frozen=True, kw_only=True):
    """How the engine finds out whether a container is healthy; absent parts come from the image."""

    #: () is the image's, ("NONE",) none, ("CMD", ...) a program, ("CMD-SHELL", line) a shell line.
    test: tuple[str, ...] = ()
    interval: Duration | None = None
    timeout: Duration | None = None
    #: Failures in a row until the container is unhealthy.
    retries: int = 0
    #: Failures do not count so long after the start.
    start_period: Duration | None = None
    #: The interval during the start period.
    start_interval: Duration | None = None


class CredentialSpec(Value, frozen=True):
    """Where Windows credentials come from; one of the three at most."""

    file: str | None = None
    registry: str | None = None
    #: Id of a config.
    config: str | None = None


class SELinuxContext(Value, frozen=True, kw_only=True):
    """The SELinux labels of a container."""

    disable: bool = False
    user: str = ""
    role: str = ""
    type: str = ""
    level: str = ""


class SeccompOpts(Value, frozen=True):
    """The system calls that a container may make."""

    mode: SeccompMode = SeccompMode.DEFAULT
    #: JSON; CUSTOM only.
    profile: bytes = b""


class AppArmorOpts(Value, frozen=True):
    """Whether AppArmor guards a container."""

    mode: AppArmorMode = AppArmorMode.DEFAULT


class Privileges(Value, frozen=True, kw_only=True):
    """The security options of a container."""

    #: Windows only.
    credential_spec: CredentialSpec | None = None
    selinux_context: SELinuxContext | None = None
    seccomp: SeccompOpts | None = None
    apparmor: AppArmorOpts | None = None
    no_new_privileges: bool = False


class PullOptions(Value, frozen=True):
    """Credentials for the registry."""

    #: Base64url of the JSON that the engine takes as X-Registry-Auth.
    registry_auth: str = ""


class DNSConfig(Value, frozen=True):
    """The resolver inside a container."""

    #: IP addresses.
    nameservers: tuple[str, ...] = ()
    #: Domains.
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


class Ulimit(Value, frozen=True):
    """A resource limit of the processes in a container."""

    #: nofile, nproc ...
    name: str = ""
    soft: int = 0
    hard: int = 0


class ContainerSpec(Value, frozen=True, kw_only=True):
    """The container that a task runs."""

    #: Reference, digest or id; never empty.
    image: str = ""
    #: Of the container.
    labels: Mapping[str, str] = field(default_factory=dict)
    #: Takes the place of the image's ENTRYPOINT.
    command: tuple[str, ...] = ()
    #: Takes the place of the image's CMD.
    args: tuple[str, ...] = ()
    #: May be a template.
    hostname: str = ""
    #: NAME=VALUE; values may be templates.
    env: tuple[str, ...] = ()
    #: Working directory.
    dir: str = ""
    #: USER or USER:GROUP.
    user: str = ""
    #: Further groups.
    groups: tuple[str, ...] = ()
    privileges: Privileges | None = None
    #: Run an init as first process; None: as the engine likes, which is not the same as False.
    init: bool | None = None
    tty: bool = False
    open_stdin: bool = False
    #: Of the root file system.
    read_only: bool = False
    #: By name, e.g. SIGTERM; empty: the image's.
    stop_signal: str = ""
    #: Sources and targets may be templates.
    mounts: tuple[Mount, ...] = ()
    #: From the stop signal to the kill; None: 10 s.
    stop_grace_period: Duration | None = None
    pull_options: PullOptions | None = None
    secrets: tuple[SecretReference, ...] = ()
    configs: tuple[ConfigReference, ...] = ()
    #: Lines as in hosts(5): an address, a name, further names.
    hosts: tuple[str, ...] = ()
    dns_config: DNSConfig | None = None
    #: None: the image's.
    healthcheck: HealthConfig | None = None
    #: Windows only.
    isolation: Isolation = Isolation.ISOLATION_DEFAULT
    #: 0: none.
    pidsLimit: int = 0
    sysctls: Mapping[str, str] = field(default_factory=dict)
    capability_add: tuple[str, ...] = ()
    capability_drop: tuple[str, ...] = ()
    ulimits: tuple[Ulimit, ...] = ()
    #: -1000..1000.
    oom_score_adj: int = 0
