"""Shared values: versions, resources, mounts, policies, statuses, certificates."""

from collections.abc import Mapping

from msgspec import field

from swarmlab.api.enums import (
    AddressFamily,
    AppArmorMode,
    CAProtocol,
    EncryptionAlgorithm,
    FailureAction,
    IssuanceState,
    MountConsistency,
    MountType,
    NodeRole,
    NodeState,
    PortProtocol,
    Propagation,
    PublishMode,
    Reachability,
    RestartCondition,
    SeccompMode,
    TaskState,
    UpdateOrder,
    UpdateState,
    VolumePublishState,
    VolumeScope,
    VolumeSharing,
)
from swarmlab.api.ids import ConfigId, NodeId, SecretId
from swarmlab.api.moments import Duration, Instant
from swarmlab.api.value import Value


class AnyValue(Value, frozen=True):
    """A typed payload that we carry and do not read (`google.protobuf.Any`)."""

    type_url: str = ""
    value: bytes = b""


class Platform(Value, frozen=True):
    """DOC_Platform"""

    #: Machine name as uname gives it (x86_64, aarch64).
    architecture: str = ""
    #: Linux / windows.
    os: str = ""


class NamedGenericResource(Value, frozen=True):
    """DOC_NamedGenericResource"""

    #: Resource class, e.g. GPU.
    kind: str = ""
    #: One named unit.
    value: str = ""


class DiscreteGenericResource(Value, frozen=True):
    """DOC_DiscreteGenericResource"""

    #: Resource class.
    kind: str = ""
    #: Amount.
    value: int = 0


class GenericResource(Value, frozen=True):
    """DOC_GenericResource"""

    #: Named unit.
    named_resource_spec: NamedGenericResource | None = None
    #: Counted amount.
    discrete_resource_spec: DiscreteGenericResource | None = None


class Resources(Value, frozen=True):
    """DOC_Resources"""

    #: CPU in 1e-9 cores.
    nano_cpus: int = 0
    #: Bytes.
    memory_bytes: int = 0
    #: User-defined resources.
    generic: tuple[GenericResource, ...] = ()


class PluginDescription(Value, frozen=True):
    """DOC_PluginDescription"""

    #: Volume, Network, Log, Authorization, Csi….
    type: str = ""
    #: Driver name.
    name: str = ""


class EngineDescription(Value, frozen=True):
    """DOC_EngineDescription"""

    #: Engine version text.
    engine_version: str = ""
    #: Engine labels (constraint engine.labels.*).
    labels: Mapping[str, str] = field(default_factory=dict)
    #: Drivers present on the node.
    plugins: tuple[PluginDescription, ...] = ()


class NodeTLSInfo(Value, frozen=True):
    """DOC_NodeTLSInfo"""

    #: PEM bundle that the node trusts now.
    trust_root: bytes = b""
    #: DER subject (RawSubject) of the issuer of the node cert.
    cert_issuer_subject: bytes = b""
    #: DER SubjectPublicKeyInfo of that issuer.
    cert_issuer_public_key: bytes = b""


class Topology(Value, frozen=True):
    """DOC_Topology"""

    #: Domain -> segment.
    segments: Mapping[str, str] = field(default_factory=dict)


class NodeCSIInfo(Value, frozen=True, kw_only=True):
    """DOC_NodeCSIInfo"""

    #: CSI plugin.
    plugin_name: str = ""
    #: Plugin's own node id.
    node_id: str = ""
    #: Limit, 0 = none.
    max_volumes_per_node: int = 0
    #: Where the node sits.
    accessible_topology: Topology | None = None


class NodeDescription(Value, frozen=True, kw_only=True):
    """DOC_NodeDescription"""

    #: Host name reported.
    hostname: str = ""
    #: OS and architecture.
    platform: Platform | None = None
    #: Total capacity.
    resources: Resources | None = None
    #: Engine facts.
    engine: EngineDescription | None = None
    #: Trust state; drives root rotation.
    tls_info: NodeTLSInfo | None = None
    #: Node runs in FIPS mode.
    fips: bool = False
    #: Per-CSI-plugin node info.
    csi_info: tuple[NodeCSIInfo, ...] = ()


