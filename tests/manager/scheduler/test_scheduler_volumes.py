"""Cluster volumes: a task needs all of those that it asks for."""

from collections.abc import Mapping

import pytest
from msgspec.structs import replace
from scheduling import Desk, a_node, a_service, a_task, tasks_of

from swarmlab.api import (
    Annotations,
    Driver,
    Mount,
    MountType,
    NodeCSIInfo,
    TaskState,
    Topology,
    Volume,
    VolumeAccessMode,
    VolumeAttachment,
    VolumeAvailability,
    VolumeInfo,
    VolumePublishState,
    VolumePublishStatus,
    VolumeScope,
    VolumeSharing,
    VolumeSpec,
)


def a_volume(
    name: str,
    *,
    group: str = "",
    scope: VolumeScope = VolumeScope.MULTI_NODE,
    sharing: VolumeSharing = VolumeSharing.ALL,
    availability: VolumeAvailability = VolumeAvailability.ACTIVE,
    made: bool = True,
    topology: tuple[Mapping[str, str], ...] = (),
    going: bool = False,
) -> Volume:
    return Volume(
        id=f"v-{name}",
        spec=VolumeSpec(
            annotations=Annotations(name),
            group=group,
            driver=Driver("csi"),
            access_mode=VolumeAccessMode(scope=scope, sharing=sharing),
            availability=availability,
        ),
        volume_info=VolumeInfo(
            volume_id=f"csi-{name}", accessible_topology=tuple(Topology(segments) for segments in topology)
        )
        if made
        else None,
        pending_delete=going,
    )


def a_mount(source: str, *, target: str = "", readonly: bool = False) -> Mount:
    return Mount(type=MountType.CLUSTER, source=source, target=target or f"/{source}", readonly=readonly)


NO_VOLUMES = "no suitable node (cannot fulfill requested CSI volume mounts on 1 node)"


def test_a_task_gets_its_volumes_and_they_are_asked_to_come() -> None:
    desk = Desk(a_node("n0"), [a_volume("data"), a_volume("logs")])
    desk.create(a_task("t", mounts=[a_mount("data"), a_mount("logs")]))
    assert desk.task("t").volumes == (
        VolumeAttachment("v-data", "data", "/data"),
        VolumeAttachment("v-logs", "logs", "/logs"),
    )
    wanted = VolumePublishStatus(node_id="n0", state=VolumePublishState.PENDING_PUBLISH)
    assert [volume.publish_status for volume in desk.view.volumes()] == [(wanted,), (wanted,)]
    desk.create(a_task("u", mounts=[a_mount("data")]))
    assert desk.view.volumes()[0].publish_status == (wanted,), "it is there already"


def test_defect_02_one_usable_volume_of_two_is_not_enough() -> None:
    desk = Desk(a_node("n0"), a_volume("data"))
    desk.create(a_task("t", mounts=[a_mount("data"), a_mount("logs")]))
    assert desk.pending() == {"t": NO_VOLUMES}
    desk.create(a_volume("logs"))
    assert desk.task("t").node_id == "n0"


@pytest.mark.parametrize(
    "volume",
    [
        a_volume("data", availability=VolumeAvailability.PAUSE),
        a_volume("data", availability=VolumeAvailability.DRAIN),
        a_volume("data", made=False),
        a_volume("data", going=True),
        a_volume("data", sharing=VolumeSharing.READ_ONLY),
        a_volume("data", topology=({"zone": "b"},)),
        a_volume("other"),
    ],
    ids=["paused", "drained", "not made yet", "going", "read-only", "elsewhere", "other name"],
)
def test_a_volume_that_cannot_be_used(volume: Volume) -> None:
    node = a_node("n0")
    about = NodeCSIInfo(plugin_name="csi", accessible_topology=Topology({"zone": "a", "rack": "1"}))
    description = node.description
    assert description is not None
    desk = Desk(replace(node, description=replace(description, csi_info=(about,))), volume)
    desk.create(a_task("t", mounts=[a_mount("data")]))
    assert desk.pending() == {"t": NO_VOLUMES}


def test_a_topology_holds_when_the_node_has_all_of_its_segments_or_says_nothing() -> None:
    volume = a_volume("data", topology=({"zone": "b"}, {"zone": "a", "rack": "1"}))
    node = a_node("n0")
    description = node.description
    assert description is not None
    about = NodeCSIInfo(plugin_name="csi", accessible_topology=Topology({"zone": "a", "rack": "1", "row": "3"}))
    desk = Desk([replace(node, description=replace(description, csi_info=(about,))), a_node("n1")], volume)
    everywhere = a_service("everywhere", mode="global", mounts=[a_mount("data")])
    desk.create(everywhere, a_task("t0", everywhere, node="n0"), a_task("t1", everywhere, node="n1"))
    assert desk.pending() == {}


