"""What the store holds: every kind of object, its spec and what the managers made of it."""

from collections.abc import Mapping

from msgspec import field

from swarmlab.api.annotations import Annotations, Version
from swarmlab.api.certificates import BlacklistedCertificate, Certificate, EncryptionKey, RootCA
from swarmlab.api.drivers import AnyValue, Driver
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
from swarmlab.api.networks import IPAMOptions, PortConfig
from swarmlab.api.nodes import ManagerStatus, NodeDescription, NodeStatus
from swarmlab.api.policies import JobStatus, UpdateStatus
from swarmlab.api.resources import GenericResource
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
from swarmlab.api.tasks import TaskStatus
from swarmlab.api.value import Value
from swarmlab.api.volumes import VolumeAttachment, VolumeInfo, VolumePublishStatus


class Meta(Value, frozen=True):
    """Which version of the store wrote an object last, and when."""

    version: Version = Version()
    created_at: Instant | None = None
    updated_at: Instant | None = None


class Network(Value, frozen=True, kw_only=True):
    """A network with what the allocator made of it."""

    id: NetworkId = NetworkId("")
    meta: Meta = Meta()
    spec: NetworkSpec = NetworkSpec()
    #: What the driver made; workers need it.
    driver_state: Driver | None = None
    #: The pools it got.
    ipam: IPAMOptions | None = None
    pending_delete: bool = False
    #: For the allocator.
    extra: AnyValue | None = None


class NetworkAttachment(Value, frozen=True, kw_only=True):
    """A place on a network, with its addresses."""

    #: The whole object.
    network: Network | None = None
    #: CIDR texts, IPv4 and IPv6.
    addresses: tuple[str, ...] = ()
    #: Further DNS names.
    aliases: tuple[str, ...] = ()
    driver_attachment_opts: Mapping[str, str] = field(default_factory=dict)


class Node(Value, frozen=True, kw_only=True):
    """A machine of the cluster."""

    #: The common name of its certificate.
    id: NodeId = NodeId("")
    meta: Meta = Meta()
    spec: NodeSpec = NodeSpec()
    #: As the agent reported it.
    description: NodeDescription | None = None
    status: NodeStatus = NodeStatus()
    #: Filled in when a manager's node is read; not stored.
    manager_status: ManagerStatus | None = None
    #: The old single place on the ingress network.
    attachment: NetworkAttachment | None = None
    certificate: Certificate = Certificate()
    #: The role that the CA would sign now.
    role: NodeRole = NodeRole.WORKER
    #: One for each overlay network in use on the node, the ingress network too.
    attachments: tuple[NetworkAttachment, ...] = ()
    #: 0: 4789.
    VXLANUDPPort: int = 0


class VirtualIP(Value, frozen=True):
    """An address of a service on one network."""

    network_id: NetworkId = NetworkId("")
    #: CIDR text, e.g. 10.0.1.2/24.
    addr: str = ""


class Endpoint(Value, frozen=True):
    """The ports and addresses that a service got."""

    #: The wish, copied.
    spec: EndpointSpec | None = None
    #: The ports it got.
    ports: tuple[PortConfig, ...] = ()
    #: One for each network on which it has one.
    virtual_ips: tuple[VirtualIP, ...] = ()