class ContainerStatus(Value, frozen=True):
    """DOC_ContainerStatus"""

    #: Runtime id.
    container_id: str = ""
    #: Host pid.
    pid: int = 0
    #: Exit code; -1 seen while stopping.
    exit_code: int = 0


class PortConfig(Value, frozen=True, kw_only=True):
    """DOC_PortConfig"""

    #: Label.
    name: str = ""
    #: L4 protocol.
    protocol: PortProtocol = PortProtocol.TCP
    #: Port in the container.
    target_port: int = 0
    #: Outside port, 0 = choose.
    published_port: int = 0
    #: Ingress mesh or on the host.
    publish_mode: PublishMode = PublishMode.INGRESS


class PortStatus(Value, frozen=True):
    """DOC_PortStatus"""

    #: Host-mode ports really bound (duplicates per IP family seen).
    ports: tuple[PortConfig, ...] = ()


class TaskStatus(Value, frozen=True, kw_only=True):
    """DOC_TaskStatus"""

    #: Worker clock at the change.
    timestamp: Instant | None = None
    #: Observed state.
    state: TaskState = TaskState.NEW
    #: Text.
    message: str = ""
    #: Error text.
    err: str = ""
    #: Set from STARTING on.
    container: ContainerStatus | None = None
    #: Host ports.
    port_status: PortStatus | None = None
    #: Manager that stored it.
    applied_by: str = ""
    #: Manager clock.
    applied_at: Instant | None = None


class IssuanceStatus(Value, frozen=True):
    """DOC_IssuanceStatus"""

    #: Issue state.
    state: IssuanceState = IssuanceState.UNKNOWN
    #: Text for FAILED.
    err: str = ""


class Certificate(Value, frozen=True, kw_only=True):
    """DOC_Certificate"""

    #: Role to be issued.
    role: NodeRole = NodeRole.WORKER
    #: PEM PKCS#10, echoed byte for byte.
    csr: bytes = b""
    #: Issue state.
    status: IssuanceStatus = IssuanceStatus()
    #: PEM leaf, then intermediates.
    certificate: bytes = b""
    #: Node ID.
    cn: str = ""


class JoinTokens(Value, frozen=True):
    """DOC_JoinTokens"""

    #: Worker token.
    worker: str = ""
    #: Manager token.
    manager: str = ""


class RootRotation(Value, frozen=True):
    """DOC_RootRotation"""

    #: New root PEM.
    ca_cert: bytes = b""
    #: New root key PEM.
    ca_key: bytes = b""
    #: New root signed by the old one, PEM.
    cross_signed_ca_cert: bytes = b""


class RootCA(Value, frozen=True, kw_only=True):
    """DOC_RootCA"""

    #: Root key PEM, never sent to clients.
    ca_key: bytes = b""
    #: Trusted root PEM bundle.
    ca_cert: bytes = b""
    #: Text `sha256:HEX` of ca_cert.
    ca_cert_hash: str = ""
    #: Current tokens.
    join_tokens: JoinTokens = JoinTokens()
    #: Set while a rotation runs.
    root_rotation: RootRotation | None = None
    #: Last force_rotate applied.
    last_forced_rotation: int = 0


class Version(Value, frozen=True):
    """DOC_Version"""

    #: Store version; objects compare-and-swap on it.
    index: int = 0


class IndexEntry(Value, frozen=True):
    """DOC_IndexEntry"""

    #: Index name.
    key: str = ""
    #: Index value.
    val: str = ""


class Annotations(Value, frozen=True):
    """DOC_Annotations"""

    #: Object name; unique per kind where the kind demands it.
    name: str = ""
    #: User labels.
    labels: Mapping[str, str] = field(default_factory=dict)
    #: Custom lookup pairs (number 3 is unused).
    indices: tuple[IndexEntry, ...] = ()