def test_a_volume_of_one_node_keeps_its_users_together() -> None:
    web = a_service("web", 4, mounts=[a_mount("data")])
    desk = Desk([a_node("n0"), a_node("n1")], [web, a_volume("data", scope=VolumeScope.SINGLE_NODE)])
    desk.create(*tasks_of(web, 4))
    assert desk.on() == {"n0": 4, "n1": 0}


def test_a_volume_that_is_not_shared_serves_one_task() -> None:
    web = a_service("web", 2, mounts=[a_mount("data")])
    desk = Desk([a_node("n0"), a_node("n1")], [web, a_volume("data", sharing=VolumeSharing.NONE)])
    desk.create(*tasks_of(web, 2))
    assert sum(desk.on().values()) == 1
    assert list(desk.pending()) == ["web.02"]
    desk.report("web.01", TaskState.FAILED)
    assert desk.pending() == {}, "the dead one uses it no more"


def test_one_writer_and_many_readers() -> None:
    writer = a_service("writer", 2, mounts=[a_mount("data")])
    reader = a_service("reader", 2, mounts=[a_mount("data", readonly=True)])
    desk = Desk([a_node("n0"), a_node("n1")], [writer, reader, a_volume("data", sharing=VolumeSharing.ONE_WRITER)])
    desk.create(*tasks_of(writer, 2))
    desk.create(*tasks_of(reader, 2))
    assert list(desk.pending()) == ["writer.02"]


def test_a_volume_of_a_group_is_the_first_that_will_do() -> None:
    """Two mounts of the same group find two volumes, when these are not shared."""
    volumes = [a_volume(name, group="disks", sharing=VolumeSharing.NONE) for name in ("b", "a", "c")]
    desk = Desk(a_node("n0"), volumes)
    desk.create(a_task("t", mounts=[a_mount("group:disks", target="/x"), a_mount("group:disks", target="/y")]))
    assert [attachment.id for attachment in desk.task("t").volumes] == ["v-a", "v-b"]
    desk.create(a_task("u", mounts=[a_mount("group:disks", target="/x"), a_mount("group:disks", target="/y")]))
    assert "u" in desk.pending()


def test_a_choice_that_would_leave_a_later_mount_without_is_not_made() -> None:
    """The group could take v-a, but the second mount asks for that one by name."""
    volumes = [a_volume(name, group="disks", sharing=VolumeSharing.NONE) for name in ("a", "b")]
    desk = Desk(a_node("n0"), volumes)
    desk.create(a_task("t", mounts=[a_mount("group:disks", target="/x"), a_mount("a")]))
    assert [attachment.id for attachment in desk.task("t").volumes] == ["v-b", "v-a"]


def test_defect_03_the_latest_state_of_a_volume_counts_and_bound_tasks_reserve_theirs() -> None:
    everywhere = a_service("everywhere", mode="global", mounts=[a_mount("data")])
    volume = a_volume("data", sharing=VolumeSharing.NONE)
    desk = Desk([a_node("n0"), a_node("n1")], [everywhere, volume])
    desk.create(a_task("t0", everywhere, node="n0"), a_task("t1", everywhere, node="n1"))
    assert desk.pending() == {"t1": "cannot fulfill requested CSI volume mounts on 1 node"}
    desk.report("t0", TaskState.FAILED)
    assert desk.pending() == {}
    desk.create(a_volume("late"))
    desk.change(Volume, "v-late", spec=a_volume("late", availability=VolumeAvailability.DRAIN).spec)
    desk.create(a_task("u", mounts=[a_mount("late")]))
    assert "u" in desk.pending()


def test_uses_are_read_back_when_leadership_begins() -> None:
    web = a_service("web", 2, mounts=[a_mount("data")])
    desk = Desk([a_node("n0"), a_node("n1")], [web, a_volume("data", scope=VolumeScope.SINGLE_NODE)], lead=False)
    held = (VolumeAttachment("v-data", "data", "/data"),)
    desk.create(a_task("old", web, node="n1", state=TaskState.RUNNING, volumes=held), a_task("new", web))
    desk.lead()
    assert desk.task("new").node_id == "n1"
