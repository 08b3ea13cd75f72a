"""Cluster volumes as users ask for them."""

import random

from msgspec.structs import replace

from swarmlab.api import (
    Changes,
    Create,
    Delete,
    Filters,
    InvalidSpec,
    Precondition,
    SecretId,
    Update,
    Volume,
    VolumeId,
    VolumeSpec,
    new_id,
)
from swarmlab.manager.controlapi.filters import EVERYTHING, among, narrowed
from swarmlab.manager.controlapi.stored import require_free_name, stored, stored_at
from swarmlab.store import Snapshot


def create_volume(view: Snapshot, spec: VolumeSpec, ids: random.Random) -> tuple[Changes, Volume]:
    """A new cluster volume.

    Raises:
        InvalidSpec: Name, driver or access mode are missing, or a secret is not there.
        NameConflict: Another volume has the name.
    """
    if not spec.annotations.name:
        raise InvalidSpec("volume name must be provided")
    if spec.driver is None or not spec.driver.name:
        raise InvalidSpec("driver must be specified: a volume needs the name of a driver")
    if spec.access_mode is None:
        raise InvalidSpec("AccessMode must not be nil: a volume needs an access mode")
    if spec.access_mode.block is None and spec.access_mode.mount is None:
        raise InvalidSpec("Volume AccessMode must specify either Mount or Block access type")
    missing = [secret.secret for secret in spec.secrets if view.secret(SecretId(secret.secret)) is None]
    if missing:
        raise InvalidSpec(f"secret{'s' if len(missing) > 1 else ''} not found: {', '.join(missing)}")
    require_free_name(view, Volume, spec.annotations.name)
    volume = Volume(id=VolumeId(new_id(ids)), spec=spec)
    return Changes.atomic(Create(volume)), volume


def get_volume(view: Snapshot, volume_id: VolumeId) -> Volume:
    """The volume of that id.

    Raises:
        NotFound: There is none.
    """
    return stored(view, Volume, volume_id)


def list_volumes(view: Snapshot, filters: Filters = EVERYTHING) -> tuple[Volume, ...]:
    """The volumes that match, sorted by id."""
    return narrowed(
        view.volumes(),
        filters,
        name=lambda volume: volume.spec.annotations.name,
        labels=lambda volume: volume.spec.annotations.labels,
        also=lambda volume: (
            among(volume.spec.group, filters.groups)
            and among(volume.spec.driver.name if volume.spec.driver is not None else "", filters.drivers)
        ),
    )


def update_volume(view: Snapshot, volume_id: VolumeId, version: int, spec: VolumeSpec) -> tuple[Changes, Volume]:
    """The volume with other labels or another availability; all else of a volume is for good.

    Raises:
        NotFound: No such volume.
        OutOfSequence: It changed since `version`.
        InvalidSpec: Something else differs; the message names it.
    """
    volume = stored_at(view, Volume, volume_id, version)
    for name in VolumeSpec.__struct_fields__:
        if name in ("annotations", "availability"):
            continue
        if getattr(spec, name) != getattr(volume.spec, name):
            raise InvalidSpec(
                f"{name.replace('_', ' ')} of a volume cannot be updated: only labels and availability can"
            )
    if spec.annotations.name != volume.spec.annotations.name:
        raise InvalidSpec("name of a volume cannot be updated: only labels and availability can")
    updated = replace(volume, spec=spec)
    return Changes.atomic(Update(updated)), updated


def remove_volume(view: Snapshot, volume_id: VolumeId, force: bool) -> tuple[Changes, None]:
    """The volume marked for deletion, which happens when its plugin has let go of it; with `force` gone at once.

    Raises:
        NotFound: No such volume.
        Precondition: It is published on a node, and `force` was not given.
    """
    volume = stored(view, Volume, volume_id)
    if force:
        return Changes.atomic(Delete(Volume, volume_id)), None
    if volume.publish_status:
        nodes = ", ".join(sorted(status.node_id for status in volume.publish_status))
        raise Precondition(f"volume {volume.spec.annotations.name} is still in use on nodes: {nodes}")
    return Changes.atomic(Update(replace(volume, pending_delete=True))), None