class Task(Value, frozen=True, kw_only=True):
    """One run of a service's task template on one node; it never moves."""

    id: TaskId = TaskId("")
    meta: Meta = Meta()
    spec: TaskSpec = TaskSpec()
    #: Version of the service's spec that it runs.
    spec_version: Version | None = None
    #: Empty for attachments.
    service_id: ServiceId = ServiceId("")
    #: 1 and up in replicated services, 0 and up in jobs, 0 in global services.
    slot: int = 0
    #: Empty until it is assigned; global tasks have it from the start.
    node_id: NodeId = NodeId("")
    #: A name, where set, is that of the container.
    annotations: Annotations = Annotations()
    #: The service's, copied.
    service_annotations: Annotations = Annotations()
    status: TaskStatus = TaskStatus()
    #: What the managers want of it.
    desired_state: TaskState = TaskState.NEW
    #: The places on networks that it got.
    networks: tuple[NetworkAttachment, ...] = ()
    #: The service's, copied.
    endpoint: Endpoint | None = None
    #: The driver that applies.
    log_driver: Driver | None = None
    #: The units it holds; the container sees them as DOCKER_RESOURCE_*.
    assigned_generic_resources: tuple[GenericResource, ...] = ()
    #: Which run of the job it belongs to.
    job_iteration: Version | None = None
    #: The cluster volumes chosen for its mounts.
    volumes: tuple[VolumeAttachment, ...] = ()


class Service(Value, frozen=True, kw_only=True):
    """A service with its previous spec and the state of its update."""

    id: ServiceId = ServiceId("")
    meta: Meta = Meta()
    spec: ServiceSpec = ServiceSpec()
    spec_version: Version | None = None
    #: What a rollback goes back to.
    previous_spec: ServiceSpec | None = None
    previous_spec_version: Version | None = None
    #: The ports and addresses it got.
    endpoint: Endpoint | None = None
    #: None: no update since the spec was set.
    update_status: UpdateStatus | None = None
    #: Jobs only.
    job_status: JobStatus | None = None
    pending_delete: bool = False


class Cluster(Value, frozen=True, kw_only=True):
    """The cluster itself; there is one, with the name `default`."""

    #: The organization of every certificate.
    id: ClusterId = ClusterId("")
    meta: Meta = Meta()
    spec: ClusterSpec = ClusterSpec()
    root_ca: RootCA = RootCA()
    #: For gossip and IPsec, three for each subsystem.
    network_bootstrap_keys: tuple[EncryptionKey, ...] = ()
    #: The last one used.
    encryption_key_lamport_clock: int = 0
    #: {node id: until when}.
    blacklisted_certificates: Mapping[str, BlacklistedCertificate] = field(default_factory=dict)
    #: Keys that encrypt the managers' keys.
    unlock_keys: tuple[EncryptionKey, ...] = ()
    #: Every node has to run in FIPS mode.
    fips: bool = False
    #: CIDR texts; empty: 10.0.0.0/8.
    defaultAddressPool: tuple[str, ...] = ()
    #: Prefix length of a new network; 0: 24.
    subnetSize: int = 0
    #: 0: 4789.
    VXLANUDPPort: int = 0


class Secret(Value, frozen=True, kw_only=True):
    """A secret in the store."""

    id: SecretId = SecretId("")
    meta: Meta = Meta()
    spec: SecretSpec = SecretSpec()
    #: Left out of lists.
    internal: bool = False


class Config(Value, frozen=True):
    """A config in the store."""

    id: ConfigId = ConfigId("")
    meta: Meta = Meta()
    spec: ConfigSpec = ConfigSpec()


class Resource(Value, frozen=True, kw_only=True):
    """An object of a kind that an extension declared."""

    id: ResourceId = ResourceId("")
    meta: Meta = Meta()
    annotations: Annotations = Annotations()
    #: Name of the extension.
    kind: str = ""
    payload: AnyValue | None = None


class Extension(Value, frozen=True, kw_only=True):
    """A kind of object that somebody declared for himself."""

    id: ExtensionId = ExtensionId("")
    meta: Meta = Meta()
    #: The name is the kind.
    annotations: Annotations = Annotations()
    description: str = ""


class Volume(Value, frozen=True, kw_only=True):
    """A cluster volume."""

    id: VolumeId = VolumeId("")
    meta: Meta = Meta()
    spec: VolumeSpec = VolumeSpec()
    #: One for each node.
    publish_status: tuple[VolumePublishStatus, ...] = ()
    #: None until the plugin made it.
    volume_info: VolumeInfo | None = None
    pending_delete: bool = False