class ResourceRequirements(Value, frozen=True, kw_only=True):
    """DOC_ResourceRequirements"""

    #: Hard caps handed to the runtime.
    limits: Resources | None = None
    #: Amount the scheduler books.
    reservations: Resources | None = None
    #: Absent = engine default; -1 = unlimited; >=0 = swap on top of memory (newer than engine 20.10).
    swap_bytes: int | None = None
    #: Absent = default; 0..100; -1 = unset (newer).
    memory_swappiness: int | None = None


class RaftMemberStatus(Value, frozen=True):
    """DOC_RaftMemberStatus"""

    #: Is leader.
    leader: bool = False
    #: As seen by the answering manager.
    reachability: Reachability = Reachability.UNKNOWN
    #: Free text.
    message: str = ""


class NodeStatus(Value, frozen=True):
    """DOC_NodeStatus"""

    #: Liveness.
    state: NodeState = NodeState.UNKNOWN
    #: Why.
    message: str = ""
    #: IP as the manager sees it, no port.
    addr: str = ""


class Image(Value, frozen=True):
    """DOC_Image"""

    #: Image reference.
    reference: str = ""


class BindOptions(Value, frozen=True, kw_only=True):
    """DOC_BindOptions"""

    #: Mount propagation.
    propagation: Propagation = Propagation.RPRIVATE
    #: Bind without rbind.
    nonrecursive: bool = False
    #: Create the source.
    createmountpoint: bool = False
    #: Ro only on top level.
    readonlynonrecursive: bool = False
    #: Fail unless recursive ro.
    readonlyforcerecursive: bool = False


class Driver(Value, frozen=True):
    """DOC_Driver"""

    #: Driver name, empty = default.
    name: str = ""
    #: Driver options.
    options: Mapping[str, str] = field(default_factory=dict)


class VolumeOptions(Value, frozen=True, kw_only=True):
    """DOC_VolumeOptions"""

    #: Do not seed from image.
    nocopy: bool = False
    #: Labels on creation.
    labels: Mapping[str, str] = field(default_factory=dict)
    #: Driver for creation.
    driver_config: Driver | None = None
    #: Path inside the volume.
    subpath: str = ""


class TmpfsOptions(Value, frozen=True):
    """DOC_TmpfsOptions"""

    #: Size.
    size_bytes: int = 0
    #: Go os.FileMode bits, see 12.2.
    mode: int = 0
    #: Mount options.
    options: str = ""


class Mount(Value, frozen=True, kw_only=True):
    """DOC_Mount"""

    #: Kind of mount.
    type: MountType = MountType.BIND
    #: Host path, volume name or `group:NAME`.
    source: str = ""
    #: Path in the container.
    target: str = ""
    #: Read-only.
    readonly: bool = False
    #: MacOS-style hint.
    consistency: MountConsistency = MountConsistency.DEFAULT
    #: Bind only.
    bind_options: BindOptions | None = None
    #: Volume only.
    volume_options: VolumeOptions | None = None
    #: Tmpfs only.
    tmpfs_options: TmpfsOptions | None = None


class RestartPolicy(Value, frozen=True, kw_only=True):
    """DOC_RestartPolicy"""

    #: When to restart.
    condition: RestartCondition = RestartCondition.NONE
    #: Wait before a restart (absent = default 5 s).
    delay: Duration | None = None
    #: 0 = no limit.
    max_attempts: int = 0
    #: Evaluation window, 0 = unbounded.
    window: Duration | None = None


class UpdateConfig(Value, frozen=True, kw_only=True):
    """DOC_UpdateConfig"""

    #: Tasks per batch, 0 = all.
    parallelism: int = 0
    #: Pause between batches.
    delay: Duration = Duration(0)
    #: On failure.
    failure_action: FailureAction = FailureAction.PAUSE
    #: Watch time per task after start (absent = default 5 s).
    monitor: Duration | None = None
    #: 32-bit float.
    max_failure_ratio: float = 0.0
    #: Stop-first / start-first.
    order: UpdateOrder = UpdateOrder.STOP_FIRST


class UpdateStatus(Value, frozen=True, kw_only=True):
    """DOC_UpdateStatus"""

    #: Update progress.
    state: UpdateState = UpdateState.UNKNOWN
    #: Begin.
    started_at: Instant | None = None
    #: End.
    completed_at: Instant | None = None
    #: Text.
    message: str = ""


