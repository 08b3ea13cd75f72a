"""What the store holds: every kind of object, its spec and what the managers made of it."""

from collections.abc import Mapping

from msgspec import field

from swarmlab.api.enums import NodeRole, TaskState
from swarmlab.api.ids import (
    ClusterId,
    ConfigId,
    ExtensionId,
    NetworkId,
    NodeId,
    ResourceId,
    SecretId,
    ServiceId,
    TaskId,
    VolumeId,
)
from swarmlab.api.moments import Instant
from swarmlab.api.specs import (
    ClusterSpec,
    ConfigSpec,
    EndpointSpec,
    NetworkSpec,
    NodeSpec,
    SecretSpec,
    ServiceSpec,
    TaskSpec,
    VolumeSpec,
)
from swarmlab.api.types import (
    Annotations,
    AnyValue,
    BlacklistedCertificate,
    Certificate,
    Driver,
    EncryptionKey,
    GenericResource,
    IPAMOptions,
    JobStatus,
    ManagerStatus,
    NodeDescription,
    NodeStatus,
    PortConfig,
    RootCA,
    TaskStatus,
    UpdateStatus,
    Version,
    VolumeAttachment,
    VolumeInfo,
    VolumePublishStatus,
)
from swarmlab.api.value import Value


class Meta(Value, frozen=True):
    """DOC_Meta"""

    #: Object version.
    version: Version = Version()
    #: Creation.
    created_at: Instant | None = None
    #: Last write.
    updated_at: Instant | None = None


class Network(Value, frozen=True, kw_only=True):
    """DOC_Network"""

    #: ID.
    id: NetworkId = NetworkId("")
    #: Version, times.
    meta: Meta = Meta()
    #: Wish.
    spec: NetworkSpec = NetworkSpec()
    #: Allocated driver state, REQUIRED for workers.
    driver_state: Driver | None = None
    #: Allocated pools.
    ipam: IPAMOptions | None = None
    #: Deletion pending.
    pending_delete: bool = False
    #: Allocator-specific (newer).
    extra: AnyValue | None = None


class NetworkAttachment(Value, frozen=True, kw_only=True):
    """DOC_NetworkAttachment"""

    #: Whole Network object, by value.
    network: Network | None = None
    #: CIDR texts, IPv4 and/or IPv6.
    addresses: tuple[str, ...] = ()
    #: DNS aliases.
    aliases: tuple[str, ...] = ()
    #: Options.
    driver_attachment_opts: Mapping[str, str] = field(default_factory=dict)


class Node(Value, frozen=True, kw_only=True):
    """DOC_Node"""

    #: Node ID = CN of its certificate.
    id: NodeId = NodeId("")
    #: Version, times.
    meta: Meta = Meta()
    #: Wanted state.
    spec: NodeSpec = NodeSpec()
    #: As reported in Session.
    description: NodeDescription | None = None
    #: Liveness.
    status: NodeStatus = NodeStatus()
    #: Filled in list/get answers for managers.
    manager_status: ManagerStatus | None = None
    #: Legacy single ingress attachment.
    attachment: NetworkAttachment | None = None
    #: Issue record.
    certificate: Certificate = Certificate()
    #: Role the CA would sign now.
    role: NodeRole = NodeRole.WORKER
    #: One address per overlay network in use on the node, ingress too.
    attachments: tuple[NetworkAttachment, ...] = ()
    #: 0 = 4789; worker acts on non-zero.
    VXLANUDPPort: int = 0


class VirtualIP(Value, frozen=True):
    """DOC_VirtualIP"""

    #: Network.
    network_id: NetworkId = NetworkId("")
    #: CIDR text, e.g. 10.0.1.2/24.
    addr: str = ""


class Endpoint(Value, frozen=True):
    """DOC_Endpoint"""

    #: Copy of the wish.
    spec: EndpointSpec | None = None
    #: Allocated ports; the worker reads these.
    ports: tuple[PortConfig, ...] = ()
    #: One per VIP network.
    virtual_ips: tuple[VirtualIP, ...] = ()


