"""What a user asks for: the specs of every kind of object."""

from typing import ClassVar

from msgspec import field

from swarmlab.api.annotations import Annotations
from swarmlab.api.certificates import AcceptancePolicy, CAConfig
from swarmlab.api.containers import ContainerSpec
from swarmlab.api.drivers import AnyValue, Driver
from swarmlab.api.enums import Availability, Membership, NodeRole, ResolutionMode, ResourceType, VolumeAvailability
from swarmlab.api.networks import IPAMOptions, NetworkAttachmentConfig, PortConfig
from swarmlab.api.placement import Placement
from swarmlab.api.policies import RestartPolicy, UpdateConfig
from swarmlab.api.resources import ResourceRequirements
from swarmlab.api.settings import DispatcherConfig, EncryptionConfig, OrchestrationConfig, RaftConfig, TaskDefaults
from swarmlab.api.value import Guarded, Value
from swarmlab.api.volumes import CapacityRange, TopologyRequirement, VolumeAccessMode, VolumeSecret


class NetworkAttachmentSpec(Value, frozen=True):
    """A task that only puts a plain engine container on a network."""

    #: The engine's id of it.
    container_id: str = ""


class GenericRuntimeSpec(Value, frozen=True):
    """A task that something other than the container engine runs."""

    #: e.g. plugin.
    kind: str = ""
    payload: AnyValue | None = None


class ResourceReference(Value, frozen=True):
    """A secret or config that is sent to the node although no container names it."""

    resource_id: str = ""
    #: SECRET or CONFIG.
    resource_type: ResourceType = ResourceType.TASK


class TaskSpec(Value, frozen=True, kw_only=True):
    """What a task runs, with how much, where, and what happens when it ends."""

    #: One of the three runtimes: a place on a network.
    attachment: NetworkAttachmentSpec | None = None
    #: One of the three runtimes: a container.
    container: ContainerSpec | None = None
    #: One of the three runtimes: something else.
    generic: GenericRuntimeSpec | None = None
    resources: ResourceRequirements | None = None
    #: None: any, 5 s.
    restart: RestartPolicy | None = None
    placement: Placement | None = None
    #: None: the cluster's.
    log_driver: Driver | None = None
    networks: tuple[NetworkAttachmentConfig, ...] = ()
    #: Any change of it replaces the tasks.
    force_update: int = 0
    resource_references: tuple[ResourceReference, ...] = ()


class ReplicatedService(Value, frozen=True):
    """So many tasks, wherever they fit."""

    replicas: int = 0


class GlobalService(Value, frozen=True):
    """One task on each suitable node."""


class ReplicatedJob(Value, frozen=True):
    """So many successful runs, some of them at once."""

    #: How many run at once; 0: all that are wanted.
    max_concurrent: int = 0
    #: How many have to succeed.
    total_completions: int = 0


class GlobalJob(Value, frozen=True):
    """One successful run on each suitable node."""


class EndpointSpec(Value, frozen=True):
    """The ports of a service and how its name is resolved."""

    mode: ResolutionMode = ResolutionMode.VIP
    ports: tuple[PortConfig, ...] = ()


class ServiceSpec(Value, frozen=True, kw_only=True):
    """What a user asks of a service; exactly one of the four modes is set."""

    annotations: Annotations = Annotations()
    task: TaskSpec = TaskSpec()
    replicated: ReplicatedService | None = None
    global_: GlobalService | None = field(default=None, name="global")
    replicated_job: ReplicatedJob | None = None
    global_job: GlobalJob | None = None
    #: None: one task at a time, pause on failure.
    update: UpdateConfig | None = None
    #: None: as `update` None.
    rollback: UpdateConfig | None = None
    #: The old place of `task.networks`, which wins.
    networks: tuple[NetworkAttachmentConfig, ...] = ()
    endpoint: EndpointSpec | None = None


class NetworkSpec(Value, frozen=True, kw_only=True):
    """What a user asks of a network."""

    annotations: Annotations = Annotations()
    #: None: overlay.
    driver_config: Driver | None = None
    ipv6_enabled: bool = False
    #: No way outside.
    internal: bool = False
    ipam: IPAMOptions | None = None
    #: Plain engine containers may attach.
    attachable: bool = False
    #: It is the network of the routing mesh.
    ingress: bool = False
    #: Name of a configuration that lies on each node.
    network: str | None = None


class NodeSpec(Value, frozen=True, kw_only=True):
    """What a user asks of a node."""

    #: The labels are `node.labels.*`; the name is usually empty.
    annotations: Annotations = Annotations()
    #: A change makes the node renew its certificate.
    desired_role: NodeRole = NodeRole.WORKER
    #: ACCEPTED for every node that joined.
    membership: Membership = Membership.PENDING
    #: ACTIVE, PAUSE (no new tasks) or DRAIN (no tasks).
    availability: Availability = Availability.ACTIVE


class ClusterSpec(Value, frozen=True, kw_only=True):
    """What a user asks of the cluster."""

    annotations: Annotations = Annotations()
    acceptance_policy: AcceptancePolicy = AcceptancePolicy()
    orchestration: OrchestrationConfig = OrchestrationConfig()
    raft: RaftConfig = RaftConfig()
    dispatcher: DispatcherConfig = DispatcherConfig()
    ca_config: CAConfig = CAConfig()
    task_defaults: TaskDefaults = TaskDefaults()
    encryption_config: EncryptionConfig = EncryptionConfig()


class SecretSpec(Guarded, frozen=True, kw_only=True):
    """A secret: a name and bytes that only containers see."""

    hidden: ClassVar[frozenset[str]] = frozenset({"data"})

    annotations: Annotations = Annotations()
    #: 1 to 511,999 bytes; never shown to clients.
    data: bytes = b""
    #: Name `golang`: the data are a template.
    templating: Driver | None = None
    #: Who gives the data instead.
    driver: Driver | None = None


class ConfigSpec(Value, frozen=True):
    """A config: a name and bytes for containers."""

    annotations: Annotations = Annotations()
    #: 1 to 1,023,999 bytes.
    data: bytes = b""
    #: Name `golang`: the data are a template.
    templating: Driver | None = None


class VolumeSpec(Value, frozen=True, kw_only=True):
    """What a user asks of a cluster volume."""

    annotations: Annotations = Annotations()
    #: Volumes of a group stand in for each other.
    group: str = ""
    #: The CSI plugin.
    driver: Driver | None = None
    access_mode: VolumeAccessMode | None = None
    secrets: tuple[VolumeSecret, ...] = ()
    AccessibilityRequirements: TopologyRequirement | None = None
    capacity_range: CapacityRange | None = None
    availability: VolumeAvailability = VolumeAvailability.ACTIVE