class NetworkAttachmentConfig(Value, frozen=True, kw_only=True):
    """DOC_NetworkAttachmentConfig"""

    #: Network ID (or name, resolved by manager).
    target: str = ""
    #: DNS aliases.
    aliases: tuple[str, ...] = ()
    #: Requested addresses.
    addresses: tuple[str, ...] = ()
    #: Driver options.
    driver_attachment_opts: Mapping[str, str] = field(default_factory=dict)


class IPAMConfig(Value, frozen=True, kw_only=True):
    """DOC_IPAMConfig"""

    #: 4 or 6.
    family: AddressFamily = AddressFamily.UNKNOWN
    #: CIDR.
    subnet: str = ""
    #: Allocation range CIDR.
    range: str = ""
    #: Gateway IP.
    gateway: str = ""
    #: Name -> address kept free.
    reserved: Mapping[str, str] = field(default_factory=dict)


class IPAMOptions(Value, frozen=True):
    """DOC_IPAMOptions"""

    #: IPAM driver; must be set when ipam is set.
    driver: Driver | None = None
    #: Pools (number 2 is unused).
    configs: tuple[IPAMConfig, ...] = ()


class Peer(Value, frozen=True):
    """DOC_Peer"""

    #: Manager node ID.
    node_id: NodeId = NodeId("")
    #: Host:port of its remote API.
    addr: str = ""


class WeightedPeer(Value, frozen=True):
    """DOC_WeightedPeer"""

    #: REQUIRED, worker dereferences it unchecked.
    peer: Peer | None = None
    #: Selection weight, use 10.
    weight: int = 0


class RoleAdmissionSecret(Value, frozen=True):
    """DOC_RoleAdmissionSecret"""

    #: Legacy.
    data: bytes = b""
    #: Legacy.
    alg: str = ""


class RoleAdmissionPolicy(Value, frozen=True):
    """DOC_RoleAdmissionPolicy"""

    #: Legacy.
    role: NodeRole = NodeRole.WORKER
    #: Legacy.
    autoaccept: bool = False
    #: Legacy.
    secret: RoleAdmissionSecret | None = None


class AcceptancePolicy(Value, frozen=True):
    """DOC_AcceptancePolicy"""

    #: Legacy.
    policies: tuple[RoleAdmissionPolicy, ...] = ()


class ExternalCA(Value, frozen=True, kw_only=True):
    """DOC_ExternalCA"""

    #: Only CFSSL.
    protocol: CAProtocol = CAProtocol.CFSSL
    #: Https signing endpoint.
    url: str = ""
    #: Protocol options.
    options: Mapping[str, str] = field(default_factory=dict)
    #: Root that this CA signs for.
    ca_cert: bytes = b""


class CAConfig(Value, frozen=True, kw_only=True):
    """DOC_CAConfig"""

    #: Leaf lifetime, min 1 h, default 2160 h.
    node_cert_expiry: Duration | None = None
    #: Signers.
    external_cas: tuple[ExternalCA, ...] = ()
    #: Wanted root cert (PEM).
    signing_ca_cert: bytes = b""
    #: Its key, write-only.
    signing_ca_key: bytes = b""
    #: Raise to force a root rotation.
    force_rotate: int = 0


class OrchestrationConfig(Value, frozen=True):
    """DOC_OrchestrationConfig"""

    #: Dead tasks kept per slot, default 5.
    task_history_retention_limit: int = 0


class TaskDefaults(Value, frozen=True):
    """DOC_TaskDefaults"""

    #: Default log driver.
    log_driver: Driver | None = None


class DispatcherConfig(Value, frozen=True):
    """DOC_DispatcherConfig"""

    #: Default 5 s.
    heartbeat_period: Duration | None = None


class RaftConfig(Value, frozen=True, kw_only=True):
    """DOC_RaftConfig"""

    #: Entries per snapshot.
    snapshot_interval: int = 0
    #: Count.
    keep_old_snapshots: int = 0
    #: Entries kept.
    log_entries_for_slow_followers: int = 0
    #: Ticks.
    heartbeat_tick: int = 0
    #: Ticks.
    election_tick: int = 0


