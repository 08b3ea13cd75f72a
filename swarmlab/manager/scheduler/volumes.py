"""Cluster volumes: which ones a task could use on a node, and which it gets."""

from collections.abc import Sequence

from immutables import Map

from swarmlab.api import (
    Mount,
    Node,
    NodeId,
    Task,
    TaskId,
    Value,
    Volume,
    VolumeAccessMode,
    VolumeAttachment,
    VolumeAvailability,
    VolumeScope,
    VolumeSharing,
)
from swarmlab.manager.scheduler.demand import cluster_mounts

GROUP = "group:"


class Use(Value, frozen=True):
    """A task on a node uses a volume."""

    node: NodeId
    readonly: bool


#: {volume id: {task id: its use}}
Uses = Map[str, Map[TaskId, Use]]

NO_USES: Uses = Map()


def uses_of(task: Task) -> tuple[tuple[str, Use], ...]:
    """(volume id, use) for each volume that the task was given."""
    if not task.volumes:
        return ()
    readonly = {(mount.source, mount.target): mount.readonly for mount in cluster_mounts(task.spec)}
    return tuple(
        (volume.id, Use(task.node_id, readonly.get((volume.source, volume.target), False))) for volume in task.volumes
    )


def with_use(uses: Uses, volume: str, task: TaskId, use: Use) -> Uses:
    """`uses` and one more."""
    return uses.set(volume, uses.get(volume, Map()).set(task, use))


def without_use(uses: Uses, volume: str, task: TaskId) -> Uses:
    """`uses` without that of one task."""
    of_volume = uses.get(volume, Map())
    if task not in of_volume:
        return uses
    left = of_volume.delete(task)
    return uses.set(volume, left) if left else uses.delete(volume)


def chosen(
    mounts: Sequence[Mount], node: Node, volumes: Sequence[Volume], uses: Uses
) -> tuple[VolumeAttachment, ...] | None:
    """A volume for every one of `mounts` on that node, the first by id that will do; None where one finds none.

    Args:
        mounts: Of one task, all of the type CLUSTER.
        node: Where it would run.
        volumes: All volumes, in the order of their ids.
        uses: Who uses what already.
    """
    if not mounts:
        return ()
    mount, later = mounts[0], mounts[1:]
    for volume in volumes:
        if not _meant(mount, volume) or not usable(volume, mount, node, uses):
            continue
        taken = with_use(uses, volume.id, TaskId(f"mount {len(later)}"), Use(node.id, mount.readonly))
        others = chosen(later, node, volumes, taken)
        if others is not None:
            return (VolumeAttachment(volume.id, mount.source, mount.target), *others)
    return None


def usable(volume: Volume, mount: Mount, node: Node, uses: Uses) -> bool:
    """Whether `mount` of a task on `node` may have this volume. Source: SwarmKit `scheduler/volumes.go`."""
    if volume.pending_delete or volume.spec.availability != VolumeAvailability.ACTIVE:
        return False
    if volume.volume_info is None or not volume.volume_info.volume_id:
        return False
    mode = volume.spec.access_mode or VolumeAccessMode()
    users = uses.get(volume.id, Map())
    if mode.scope == VolumeScope.SINGLE_NODE and any(use.node != node.id for use in users.values()):
        return False
    if mode.sharing == VolumeSharing.NONE and users:
        return False
    if mode.sharing == VolumeSharing.READ_ONLY and not mount.readonly:
        return False
    written = any(not use.readonly for use in users.values())
    if mode.sharing == VolumeSharing.ONE_WRITER and not mount.readonly and written:
        return False
    return _within_reach(volume, node)


def _meant(mount: Mount, volume: Volume) -> bool:
    if mount.source.startswith(GROUP):
        return volume.spec.group == mount.source[len(GROUP) :]
    return volume.spec.annotations.name == mount.source


def _within_reach(volume: Volume, node: Node) -> bool:
    """The node lies in one of the volume's topologies, or one of the two names none."""
    topologies = volume.volume_info.accessible_topology if volume.volume_info is not None else ()
    driver = volume.spec.driver.name if volume.spec.driver is not None else ""
    csi = node.description.csi_info if node.description is not None else ()
    own = [info.accessible_topology for info in csi if info.plugin_name == driver and info.accessible_topology]
    if not topologies or not own:
        return True
    return any(own[0].segments.items() >= topology.segments.items() for topology in topologies)
