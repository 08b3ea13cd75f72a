"""What a user asks for: the specs of every kind of object."""

from collections.abc import Mapping

from msgspec import field

from swarmlab.api.enums import (
    Availability,
    Isolation,
    Membership,
    NodeRole,
    ResolutionMode,
    ResourceType,
    VolumeAvailability,
)
from swarmlab.api.moments import Duration
from swarmlab.api.types import (
    AcceptancePolicy,
    Annotations,
    AnyValue,
    CAConfig,
    CapacityRange,
    ConfigReference,
    DispatcherConfig,
    Driver,
    EncryptionConfig,
    HealthConfig,
    IPAMOptions,
    Mount,
    NetworkAttachmentConfig,
    OrchestrationConfig,
    Placement,
    PortConfig,
    Privileges,
    RaftConfig,
    ResourceRequirements,
    RestartPolicy,
    SecretReference,
    TaskDefaults,
    TopologyRequirement,
    UpdateConfig,
    VolumeAccessMode,
    VolumeSecret,
)
from swarmlab.api.value import Value


class NetworkAttachmentSpec(Value, frozen=True):
    """DOC_NetworkAttachmentSpec"""

    #: Engine container ID.
    container_id: str = ""


class PullOptions(Value, frozen=True):
    """DOC_PullOptions"""

    #: Base64url JSON of X-Registry-Auth; number is 64, two-byte tag.
    registry_auth: str = ""


class DNSConfig(Value, frozen=True):
    """DOC_DNSConfig"""

    #: IPs.
    nameservers: tuple[str, ...] = ()
    #: Domains.
    search: tuple[str, ...] = ()
    #: Resolver options.
    options: tuple[str, ...] = ()


class Ulimit(Value, frozen=True):
    """DOC_Ulimit"""

    #: Name.
    name: str = ""
    #: Soft.
    soft: int = 0
    #: Hard.
    hard: int = 0


class ContainerSpec(Value, frozen=True, kw_only=True):
    """DOC_ContainerSpec"""

    #: Reference, digest or image ID; REQUIRED non-empty.
    image: str = ""
    #: Container labels.
    labels: Mapping[str, str] = field(default_factory=dict)
    #: Replaces ENTRYPOINT.
    command: tuple[str, ...] = ()
    #: Replaces CMD.
    args: tuple[str, ...] = ()
    #: Template allowed.
    hostname: str = ""
    #: NAME=VALUE, template allowed.
    env: tuple[str, ...] = ()
    #: Working dir.
    dir: str = ""
    #: User[:group].
    user: str = ""
    #: Extra groups.
    groups: tuple[str, ...] = ()
    #: Security options.
    privileges: Privileges | None = None
    #: Absent = engine default; present false differs from absent.
    init: bool | None = None
    #: Tty.
    tty: bool = False
    #: Stdin.
    open_stdin: bool = False
    #: Ro root fs.
    read_only: bool = False
    #: Signal name.
    stop_signal: str = ""
    #: Mounts, template allowed in source.
    mounts: tuple[Mount, ...] = ()
    #: Absent = engine default 10 s.
    stop_grace_period: Duration | None = None
    #: Registry credentials.
    pull_options: PullOptions | None = None
    #: Files from secrets.
    secrets: tuple[SecretReference, ...] = ()
    #: Files from configs.
    configs: tuple[ConfigReference, ...] = ()
    #: `IP name [alias…]` (hosts(5) order).
    hosts: tuple[str, ...] = ()
    #: Resolver.
    dns_config: DNSConfig | None = None
    #: Absent = image default.
    healthcheck: HealthConfig | None = None
    #: Windows.
    isolation: Isolation = Isolation.ISOLATION_DEFAULT
    #: 0 = none.
    pidsLimit: int = 0
    #: Namespaced sysctls.
    sysctls: Mapping[str, str] = field(default_factory=dict)
    #: Add.
    capability_add: tuple[str, ...] = ()
    #: Drop.
    capability_drop: tuple[str, ...] = ()
    #: Ulimits.
    ulimits: tuple[Ulimit, ...] = ()
    #: -1000..1000 (newer).
    oom_score_adj: int = 0


class GenericRuntimeSpec(Value, frozen=True):
    """DOC_GenericRuntimeSpec"""

    #: E.g. plugin.
    kind: str = ""
    #: Typed payload.
    payload: AnyValue | None = None


class ResourceReference(Value, frozen=True):
    """DOC_ResourceReference"""

    #: ID.
    resource_id: str = ""
    #: SECRET or CONFIG.
    resource_type: ResourceType = ResourceType.TASK


class TaskSpec(Value, frozen=True, kw_only=True):
    """DOC_TaskSpec"""

    #: Task that only attaches an engine container to a network.
    attachment: NetworkAttachmentSpec | None = None
    #: Container runtime.
    container: ContainerSpec | None = None
    #: Plugin or other runtime.
    generic: GenericRuntimeSpec | None = None
    #: Limits and reservations.
    resources: ResourceRequirements | None = None
    #: Policy (number 3 unused).
    restart: RestartPolicy | None = None
    #: Where.
    placement: Placement | None = None
    #: Overrides the default.
    log_driver: Driver | None = None
    #: Wanted networks.
    networks: tuple[NetworkAttachmentConfig, ...] = ()
    #: Counter, any change replaces tasks.
    force_update: int = 0
    #: Extra secrets/configs to ship with the task.
    resource_references: tuple[ResourceReference, ...] = ()