class EncryptionConfig(Value, frozen=True):
    """DOC_EncryptionConfig"""

    #: Manager keys need the unlock key.
    auto_lock_managers: bool = False


class SpreadOver(Value, frozen=True):
    """DOC_SpreadOver"""

    #: E.g. node.labels.zone.
    spread_descriptor: str = ""


class PlacementPreference(Value, frozen=True):
    """DOC_PlacementPreference"""

    #: Spread over values.
    spread: SpreadOver | None = None


class Placement(Value, frozen=True, kw_only=True):
    """DOC_Placement"""

    #: Expressions like `node.hostname==x`.
    constraints: tuple[str, ...] = ()
    #: Spread order.
    preferences: tuple[PlacementPreference, ...] = ()
    #: Allowed platforms; empty fields match all.
    platforms: tuple[Platform, ...] = ()
    #: Per node, 0 = no limit.
    max_replicas: int = 0


class EncryptionKey(Value, frozen=True, kw_only=True):
    """DOC_EncryptionKey"""

    #: `networking:gossip`, `networking:ipsec`, `swarm-manager` (unlock key).
    subsystem: str = ""
    #: 0 = AES-128-GCM.
    algorithm: EncryptionAlgorithm = EncryptionAlgorithm.AES_128_GCM
    #: 16 bytes.
    key: bytes = b""
    #: Orders keys; identity of a key.
    lamport_time: int = 0


class ManagerStatus(Value, frozen=True, kw_only=True):
    """DOC_ManagerStatus"""

    #: Raft member.
    raft_id: int = 0
    #: Host:port.
    addr: str = ""
    #: Is leader.
    leader: bool = False
    #: See enum.
    reachability: Reachability = Reachability.UNKNOWN


class FileTarget(Value, frozen=True, kw_only=True):
    """DOC_FileTarget"""

    #: File name or absolute path.
    name: str = ""
    #: Numeric text.
    uid: str = ""
    #: Numeric text.
    gid: str = ""
    #: Go os.FileMode bits, 0444 = 292.
    mode: int = 0


class RuntimeTarget(Value, frozen=True):
    """DOC_RuntimeTarget"""


class SecretReference(Value, frozen=True):
    """DOC_SecretReference"""

    #: ID.
    secret_id: SecretId = SecretId("")
    #: Name at creation time.
    secret_name: str = ""
    #: Where it appears.
    file: FileTarget | None = None


class ConfigReference(Value, frozen=True, kw_only=True):
    """DOC_ConfigReference"""

    #: ID.
    config_id: ConfigId = ConfigId("")
    #: Name.
    config_name: str = ""
    #: File target.
    file: FileTarget | None = None
    #: Used by runtime only (credential spec).
    runtime: RuntimeTarget | None = None


class BlacklistedCertificate(Value, frozen=True):
    """DOC_BlacklistedCertificate"""

    #: Drop the entry after this.
    expiry: Instant | None = None


class HealthConfig(Value, frozen=True, kw_only=True):
    """DOC_HealthConfig"""

    #: [] inherit, ["NONE"], ["CMD",…], ["CMD-SHELL",…].
    test: tuple[str, ...] = ()
    #: Between checks.
    interval: Duration | None = None
    #: Per check.
    timeout: Duration | None = None
    #: Failures until unhealthy.
    retries: int = 0
    #: Grace.
    start_period: Duration | None = None
    #: Interval in the grace (newer).
    start_interval: Duration | None = None


class CredentialSpec(Value, frozen=True):
    """DOC_CredentialSpec"""

    #: File.
    file: str | None = None
    #: Registry.
    registry: str | None = None
    #: Config ID.
    config: str | None = None


class SELinuxContext(Value, frozen=True, kw_only=True):
    """DOC_SELinuxContext"""

    #: Label=disable.
    disable: bool = False
    #: Label user.
    user: str = ""
    #: Label role.
    role: str = ""
    #: Label type.
    type: str = ""
    #: Label level.
    level: str = ""


