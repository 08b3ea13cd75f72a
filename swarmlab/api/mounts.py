"""What is mounted into a container."""

from collections.abc import Mapping

from msgspec import field

from swarmlab.api.drivers import Driver
from swarmlab.api.enums import MountConsistency, MountType, Propagation
from swarmlab.api.value import Value


class BindOptions(Value, frozen=True, kw_only=True):
    """How a host path is bound into a container."""

    propagation: Propagation = Propagation.RPRIVATE
    #: Bind without the mounts below.
    nonrecursive: bool = False
    #: Make the source if it is missing.
    createmountpoint: bool = False
    #: Read-only at the top level alone.
    readonlynonrecursive: bool = False
    #: Fail unless all mounts below can be read-only.
    readonlyforcerecursive: bool = False


class VolumeOptions(Value, frozen=True, kw_only=True):
    """How a volume is made if it does not exist yet, and what of it is mounted."""

    #: Do not fill a new volume from the image.
    nocopy: bool = False
    #: Labels of a new volume.
    labels: Mapping[str, str] = field(default_factory=dict)
    #: Driver of a new volume.
    driver_config: Driver | None = None
    #: Path inside the volume that is mounted.
    subpath: str = ""


class TmpfsOptions(Value, frozen=True):
    """The size and mode of a memory file system."""

    #: 0: as the system likes.
    size_bytes: int = 0
    #: Bits of Go's os.FileMode: the low nine are those of Unix, setuid is 1 << 23, setgid 1 << 22, sticky 1 << 20.
    mode: int = 0
    #: Further mount options.
    options: str = ""


class Mount(Value, frozen=True, kw_only=True):
    """Something that appears at a path inside a container."""

    type: MountType = MountType.BIND
    #: Host path, volume name, or `group:NAME` for any volume of a group.
    source: str = ""
    #: Path in the container; unique within it.
    target: str = ""
    readonly: bool = False
    #: A hint for engines on other hosts.
    consistency: MountConsistency = MountConsistency.DEFAULT
    #: BIND only.
    bind_options: BindOptions | None = None
    #: VOLUME only.
    volume_options: VolumeOptions | None = None
    #: TMPFS only.
    tmpfs_options: TmpfsOptions | None = None