class Task(Value, frozen=True, kw_only=True):
    """DOC_Task"""

    #: ID.
    id: TaskId = TaskId("")
    #: Version, times.
    meta: Meta = Meta()
    #: What to run.
    spec: TaskSpec = TaskSpec()
    #: Which service spec it follows.
    spec_version: Version | None = None
    #: Owner; empty for attachment tasks.
    service_id: ServiceId = ServiceId("")
    #: 1.. for replicated; 0 = node-bound (global).
    slot: int = 0
    #: Assigned node.
    node_id: NodeId = NodeId("")
    #: Name = container name if set.
    annotations: Annotations = Annotations()
    #: Copy of the service name/labels.
    service_annotations: Annotations = Annotations()
    #: Observed.
    status: TaskStatus = TaskStatus()
    #: Wanted state, manager-owned.
    desired_state: TaskState = TaskState.NEW
    #: Allocated attachments.
    networks: tuple[NetworkAttachment, ...] = ()
    #: Copy of the service endpoint.
    endpoint: Endpoint | None = None
    #: Resolved driver.
    log_driver: Driver | None = None
    #: Claimed units -> env DOCKER_RESOURCE_*.
    assigned_generic_resources: tuple[GenericResource, ...] = ()
    #: Jobs.
    job_iteration: Version | None = None
    #: Chosen cluster volumes.
    volumes: tuple[VolumeAttachment, ...] = ()


class Service(Value, frozen=True, kw_only=True):
    """DOC_Service"""

    #: ID.
    id: ServiceId = ServiceId("")
    #: Version, times.
    meta: Meta = Meta()
    #: Current spec.
    spec: ServiceSpec = ServiceSpec()
    #: Version of spec.
    spec_version: Version | None = None
    #: For rollback.
    previous_spec: ServiceSpec | None = None
    #: Its version.
    previous_spec_version: Version | None = None
    #: Allocated ports and VIPs.
    endpoint: Endpoint | None = None
    #: Rolling update.
    update_status: UpdateStatus | None = None
    #: Jobs only.
    job_status: JobStatus | None = None
    #: Deletion pending.
    pending_delete: bool = False


class Cluster(Value, frozen=True, kw_only=True):
    """DOC_Cluster"""

    #: Cluster ID = O of every certificate.
    id: ClusterId = ClusterId("")
    #: Version, times.
    meta: Meta = Meta()
    #: Settings.
    spec: ClusterSpec = ClusterSpec()
    #: CA state.
    root_ca: RootCA = RootCA()
    #: Gossip/ipsec keys, 3 per subsystem.
    network_bootstrap_keys: tuple[EncryptionKey, ...] = ()
    #: Last lamport used.
    encryption_key_lamport_clock: int = 0
    #: CN -> entry of removed nodes (number 7 unused).
    blacklisted_certificates: Mapping[str, BlacklistedCertificate] = field(default_factory=dict)
    #: KEKs.
    unlock_keys: tuple[EncryptionKey, ...] = ()
    #: FIPS cluster.
    fips: bool = False
    #: CIDR pools, default 10.0.0.0/8.
    defaultAddressPool: tuple[str, ...] = ()
    #: Prefix per network, default 24.
    subnetSize: int = 0
    #: Default 4789.
    VXLANUDPPort: int = 0


class Secret(Value, frozen=True, kw_only=True):
    """DOC_Secret"""

    #: ID.
    id: SecretId = SecretId("")
    #: Version, times.
    meta: Meta = Meta()
    #: Payload.
    spec: SecretSpec = SecretSpec()
    #: Hidden from listings.
    internal: bool = False


class Config(Value, frozen=True):
    """DOC_Config"""

    #: ID.
    id: ConfigId = ConfigId("")
    #: Version, times.
    meta: Meta = Meta()
    #: Payload.
    spec: ConfigSpec = ConfigSpec()


class Resource(Value, frozen=True, kw_only=True):
    """DOC_Resource"""

    #: ID.
    id: ResourceId = ResourceId("")
    #: Version, times.
    meta: Meta = Meta()
    #: Name, labels.
    annotations: Annotations = Annotations()
    #: Extension name.
    kind: str = ""
    #: Opaque.
    payload: AnyValue | None = None


class Extension(Value, frozen=True, kw_only=True):
    """DOC_Extension"""

    #: ID.
    id: ExtensionId = ExtensionId("")
    #: Version, times.
    meta: Meta = Meta()
    #: Name, labels.
    annotations: Annotations = Annotations()
    #: Text.
    description: str = ""


class Volume(Value, frozen=True, kw_only=True):
    """DOC_Volume"""

    #: ID.
    id: VolumeId = VolumeId("")
    #: Version, times.
    meta: Meta = Meta()
    #: Wish.
    spec: VolumeSpec = VolumeSpec()
    #: Per node.
    publish_status: tuple[VolumePublishStatus, ...] = ()
    #: From the CSI plugin.
    volume_info: VolumeInfo | None = None
    #: Deletion pending.
    pending_delete: bool = False