class SeccompOpts(Value, frozen=True):
    """DOC_SeccompOpts"""

    #: Mode.
    mode: SeccompMode = SeccompMode.DEFAULT
    #: Custom JSON.
    profile: bytes = b""


class AppArmorOpts(Value, frozen=True):
    """DOC_AppArmorOpts"""

    #: Mode.
    mode: AppArmorMode = AppArmorMode.DEFAULT


class Privileges(Value, frozen=True, kw_only=True):
    """DOC_Privileges"""

    #: Windows.
    credential_spec: CredentialSpec | None = None
    #: SELinux.
    selinux_context: SELinuxContext | None = None
    #: Newer than 20.10.
    seccomp: SeccompOpts | None = None
    #: Newer.
    apparmor: AppArmorOpts | None = None
    #: Newer.
    no_new_privileges: bool = False


class JobStatus(Value, frozen=True):
    """DOC_JobStatus"""

    #: Iteration counter.
    job_iteration: Version = Version()
    #: Start of it.
    last_execution: Instant | None = None


class BlockVolume(Value, frozen=True):
    """DOC_BlockVolume"""


class MountVolume(Value, frozen=True):
    """DOC_MountVolume"""

    #: Fs.
    fs_type: str = ""
    #: Flags.
    mount_flags: tuple[str, ...] = ()


class VolumeAccessMode(Value, frozen=True, kw_only=True):
    """DOC_VolumeAccessMode"""

    #: One or many nodes.
    scope: VolumeScope = VolumeScope.SINGLE_NODE
    #: Writers.
    sharing: VolumeSharing = VolumeSharing.NONE
    #: Block device.
    block: BlockVolume | None = None
    #: File system.
    mount: MountVolume | None = None


class VolumeSecret(Value, frozen=True):
    """DOC_VolumeSecret"""

    #: Key for the CSI plugin.
    key: str = ""
    #: Secret ID.
    secret: str = ""


class VolumePublishStatus(Value, frozen=True, kw_only=True):
    """DOC_VolumePublishStatus"""

    #: Node.
    node_id: NodeId = NodeId("")
    #: Progress.
    state: VolumePublishState = VolumePublishState.PENDING_PUBLISH
    #: From the controller.
    publish_context: Mapping[str, str] = field(default_factory=dict)
    #: Text (number 4 unused).
    message: str = ""


class VolumeInfo(Value, frozen=True, kw_only=True):
    """DOC_VolumeInfo"""

    #: Size.
    capacity_bytes: int = 0
    #: Opaque.
    volume_context: Mapping[str, str] = field(default_factory=dict)
    #: CSI id.
    volume_id: str = ""
    #: Where reachable.
    accessible_topology: tuple[Topology, ...] = ()


class CapacityRange(Value, frozen=True):
    """DOC_CapacityRange"""

    #: Min.
    required_bytes: int = 0
    #: Max.
    limit_bytes: int = 0


class VolumeAssignment(Value, frozen=True, kw_only=True):
    """DOC_VolumeAssignment"""

    #: Cluster volume ID.
    id: str = ""
    #: CSI id.
    volume_id: str = ""
    #: CSI plugin.
    driver: Driver | None = None
    #: Opaque.
    volume_context: Mapping[str, str] = field(default_factory=dict)
    #: Opaque.
    publish_context: Mapping[str, str] = field(default_factory=dict)
    #: Mode.
    access_mode: VolumeAccessMode | None = None
    #: Keys to secrets, sent as secret assignments.
    secrets: tuple[VolumeSecret, ...] = ()


class VolumeAttachment(Value, frozen=True):
    """DOC_VolumeAttachment"""

    #: Cluster volume ID.
    id: str = ""
    #: Mount source.
    source: str = ""
    #: Mount target.
    target: str = ""


class TopologyRequirement(Value, frozen=True):
    """DOC_TopologyRequirement"""

    #: Must.
    requisite: tuple[Topology, ...] = ()
    #: Order.
    preferred: tuple[Topology, ...] = ()
