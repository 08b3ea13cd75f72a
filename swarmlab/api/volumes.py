"""Cluster volumes: access, topology and where they are published."""

from collections.abc import Mapping

from msgspec import field

from swarmlab.api.drivers import Driver
from swarmlab.api.enums import VolumePublishState, VolumeScope, VolumeSharing
from swarmlab.api.ids import NodeId
from swarmlab.api.value import Value


class Topology(Value, frozen=True):
    """A place, as a CSI plugin sees it."""

    #: {domain: segment}.
    segments: Mapping[str, str] = field(default_factory=dict)


class TopologyRequirement(Value, frozen=True):
    """Where a volume must be reachable from, and where it should be."""

    #: Any of them.
    requisite: tuple[Topology, ...] = ()
    #: The first is liked best.
    preferred: tuple[Topology, ...] = ()


class CapacityRange(Value, frozen=True):
    """The least and most size of a volume."""

    required_bytes: int = 0
    limit_bytes: int = 0


class BlockVolume(Value, frozen=True):
    """The volume is used as a block device."""


class MountVolume(Value, frozen=True):
    """The volume is mounted as a file system."""

    fs_type: str = ""
    mount_flags: tuple[str, ...] = ()


class VolumeAccessMode(Value, frozen=True, kw_only=True):
    """Who may use a cluster volume at once, and as what."""

    #: On one node, or on many.
    scope: VolumeScope = VolumeScope.SINGLE_NODE
    #: Among tasks.
    sharing: VolumeSharing = VolumeSharing.NONE
    #: Set for a block device; or `mount` is set.
    block: BlockVolume | None = None
    mount: MountVolume | None = None


class VolumeSecret(Value, frozen=True):
    """A secret that a CSI plugin needs."""

    #: Name that the plugin gives it.
    key: str = ""
    #: Id of the secret.
    secret: str = ""


class VolumePublishStatus(Value, frozen=True, kw_only=True):
    """How far the publication of a volume on a node came."""

    node_id: NodeId = NodeId("")
    state: VolumePublishState = VolumePublishState.PENDING_PUBLISH
    #: What the controller plugin answered.
    publish_context: Mapping[str, str] = field(default_factory=dict)
    message: str = ""


class VolumeInfo(Value, frozen=True, kw_only=True):
    """What the CSI plugin made."""

    capacity_bytes: int = 0
    #: For the plugin alone.
    volume_context: Mapping[str, str] = field(default_factory=dict)
    #: Id in the eyes of the plugin.
    volume_id: str = ""
    #: Where it can be reached from.
    accessible_topology: tuple[Topology, ...] = ()


class VolumeAssignment(Value, frozen=True, kw_only=True):
    """A volume as a worker gets it."""

    id: str = ""
    #: Id in the eyes of the plugin.
    volume_id: str = ""
    driver: Driver | None = None
    #: For the plugin alone.
    volume_context: Mapping[str, str] = field(default_factory=dict)
    #: For the plugin alone.
    publish_context: Mapping[str, str] = field(default_factory=dict)
    access_mode: VolumeAccessMode | None = None
    #: The secrets themselves come as assignments of their own.
    secrets: tuple[VolumeSecret, ...] = ()


class VolumeAttachment(Value, frozen=True):
    """The cluster volume that was chosen for a mount of a task."""

    id: str = ""
    #: Of the mount.
    source: str = ""
    #: Of the mount.
    target: str = ""
