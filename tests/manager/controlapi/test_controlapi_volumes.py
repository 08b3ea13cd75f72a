"""Cluster volumes: what they need, what may change, how they go."""

import pytest
from asked import Requests
from msgspec.structs import replace

from swarmlab.api import (
    Annotations,
    Driver,
    Filters,
    InvalidSpec,
    MountVolume,
    NameConflict,
    NodeId,
    NotFound,
    OutOfSequence,
    Precondition,
    Volume,
    VolumeAccessMode,
    VolumeAvailability,
    VolumeId,
    VolumePublishStatus,
    VolumeSecret,
    VolumeSpec,
)
from swarmlab.manager.controlapi import create_volume, get_volume, list_volumes, remove_volume, update_volume

GOOD = VolumeSpec(
    annotations=Annotations("data"), driver=Driver("csi"), access_mode=VolumeAccessMode(mount=MountVolume())
)


@pytest.mark.parametrize(
    ("wish", "about"),
    [
        (replace(GOOD, annotations=Annotations()), "name"),
        (replace(GOOD, driver=None), "driver"),
        (replace(GOOD, driver=Driver()), "driver"),
        (replace(GOOD, access_mode=None), "access mode"),
        (replace(GOOD, access_mode=VolumeAccessMode()), "either Mount or Block"),
        (replace(GOOD, secrets=(VolumeSecret("k", "gone"),)), "secret not found: gone"),
    ],
)
def test_bad_volumes_are_refused(at: Requests, wish: VolumeSpec, about: str) -> None:
    with pytest.raises(InvalidSpec, match=about):
        create_volume(at.view, wish, at.ids)


def test_names_are_unique_and_lists_are_narrowed(at: Requests) -> None:
    at.commit(create_volume(at.view, replace(GOOD, group="fast"), at.ids))
    with pytest.raises(NameConflict):
        create_volume(at.view, GOOD, at.ids)
    at.commit(create_volume(at.view, replace(GOOD, annotations=Annotations("b"), driver=Driver("nfs")), at.ids))

    def names(**by: object) -> list[str]:
        return sorted(found.spec.annotations.name for found in list_volumes(at.view, Filters(**by)))

    assert names() == ["b", "data"]
    assert names(groups=("fast",)) == ["data"]
    assert names(drivers=("nfs", "smb")) == ["b"]
    assert names(names=("data",), drivers=("nfs",)) == []


def test_labels_and_availability_change_and_nothing_else(at: Requests) -> None:
    volume = at.commit(create_volume(at.view, GOOD, at.ids))
    wish = replace(GOOD, annotations=Annotations("data", {"a": "b"}), availability=VolumeAvailability.DRAIN)
    at.commit(update_volume(at.view, volume.id, 1, wish))
    assert get_volume(at.view, volume.id).spec == wish
    for bad in (
        replace(wish, group="g"),
        replace(wish, driver=Driver("x")),
        replace(wish, annotations=Annotations("other")),
    ):
        with pytest.raises(InvalidSpec, match="of a volume cannot be updated"):
            update_volume(at.view, volume.id, 2, bad)
    with pytest.raises(OutOfSequence):
        update_volume(at.view, volume.id, 1, wish)


def test_a_published_volume_goes_by_force_alone(at: Requests) -> None:
    at.put(Volume(id=VolumeId("v1"), spec=GOOD, publish_status=(VolumePublishStatus(node_id=NodeId("n1")),)))
    with pytest.raises(Precondition, match="volume data is still in use on nodes: n1"):
        remove_volume(at.view, VolumeId("v1"), force=False)
    at.commit(remove_volume(at.view, VolumeId("v1"), force=True))
    with pytest.raises(NotFound):
        get_volume(at.view, VolumeId("v1"))


def test_an_unpublished_volume_is_marked_for_its_plugin(at: Requests) -> None:
    at.put(Volume(id=VolumeId("v1"), spec=GOOD))
    at.commit(remove_volume(at.view, VolumeId("v1"), force=False))
    assert get_volume(at.view, VolumeId("v1")).pending_delete