class ReplicatedService(Value, frozen=True):
    """DOC_ReplicatedService"""

    #: Count.
    replicas: int = 0


class GlobalService(Value, frozen=True):
    """DOC_GlobalService"""


class ReplicatedJob(Value, frozen=True):
    """DOC_ReplicatedJob"""

    #: Parallel limit.
    max_concurrent: int = 0
    #: Successes wanted.
    total_completions: int = 0


class GlobalJob(Value, frozen=True):
    """DOC_GlobalJob"""


class EndpointSpec(Value, frozen=True):
    """DOC_EndpointSpec"""

    #: VIP or DNS round robin.
    mode: ResolutionMode = ResolutionMode.VIP
    #: Wanted ports.
    ports: tuple[PortConfig, ...] = ()


class ServiceSpec(Value, frozen=True, kw_only=True):
    """DOC_ServiceSpec"""

    #: Name, labels.
    annotations: Annotations = Annotations()
    #: Task template.
    task: TaskSpec = TaskSpec()
    #: Mode.
    replicated: ReplicatedService | None = None
    #: Mode.
    global_: GlobalService | None = field(default=None, name="global")
    #: Mode.
    replicated_job: ReplicatedJob | None = None
    #: Mode.
    global_job: GlobalJob | None = None
    #: Update policy.
    update: UpdateConfig | None = None
    #: Rollback policy.
    rollback: UpdateConfig | None = None
    #: Legacy place of task.networks.
    networks: tuple[NetworkAttachmentConfig, ...] = ()
    #: Ports and resolution (number 5 unused).
    endpoint: EndpointSpec | None = None


class NetworkSpec(Value, frozen=True, kw_only=True):
    """DOC_NetworkSpec"""

    #: Name, labels.
    annotations: Annotations = Annotations()
    #: Driver wanted, empty = overlay.
    driver_config: Driver | None = None
    #: IPv6.
    ipv6_enabled: bool = False
    #: No outside route.
    internal: bool = False
    #: Wanted pools.
    ipam: IPAMOptions | None = None
    #: Engine containers may attach.
    attachable: bool = False
    #: The routing-mesh network.
    ingress: bool = False
    #: Name of a node-local config-only network.
    network: str | None = None


class NodeSpec(Value, frozen=True, kw_only=True):
    """DOC_NodeSpec"""

    #: Name and node labels.
    annotations: Annotations = Annotations()
    #: Wanted role; a change makes the node renew its cert.
    desired_role: NodeRole = NodeRole.WORKER
    #: ACCEPTED for every joined node.
    membership: Membership = Membership.PENDING
    #: Scheduling state.
    availability: Availability = Availability.ACTIVE


class ClusterSpec(Value, frozen=True, kw_only=True):
    """DOC_ClusterSpec"""

    #: Name is always `default`.
    annotations: Annotations = Annotations()
    #: Legacy.
    acceptance_policy: AcceptancePolicy = AcceptancePolicy()
    #: History.
    orchestration: OrchestrationConfig = OrchestrationConfig()
    #: Raft.
    raft: RaftConfig = RaftConfig()
    #: Heartbeat.
    dispatcher: DispatcherConfig = DispatcherConfig()
    #: CA.
    ca_config: CAConfig = CAConfig()
    #: Log driver.
    task_defaults: TaskDefaults = TaskDefaults()
    #: Autolock.
    encryption_config: EncryptionConfig = EncryptionConfig()


class SecretSpec(Value, frozen=True, kw_only=True):
    """DOC_SecretSpec"""

    #: Name.
    annotations: Annotations = Annotations()
    #: 1 to 511999 bytes.
    data: bytes = b""
    #: Driver `golang` = Go template.
    templating: Driver | None = None
    #: External secret provider.
    driver: Driver | None = None


class ConfigSpec(Value, frozen=True):
    """DOC_ConfigSpec"""

    #: Name.
    annotations: Annotations = Annotations()
    #: 1 to 1023999 bytes; old managers only half.
    data: bytes = b""
    #: As for secrets.
    templating: Driver | None = None


class VolumeSpec(Value, frozen=True, kw_only=True):
    """DOC_VolumeSpec"""

    #: Name.
    annotations: Annotations = Annotations()
    #: Volume group.
    group: str = ""
    #: CSI plugin.
    driver: Driver | None = None
    #: Mode.
    access_mode: VolumeAccessMode | None = None
    #: Plugin secrets.
    secrets: tuple[VolumeSecret, ...] = ()
    #: Topology.
    AccessibilityRequirements: TopologyRequirement | None = None
    #: Size.
    capacity_range: CapacityRange | None = None
    #: Scheduling state.
    availability: VolumeAvailability = VolumeAvailability.ACTIVE
